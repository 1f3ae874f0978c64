//! From a fault to a page: real services of which something breaks, the agent, a Prometheus with the rules of `deploy/prometheus`, an
//! Alertmanager with the routes of `deploy/alertmanager`, and the webhook at its end. Then the queries of all dashboards.

use anyhow::{Context, Result, ensure};
use onlooker_tests::agent::{Agent, Options, env};
use onlooker_tests::alertmanager::{ALERTMANAGER, Alertmanager};
use onlooker_tests::cgroup::group;
use onlooker_tests::http::Target;
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::otlp::Receiver;
use onlooker_tests::process::{Program, copy_as, free_port, unique};
use onlooker_tests::prometheus::{Prometheus, looking_back_for};
use onlooker_tests::require::{Need, own_program, say, source_dir, which};
use onlooker_tests::servers::{Kind, Nginx, Server, python};
use onlooker_tests::wait;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How far back rules and dashboards look here.
const WINDOW: &str = "20s";
/// How long an alert may take: scrapes and evaluations of a second each, `for` of three, and what the group waits.
const ALERTED: Duration = Duration::from_secs(90);

/// The rules with ranges of [`WINDOW`] and waits of seconds.
fn hurried(rules: &str) -> String {
    let line = |line: &str| {
        let (name, _) = line.split_once(':').unwrap_or((line, ""));
        match name.trim_start() {
            "for" | "keep_firing_for" => format!("{name}: 3s\n"),
            "interval" => format!("{name}: 1s\n"),
            _ => looking_back_for(WINDOW, line) + "\n",
        }
    };
    rules.lines().map(line).collect()
}

#[test]
fn ranges_and_waits_are_short() {
    let rules = "    for: 10m\n    expr: rate(a{b=~\"[cd]\"}[5m]) and max_over_time(e[6h:1m])\n    interval: 30s\n";
    let short = "    for: 3s\n    expr: rate(a{b=~\"[cd]\"}[20s]) and max_over_time(e[20s:1s])\n    interval: 1s\n";
    assert_eq!(hurried(rules), short);
}

/// All files of rules.
fn rules() -> Vec<String> {
    let folder = source_dir().join("../deploy/prometheus/rules");
    let files = std::fs::read_dir(folder).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    texts.map(|text| hurried(&text)).collect()
}

/// The alert of this name and service that reached the webhook, in that state.
fn alert(alertmanager: &Alertmanager, name: &str, service: &str, status: &str) -> Result<Value> {
    let told = alertmanager.told();
    let found = told.iter().find(|alert| {
        let labels = &alert["labels"];
        labels["alertname"] == name && labels["service_name"] == service && alert["status"] == status
    });
    let others = || -> Vec<String> {
        let names = told.iter().map(|alert| {
            format!(
                "{} of {}",
                alert["labels"]["alertname"], alert["labels"]["service_name"]
            )
        });
        names.collect()
    };
    found
        .cloned()
        .with_context(|| format!("{name} of {service} is not {status}; told: {:?}", others()))
}

/// Says who and how much, and where it stands what to do.
fn is_useful(alert: &Value, service: &str, figure: &str) {
    let text = |name: &str| alert["annotations"][name].as_str().unwrap_or_default().to_owned();
    assert!(text("summary").contains(service), "{alert}");
    assert!(text("description").contains(figure), "{figure}: {alert}");
    let link = text("runbook_url");
    let (_, page) = link.split_once("/blob/main/").unwrap_or_default();
    let page = source_dir().join("..").join(page);
    assert!(page.is_file(), "{link} is no page of the documentation");
}

