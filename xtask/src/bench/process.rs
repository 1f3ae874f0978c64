//! Long-lived programs of a benchmark. Each is in a session of its own, because the scheduler shares the processors between
//! sessions first, and services do not share one with their drivers. Each ends with this process, however that ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A helper that holds some thousands of processes needs a while to end them.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a program is told to end, by this process or by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// When its standard input does; it may have things to put away.
    WithInput,
    /// By a signal.
    BySignal,
}

/// A running program. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its standard error in a file below `folder`.
    pub(crate) fn start(
        folder: &Path,
        name: &str,
        program: &Path,
        args: &[String],
        path: &str,
        ends: Ends,
    ) -> Result<Process> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let log = folder.join(format!("{name}.log"));
        let stderr = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // Both replace themselves, so the process id is the program's.
        let (mut command, stdin) = match ends {
            Ends::WithInput => (Command::new("setsid"), Stdio::piped()),
            Ends::BySignal => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "TERM", "setsid"]);
                (command, Stdio::null())
            }
        };
        let stdout = match ends {
            Ends::WithInput => Stdio::piped(),
            Ends::BySignal => Stdio::null(),
        };
        let mut child = command
            .arg(program)
            .args(args)
            .env("PATH", path)
            .env_remove("OTEL_SERVICE_NAME")
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .context("cannot start `setsid` or `setpriv` (of the package util-linux)")?;
        let input = child.stdin.take();
        Ok(Process { child, input, log })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, the first time.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Fails when it has ended, with what it said last.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended ({status}): {}", last_line(&self.log)),
            None => Ok(()),
        }
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn ended(&mut self, within: Duration) -> Result<()> {
        let end = Instant::now() + within;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("it ended ({status}): {}", last_line(&self.log)),
                None if Instant::now() > end => bail!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(2)), // until the next look
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let told = self.input.take().is_some();
        let end = Instant::now() + PATIENCE;
        while told && matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2)); // until the next look
        }
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// A command of the program `bench` that holds something, and what it said of that.
pub(crate) struct Helper {
    process: Process,
    output: Option<BufReader<ChildStdout>>,
    /// Its line.
    pub(crate) said: Value,
}

impl Helper {
    /// Waits until it says that it is there.
    pub(crate) fn new(mut process: Process, name: &str) -> Result<Helper> {
        let mut line = String::new();
        let mut output = process.output().map(BufReader::new);
        if let Some(output) = &mut output {
            output.read_line(&mut line)?;
        }
        if line.is_empty() {
            process.child.wait()?;
            bail!("`bench {name}` ended: {}", last_line(&process.log));
        }
        let said = serde_json::from_str(&line).with_context(|| format!("`bench {name}` said {line}"))?;
        Ok(Helper { process, output, said })
    }

    /// Ends it; what it says last.
    pub(crate) fn finish(mut self) -> Result<Value> {
        self.process.input = None;
        let mut text = String::new();
        if let Some(mut output) = self.output.take() {
            output.read_to_string(&mut text)?;
        }
        let last = text.lines().last();
        let last = last.with_context(|| format!("it said nothing at its end: {}", last_line(&self.process.log)))?;
        serde_json::from_str(last).with_context(|| last.to_owned())
    }

    /// A text that it said; empty when it said none of that name.
    pub(crate) fn text(&self, name: &str) -> String {
        self.said[name].as_str().unwrap_or_default().to_owned()
    }

    /// Fails when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.check()
    }
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.trim().lines().last().unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Process {
        let folder = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        let path = std::env::var("PATH").unwrap();
        let args = ["-c".to_owned(), script.to_owned()];
        Process::start(&folder, "sh", Path::new("sh"), &args, &path, Ends::WithInput).unwrap()
    }

    #[test]
    fn a_helper_says_what_it_holds_and_ends_with_its_input() {
        let mut helper = Helper::new(start("echo '{\"address\": \"a:1\"}'; cat"), "x").unwrap();
        assert_eq!(
            (helper.text("address"), helper.text("more")),
            ("a:1".to_owned(), String::new())
        );
        helper.check().unwrap();
        let said = Helper::new(start("echo {}; cat; echo '{\"n\": 3}'"), "x")
            .unwrap()
            .finish();
        assert_eq!(said.unwrap()["n"], 3);
        let pid = helper.process.pid();
        // A session of its own: field 6 of its stat line is its own id.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        assert_eq!(stat.split(' ').nth(5), Some(pid.to_string().as_str()));
        drop(helper);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        let error = Helper::new(start("echo no >&2; exit 3"), "x").err().unwrap();
        assert_eq!(error.to_string(), "`bench x` ended: no");
    }
}
