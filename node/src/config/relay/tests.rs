use super::*;
use crate::config::{Application, Layers};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whole {
    application: Application,
}

impl Check for Whole {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        self.application.check(&at.key("application"), mistakes);
    }
}

fn read(toml: &str) -> Result<Application, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    std::fs::write(&file, toml).unwrap();
    let whole = Layers::new().file(&file).read::<Whole>();
    whole
        .map(|whole| whole.application)
        .map_err(|error| error.to_string())
}

#[test]
fn addresses_are_split_into_server_instance_and_name() {
    for (text, connect, name, shown) in [
        ("rtmp://h/app", "rtmp://h/app", "cam", "rtmp://h/app"),
        ("rtmp://h/app/", "rtmp://h/app", "cam", "rtmp://h/app"),
        ("rtmp://h/app/x", "rtmp://h/app", "x", "rtmp://h/app"),
        ("rtmp://h/app/i/", "rtmp://h/app/i", "cam", "rtmp://h/app"),
        ("rtmp://h/app/i/x", "rtmp://h/app/i", "x", "rtmp://h/app"),
        (
            "rtmp://h/app/i/j/x",
            "rtmp://h/app/i/j",
            "x",
            "rtmp://h/app",
        ),
        (
            "RTMPS://H:8443/app/x",
            "rtmps://h:8443/app",
            "x",
            "rtmps://h:8443/app",
        ),
        (
            "rtmp://[::1]:19/app/x",
            "rtmp://[::1]:19/app",
            "x",
            "rtmp://[::1]:19/app",
        ),
        (
            "rtmp://h/app?k=1/2",
            "rtmp://h/app?k=1/2",
            "cam",
            "rtmp://h/app",
        ),
        (
            "rtmp://h/app/x?k=1&l=2",
            "rtmp://h/app",
            "x?k=1&l=2",
            "rtmp://h/app",
        ),
        (
            "rtmp://h/app/?k=1",
            "rtmp://h/app",
            "cam?k=1",
            "rtmp://h/app",
        ),
        (
            "rtmp://h/app/a-{name}-b?k",
            "rtmp://h/app",
            "a-cam-b?k",
            "rtmp://h/app",
        ),
    ] {
        let url: RelayUrl = text.parse().expect(text);
        let read = (url.connect(), url.name_of("cam"), url.shown());
        assert_eq!(read, (connect, name.to_owned(), shown), "{text}");
        assert!(url.group().is_some(), "{text}");
    }
    let server = |text: &str| {
        let url: RelayUrl = text.parse().unwrap();
        let (host, port) = url.server();
        (host.to_owned(), port, url.is_secure())
    };
    assert_eq!(server("rtmp://h/a"), ("h".to_owned(), 1935, false));
    assert_eq!(server("rtmps://h/a"), ("h".to_owned(), 443, true));
    assert_eq!(server("rtmps://[::1]:1/a"), ("::1".to_owned(), 1, true));
}

#[test]
fn other_addresses_are_refused() {
    use RelayUrlError as E;
    for (text, expected) in [
        ("media.example.com/live/x", E::NoScheme),
        ("rtmp:/live/x", E::NoScheme),
        ("http://h/live/x", E::Scheme),
        ("rtmp://u:p@h/live/x", E::User),
        ("rtmp:///live/x", E::Server),
        ("rtmp://h:0/live/x", E::Server),
        ("rtmp://h:99999/live/x", E::Server),
        ("rtmp://h", E::Application),
        ("rtmp://h/", E::Application),
        ("rtmp://h/../x/y", E::Application),
        ("rtmp://h/live/{stream}", E::Placeholder),
        ("rtmp://h/live/{name", E::Placeholder),
        ("rtmp://h/{name}/x", E::Placeholder),
        ("rtmp://h/live/a b", E::Characters),
    ] {
        assert_eq!(text.parse::<RelayUrl>().err(), Some(expected), "{text}");
        let error = expected.to_string();
        assert!(error.contains("; "), "{error} has a remedy");
    }
    let long = format!("rtmp://h/live/{}", "a".repeat(MAX_RELAY_URL));
    assert_eq!(long.parse::<RelayUrl>().err(), Some(E::Characters));
}

