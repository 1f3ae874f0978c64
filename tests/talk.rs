//! Programs of this crate that are told by standard input what to do and answer each order with one line of JSON.

use crate::process::Program;
use crate::wait;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// No order takes longer, on a machine of its own.
const LONGEST: Duration = Duration::from_secs(90);

/// Such a program. It ends when this is dropped.
#[derive(Debug)]
pub struct Talker {
    /// The process; of one that leaves its work to a child, that process.
    pub program: Program,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Talker {
    /// Starts one.
    pub fn start(name: &str, mut command: Command) -> Result<Talker> {
        command.stdout(Stdio::piped());
        let mut program = Program::talking(name, command)?;
        let stdin = program.stdin().context("standard input")?;
        let stdout = program.stdout().context("standard output")?;
        let (send, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Talker {
            program,
            stdin,
            answers,
        })
    }

    /// Tells it to do something that takes a while; [`Talker::answer`] waits for it.
    pub fn tell(&mut self, order: &str) -> Result<()> {
        writeln!(self.stdin, "{order}").with_context(|| self.program.stderr())
    }

    /// What it answers next.
    pub fn answer(&mut self) -> Result<Value> {
        let line = self.answers.recv_timeout(LONGEST * wait::slow());
        let line = line.with_context(|| format!("no answer: {}", self.program.stderr()))?;
        let value: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        if let Some(error) = value.get("error") {
            bail!("{error}");
        }
        Ok(value)
    }

    /// Tells it to do something, and gives the answer.
    pub fn ask(&mut self, order: &str) -> Result<Value> {
        self.tell(order)?;
        self.answer().with_context(|| order.to_owned())
    }
}
