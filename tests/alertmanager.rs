//! An Alertmanager with the routes of `deploy/alertmanager`, and the webhook at their end.

use crate::http::{Connection, Stream};
use crate::process::{Program, free_port};
use crate::require::{source_dir, which};
use anyhow::{Context, Result};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// The program's name on the `PATH`.
pub const ALERTMANAGER: &str = "prometheus-alertmanager";

/// One that runs, with our file as it is but for its waits: what is to be seen in minutes is seen in seconds.
#[derive(Debug)]
pub struct Alertmanager {
    /// The process.
    pub program: Program,
    /// Where Prometheus sends alerts.
    pub addr: SocketAddr,
    told: Arc<Mutex<Vec<Value>>>,
    _dir: TempDir,
}

impl Alertmanager {
    /// Starts one whose webhook is here; nobody is behind its other receivers.
    ///
    /// # Errors
    /// It is not installed, refuses the configuration, or does not start.
    pub fn start() -> Result<Alertmanager> {
        let dir = TempDir::new()?;
        let ours = source_dir().join("../deploy/alertmanager");
        copy(&ours.join("templates"), &dir.path().join("templates"))?;
        let config = std::fs::read_to_string(ours.join("alertmanager.yml"))?;
        let file = dir.path().join("alertmanager.yml");
        std::fs::write(&file, hurried(&config))?;
        let (webhook, told) = webhook()?;
        let secrets = dir.path().join("secrets");
        std::fs::create_dir(&secrets)?;
        for (name, secret) in [
            ("webhook", format!("http://{webhook}/")),
            ("slack", "http://127.0.0.1:9/".to_owned()),
            ("pagerduty", "none".to_owned()),
            ("smtp", "none".to_owned()),
        ] {
            std::fs::write(secrets.join(name), secret)?;
        }
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let program = which(ALERTMANAGER).context("Alertmanager is not installed")?;
        let mut command = with_templates(&program);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--cluster.listen-address=")
            // Secrets are looked for from there.
            .current_dir(dir.path())
            .stdout(Stdio::null());
        let mut program = Program::start("alertmanager", command)?;
        program.wait_listening(addr)?;
        Ok(Alertmanager {
            program,
            addr,
            told,
            _dir: dir,
        })
    }

    /// Alerts that reached the webhook so far, as <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config> has them.
    pub fn told(&self) -> Vec<Value> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let alerts = told.iter().filter_map(|message| message["alerts"].as_array());
        alerts.flatten().cloned().collect()
    }
}

/// The program, with the templates of its package where Debian's build looks for them: unpacked, they are beside it.
fn with_templates(program: &Path) -> Command {
    let beside = program.ancestors().nth(2).map(|tools| tools.join("share"));
    match beside.filter(|share| share.join("prometheus/alertmanager").exists()) {
        None => Command::new(program),
        Some(share) => {
            let mut command = Command::new("unshare");
            // In a mount namespace of its own.
            command
                .args([
                    "--mount",
                    "sh",
                    "-c",
                    "mount --bind \"$1\" /usr/share && shift && exec \"$@\"",
                    "sh",
                ])
                .arg(share)
                .arg(program);
            command
        }
    }
}

/// The configuration with waits of a second or two.
fn hurried(config: &str) -> String {
    let line = |line: &str| {
        let (name, _) = line.split_once(':').unwrap_or((line, ""));
        match name.trim_start() {
            "group_wait" => format!("{name}: 1s"),
            "group_interval" => format!("{name}: 2s"),
            _ => line.to_owned(),
        }
    };
    config.lines().map(|text| line(text) + "\n").collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Takes every `POST`, for as long as the test runs.
fn webhook() -> Result<(SocketAddr, Arc<Mutex<Vec<Value>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let all = told.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = told.clone();
            // Whoever goes away says no more.
            std::thread::spawn(move || take(stream, &told));
        }
    });
    Ok((addr, all))
}

fn take(stream: TcpStream, told: &Mutex<Vec<Value>>) -> Result<()> {
    let mut connection = Connection::of(Stream::Tcp(stream));
    loop {
        let length = connection.head()?.content_length().unwrap_or(0);
        let message = serde_json::from_slice(&connection.exactly(length)?)?;
        told.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_short_and_the_rest_is_as_it_is() {
        let config = "route:\n  group_wait: 30s\n  group_interval: 5m\n  repeat_interval: 4h # group_wait\n";
        let hurry = "route:\n  group_wait: 1s\n  group_interval: 2s\n  repeat_interval: 4h # group_wait\n";
        assert_eq!(hurried(config), hurry);
    }
}
