//! Tests of the files that a script can and cannot reach.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::*;

struct Fixture {
    _dir: tempfile::TempDir,
    outside: PathBuf,
    deployed: PathBuf,
    files: Files,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let deployed = dir.path().join("apps/chat");
        let outside = dir.path().join("outside");
        fs::create_dir_all(deployed.join("texts")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(deployed.join("texts/hello.txt"), "hello\r\nworld\rlast").unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let files = Files::new(Some(dir.path().join("data/chat/files")), [deployed.clone()]);
        Self {
            outside,
            deployed,
            files,
            _dir: dir,
        }
    }

    fn open(&mut self, path: &str, mode: &str) -> Result<OpenFile, FileError> {
        let mode = Mode::parse(mode).unwrap();
        self.files.open(&FileName::parse(path)?, mode)
    }

    fn close(&mut self, file: OpenFile) {
        drop(file);
        self.files.closed();
    }

    fn write(&mut self, path: &str, mode: &str, text: &str) -> Result<(), FileError> {
        let mut file = self.open(path, mode)?;
        let written = file.write(&mut self.files, text.as_bytes());
        self.close(file);
        written
    }

    fn read(&mut self, path: &str) -> Result<String, FileError> {
        let mut file = self.open(path, "read")?;
        let bytes = file.read(&mut self.files, usize::MAX);
        self.close(file);
        Ok(Text::Utf8.decode(&bytes?))
    }

    fn lines(&mut self, path: &str) -> Vec<String> {
        let mut file = self.open(path, "read").unwrap();
        let mut lines = Vec::new();
        while let Some(line) = file.read_line(&mut self.files, Text::Utf8).unwrap() {
            lines.push(line);
        }
        self.close(file);
        lines
    }
}

fn name(path: &str) -> FileName {
    FileName::parse(path).unwrap()
}

#[test]
fn reads_look_in_the_written_folder_first() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.read("/texts/hello.txt").unwrap(),
        "hello\r\nworld\rlast"
    );
    assert!(!fixture.files.written().exists());
    fixture.write("texts/hello.txt", "create", "mine").unwrap();
    assert_eq!(fixture.read("texts/hello.txt").unwrap(), "mine");
    let deployed = fs::read_to_string(fixture.deployed.join("texts/hello.txt")).unwrap();
    assert_eq!(deployed, "hello\r\nworld\rlast");
    // A removed copy shows the deployed file again, which cannot be removed.
    fixture
        .files
        .remove(&name("texts/hello.txt"), false)
        .unwrap();
    let removed = fixture.files.remove(&name("texts/hello.txt"), false);
    assert_eq!(removed, Err(FileError::NotFound));
    assert_eq!(
        fixture.read("texts/hello.txt").unwrap(),
        "hello\r\nworld\rlast"
    );
}

#[test]
fn a_deployed_file_is_copied_before_it_is_changed() {
    let mut fixture = Fixture::new();
    fixture.write("texts/hello.txt", "append", "!").unwrap();
    assert_eq!(
        fixture.read("texts/hello.txt").unwrap(),
        "hello\r\nworld\rlast!"
    );
    fixture.write("texts/hello.txt", "readWrite", "J").unwrap();
    assert_eq!(
        fixture.read("texts/hello.txt").unwrap(),
        "Jello\r\nworld\rlast!"
    );
}

#[test]
fn modes_are_those_of_flash() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.open("new", "read").unwrap_err(),
        FileError::NotFound
    );
    assert_eq!(
        fixture.open("new", "readWrite").unwrap_err(),
        FileError::NotFound
    );
    fixture.write("new", "append", "one\n").unwrap();
    fixture.write("new", "append", "two\n").unwrap();
    assert_eq!(fixture.lines("new"), ["one", "two"]);
    fixture.write("new", "create", "x").unwrap();
    assert_eq!(fixture.read("new").unwrap(), "x");
    let mut file = fixture.open("new", "append").unwrap();
    let read = file.read(&mut fixture.files, usize::MAX);
    assert_eq!(read, Err(FileError::NotOpenFor("reading")));
    fixture.close(file);
    let mut file = fixture.open("new", "read").unwrap();
    let written = file.write(&mut fixture.files, b"x");
    assert_eq!(written, Err(FileError::NotOpenFor("writing")));
    fixture.close(file);
    let modes = ["read,append", "readAppend"].map(Mode::parse);
    assert_eq!(modes[0], modes[1]);
    assert_eq!(Mode::parse("delete"), None);
}

