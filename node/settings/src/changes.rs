//! The differences between two configurations.

use serde::Serialize;
use toml::Value;

use super::At;

/// The keys whose values differ, in their order. A list of another length and a table that only one of
/// them has count as one key. Secrets are equal to each other: they serialize to nothing that tells.
///
/// # Errors
/// A configuration has values that TOML cannot express.
pub fn changes<T: Serialize>(before: &T, after: &T) -> Result<Vec<At>, toml::ser::Error> {
    let (before, after) = (Value::try_from(before)?, Value::try_from(after)?);
    let mut found = Vec::new();
    compare(&At::root(), Some(&before), Some(&after), &mut found);
    Ok(found)
}

fn compare(at: &At, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<At>) {
    match (before, after) {
        (Some(Value::Table(before)), Some(Value::Table(after))) => {
            for (key, value) in before {
                compare(&at.key(key), Some(value), after.get(key), found);
            }
            let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
            for (key, value) in new {
                compare(&at.key(key), None, Some(value), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if before.len() == after.len() && before.iter().all(Value::is_table) =>
        {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(&at.key(index), Some(before), Some(after), found);
            }
        }
        (before, after) if before == after => {}
        _ => found.push(at.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(before: &str, after: &str) -> Vec<String> {
        let table = |text: &str| text.parse::<toml::Table>().unwrap();
        let changed = changes(&table(before), &table(after)).unwrap();
        changed.iter().map(At::to_string).collect()
    }

    #[test]
    fn each_key_that_differs_is_named_once() {
        let before = "[edge]\nworkers = 1\norigins = ['a', 'b']\nzone = 'x'\n[[edge.listen]]\n\
                      address = '1'\n[applications.live]\nstall_time = '5 s'\n[log]\nfilter = 'a'";
        assert!(keys(before, before).is_empty());
        let after = "[edge]\nworkers = 2\norigins = ['a', 'c']\n[[edge.listen]]\naddress = '2'\n\
                     [applications.chat]\nbuiltin = 'none'\nmax_groups = 2\n[log]\nfilter = 'a'";
        let expected = [
            "applications.live",
            "applications.chat",
            "edge.listen.0.address",
            "edge.origins",
            "edge.workers",
            "edge.zone",
        ];
        assert_eq!(keys(before, after), expected);
        let longer = "[[edge.listen]]\naddress = '1'\n[[edge.listen]]\naddress = '2'";
        assert_eq!(
            keys("[[edge.listen]]\naddress = '1'", longer),
            ["edge.listen"]
        );
    }
}
