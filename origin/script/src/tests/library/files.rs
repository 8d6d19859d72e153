//! File.

use std::fs;

use tempfile::TempDir;

use super::*;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("apps/chat/texts")).unwrap();
        fs::write(
            dir.path().join("apps/chat/texts/hello.txt"),
            "hello\r\nworld",
        )
        .unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        Self { dir }
    }

    fn stage(&self, script: &str) -> Stage {
        let folder = self.dir.path().join("apps/chat");
        let settings = config::Application::default();
        let program = with_settings(&[("main.asc", script)], &folder, &settings);
        let host = Host {
            data: Some(self.dir.path().join("data/apps/chat")),
            ..Host::default()
        };
        test::program(program, host)
    }

    fn said(&self, script: &str) -> Vec<String> {
        let stage = self.stage(&starting(script));
        stage.connect("room/1");
        stage.said()
    }
}

/// A script of the time that keeps a log file.
#[test]
fn a_script_keeps_a_log() {
    let place = Place::new();
    let script = "var log = new File('/logs/chat.txt');
        trace(log.exists + ' ' + log.isOpen);
        for (var i = 0; i < 2; i++) {
            if (log.exists) { log.open('text', 'append'); }
            else { trace(new File('logs').mkdir()); log.open('text', 'create'); }
            trace(log.isOpen + ' ' + log.writeln('line ' + i, '!') + ' ' + log.close());
        }
        log.open('text', 'read');
        trace(log.readAll()); trace(log.eof()); log.seek(0);
        while (!log.eof()) trace(log.readln());
        log.close();
        trace([log.name, log.length, log.isFile, log.isDirectory, log.lastModified instanceof Date].join());";
    assert_eq!(
        place.said(script),
        [
            "false false",
            "true",
            "true true true",
            "true true true",
            "line 0!,line 1!",
            "true",
            "line 0!",
            "line 1!",
            "chat.txt,16,true,false,true",
        ]
    );
    let written = place
        .dir
        .path()
        .join("data/apps/chat/room%2F1/files/logs/chat.txt");
    assert_eq!(fs::read_to_string(written).unwrap(), "line 0!\nline 1!\n");
}

#[test]
fn reads_find_the_deployed_files_and_writes_do_not_touch_them() {
    let place = Place::new();
    let script = "var f = new File('texts/hello.txt');
        f.open('text', 'read'); trace(f.readAll()); f.close();
        f.open('text', 'create'); f.writeAll(['a', 'b']); f.close();
        f.open('utf8', 'read'); trace(f.read(3).length + ' ' + f.position + ' ' + f.read(9)); f.close();
        trace(f.remove()); f.open('text', 'read'); trace(f.readln()); f.close();
        trace(f.remove());
        trace(new File('/').list().map(function(f) { return f.toString(); }));
        trace(new File('/texts').list(function(name) { return name.length > 20; }).length);
        trace(f.copyTo('/copy/of.txt') + ' ' + new File('copy/of.txt').length);
        var copy = new File('copy/of.txt'); trace(copy.renameTo('moved.txt') + ' ' + copy.name);
        trace(new File('copy').remove() + ' ' + new File('moved.txt').exists);";
    assert_eq!(
        place.said(script),
        [
            "hello,world",
            "3 3 \n",
            "true",
            "hello",
            "File.remove: there is no such file",
            "false",
            "/texts",
            "0",
            "true 12",
            "true moved.txt",
            "true true",
        ]
    );
    let deployed = place.dir.path().join("apps/chat/texts/hello.txt");
    assert_eq!(fs::read_to_string(deployed).unwrap(), "hello\r\nworld");
}

