//! The agent under test: start, scrape, spans, stop.

use crate::http::{self, Connection, Response, Target};
use crate::ledger::Ledger;
use crate::metrics::Scrape;
use crate::probes;
use crate::process::{Program, copy_as, free_port};
use crate::require::{agent_program, say, which};
use crate::skipped;
pub use crate::span::Span;
use crate::truth::{Counts, Key, count};
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::Value;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Both ways to capture. Every case is run with both where the kernel has both, see [`hooks`].
pub const HOOKS: [&str; 2] = ["socket", "syscall"];

/// Those of [`HOOKS`] that this kernel has: the socket tracepoints came with Linux 6.3. The release says so, not the agent.
pub fn hooks() -> &'static [&'static str] {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next(), numbers.next());
    if version < (Some(6), Some(3)) {
        &HOOKS[1..]
    } else {
        &HOOKS
    }
}

/// The agent looks after connections that were quiet for half a minute: the end of one that found the ring full is noticed
/// only then.
const UNNOTICED_END: Duration = Duration::from_secs(40);

/// How to start an agent.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--capture.hooks`; `auto` when `None`.
    pub hooks: Option<&'static str>,
    /// `--export=stdout`.
    pub spans: bool,
    /// `--export=events`.
    pub events: bool,
    /// Further arguments.
    pub args: Vec<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// Run as an ordinary user with these capabilities alone (`bpf`, `perfmon`, …), instead of as the user of the tests.
    pub capabilities: Option<Vec<&'static str>>,
    /// Wait for an agent that says that it sees no requests, instead of a ready one.
    pub blind: bool,
    /// With collectors of the host's metrics, which cost each scrape something.
    pub collectors: bool,
    /// Probes that the test is about; none: all. Where the processor is emulated no others are attached and no request is captured: what
    /// the verifier walks for them is most of what a start takes there.
    pub about: &'static [&'static str],
    /// In a pid namespace of its own, with the host's `/proc`. What is told to the process goes to the one that made it then.
    pub own_pids: bool,
}

/// The ordinary user of [`Options::capabilities`]; nobody on the machine needs to have this id.
pub const ORDINARY: u32 = 65_532;

impl Options {
    /// The agent's program, or what becomes it as an ordinary user, and the folder of its copy, which that user can reach.
    fn command(&self) -> Result<(Command, Option<TempDir>)> {
        let program = agent_program().context("the agent is not built")?;
        let Some(capabilities) = &self.capabilities else {
            if self.own_pids {
                let mut command = Command::new(which("unshare").context("unshare")?);
                command.args(["--fork", "--pid", "--kill-child"]).arg(program);
                return Ok((command, None));
            }
            return Ok((Command::new(program), None));
        };
        let dir = TempDir::new()?;
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let copy = copy_as(&program, dir.path(), "onlooker")?;
        let sets = capabilities
            .iter()
            .fold("-all".to_string(), |sets, name| format!("{sets},+{name}"));
        let mut command = Command::new(which("setpriv").context("setpriv")?);
        command
            .arg(format!("--reuid={ORDINARY}"))
            .arg(format!("--regid={ORDINARY}"))
            .args(["--clear-groups", "--pdeathsig=keep"])
            .args(["--inh-caps", "--ambient-caps", "--bounding-set"].map(|set| format!("{set}={sets}")))
            .arg(copy);
        // Before Linux 5.11 maps count as locked memory. As a service manager does it (`LimitMEMLOCK=infinity`); where this
        // is not allowed, the kernel is newer or the agent says what is wrong.
        // SAFETY: setrlimit is async-signal-safe and changes only the new process.
        unsafe {
            command.pre_exec(|| {
                let all = Rlimit {
                    current: None,
                    maximum: None,
                };
                let _ = setrlimit(Resource::Memlock, all);
                Ok(())
            });
        }
        Ok((command, Some(dir)))
    }
}

/// For [`Options::env`].
pub fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub program: Program,
    /// Where it serves `/metrics`.
    pub web: Target,
    /// `--capture.hooks` it was started with.
    pub hooks: &'static str,
    /// From start to ready.
    pub ready_after: Duration,
    spans: Arc<Mutex<Vec<Span>>>,
    events: Arc<Mutex<Vec<Value>>>,
    /// Holds the program.
    _dir: Option<TempDir>,
}

