//! The examples of deployments are accepted by the programs that read them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{cluster::TRIBUTARY, public_ca};

fn example(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("examples/deploy").join(file)
}

fn assert_accepted(output: &Output) {
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn balancers_accept_their_configurations() {
    let haproxy = Command::new("/usr/sbin/haproxy")
        .arg("-c")
        .arg("-f")
        .arg(example("haproxy/haproxy.cfg"))
        .output();
    assert_accepted(&haproxy.expect("haproxy runs"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let nginx = Command::new("/usr/sbin/nginx")
        .arg("-t")
        .args([
            "-g",
            &format!("pid {}/nginx.pid;", directory.path().display()),
        ])
        .arg("-c")
        .arg(example("nginx/nginx.conf"))
        .output();
    assert_accepted(&nginx.expect("nginx runs"));
}

#[test]
fn systemd_accepts_the_units() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let names = [
        "tributary-edge.service",
        "tributary-edge.socket",
        "tributary-origin.service",
    ];
    for name in names {
        let unit = fs::read_to_string(example(&format!("systemd/{name}"))).expect("the unit");
        // The program has to exist.
        let unit = unit.replace("/usr/local/bin/tributary", TRIBUTARY);
        fs::write(directory.path().join(name), unit).expect("a file");
    }
    for name in names {
        let verified = Command::new("systemd-analyze")
            .arg("verify")
            .arg(directory.path().join(name))
            .output();
        let verified = verified.expect("systemd-analyze runs");
        assert_accepted(&verified);
        assert!(verified.stderr.is_empty(), "{verified:?}");
    }
}

#[test]
fn the_configuration_of_an_edge_behind_a_balancer_is_right() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    public_ca::init(path);
    public_ca::issue(path, "live.example", "tls");
    let token = path.join("admin-token");
    fs::write(&token, "0".repeat(32)).expect("a file");
    fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("an owner");
    let text = fs::read_to_string(example("edge.toml")).expect("the example");
    let text = text
        .replace("/etc/tributary", &path.display().to_string())
        .replace("fullchain.pem", "server.pem")
        .replace("privkey.pem", "server.key");
    let file = path.join("edge.toml");
    fs::write(&file, text).expect("a file");
    let checked = Command::new(TRIBUTARY).arg("check").arg(&file).output();
    assert_accepted(&checked.expect("the program runs"));
}