#[test]
fn nothing_outside_is_reached() {
    let place = Place::new();
    let link = place.dir.path().join("apps/chat/link");
    std::os::unix::fs::symlink(place.dir.path().join("secret"), link).unwrap();
    let outside = place.dir.path().join("secret");
    let script = format!(
        "var names = ['../../secret', '..', 'texts/../../../secret', '{}', 'link', 'a\\\\b', 'x\\0y'];
        for (var i = 0; i < names.length; i++) {{
            var f = new File(names[i]);
            trace(f.exists + ' ' + f.open('text', 'read') + ' ' + f.isOpen);
        }}
        trace(new File('texts/hello.txt').copyTo('../../stolen') + ' ' + new File('texts').mkdir('../x'));",
        outside.display()
    );
    let said = place.said(&script);
    let answers: Vec<_> = said
        .iter()
        .filter(|line| !line.starts_with("File."))
        .collect();
    assert_eq!(
        answers[..7],
        ["false false false"; 7].iter().collect::<Vec<_>>()
    );
    assert_eq!(answers[7], "false false");
    assert!(!place.dir.path().join("stolen").exists());
}

#[test]
fn bytes_and_modes() {
    let place = Place::new();
    let script = "var f = new File('b'), bytes = new ByteArray();
        bytes.writeInt(0x01020304); bytes.writeUTFBytes('\\u00e9');
        trace(f.open('binary', 'create') + ' ' + f.open('binary', 'create'));
        f.writeBytes(bytes); f.writeByte(255); f.close();
        f.open('binary', 'read'); trace(f.readByte() + ' ' + escape(f.read(3)) + ' ' + f.position);
        var got = new ByteArray(); trace(f.readBytes(got) + ' ' + got.length + ' ' + f.readByte());
        trace(f.write('x')); f.close();
        trace(f.read(1) + '|' + f.open('text', 'delete') + '|' + f.close());
        f.open('text', 'append'); trace(f.read(1).length); f.close();
        trace(new File('none').open('text', 'readWrite'));";
    assert_eq!(
        place.said(script),
        [
            "File.open: the file is open already",
            "true false",
            "1 %02%03%04 4",
            "3 3 -1",
            "File.write: the file is not open for writing",
            "false",
            "File.read: the file is not open",
            "File.open: no such type or mode",
            "|false|false",
            "File.read: the file is not open for reading",
            "0",
            "File.open: there is no such file",
            "false",
        ]
    );
}

#[test]
fn failures_reach_on_status() {
    let place = Place::new();
    let script = "application.onStatus = function(info) {
            trace(info.level + ' ' + info.code + ' ' + info.description);
        };
        trace(new File('none').open('text', 'read'));";
    let why = "File.open: there is no such file";
    let told = format!("warning Application.Script.Warning {why}");
    assert_eq!(place.said(script), [why, &told, "false"]);
}

#[test]
fn limits_are_exceptions_and_let_go_files_are_closed() {
    let place = Place::new();
    let script = "var open = [];
        try { for (;;) { var f = new File('texts/hello.txt'); f.open('text', 'read'); open.push(f); } }
        catch (e) { trace(open.length + ' ' + e.name + ' ' + e.message); }
        open = f = null; application.gc();
        trace(new File('texts/hello.txt').open('text', 'read'));
        var big = new File('big'), piece = new Array(1024 * 1024).join('x');
        big.open('text', 'create');
        try { for (var i = 0; ; i++) big.write(piece); } catch (e) { trace(i + ' ' + e.name); }";
    let said = place.said(script);
    assert_eq!(
        said[0],
        "32 RangeError File: the limit MAX_OPEN_FILES is reached"
    );
    assert_eq!(said[1], "true");
    assert!(said[2].ends_with(" RangeError"), "{said:?}");
}

#[test]
fn without_a_directory_for_data_a_script_reads_alone() {
    let stage = stage(&starting(
        "var f = new File('x'); trace(f.exists + ' ' + f.open('text', 'create'));",
    ));
    stage.connect("x");
    let why = "File.open: there is no directory for data: origin.data is not set";
    assert_eq!(stage.said(), [why, "false false"]);
}
