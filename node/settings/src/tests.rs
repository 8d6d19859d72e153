use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whole {
    edge: Edge,
    applications: BTreeMap<String, Application>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Edge {
    rtmp: Option<SocketAddr>,
    origins: Vec<String>,
    ports: Vec<u16>,
    workers: u16,
    idle: Duration,
    name: String,
    fast: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Application {
    stall_time: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_time: Option<Duration>,
    second_publisher: SecondPublisher,
    secret_names: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish_token: Option<Secret>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecondPublisher {
    #[default]
    Reject,
    Takeover,
}

impl Check for Application {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if let Some(time) = self
            .grace_time
            .filter(|&time| time < Duration::from_secs(1))
        {
            let what = format!("{time} is too short");
            mistakes.add(at.key("grace_time"), what, "write more");
        }
    }
}

impl Check for Whole {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if self.edge.workers > 100 {
            mistakes.add(at.key("edge").key("workers"), "more than 100", "write less");
        }
        for (name, application) in &self.applications {
            application.check(&at.key("applications").key(name), mistakes);
        }
    }
}

fn layers(text: &str) -> Layers {
    let mut layers = Layers::new();
    layers.text("t.toml", text);
    layers
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn later_layers_win_key_by_key() {
    let read: Whole = layers(
        "[edge]\nrtmp = '127.0.0.1:1'\nworkers = 2\norigins = ['a:1']\nidle = '5 s'\nname = 'f'\n\
         [applications.live]\nstall_time = '7 s'\nsecret_names = true\n",
    )
    .environment(variables(&[
        ("TRIBUTARY_EDGE_RTMP", "127.0.0.1:2"),
        ("TRIBUTARY_EDGE_WORKERS", "3"),
        ("TRIBUTARY_EDGE_PORTS", "[1, 2]"),
        ("TRIBUTARY_EDGE_ORIGINS", "b:1, c:1"),
        ("TRIBUTARY_EDGE_NAME", "12"),
        ("TRIBUTARY_EDGE_FAST", "true"),
        ("TRIBUTARY_APPLICATIONS_LIVE__STALL_TIME", "8 s"),
        ("TRIBUTARY_APPLICATIONS_LIVE__SECOND_PUBLISHER", "takeover"),
        ("PATH", "/bin"),
    ]))
    .flag("--rtmp", "edge.rtmp", Some("127.0.0.1:3"))
    .flag("--workers", "edge.workers", None::<u16>)
    .flags("--origin", "edge.origins", &["d:1"])
    .read()
    .unwrap();
    assert_eq!(
        read.edge,
        Edge {
            rtmp: Some("127.0.0.1:3".parse().unwrap()),
            origins: vec!["d:1".to_owned()],
            ports: vec![1, 2],
            workers: 3,
            idle: Duration::from_secs(5),
            name: "12".to_owned(),
            fast: true,
        }
    );
    assert_eq!(
        read.applications["live"],
        Application {
            stall_time: Duration::from_secs(8),
            second_publisher: SecondPublisher::Takeover,
            secret_names: true,
            ..Application::default()
        }
    );
}

#[test]
fn a_list_in_a_variable_is_separated_by_commas_or_toml() {
    for (text, origins) in [
        ("", &[][..]),
        ("a", &["a"]),
        ("a,b ,c", &["a", "b", "c"]),
        ("['x']", &["x"]),
    ] {
        let read: Whole = Layers::new()
            .environment(variables(&[("TRIBUTARY_EDGE_ORIGINS", text)]))
            .read()
            .unwrap();
        assert_eq!(read.edge.origins, origins, "{text}");
    }
}

#[test]
fn every_mistake_is_reported_with_place_and_remedy() {
    let mistakes = layers(
        "[edge]\nrtmp = 'nowhere'\nworkers = 70000\nidel = '5 s'\nidle = 5\nports = [1, 'x', 70000]\n\
         [applications.live]\nstall_time = '5'\ngrace_time = '1 ms'\nsecond_publisher = 'rejekt'\n\
         [nonsense]\nx = 1\n",
    )
    .environment(variables(&[("TRIBUTARY_EDGE_FAST", "maybe"), ("TRIBUTARY_EDGE_WURKERS", "1")]))
    .read::<Whole>()
    .unwrap_err();
    let text = mistakes.to_string();
    for expected in [
        "t.toml:2:1: edge.rtmp: invalid socket address syntax",
        "t.toml:3:1: edge.workers: integer `70000` is not possible here; write u16",
        "t.toml:4:1: edge.idel: unknown key; did you mean `idle`?",
        "t.toml:5:1: edge.idle: integer `5` does not fit here; write a time with its unit",
        "t.toml:6:13: edge.ports.1: string \"x\" does not fit here; write u16",
        "edge.ports.1: integer `70000` is not possible here; write u16",
        "t.toml:8:1: applications.live.stall_time: \"5\" is not a time; write a number and one of",
        "t.toml:9:1: applications.live.grace_time: 1 ms is too short; write more",
        "t.toml:10:1: applications.live.second_publisher: \"rejekt\" is not possible here; did you \
         mean `reject`?",
        "t.toml:11:2: nonsense: unknown key; possible are edge, applications",
        "TRIBUTARY_EDGE_FAST: edge.fast: string \"maybe\" does not fit here; write a boolean",
        "TRIBUTARY_EDGE_WURKERS: edge.wurkers: unknown key; did you mean `workers`?",
    ] {
        assert!(text.contains(expected), "missing: {expected}\nin:\n{text}");
    }
    assert_eq!(mistakes.iter().count(), 12, "{text}");
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    let mistakes = layers("[edge]\nworkers = \nrtmp = 'x\n")
        .read::<Whole>()
        .unwrap_err();
    let text = mistakes.to_string();
    assert!(
        text.contains("t.toml:2:") && text.contains("t.toml:3:"),
        "{text}"
    );
}

#[test]
fn a_check_names_the_place_the_setting_came_from() {
    let mistakes = layers("[edge]\nworkers = 5\n")
        .flag("--workers", "edge.workers", Some(500))
        .read::<Whole>()
        .unwrap_err();
    assert_eq!(
        mistakes.to_string(),
        "--workers: edge.workers: more than 100; write less"
    );
}

#[test]
fn a_missing_file_is_a_mistake() {
    let mistakes = Layers::new()
        .file(Path::new("/nowhere/t.toml"))
        .read::<Whole>()
        .unwrap_err();
    assert!(
        mistakes
            .to_string()
            .starts_with("/nowhere/t.toml: cannot be read: "),
        "{mistakes}"
    );
}

#[test]
fn secrets_are_not_printed() {
    let application = Application {
        publish_token: Some(Secret::new("s3cret")),
        ..Application::default()
    };
    let printed = format!("{application:?}{}", toml::to_string(&application).unwrap());
    assert!(
        printed.contains("(hidden)") && !printed.contains("s3cret"),
        "{printed}"
    );
}
