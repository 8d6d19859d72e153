//! Compares the documents that list parts of the code with the code.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use toml::{Table, Value};
use tributary_protocol::{command::Status, link::CloseReason};

#[path = "docs/sentences.rs"]
mod sentences;

use sentences::{comments, faults};

/// Folders of Rust sources whose comments keep the rule for sentences.
const HELD: &[&str] = &[
    "benches",
    "edge",
    "examples",
    "fuzz/bodies",
    "node",
    "origin",
    "protocol",
    "src",
    "tests",
];

/// The output of `tributary check` for this file, as a table.
fn in_force(text: &str) -> Table {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .arg("check")
        .arg(file.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// Every setting with its value, under the names the document uses.
fn settings(table: &Table, path: &str, found: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = match path {
            "" => key.clone(),
            "applications" => "applications.NAME".to_owned(),
            _ => format!("{path}.{key}"),
        };
        match value {
            Value::Table(table) => settings(table, &key, found),
            value => {
                found.insert(key, value.to_string());
            }
        }
    }
}

/// The output of `tributary plan` for these arguments.
fn planned(arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .arg("plan")
        .args(arguments.split_whitespace())
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_example_of_a_plan_is_the_programs() {
    let document = read("docs/scale.md");
    let blocks = document.split("```").skip(1).step_by(2);
    let plans = blocks.filter_map(|block| block.strip_prefix("\n$ tributary plan "));
    let mut examples = 0;
    for plan in plans {
        let (arguments, output) = plan.split_once('\n').unwrap();
        assert_eq!(planned(arguments), output, "docs/scale.md: {arguments}");
        examples += 1;
    }
    assert!(examples > 1, "{examples} are read");
}

/// The rows of docs/scale.md with numbers of nodes: the arguments of the plan, and the cells.
fn planned_rows() -> Vec<(String, Vec<String>)> {
    let mut command = String::new();
    let mut rows = Vec::new();
    for line in read("docs/scale.md").lines() {
        if let Some(found) = line.strip_prefix("`tributary plan ") {
            found.split('`').next().unwrap().clone_into(&mut command);
        }
        let cells: Vec<_> = line
            .trim_matches(['|', ' '])
            .split(" | ")
            .map(str::to_owned)
            .collect();
        let Ok(number) = cells[0].replace(',', "").parse::<u64>() else {
            continue;
        };
        let words = command
            .split_whitespace()
            .map(|word| match word.strip_prefix('N') {
                Some("") => number.to_string(),
                Some(rest) => (number / rest[1..].parse::<u64>().unwrap()).to_string(),
                None => word.to_owned(),
            });
        rows.push((words.collect::<Vec<_>>().join(" "), cells));
    }
    rows
}

#[test]
fn every_row_of_plans_is_the_programs() {
    let rows = planned_rows();
    assert!(rows.len() >= 10, "{} are read", rows.len());
    for (arguments, cells) in rows {
        let plan: serde_json::Value =
            serde_json::from_str(&planned(&format!("{arguments} --json"))).unwrap();
        let nodes = |fleet: &str| -> Vec<String> {
            let tiers = plan[fleet]["tiers"].as_array().into_iter().flatten();
            tiers.map(|tier| tier["nodes"].to_string()).collect()
        };
        let (today, relayed) = (nodes("today"), nodes("with_relays"));
        let divided = nodes("clusters").join(" + ");
        let origins = match (today.as_slice(), divided.as_str()) {
            ([], "") => "not possible".to_owned(),
            ([], divided) => format!("{} x ({divided})", plan["clusters"]["clusters"]),
            (today, _) => today.join(" + "),
        };
        let with_relays = match relayed.as_slice() {
            [] => "-".to_owned(),
            tiers => tiers.join(" + "),
        };
        let shown: Vec<_> = cells[1..]
            .iter()
            .map(|cell| cell.replace(',', ""))
            .collect();
        assert_eq!(shown, [origins, with_relays], "docs/scale.md: {arguments}");
    }
}

#[test]
fn every_sample_configuration_is_right() {
    for name in ["edge", "one-machine", "origin"] {
        in_force(&read(&format!("examples/config/{name}.toml")));
    }
}

fn variable(setting: &str) -> String {
    let (table, key) = setting.split_once('.').unwrap();
    let key = key.replace("NAME.", "LIVE__").replace('.', "__");
    format!("TRIBUTARY_{table}_{key}").to_ascii_uppercase()
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let document = read("docs/configuration.md");
    let row = |setting: &str| {
        let start = format!("| `{setting}` | ");
        let row = document.lines().find(|line| line.starts_with(&start));
        row.unwrap_or_else(|| panic!("docs/configuration.md has no row for {setting}"))
    };
    let mut defaults = BTreeMap::new();
    settings(&in_force("[applications.live]"), "", &mut defaults);
    for (setting, default) in &defaults {
        assert!(
            row(setting).contains(&format!("| `{default}`")),
            "{setting} is {default}"
        );
    }
    let keys = tempfile::NamedTempFile::new().unwrap();
    fs::write(keys.path(), "A".repeat(43) + "=").unwrap();
    let ticket_keys = format!("edge.ticket_keys = {:?}\n", keys.path());
    let optional = "admin.address = \"127.0.0.1:1\"\norigin.apps = \"a\"\norigin.data = \"d\"\n\
                    edge.rtmp = \"127.0.0.1:2\"\nedge.handover = \"h\"\nadmin.token_file = \"t\"\n\
                    cluster.name = \"c\"\ncluster.key = \"k\"\ncluster.origins = [\"o@h:1\"]\n\
                    [applications.live]\nidle_time = \"1 s\"\npublish_token = \"t\"\n\
                    shared_objects = \"all\"\ndelivery_cap = \"5 ms\"\n\
                    [applications.live.access]\npublish = []\nplay = []\nprotocols = [\"rtmp\"]\n\
                    [applications.live.limits]\nconnects_per_minute = 1\npublishes_per_minute = 1";
    let mut all = BTreeMap::new();
    settings(&in_force(&(ticket_keys + optional)), "", &mut all);
    for setting in all.keys() {
        let variable = format!("`{}`", variable(setting));
        assert!(row(setting).contains(&variable), "{setting} is {variable}");
    }
    for line in document
        .lines()
        .filter(|line| line.contains("`TRIBUTARY_") && line.starts_with('|'))
    {
        let setting = line.split('`').nth(1).unwrap();
        assert!(all.contains_key(setting), "there is no setting {setting}");
    }
}

/// The rows of docs/limits.md that name a constant: crate, file, name.
fn documented_limits() -> Vec<(String, String)> {
    let mut crate_name = String::new();
    let mut limits = Vec::new();
    for line in read("docs/limits.md").lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            heading
                .split('`')
                .next()
                .unwrap()
                .clone_into(&mut crate_name);
        }
        let mut cells = line.split(" | ");
        let cell = |cell: Option<&str>| {
            let cell = cell?.trim_start_matches("| ").strip_prefix('`')?;
            cell.strip_suffix('`').map(str::to_owned)
        };
        if !line.starts_with("| `") {
            continue;
        }
        if let (Some(name), Some(file)) = (cell(cells.next()), cell(cells.next())) {
            let source = if crate_name == "tributary" {
                "src".to_owned()
            } else {
                format!("{crate_name}/src")
            };
            limits.push((format!("{source}/{file}"), name));
        }
    }
    limits
}