impl Agent {
    /// Starts an agent and waits until it is ready.
    pub fn start(options: &Options) -> Result<Agent> {
        let port = free_port();
        let alone = wait::slow() > 1 && !options.about.is_empty();
        let hooks = options.hooks.unwrap_or(if alone { "off" } else { "auto" });
        let (mut command, dir) = options.command()?;
        command
            .arg("run")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--capture.hooks={hooks}"))
            .arg("--summary=never")
            .args(&options.args)
            .env("OTEL_SERVICE_NAME", "onlooker-under-test")
            .envs(options.env.iter().map(|(name, value)| (name, value)));
        if alone {
            command.args(probes::disabling_all_but(options.about));
        }
        // What is summed is pending until the interval is over, and the balance of events is waited for.
        if !options.args.iter().any(|arg| arg.starts_with("--events.interval")) {
            command.arg("--events.interval=1s");
        }
        // What one test leaves on the disk is not for the receiver of another.
        if !options.args.iter().any(|arg| arg.starts_with("--otlp.queue")) {
            command.arg("--otlp.queue=memory");
        }
        if !options.collectors {
            command.arg("--collector.disable-defaults");
        }
        command.stdout(Stdio::null());
        for (wanted, arg) in [(options.spans, "--export=stdout"), (options.events, "--export=events")] {
            if wanted {
                command.arg(arg).stdout(Stdio::piped());
            }
        }
        let started = Instant::now();
        let mut program = Program::start("onlooker", command)?;
        let spans = Arc::new(Mutex::new(Vec::new()));
        let events = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = program.stdout() {
            let (spans, events) = (spans.clone(), events.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    match (Span::parse(&line), serde_json::from_str::<Value>(&line)) {
                        (Some(span), _) => lock(&spans).push(span),
                        (None, Ok(value)) if value.get("event").is_some() => lock(&events).push(value),
                        _ => eprintln!("neither a span nor an event: {line}"),
                    }
                }
            });
        }
        let web = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        wait::until("readiness of the agent", Duration::from_secs(30), || {
            if let Err(ended) = program.check_alive() {
                return Ok(Err(ended)); // there is nothing to wait for
            }
            let ready = http::get(&web, "/readyz", &[])?;
            let text = ready.text();
            let blind = text.starts_with("not ready: no request is seen\n");
            ensure!(
                if options.blind { blind } else { ready.status == 200 },
                "/readyz {}: {text}",
                ready.status
            );
            Ok(Ok(()))
        })??;
        skipped::watch(&web);
        Ok(Agent {
            program,
            web,
            hooks,
            ready_after: started.elapsed(),
            spans,
            events,
            _dir: dir,
        })
    }

    /// `GET` of a path of the agent.
    pub fn get(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        http::get(&self.web, path, fields)
    }

    /// `/metrics`, asked for in a way that the agent does not see: the empty line before the request is allowed (RFC 9112,
    /// 2.2), but for the kernel side it is no beginning of a request. So looking changes nothing of what is looked at.
    pub fn scrape(&self) -> Result<Scrape> {
        scrape_of(&self.web)
    }

    /// Spans of a service and kind (`SERVER`, `CLIENT`) so far.
    pub fn spans(&self, service: &str, kind: &str) -> Vec<Span> {
        lock(&self.spans)
            .iter()
            .filter(|span| span.service == service && span.kind == kind)
            .cloned()
            .collect()
    }

    /// Spans that satisfy a condition.
    pub fn spans_where(&self, mut condition: impl FnMut(&Span) -> bool) -> Vec<Span> {
        lock(&self.spans)
            .iter()
            .filter(|span| condition(span))
            .cloned()
            .collect()
    }

    /// Events of a service on standard output so far, as JSON.
    pub fn events(&self, service: &str) -> Vec<Value> {
        let events = lock(&self.events);
        events
            .iter()
            .filter(|event| event["service"] == service)
            .cloned()
            .collect()
    }

    /// Counts of a service's spans by method, path and status.
    pub fn span_counts(&self, service: &str, kind: &str) -> Counts<Key> {
        count(self.spans(service, kind).iter().map(Span::key))
    }

    /// Waits until everything that was seen when this was called is delivered or counted as lost.
    pub fn settle(&self) -> Result<()> {
        let before = self.ledger()?;
        wait::until("settled agent", wait::SOON, || self.ledger()?.expect_done(&before))
    }

    fn ledger(&self) -> Result<Ledger> {
        Ledger::of(&self.scrape()?)
    }

    /// Waits until nothing is on its way; then `seen = delivered + lost` must hold for every kind of event. Where other
    /// programs of the host never pause, only the kinds that they keep in motion are excused. Every agent that is dropped,
    /// and the shared ones when all tests are over, are asked for this.
    ///
    /// # Errors
    /// Events of a kind are neither delivered nor lost, or are more than were seen.
    pub fn balanced(&self) -> Result<()> {
        let start = Instant::now();
        let before = self.ledger()?;
        wait::until("balance of events", UNNOTICED_END, || {
            let now = self.ledger()?;
            let balance = now.expect_balance();
            if balance.is_err() && start.elapsed() > wait::SOON && now.moves(&before) {
                say(&format!(
                    "the host is not quiet, the last events are not waited for: {now:?}"
                ));
                return Ok(());
            }
            balance
        })
    }

    /// Stops it (`SIGSTOP`) and waits until it is.
    pub fn pause(&self) -> Result<()> {
        self.program.signal(libc::SIGSTOP);
        wait::until_true("stopped agent", wait::SOON, || self.program.state() == Some('T'))
    }

    /// Lets it run for a small part of the time alone while the work is done, so that the ring is full again and again.
    pub fn starve<T>(&self, work: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    self.program.signal(libc::SIGSTOP);
                    std::thread::sleep(Duration::from_millis(60)); // the share of time that it does not get
                    self.resume();
                    std::thread::sleep(Duration::from_millis(10)); // and that it gets
                }
            });
            // Also when the work panics, or the scope would wait for ever.
            let _over = Finally(|| over.store(true, Ordering::Relaxed));
            work()
        })
    }

    /// Lets it go on (`SIGCONT`).
    pub fn resume(&self) {
        self.program.signal(libc::SIGCONT);
    }

    /// Events lost so far, of all kinds and reasons.
    pub fn lost(&self) -> Result<f64> {
        let scrape = self.scrape()?;
        ensure!(
            scrape.has("onlooker_events_lost_total", &[]),
            "no onlooker_events_lost_total"
        );
        Ok(scrape.sum("onlooker_events_lost_total", &[]))
    }

    /// Stops it with SIGTERM; its end must come soon.
    pub fn terminate(self) -> Result<ExitStatus> {
        self.balanced()?;
        self.terminate_now()
    }

    /// The same, where events wait for somebody who never comes.
    pub fn terminate_now(mut self) -> Result<ExitStatus> {
        self.program.signal(libc::SIGTERM);
        self.program.wait(wait::SOON)
    }

    /// Fails when it has ended or has panicked.
    pub fn check(&mut self) -> Result<()> {
        self.program.check_alive()?;
        let said = self.program.stderr();
        if said.contains("panicked at") {
            bail!("the agent panicked: {said}");
        }
        Ok(())
    }
}

