//! Prints the API's answers for people.

use serde_json::Value;

use crate::{node::Failure, table};

/// A table of applications.
pub(super) fn list(answer: &Value) {
    let rows: Vec<_> = answer["applications"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    let heads = ["NAME", "VERSION", "GROUPS", "SESSIONS", "DEPLOYED", "NOTES"];
    table::print(heads, &rows);
}

fn row(application: &Value) -> [String; 6] {
    let number = |key: &str| application[key].as_u64().unwrap_or_default();
    let version = match (application["version"].as_u64(), text(application, "kind")) {
        (_, "built_in") => "built-in".to_owned(),
        (None, _) => "none".to_owned(),
        (Some(version), _) => version.to_string(),
    };
    let mut groups = number("groups").to_string();
    if number("older_groups") > 0 && application["version"].is_u64() {
        groups.push_str(&format!(" ({} older)", number("older_groups")));
    }
    let mut notes: Vec<_> = application["notes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if let Some(problem) = application["refused"]["problems"].get(0) {
        let what = match application["version"].as_u64() {
            Some(_) => "a newer version is refused",
            None => "refused",
        };
        notes.insert(0, format!("{what}: {}", place(problem)));
    }
    [
        text(application, "name").to_owned(),
        version,
        groups,
        number("sessions").to_string(),
        text(application, "deployed_at").to_owned(),
        notes.join("; "),
    ]
}

/// Prints the result of a deployment.
pub(super) fn deployed(name: &str, answer: &Value) {
    let version = &answer["application"]["version"];
    if answer["is_new"] == false {
        println!("{name}: version {version} has the same files; nothing changes");
        return;
    }
    for problem in answer["overlooked"].as_array().into_iter().flatten() {
        eprintln!("{name}: deployed in spite of: {}", place(problem));
    }
    let older = answer["application"]["older_groups"].as_u64().unwrap_or(0);
    let groups = match (answer["restarted"].as_u64().unwrap_or(0), older) {
        (0, 0) => String::new(),
        (0, 1) => "; 1 group keeps an older one".to_owned(),
        (0, older) => format!("; {older} groups keep an older one"),
        (1, _) => "; 1 group restarts".to_owned(),
        (restarted, _) => format!("; {restarted} groups restart"),
    };
    println!("{name}: version {version} is in force{groups}");
}

/// Prints the groups and sessions that were ended.
pub(super) fn ended(name: &str, what: &str, answer: &Value) {
    let groups = match answer["restarted"].as_u64().unwrap_or(0) {
        1 => "1 group".to_owned(),
        groups => format!("{groups} groups"),
    };
    println!("{name}: {what}; {groups} ended");
}

/// Prints lines of a log; returns the number of the last one.
pub(super) fn lines(answer: &Value) -> Result<Option<u64>, Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let mut last = None;
    for line in answer["lines"].as_array().into_iter().flatten() {
        let of = line["instance"].as_str().unwrap_or("-");
        let (at, level) = (text(line, "at"), text(line, "level"));
        writeln!(out, "{at} {level:7} {of}: {}", text(line, "text"))?;
        last = line["number"].as_u64();
    }
    out.flush()?;
    Ok(last)
}

/// A problem on one line.
fn place(problem: &Value) -> String {
    let message = text(problem, "message");
    match (problem["file"].as_str(), problem["line"].as_u64()) {
        (Some(file), Some(line)) => format!("{file}:{line}: {message}"),
        (Some(file), None) => format!("{file}: {message}"),
        _ => message.lines().next().unwrap_or_default().to_owned(),
    }
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}