#[test]
fn every_documented_limit_exists() {
    let limits = documented_limits();
    assert!(limits.len() > 100, "{} rows are read", limits.len());
    for (file, name) in limits {
        let declared = format!("const {name}: ");
        assert!(
            read(&file).contains(&declared),
            "docs/limits.md: {file} has no {name}"
        );
    }
}

#[test]
fn every_maximum_is_documented() {
    let documented = documented_limits();
    for crate_name in [
        "protocol",
        "node",
        "node/settings",
        "node/web",
        "edge",
        "edge/gate",
        "origin",
        "origin/script",
    ] {
        for file in sources(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(crate_name)
                .join("src"),
        ) {
            let file = file
                .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                .unwrap()
                .trim_start_matches('/');
            for name in read(file).lines().filter_map(maximum) {
                let known = documented
                    .iter()
                    .any(|(at, known)| at == file && *known == name);
                assert!(known, "docs/limits.md has no line for {name} of {file}");
            }
        }
    }
}

/// The name of a constant that is a maximum, if the line declares one.
fn maximum(line: &str) -> Option<String> {
    let (_, declared) = line.trim_start().split_once("const ")?;
    let (name, kind) = declared.split_once(": ")?;
    let is_number = ["usize", "u32", "u64", "Duration"]
        .iter()
        .any(|known| kind.starts_with(known));
    (name.starts_with("MAX_") && is_number).then(|| name.to_owned())
}