#[test]
fn links_are_not_followed() {
    let mut fixture = Fixture::new();
    let outside = fixture.outside.clone();
    fixture.write("made", "create", "").unwrap();
    for root in [fixture.deployed.clone(), fixture.files.written().to_owned()] {
        symlink(&outside, root.join("folder")).unwrap();
        symlink(outside.join("secret"), root.join("link")).unwrap();
    }
    for path in ["link", "folder/secret"] {
        assert_eq!(fixture.files.stat(&name(path)).unwrap(), None, "{path}");
        assert!(fixture.read(path).is_err(), "{path}");
        assert!(fixture.write(path, "create", "x").is_err(), "{path}");
        assert!(fixture.write(path, "append", "x").is_err(), "{path}");
        assert!(
            fixture.files.copy(&name(path), &name("copy")).is_err(),
            "{path}"
        );
        assert!(
            fixture.files.copy(&name("made"), &name(path)).is_err(),
            "{path}"
        );
    }
    assert!(fixture.write("folder/new", "create", "x").is_err());
    assert!(fixture.files.make_folder(&name("folder/new")).is_err());
    assert!(
        fixture
            .files
            .rename(&name("made"), &name("folder/new"))
            .is_err()
    );
    assert!(fixture.files.list(&name("folder")).is_err());
    assert_eq!(fixture.files.list(&name("/")).unwrap(), ["made", "texts"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(outside.join("secret")).unwrap(),
        "secret"
    );
}

#[test]
fn what_is_no_file_is_not_opened() {
    let mut fixture = Fixture::new();
    assert!(fixture.open("texts", "read").is_err());
    assert!(fixture.open("/", "create").is_err());
    assert!(fixture.files.remove(&name("/"), true).is_err());
    assert!(fixture.files.rename(&name("/"), &name("x")).is_err());
    let fifo = fixture.deployed.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    assert!(fixture.open("fifo", "read").is_err());
}

#[test]
fn lines_and_characters() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.lines("texts/hello.txt"), ["hello", "world", "last"]);
    fixture.write("a", "create", "\u{feff}é日\n\nx").unwrap();
    assert_eq!(fixture.lines("a"), ["é日", "", "x"]);
    let mut file = fixture.open("a", "read").unwrap();
    let files = &mut fixture.files;
    assert_eq!(file.read_chars(files, Text::Utf8, 2).unwrap(), "é日");
    assert_eq!(file.position(), 8);
    assert_eq!(file.seek(3), 3);
    assert_eq!(
        file.read_chars(files, Text::Binary, 2).unwrap(),
        "\u{c3}\u{a9}"
    );
    assert_eq!(file.read_chars(files, Text::Utf8, 100).unwrap(), "日\n\nx");
    assert!(file.at_end());
    assert_eq!(file.seek(1000), 11);
    fixture.close(file);
    assert_eq!(Text::Binary.encode("\u{e9}\u{141}"), [0xe9, 0x41]);
}

#[test]
fn characters_straddle_what_is_read_ahead() {
    let mut fixture = Fixture::new();
    let text = format!("x{}\u{1f600}", "日本".repeat(8_000));
    fixture.write("a", "create", &text).unwrap();
    let mut file = fixture.open("a", "read").unwrap();
    let read = file.read_chars(&mut fixture.files, Text::Utf8, 20_000);
    assert_eq!(read.unwrap(), text);
    fixture.close(file);
    // A truncated character at the end of the file is read as Latin-1.
    fs::write(fixture.files.written().join("a"), b"a\xe6\x97").unwrap();
    let mut file = fixture.open("a", "read").unwrap();
    let read = file.read_chars(&mut fixture.files, Text::Utf8, 10);
    assert_eq!(read.unwrap(), "a\u{e6}\u{97}");
    fixture.close(file);
}

#[test]
fn a_turn_has_an_allowance() {
    let mut fixture = Fixture::new();
    let half = "x".repeat(TURN_BYTES / 2);
    fixture.write("a", "create", &half).unwrap();
    fixture.files.begin_turn();
    assert!(fixture.read("a").is_ok());
    fixture.files.begin_turn();
    fixture.write("a", "append", &half).unwrap();
    fixture.files.begin_turn();
    fixture.write("a", "append", "x").unwrap();
    assert_eq!(fixture.read("a"), Err(FileError::Allowance));
    fixture.files.allowance.time = Duration::ZERO;
    assert_eq!(fixture.files.list(&name("/")), Err(FileError::Allowance));
}