/// Errors, latency, a dependency that is dead and a lack of memory: each reaches the webhook with service, value and runbook; what is
/// mended is told as resolved. Every query of the dashboards is answered with data by the same Prometheus.
#[test]
fn faults_reach_the_webhook_and_dashboards_have_data() {
    need!(
        Need::Agent,
        Need::Program("nginx"),
        Need::Program("prometheus"),
        Need::Program(ALERTMANAGER),
        Need::Program("curl"),
        Need::PythonPackages
    );
    let receiver = Receiver::start(&[]).unwrap();
    let options = Options {
        collectors: true,
        args: ["runqueue", "offcpu"]
            .map(|probe| format!("--probes.enable={probe}"))
            .into(),
        env: env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)]),
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let Target::Tcp(addr) = agent.web else {
        unreachable!("agents of tests listen on TCP");
    };
    let alertmanager = Alertmanager::start().unwrap();
    let prometheus = Prometheus::alerting(&[("onlooker", addr)], &rules(), Some(alertmanager.addr)).unwrap();
    let rules = wait::until("its rules", wait::SOON, || prometheus.rules()).unwrap();
    assert!(rules.len() > 50, "{}", rules.len());

    let failing = Nginx::mixed("failing", "").unwrap();
    let slow = Server::start(Kind::Aiohttp, "slow").unwrap();
    let (lonely, eating) = (unique("lonely"), unique("eating"));
    let nobody = free_port();
    let asks = format!("while :; do curl -s -o /dev/null http://127.0.0.1:{nobody}/; sleep 0.3; done");
    let mut command = Command::new(which("sh").unwrap());
    command.args(["-c", &asks]).env("OTEL_SERVICE_NAME", &lonely);
    let asking = Program::start("asking", command).unwrap();
    let limit = "33554432";
    let two = [("memory.max", limit), ("memory.swap.max", "0")];
    let memory = group("memory", &two, &[("memory.limit_in_bytes", limit)]);
    if let Some(group) = &memory {
        let dir = tempfile::tempdir().unwrap();
        let program = copy_as(&own_program("processes"), dir.path(), &eating).unwrap();
        let mut command = Command::new(program);
        command.arg("eat").stdin(Stdio::piped());
        let mut eater = Program::talking("eating", command).unwrap();
        std::fs::write(group.path().join("cgroup.procs"), eater.pid().to_string()).unwrap();
        drop(eater.stdin());
        eater.wait(wait::SOON).unwrap();
    }

    let mut command = python(&source_dir().join("programs/python/troubled.py")).unwrap();
    // Of this run alone: another one may have its own.
    command.env("QUIET", format!("127.53.{}.1", std::process::id() % 256));
    let troubled = Program::start("troubled", command).unwrap();
    let quota = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")];
    let slowed = group("cpu", &[("cpu.max", "10000 100000")], &quota);
    let busy = slowed.as_ref().map(|group| {
        let command = group.command(&which("sh").unwrap(), "busy", &["-c", "while :; do :; done"]);
        Program::start("busy", command).unwrap()
    });

    let broken = AtomicBool::new(true);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let paths: &[&str] = if broken.load(Ordering::Relaxed) {
                    &["/ok", "/bad"]
                } else {
                    &["/ok"]
                };
                get_many(&failing.server.target, 1, 20, paths).unwrap();
                std::thread::sleep(Duration::from_millis(200)); // bounds the load
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                get_many(&slow.target, 4, 4, &["/sleep/1500"]).unwrap();
            }
        });
        // Also when something fails, or the scope would wait for ever.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let firing = |name: &str, service: &str, figure: &str| {
                let told = wait::until(name, ALERTED, || alert(&alertmanager, name, service, "firing"));
                let told = told.unwrap_or_else(|error| {
                    let seen = prometheus.alerts().unwrap_or_default();
                    panic!(
                        "{error:#}; Prometheus: {seen:#?}; Alertmanager: {}",
                        alertmanager.program.stderr()
                    )
                });
                is_useful(&told, service, figure);
                say(&format!("{name}: {}", told["annotations"]["description"]));
                told
            };
            let told = firing("ServiceErrorsMost", &failing.server.service, "% of the requests");
            let text = told["annotations"]["description"].as_str().unwrap();
            let share: f64 = text.split_once('%').unwrap().0.parse().unwrap();
            // The ends of the window need not fall between two pairs of requests.
            assert!((45.0..55.0).contains(&share), "every other request: {text}");
            firing("ServiceSlow", &slow.service, "s");
            firing(
                "TcpConnectsRefused",
                &lonely,
                &format!("to its own host port {nobody} are refused"),
            );
            if memory.is_some() {
                firing("ProcessOomKilled", &eating, "1 ");
            }
            dashboards(&prometheus, slowed.is_some());
            broken.store(false, Ordering::Relaxed);
            let resolved = || alert(&alertmanager, "ServiceErrorsMost", &failing.server.service, "resolved");
            wait::until("the end of the errors", ALERTED, resolved).unwrap();
        }));
        over.store(true, Ordering::Relaxed);
        result.unwrap();
    });
    drop((asking, troubled, busy));
    let broken: Vec<String> = prometheus
        .rules()
        .unwrap()
        .iter()
        .filter(|rule| rule["health"] != "ok")
        .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
        .collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// A query of a dashboard, with its variables standing for everything.