fn sources(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "test" | "tests") {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.contains("test") {
            files.push(path.to_str().unwrap().to_owned());
        }
    }
    files
}

#[test]
fn every_reason_and_fault_is_documented() {
    let document = read("docs/protocol.md");
    for reason in CloseReason::ALL {
        let label = format!("`{}`", reason.label());
        assert!(document.contains(&label), "docs/protocol.md has no {label}");
    }
    let mut faults = 0;
    for directory in [
        "protocol/src/handshake",
        "protocol/src/chunk",
        "protocol/src/session",
        "edge/src/client",
    ] {
        for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)) {
            let text = fs::read_to_string(&file).unwrap();
            let lines = text
                .lines()
                .filter(|line| line.contains("=> \"") || line.contains("fault("));
            for label in lines.filter_map(|line| line.split('"').nth(1)) {
                if label.contains('_') && label.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
                {
                    let label = format!("`{label}`");
                    assert!(
                        document.contains(&label),
                        "docs/protocol.md has no {label} of {file}"
                    );
                    faults += 1;
                }
            }
        }
    }
    assert!(faults > 20, "{faults} are read");
}

#[test]
fn every_status_code_has_its_level() {
    let document = read("docs/clients.md");
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter(|row| row.starts_with("Net") || row.starts_with("SharedObject."));
    let mut codes = 0;
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        for code in cells[0].split(", ") {
            let status = Status::from_code(code).unwrap_or_else(|| panic!("there is no {code}"));
            let level = status.level().as_str();
            assert!(
                cells[1] == level || cells[1] == "(none)",
                "{code} is of level {level}"
            );
            codes += 1;
        }
    }
    assert!(codes > 20, "{codes} are read");
}

/// The tests that docs/testing.md names for a line of behaviour, or for a row of bad input.
fn named_tests() -> Vec<String> {
    let document = read("docs/testing.md");
    let is_name = |word: &&str| {
        let letters = |b: u8| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit();
        word.contains('_') && word.bytes().all(letters)
    };
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | "));
    cells
        .flat_map(|(_, tests)| tests.split('`').filter(is_name).map(str::to_owned))
        .collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let mut code = String::new();
    for directory in ["protocol", "node", "edge", "origin", "src", "tests"] {
        read_all(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
            &mut code,
        );
    }
    let named = named_tests();
    assert!(named.len() > 150, "{} are read", named.len());
    for name in named {
        // With or without arguments: proptest gives them some.
        let declared = format!("fn {name}(");
        assert!(code.contains(&declared), "docs/testing.md: no {name}");
    }
}

fn read_all(directory: &Path, code: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "node_modules" {
            read_all(&path, code);
        } else if name.ends_with(".rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The paths below a folder with this ending, from the root.
fn paths(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() && !path.ends_with("/node_modules") {
            found.extend(paths(&path, ending));
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn assert_sentences(texts: &[(String, String)]) {
    let texts = texts.iter().map(|(path, text)| (&**path, &**text));
    let found = faults(texts);
    assert!(
        found.is_empty(),
        "sentences whose subject is no noun:\n{}",
        found.join("\n")
    );
}

#[test]
fn every_sentence_of_the_documents_has_a_subject() {
    let mut documents = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    documents.extend(paths("docs", ".md"));
    for folder in ["assets", "examples", "tests"] {
        documents.extend(paths(folder, "README.md"));
    }
    let texts = documents.into_iter();
    let texts = texts.map(|path| (path.clone(), read(&path)));
    let samples = paths("examples/config", ".toml").into_iter();
    let samples = samples.map(|path| (path.clone(), comments(&read(&path), "#")));
    assert_sentences(&texts.chain(samples).collect::<Vec<_>>());
}

#[test]
fn every_sentence_of_the_comments_has_a_subject() {
    let sources = HELD.iter().flat_map(|folder| paths(folder, ".rs"));
    let texts = sources.map(|path| (path.clone(), comments(&read(&path), "//")));
    assert_sentences(&texts.collect::<Vec<_>>());
}