#[test]
fn bytes_entries_and_open_files_are_bounded() {
    let mut fixture = Fixture::new();
    let files = &mut fixture.files;
    fs::create_dir_all(files.written()).unwrap();
    let big = fs::File::create(files.written().join("big")).unwrap();
    big.set_len(MAX_STORED).unwrap();
    let full = FileError::Limit("MAX_STORED");
    assert_eq!(fixture.write("a", "create", "x"), Err(full.clone()));
    // Overwriting needs no further bytes, and the bytes of a removed file are free again.
    fixture.write("big", "readWrite", "x").unwrap();
    assert_eq!(fixture.write("big", "append", "x"), Err(full));
    fixture.write("big", "create", "").unwrap();
    fixture.write("a", "append", "x").unwrap();

    fixture.files.usage().entries = MAX_ENTRIES - 1;
    fixture.files.begin_turn();
    fixture.write("last", "create", "").unwrap();
    let full = Err(FileError::Limit("MAX_ENTRIES"));
    assert_eq!(fixture.write("one-more", "create", ""), full);
    assert_eq!(fixture.files.make_folder(&name("one-more")), full);

    let open: Vec<_> = (0..MAX_OPEN_FILES)
        .map(|_| fixture.open("a", "read").unwrap())
        .collect();
    let full = fixture.open("a", "read").unwrap_err();
    assert_eq!(full, FileError::Limit("MAX_OPEN_FILES"));
    open.into_iter().for_each(|file| fixture.close(file));
    assert!(fixture.open("a", "read").is_ok());
}

#[test]
fn folders_are_made_listed_moved_and_removed() {
    let mut fixture = Fixture::new();
    fixture.files.make_folder(&name("logs/2010")).unwrap();
    assert_eq!(
        fixture.files.make_folder(&name("logs")),
        Err(FileError::Exists)
    );
    fixture.write("logs/2010/a", "create", "a").unwrap();
    fixture.write("deep/er/b", "create", "b").unwrap();
    let files = &mut fixture.files;
    assert_eq!(files.list(&name("/")).unwrap(), ["deep", "logs", "texts"]);
    assert_eq!(files.list(&name("logs/2010")).unwrap(), ["a"]);
    assert_eq!(files.list(&name("none")), Err(FileError::NotFound));
    files.rename(&name("logs/2010/a"), &name("old/a")).unwrap();
    assert_eq!(
        files.rename(&name("deep"), &name("old")),
        Err(FileError::Exists)
    );
    files
        .copy(&name("texts/hello.txt"), &name("old/copy"))
        .unwrap();
    assert_eq!(files.remove(&name("old"), false), Err(FileError::Exists));
    files.remove(&name("old"), true).unwrap();
    assert_eq!(files.stat(&name("old")).unwrap(), None);
    let stat = files.stat(&name("deep/er/b")).unwrap().unwrap();
    assert_eq!((stat.is_folder, stat.length), (false, 1));
    assert!(stat.modified > std::time::SystemTime::UNIX_EPOCH);
    let usage = files.written.usage(MAX_ENTRIES);
    assert_eq!(
        usage,
        Usage {
            bytes: 1,
            entries: 5
        }
    );
}

#[test]
fn files_are_for_the_server_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut fixture = Fixture::new();
    fixture.write("a/b", "create", "x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o007;
    let written = fixture.files.written();
    assert_eq!(
        (mode(&written.join("a")), mode(&written.join("a/b"))),
        (0, 0)
    );
}

#[test]
fn without_a_place_for_data_files_are_only_read() {
    let fixture = Fixture::new();
    let mut files = Files::new(None, [fixture.deployed]);
    assert!(files.open(&name("texts/hello.txt"), Mode::READ).is_ok());
    let refused = Err(FileError::NoData);
    for mode in ["create", "append", "readWrite"] {
        let mode = Mode::parse(mode).unwrap();
        let opened = files.open(&name("texts/hello.txt"), mode).map(drop);
        assert_eq!(opened, refused);
    }
    assert_eq!(files.make_folder(&name("a")), refused);
    assert_eq!(files.remove(&name("texts"), true), refused);
    assert_eq!(files.rename(&name("texts"), &name("b")), refused);
    assert_eq!(files.list(&name("/")).unwrap(), ["texts"]);
}
