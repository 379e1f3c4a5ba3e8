//! The program, run once.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use fireworks_gateway_simulator::Simulator;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fireworks");

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program with these arguments; its environment is empty.
pub struct Program {
    command: Command,
    input: Vec<u8>,
    is_stdout_closed: bool,
}

/// Returns the program with these arguments.
pub fn program<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Program {
    Program::of(Command::new(PROGRAM), args)
}

/// The same, which Ctrl-C ends: a shell that starts the tests in the background lets what they start ignore it.
pub fn interruptible<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Program {
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=INT", PROGRAM]);
    Program::of(command, args)
}

impl Program {
    fn of<S: AsRef<std::ffi::OsStr>>(
        mut command: Command,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        command.args(args).env_clear();
        Self {
            command,
            input: Vec::new(),
            is_stdout_closed: false,
        }
    }

    /// Gives it a text as standard input.
    pub fn input(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.input = text.into();
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in that folder.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it the account of the simulator.
    pub fn account(self, gateway: &Simulator) -> Self {
        self.env("FIREWORKS_ACCOUNT_ID", gateway.account_id())
            .env("FIREWORKS_API_KEY", gateway.api_key())
            .env("FIREWORKS_BASE_URL", gateway.base_url())
    }

    /// Gives it a standard output that no process reads.
    pub fn without_stdout(mut self) -> Self {
        self.is_stdout_closed = true;
        self
    }

    /// Starts it, without input and with its output discarded.
    pub fn spawn(mut self) -> Child {
        let quiet = self.command.stdin(Stdio::null()).stdout(Stdio::null());
        quiet.stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ended {
        let piped = self.command.stdin(Stdio::piped());
        let piped = piped.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if self.is_stdout_closed {
            drop(child.stdout.take());
        }
        let input = std::mem::take(&mut self.input);
        // The program need not read all of it.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output.into()
    }
}

/// Returns a manifest of that name with that spec.
pub fn manifest(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: iam.fireworks.ai/v1alpha1\nkind: FireworksUser\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
    )
}
