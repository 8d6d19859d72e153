//! The harness's end of a generator process.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// A generator process; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Generator {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// The generator's line when it was ready.
    pub(crate) ready: Value,
}

impl Generator {
    /// Starts a role and waits until it is ready.
    pub(crate) fn start(role: &str, server: SocketAddr, arguments: &[(&str, &str)]) -> Self {
        let executable = env::current_exe().expect("the path of this program");
        let mut command = Command::new(executable);
        command.args(["generate", role, "--server", &server.to_string()]);
        for (flag, value) in arguments {
            command.args([flag, value]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts itself");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut generator = Self {
            child,
            input,
            output,
            ready: Value::Null,
        };
        generator.ready = generator.answer();
        generator
    }

    /// Gives a command and waits for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> Value {
        self.begin(command);
        self.answer()
    }

    /// Gives a command; [`answer`](Self::answer) has its answer.
    pub(crate) fn begin(&mut self, command: &str) {
        if let Some(input) = &mut self.input {
            // A generator that has ended sends no answer, which its reader notices.
            let _ = writeln!(input, "{command}");
        }
    }

    /// Waits for the answer to the last command.
    pub(crate) fn answer(&mut self) -> Value {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        assert!(matches!(read, Ok(1..)), "a generator ended early");
        serde_json::from_str(&line).expect("a generator writes JSON")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Gives a command to several generators at the same time and waits for all answers.
pub(crate) fn ask_all(generators: &mut [Generator], command: &str) -> Vec<Value> {
    for generator in &mut *generators {
        generator.begin(command);
    }
    generators.iter_mut().map(Generator::answer).collect()
}

impl Drop for Generator {
    fn drop(&mut self) {
        drop(self.input.take());
        // The generator ends with its input, unless it hangs; then the kill ends it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The numbers of a list in an answer.
pub(crate) fn numbers(answer: &Value, path: &str) -> Vec<f64> {
    let list = answer.pointer(path).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

/// The sum of a number in several answers.
pub(crate) fn sum(answers: &[Value], path: &str) -> f64 {
    answers.iter().map(|answer| number(answer, path)).sum()
}

/// A number in an answer.
pub(crate) fn number(answer: &Value, path: &str) -> f64 {
    answer
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or(f64::NAN)
}
