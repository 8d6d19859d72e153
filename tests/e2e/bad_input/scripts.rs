//! Row 24: an application that fails, here a script that uses more than its limits.

use std::{fs, path::Path};

use super::*;

/// Starts of a failed instance within its period, the first one included.
const STARTS: usize = 3;

/// More calls than an instance may fail in.
const CALLS: usize = 4;

#[test]
fn greedy_scripts_end_alone_and_are_held_off() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/applications/greedy/main.asc");
    let neighbours = Neighbours::of(Cluster::with_applications(1, 1, |directory| {
        let to = directory.join("greedy");
        fs::create_dir(&to).expect("a directory");
        fs::copy(&script, to.join("main.asc")).expect("a copy");
    }));
    let failures = || {
        let metrics = neighbours.cluster.origin_metrics(0);
        metrics.sum("tributary_origin_application_failures_total")
    };
    let mut expected = 0.0;
    for method in ["spin", "sort", "backtrack", "promise", "recurse", "eat"] {
        let instance = format!("greedy/{method}");
        for start in 1..=STARTS {
            let begun = Instant::now();
            let mut bystander = Wired::session(neighbours.server(), &instance);
            let mut greedy = Wired::session(neighbours.server(), &instance);
            for _ in 0..CALLS {
                // The session may be closed meanwhile.
                let _ = greedy.send_call(method, &[]);
            }
            bystander.wait_code("NetConnection.Connect.AppShutdown");
            assert!(bystander.wait_closed(PATIENCE), "{method}");
            assert!(greedy.wait_closed(PATIENCE), "{method}");
            println!("{method}: start {start} ended after {:?}", begun.elapsed());
            expected += 1.0;
            wait::until("the failure is counted", PATIENCE, || {
                failures() >= expected
            });
        }
        let mut late = Wired::open(neighbours.server()).expect("a handshake");
        let refused = late.connect(&instance);
        let code = refused.code();
        assert_eq!(
            code.as_deref(),
            Some("NetConnection.Connect.AppShutdown"),
            "{method}"
        );
    }
    assert_eq!(failures(), expected, "each is counted once");

    // Another instance of the same application serves, and refuses calls that exceed its limits.
    let mut client = Wired::session(neighbours.server(), "greedy/join");
    for _ in 0..CALLS {
        let answer = client.call("join", &[]);
        assert_eq!(answer.code().as_deref(), Some("NetConnection.Call.Failed"));
    }
    drop(client);
    for why in ["more processor time", "too deeply", "more memory"] {
        wait::logged(&neighbours.cluster.origins[0], why);
    }
    neighbours.unharmed();
}
