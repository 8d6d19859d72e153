//! `tributary-path SETTINGS` opens a path for programs that are started by hand.
//!
//! It prints how to start a program at each end. Each line of its input changes settings, and prints
//! the packets so far; the path ends with the input.

use std::{
    env,
    error::Error,
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    process::{self, ExitCode},
};

use tributary_path::{Direction, FAR, NEAR, Namespace, Path, Settings};

fn main() -> ExitCode {
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut settings: Settings = env::args().nth(1).unwrap_or_default().parse()?;
    let path = Path::open(&settings)?;
    for (end, address, namespace) in [("near", NEAR, path.near()), ("far", FAR, path.far())] {
        println!("{end} {address}: {}", enter(namespace));
    }
    for line in io::stdin().lines() {
        match settings.change(&line?) {
            Ok(()) => {
                path.change(Direction::Up, |up| up.clone_from(&settings.up));
                path.change(Direction::Down, |down| down.clone_from(&settings.down));
            }
            Err(error) => eprintln!("{error}"),
        }
        for direction in [Direction::Up, Direction::Down] {
            println!("{direction:?}: {:?}", path.counts(direction));
        }
    }
    Ok(())
}

/// The beginning of a command that runs in a namespace.
fn enter(namespace: &Namespace) -> String {
    let descriptor = namespace.as_fd().as_raw_fd();
    format!("nsenter --net=/proc/{}/fd/{descriptor}", process::id())
}
