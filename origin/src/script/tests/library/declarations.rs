//! The TypeScript declarations.

use super::super::super::api::GLOBALS;

const DECLARATIONS: &str = include_str!("../../../../types/tributary.d.ts");

#[test]
fn every_global_is_declared() {
    let words: Vec<_> = DECLARATIONS
        .lines()
        .filter_map(|line| line.strip_prefix("declare "))
        .filter_map(|line| {
            let (_, rest) = line.split_once(' ')?;
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            Some(&rest[..end])
        })
        .collect();
    for global in GLOBALS {
        assert!(
            words.contains(&global.name),
            "{} is not declared",
            global.name
        );
    }
    for word in words {
        let known = GLOBALS.iter().any(|global| global.name == word);
        assert!(known, "{word} is declared and does not exist");
    }
}
