//! `docs/quickstart.md`, typed: its commands, as they stand there, one after the other in a root and a network that are thrown away, from the
//! package to the alerts that reach the webhook. Nothing is hurried: rules, waits and intervals are those of `deploy/`.

use super::{made, throw_away};
use anyhow::{Context, Result, ensure};
use onlooker_tests::alertmanager::ALERTMANAGER;
use onlooker_tests::need;
use onlooker_tests::process::Program;
use onlooker_tests::require::{Need, say, source_dir, which};
use onlooker_tests::wait;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Until an alert whose rule waits for five minutes has reached the webhook.
const ALERTED: Duration = Duration::from_secs(600);
const STARTED: Duration = Duration::from_secs(180);

/// The lines of all blocks of commands before this heading, without prompts and without what is only told.
fn commands(document: &str, end: &str) -> Vec<String> {
    let (document, _) = document.split_once(end).unwrap();
    let mut all = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            // Further lines of a command have no prompt.
            _ => {
                let command = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
                all.push(command.unwrap_or(line).to_owned());
            }
        }
    }
    all
}

#[test]
fn blocks_become_lines_of_a_shell() {
    let document = "a\n```console\n$ one 'x\n  y' &\n# two    # why\n```\n$ no\n## End\n```console\n$ three\n```\n";
    assert_eq!(commands(document, "## End"), ["one 'x", "  y' &", "two    # why"]);
}

/// All alerts that the webhook of the document has printed.
fn printed(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let alerts = messages.filter_map(|message| message["alerts"].as_array().cloned());
    alerts.flatten().collect()
}

fn firing(log: &Path, name: &str, service: &str) -> Result<Value> {
    let all = printed(log);
    let found = all.iter().find(|alert| {
        let labels = &alert["labels"];
        labels["alertname"] == name && labels["service_name"] == service && alert["status"] == "firing"
    });
    let names: Vec<&Value> = all.iter().map(|alert| &alert["labels"]["alertname"]).collect();
    found
        .cloned()
        .with_context(|| format!("{name} of {service} did not reach the webhook, only {names:?}"))
}

/// The commands, with what a reader waits for between them, and the end of a backend and of a program as the document says it.
fn script(document: &str) -> String {
    let start = "systemctl start onlooker";
    let without_systemd = "onlooker --config.file=/etc/onlooker/onlooker.yaml";
    let mut lines = vec!["cd /out".to_owned()];
    let mut found = false;
    for line in commands(document, "## 4. Dashboards") {
        if line.starts_with(start) {
            found = true;
            // No systemd runs here. In the background, and no job of this shell, as a service is none.
            lines.push(format!(
                "({without_systemd} --summary=never > /out/onlooker.log 2>&1 &)"
            ));
            lines.push("until curl -s -f -o /dev/null http://127.0.0.1:9100/readyz; do sleep 0.2; done".to_owned());
        } else {
            lines.push(line);
        }
    }
    assert!(found && document.contains(&format!("`{without_systemd}`")));
    let ends = ["kill %1", "sleep 1000 & kill -SEGV $!"];
    for end in ends {
        assert!(
            document.contains(&format!("`{end}`")),
            "the document says {end} otherwise"
        );
    }
    // Until requests are in Prometheus, by its own rules.
    let query = "http://127.0.0.1:9090/api/v1/query?query=service:http_server_requests:rate5m";
    assert!(document.contains(query));
    lines.push(format!(
        "until curl -s '{query}' | grep -q service_name; do sleep 1; done"
    ));
    lines.push("touch /out/seen".to_owned());
    lines.extend(ends.map(str::to_owned));
    lines.push("touch /out/ended".to_owned());
    lines.push("wait".to_owned());
    lines.join("\n")
}

/// From nothing to alerts. A killed backend is told by who asks it, a program that crashed by its name, both with what to do.
#[test]
#[ignore = "needs the package that `cargo xtask dist` makes, and seven minutes: `cargo xtask dist --smoke`"]
fn the_quickstart_leads_to_alerts() {
    need!(
        Need::Agent,
        Need::Program("dpkg"),
        Need::Program("unshare"),
        Need::Program("bash"),
        Need::Program("curl"),
        Need::Program("ip"),
        Need::Program("python3"),
        Need::Program("prometheus"),
        Need::Program(ALERTMANAGER)
    );
    let package = made(".deb").expect("`cargo xtask dist --smoke` says where the package is");
    let document = fs::read_to_string(source_dir().join("../docs/quickstart.md")).unwrap();
    let dir = TempDir::new().unwrap();
    let out = |name: &str| dir.path().join(name);
    fs::copy(&package, out(package.file_name().unwrap().to_str().unwrap())).unwrap();
    fs::write(out("script"), script(&document)).unwrap();
    // The templates of its package, where Debian's build looks for them: unpacked, they are beside it.
    let alertmanager = which(ALERTMANAGER).unwrap();
    let beside = alertmanager.ancestors().nth(2).unwrap().join("share/prometheus");
    fs::write(out("share"), beside.display().to_string()).unwrap();
    let inside = "for folder in proc sys dev; do mount --rbind \"/$folder\" \"$root/$folder\"; done
        mount --bind \"$1\" \"$root/out\"
        ip link set lo up
        share=$(cat \"$1/share\")
        if [ -d \"$share\" ]; then cp -r \"$share\" \"$root/usr/share/\"; fi
        exec chroot \"$root\" bash /out/script > \"$1/log\"";
    let began = Instant::now();
    let root = throw_away(dir.path(), inside);
    let mut command = Command::new("unshare");
    command.arg("--net").arg(root.get_program()).args(root.get_args());
    command.stdout(Stdio::null());
    let mut program = Program::start("quickstart", command).unwrap();
    let log = out("log");
    let told = |program: &Program| {
        let log = fs::read_to_string(&log).unwrap_or_default();
        format!(
            "{}\n{}",
            log.lines().take(40).collect::<Vec<_>>().join("\n"),
            program.stderr()
        )
    };
    let ended = wait::until("requests in Prometheus", STARTED, || {
        program.check_alive()?;
        ensure!(out("ended").exists(), "not yet");
        Ok(())
    });
    ended.unwrap_or_else(|error| panic!("{error:#}: {}", told(&program)));
    say(&format!("requests are in Prometheus after {:?}", began.elapsed()));
    let killed = Instant::now();
    for (name, service, figure) in [
        ("ProcessCrashed", "sleep", "SIGSEGV"),
        ("TcpConnectsRefused", "curl", "8000"),
    ] {
        let alert = wait::until(name, ALERTED, || {
            program.check_alive()?;
            firing(&log, name, service)
        });
        let alert = alert.unwrap_or_else(|error| panic!("{error:#}: {}", told(&program)));
        let text = format!("{}", alert["annotations"]);
        assert!(text.contains(service) && text.contains(figure), "{alert}");
        let link = alert["annotations"]["runbook_url"].as_str().unwrap();
        let (_, page) = link.split_once("/blob/main/").unwrap();
        assert!(source_dir().join("..").join(page).is_file(), "{link}");
        say(&format!("{name} at the webhook after {:?}", killed.elapsed()));
    }
}