#[test]
fn secrets_of_an_address_are_shown_nowhere() {
    for text in [
        "rtmps://h/live2/s3cret",
        "rtmps://h/live2/s3cret/",
        "rtmps://h/live2/x?key=s3cret",
        "rtmps://h/live2?key=s3cret",
    ] {
        let url: RelayUrl = text.parse().unwrap();
        let pull = Pull {
            url: url.clone(),
            stream: "cam".to_owned(),
            instance: default_instance(),
            when: When::Always,
            linger: default_linger(),
        };
        let shown = [
            format!("{url:?} {pull:?}"),
            url.shown().to_owned(),
            serde_json::to_string(&url).unwrap(),
        ];
        for shown in shown {
            assert!(!shown.contains("s3cret"), "{text}: {shown}");
            assert!(shown.contains("rtmps://h/live2"), "{text}: {shown}");
        }
    }
    let url: RelayUrl = "rtmp://h/live2/s3cret?key=1s3cret".parse().unwrap();
    let hidden = url.hide_in("Publishing s3cret?key=1s3cret is denied.");
    assert!(!hidden.contains("s3cret"), "{hidden}");
    let mistake = read("[[application.push]]\nurl = \"rtmp://h/live2/{s3cret}\"\n").unwrap_err();
    assert!(!mistake.contains("s3cret"), "{mistake}");
    assert!(mistake.contains("application.push.0.url"), "{mistake}");
}

#[test]
fn streams_and_instances_are_chosen_by_patterns() {
    let application = read(
        "[[application.push]]\nurl = \"rtmp://h/live/\"\n\
         [[application.push]]\nurl = \"rtmp://h/live/\"\nstreams = \"cam?\"\n\
         [[application.push]]\nurl = \"rtmp://h/live/\"\nstreams = [\"a\", \"b*\"]\n\
         instance = \"room*\"\n",
    )
    .unwrap();
    let fit = |instance: &str, stream: &str| {
        let fits = application.push.iter();
        fits.map(|push| push.fits(instance, stream))
            .collect::<Vec<_>>()
    };
    assert_eq!(fit("_definst_", "cam1"), [true, true, false]);
    assert_eq!(fit("_definst_", "a"), [true, false, false]);
    assert_eq!(fit("room7", "a"), [true, false, true]);
    assert_eq!(fit("room7", "bcd"), [true, false, true]);
    assert_eq!(fit("room7", "Cam1"), [true, false, false]);
}

#[test]
fn a_pull_has_defaults() {
    let application = read(
        "[[application.pull]]\nurl = \"rtmp://h/live/x\"\nstream = \"cam\"\n\
         [[application.pull]]\nurl = \"rtmp://h/live/x\"\nstream = \"cam\"\ninstance = \"b/c\"\n\
         when = \"watched\"\nlinger = \"0 s\"\n",
    )
    .unwrap();
    let [first, second] = application.pull.as_slice() else {
        panic!("{application:?}");
    };
    assert_eq!(
        (first.instance.as_str(), first.when),
        ("_definst_", When::Always)
    );
    assert_eq!(first.linger, Duration::from_secs(10));
    assert_eq!(
        (second.instance.as_str(), second.when),
        ("b/c", When::Watched)
    );
}

#[test]
fn mistakes_are_named() {
    let url = "url = \"rtmp://h/live/x\"\n";
    for (toml, expected) in [
        (format!("[[application.pull]]\n{url}"), "stream"),
        ("[[application.push]]\nstreams = \"*\"\n".to_owned(), "url"),
        (
            format!("[[application.push]]\n{url}streams = []\n"),
            "push.0.streams",
        ),
        (
            format!("[[application.push]]\n{url}streams = [\"\"]\n"),
            "push.0.streams",
        ),
        (
            format!("[[application.push]]\n{url}when = \"always\"\n"),
            "unknown key",
        ),
        (
            format!("[[application.pull]]\n{url}stream = \"cam\"\nwhen = \"sometimes\"\n"),
            "possible are always, watched",
        ),
        (
            format!("[[application.pull]]\n{url}stream = \"a/../b\"\n"),
            "pull.0.stream",
        ),
        (
            format!("[[application.pull]]\n{url}stream = \"a?b\"\n"),
            "pull.0.stream",
        ),
        (
            format!("[[application.pull]]\n{url}stream = \"a\"\ninstance = \"\"\n"),
            "pull.0.instance",
        ),
        (
            format!(
                "[[application.pull]]\n{url}stream = \"a\"\n[[application.pull]]\n{url}stream = \"a\"\n"
            ),
            "pull.1.stream: two pulls of _definst_/a",
        ),
        (
            "[[application.push]]\nurl = \"h/live/x\"\n".to_owned(),
            "has no scheme; write rtmp://",
        ),
    ] {
        let mistakes = read(&toml).expect_err(&toml);
        assert!(mistakes.contains(expected), "{toml}: {mistakes}");
    }
}