struct Query {
    panel: String,
    expr: String,
}

/// Queries for Prometheus in a dashboard's panels.
fn queries(dashboard: &Value) -> Vec<Query> {
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        all.extend(queries(panel));
        let of_prometheus = |target: &&Value| {
            let source = [&target["datasource"], &panel["datasource"]];
            source
                .iter()
                .all(|source| matches!(source["type"].as_str(), None | Some("prometheus")))
        };
        let targets = panel["targets"].as_array().into_iter().flatten();
        let exprs = targets
            .filter(of_prometheus)
            .filter_map(|target| target["expr"].as_str());
        all.extend(exprs.map(|expr| Query {
            panel: panel["title"].as_str().unwrap_or_default().to_owned(),
            expr: looking_back_for(WINDOW, expr),
        }));
    }
    let variables = dashboard["templating"]["list"].as_array().into_iter().flatten();
    for name in variables.filter_map(|variable| variable["name"].as_str()) {
        for query in &mut all {
            query.expr = query.expr.replace(&format!("${name}"), ".*");
        }
    }
    all
}

/// Every query is a good one, and all find something; a few of the host's may not: they are about what it has.
fn dashboards(prometheus: &Prometheus, throttled: bool) {
    let folder = source_dir().join("../deploy/grafana/dashboards");
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        all.extend(queries(&dashboard).into_iter().map(|query| (name.clone(), query)));
    }
    assert!(all.len() > 100, "{}", all.len());
    let of_host = all.iter().filter(|(name, _)| name == "host").count();
    let mut found = 0;
    wait::until("data of the dashboards", ALERTED, || {
        let (mut empty, mut hosts) = (Vec::new(), 0);
        for (name, query) in &all {
            let count = prometheus.count(&query.expr);
            let count = count.unwrap_or_else(|error| panic!("{name}, {}: {}: {error:#}", query.panel, query.expr));
            if count > 0 {
                continue;
            }
            if name == "host" && (!throttled || query.panel != "Throttled") {
                hosts += 1;
            } else {
                empty.push(format!("{name}, {}: {}", query.panel, query.expr));
            }
        }
        found = all.len() - empty.len() - hosts;
        ensure!(
            empty.is_empty() && hosts * 5 < of_host,
            "{hosts} of {of_host} of the host, and {empty:#?}"
        );
        Ok(())
    })
    .unwrap();
    say(&format!("{found} of {} queries have data", all.len()));
}

#[test]
fn variables_stand_for_everything() -> Result<()> {
    let dashboard = serde_json::json!({
        "templating": {"list": [{"name": "service"}]},
        "panels": [{"title": "a", "targets": [{"expr": "rate(b{c=~\"$service\"}[$__rate_interval])"}],
            "panels": [{"title": "d", "datasource": {"type": "loki"}, "targets": [{"expr": "{e=\"f\"}"}]}]}],
    });
    let found = queries(&dashboard);
    ensure!(found.len() == 1 && found[0].panel == "a");
    ensure!(found[0].expr == "rate(b{c=~\".*\"}[20s])", "{}", found[0].expr);
    Ok(())
}