/// [`Agent::scrape`] by address.
pub fn scrape_of(web: &Target) -> Result<Scrape> {
    let mut connection = Connection::open(web)?;
    let request = http::request("GET", "/metrics", &[("Connection", "close")], b"");
    connection.send(&[b"\r\n", request.as_slice()].concat())?;
    let response = connection.response("GET")?;
    ensure!(response.status == 200, "/metrics: {}", response.status);
    Scrape::parse(&response.text())
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.program.check_alive().is_ok() {
            let balanced = self.balanced();
            assert!(balanced.is_ok(), "--capture.hooks={}: {balanced:?}", self.hooks);
        }
    }
}

/// The agents that all cases of a test binary share, one per capture way (`ONLOOKER_TEST_HOOKS` names one alone).
/// Both watch the same traffic. They live until the test binary ends, when their ledgers are checked.
///
/// # Panics
/// When one cannot be started.
pub fn shared() -> &'static [Agent] {
    static AGENTS: OnceLock<Vec<Agent>> = OnceLock::new();
    AGENTS.get_or_init(|| {
        // SAFETY: the function touches nothing that is gone at exit, and never unwinds out of it.
        unsafe { libc::atexit(check_shared) };
        let only = std::env::var("ONLOOKER_TEST_HOOKS").ok();
        hooks()
            .iter()
            .copied()
            .filter(|hooks| only.as_deref().is_none_or(|only| only == *hooks))
            .map(|hooks| {
                let options = Options {
                    hooks: Some(hooks),
                    spans: true,
                    ..Options::default()
                };
                match Agent::start(&options) {
                    Ok(agent) => agent,
                    Err(error) => panic!("agent with --capture.hooks={hooks}: {error:#}"),
                }
            })
            .collect()
    })
}

/// After the last test: nobody drops what is static.
extern "C" fn check_shared() {
    let checked = std::panic::catch_unwind(|| {
        shared().iter().all(|agent| match agent.balanced() {
            Ok(()) => true,
            Err(error) => {
                eprintln!("after all tests, --capture.hooks={}: {error:#}", agent.hooks);
                false
            }
        })
    });
    if !matches!(checked, Ok(true)) {
        // SAFETY: no memory is touched; the status that libtest had chosen is replaced by its status of failure.
        unsafe { libc::_exit(101) };
    }
}

/// Lets one test at a time run, in binaries whose cases would disturb each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    lock(&ALONE)
}

/// Does something at the end of a scope, however it is left.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
