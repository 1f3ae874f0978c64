//! What must hold on every kernel, in short: each probe attaches, one exchange of each kind is captured exactly, and no program
//! comes near the verifier's limit. `cargo xtask vm --fast` runs this in machines with other kernels; what is found there of the
//! probes goes into the file that `ONLOOKER_TEST_FACTS` names, and from there to `docs/kernels.md`.

use onlooker_tests::agent::{Agent, HOOKS, Options, hooks, shared};
use onlooker_tests::case::{Role, expect, expect_body_sizes};
use onlooker_tests::http::{Connection, Target};
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::outcome::run_at;
use onlooker_tests::probes::{self, release};
use onlooker_tests::process::unique;
use onlooker_tests::require::{Need, say};
use onlooker_tests::servers::{Kind, Nginx, NginxOptions, Server, syscall_pair};
use onlooker_tests::steps::Step;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Instructions that the verifier may walk for a program; its own limit is 1,000,000. What is reached stands in
/// `docs/kernels.md`; newer kernels walk more of the same program or less, so the rest is room. Programs without a line:
/// [`LIMIT`].
const LIMITS: &[(&str, u64)] = &[
    ("sock_send_length", 250_000),
    ("sock_recv_length", 250_000),
    ("sys_exit_cast", 400_000),
    ("sys_exit_btf", 400_000),
    ("sys_exit_raw", 400_000),
    ("sys_errors", 100_000),
    ("sys_errors_raw", 100_000),
    ("sys_writes", 250_000),
    ("sys_writes_raw", 250_000),
    ("process_exec_btf", 120_000),
    ("process_exec_raw", 120_000),
    ("dns_send", 100_000),
    ("dns_receive", 100_000),
    ("dns_exit_cast", 500_000),
    ("dns_exit_btf", 500_000),
    ("dns_exit_raw", 500_000),
    ("tcp_change_btf", 60_000),
    ("tcp_change_raw", 60_000),
];
const LIMIT: u64 = 20_000;

/// The name that a typed program and that at what its tracepoint records have in common.
fn first(program: &str) -> &str {
    let kind = ["_tp", "_btf"].iter().find_map(|kind| program.strip_suffix(kind));
    kind.unwrap_or(program)
}

fn limit(program: &str) -> u64 {
    // A second copy is the same program, and so is that at another kind of hook.
    let program = first(program.strip_suffix("_again").unwrap_or(program));
    LIMITS
        .iter()
        .find(|(name, _)| first(name) == program)
        .map_or(LIMIT, |(_, limit)| *limit)
}

/// An agent to which so many alternatives of each probe are refused, the best ones; the last is never.
fn start(hooks: &'static str, refused: usize) -> Agent {
    let refused = probes::refusing(&probes::names(), refused);
    let options = Options {
        hooks: Some(hooks),
        env: vec![("ONLOOKER_TEST_REFUSE".into(), refused)],
        args: probes::enabling(),
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// Alternative by probe, empty where it is not attached.
fn alternatives(agent: &Agent) -> BTreeMap<String, String> {
    let scrape = agent.scrape().unwrap();
    let probes = scrape.select("onlooker_probe_attached", &[]);
    probes
        .map(|probe| {
            let alternative = probe.label("alternative").to_string();
            assert_eq!(probe.value == 1.0, !alternative.is_empty(), "{probe:?}");
            (probe.label("probe").to_string(), alternative)
        })
        .collect()
}

/// Verified instructions by program, `None` where the kernel does not tell (it does from 5.16 on).
fn verified(agent: &Agent) -> BTreeMap<String, Option<u64>> {
    let scrape = agent.scrape().unwrap();
    let programs = scrape.select("onlooker_program_verified_instructions", &[]);
    programs
        .map(|sample| {
            let count = Some(sample.value as u64).filter(|count| *count > 0);
            (sample.label("program").to_string(), count)
        })
        .collect()
}

/// What one agent said of itself.
struct Found {
    hooks: &'static str,
    /// How many alternatives of each probe were refused to it.
    refused: usize,
    /// Alternative by probe, empty where it is not attached.
    probes: BTreeMap<String, String>,
    verified: BTreeMap<String, Option<u64>>,
    /// `/readyz`.
    ready: String,
}

/// With every way to capture that this kernel has, each probe is attached by an alternative that `/metrics` and `/readyz` name, and
/// by the next when that one is refused; the verifier walked fewer instructions than the limit for each program. `auto` takes
/// the best of the ways.
#[test]
fn every_probe_attaches() {
    need!(Need::Agent);
    let rounds = probes::names().into_iter().map(|name| probes::alternatives(name).len());
    let rounds = rounds.max().unwrap();
    let mut found = Vec::new();
    for (n, &hooks) in hooks().iter().enumerate() {
        for refused in 0..rounds {
            // Without spans: then a program has most to do.
            let agent = start(if n == 0 && refused == 0 { "auto" } else { hooks }, refused);
            let one = Found {
                hooks,
                refused,
                probes: alternatives(&agent),
                verified: verified(&agent),
                ready: agent.get("/readyz", &[]).unwrap().text(),
            };
            say(&format!(
                "--capture.hooks={hooks}, {refused} refused: after {:?} {}{:?}",
                agent.ready_after, one.ready, one.verified
            ));
            found.push(one);
        }
    }
    // Before any of it is judged: of a kernel that is new to us all of it is worth knowing.
    write_facts(&found);
    found.iter().for_each(judge);
}

fn judge(found: &Found) {
    let Found {
        hooks,
        refused,
        probes,
        verified,
        ready,
    } = found;
    assert!(probes.contains_key(*hooks) && probes.len() >= 3, "{hooks}: {probes:?}");
    for (probe, alternative) in probes {
        if ready.contains(&format!("{probe}: not attached, {hooks} is in its place: ")) {
            continue;
        }
        let all = probes::alternatives(probe);
        let place = all.iter().position(|name| name == alternative);
        let place = place.unwrap_or_else(|| panic!("{hooks}: {probe} is not attached as it should be: {ready}"));
        assert!(place >= (*refused).min(all.len() - 1), "{hooks}: {probe}: {ready}");
        let line = format!("{probe}: attached ({alternative})");
        assert!(ready.contains(&line), "{hooks}: {ready}");
    }
    assert!(verified.len() >= probes.len(), "{hooks}: {verified:?}");
    // On kernels that preempt programs every program has a second copy, but for those that cannot.
    let again = |name: &&str| probes::has_copy(name);
    let firsts = verified.keys().map(String::as_str);
    let expect: BTreeSet<&str> = firsts
        .filter(|name| !name.ends_with("_again"))
        .filter(again)
        .map(first)
        .collect();
    let copies = verified.keys().filter_map(|name| name.strip_suffix("_again"));
    assert_eq!(copies.map(first).collect::<BTreeSet<_>>(), expect, "{hooks}");
    for (program, count) in verified {
        assert_eq!(count.is_some(), release() >= (5, 16), "{hooks}: {program}: {count:?}");
        let below = count.is_none_or(|count| count <= limit(program));
        assert!(below, "{hooks}: {program}: {count:?}");
    }
}

/// For `docs/kernels.md`: of each probe every alternative with what became of it, and what the verifier walked for each program.
fn write_facts(found: &[Found]) {
    let Some(file) = std::env::var_os("ONLOOKER_TEST_FACTS") else {
        return;
    };
    let attached = |found: &Found, probe: &str, alternative: &str| {
        let name = found.probes.get(probe);
        name.is_some_and(|name| name == alternative)
    };
    let mut ways = Vec::new();
    for probe in probes::names() {
        for alternative in probes::alternatives(probe) {
            let state = if attached(&found[0], probe, alternative) {
                "first"
            } else if found.iter().any(|found| attached(found, probe, alternative)) {
                "works"
            } else {
                "absent"
            };
            ways.push(json!({"probe": probe, "alternative": alternative, "state": state}));
        }
    }
    let verified: BTreeMap<&String, &Option<u64>> = found.iter().flat_map(|found| &found.verified).collect();
    let limits: BTreeMap<&String, u64> = verified.keys().map(|program| (*program, limit(program))).collect();
    let facts = json!({"ways": ways, "verified": verified, "limits": limits});
    std::fs::write(file, facts.to_string()).unwrap();
}

/// A way to capture that the kernel does not have is not attached when it is asked for, with the reason.
#[test]
fn what_a_kernel_lacks_is_told() {
    need!(Need::Agent);
    for missing in HOOKS.iter().filter(|name| !hooks().contains(name)) {
        let options = Options {
            hooks: Some(missing),
            blind: true,
            ..Options::default()
        };
        let agent = Agent::start(&options).unwrap();
        assert_eq!(alternatives(&agent)[*missing], "", "{missing}");
        let ready = agent.get("/readyz", &[]).unwrap().text();
        assert!(
            ready.contains("socket: not attached") && ready.contains("no tracepoint sock_send_length"),
            "{ready}"
        );
    }
}

/// nginx: answers from memory, and a file by sendfile.
#[test]
fn nginx() {
    need!(Need::Agent, Need::Program("nginx"));
    shared();
    let options = NginxOptions {
        server: "location /ok { return 200 \"ok\\n\"; } location /gone { return 404; } sendfile on; location / { }"
            .into(),
        ..NginxOptions::default()
    };
    let nginx = Nginx::start("short", &options).unwrap();
    std::fs::write(nginx.root.join("file"), vec![b'f'; 100_000]).unwrap();
    let mut connection = Connection::open(&nginx.server.target).unwrap();
    for (path, status) in [("/ok", 200), ("/file", 200), ("/gone", 404), ("/ok", 200)] {
        assert_eq!(connection.exchange("GET", path, b"").unwrap().status, status);
    }
    let log = nginx.server.log.wait(4).unwrap();
    expect(&nginx.server.service, Role::Server, &log);
    expect_body_sizes(&nginx.server.service, Role::Server, &log);
}

/// Python's standard library: threads, and a connection for each request too.
#[test]
fn python() {
    need!(Need::Agent, Need::Program("python3"));
    shared();
    let server = Server::start(Kind::PythonStdlib, "short").unwrap();
    get_many(&server.target, 2, 10, &["/ok", "/status/404"]).unwrap();
    assert_eq!(
        onlooker_tests::http::get(&server.target, "/status/500", &[])
            .unwrap()
            .status,
        500
    );
    let log = server.log.wait(11).unwrap();
    expect(&server.service, Role::Server, &log);
}

/// Some exchanges between the raw programs, both ends of which are reported.
fn between(server: Server) {
    let steps: Vec<Step> = (0..3)
        .flat_map(|n| Step::exchange("GET", &format!("/ok?{n}"), ""))
        .collect();
    let outcome = run_at(server, &steps, 3);
    assert_eq!(outcome.statuses(), [200; 3]);
    outcome.expect_both();
}

/// TCP over IPv4.
#[test]
fn tcp4() {
    need!(Need::Agent);
    between(Server::raw("short4", "127.0.0.1").unwrap());
}

/// TCP over IPv6.
#[test]
fn tcp6() {
    need!(Need::Agent, Need::Ipv6);
    between(Server::raw("short6", "[::1]").unwrap());
}

/// A Unix stream socket.
#[test]
fn unix() {
    need!(Need::Agent);
    let path = std::env::temp_dir().join(format!("{}.sock", unique("short")));
    between(Server::raw_at("shortunix", Target::Unix(path)).unwrap());
}

fn family(name: &str) {
    shared();
    let pair = syscall_pair(name, 10).unwrap();
    let log = pair.server.log.wait(10).unwrap();
    expect(&pair.server.service, Role::Server, &log);
    expect(&pair.client, Role::Client, &pair.asked);
    expect_body_sizes(&pair.server.service, Role::Server, &log);
    expect_body_sizes(&pair.client, Role::Client, &pair.asked);
}

macro_rules! families {
    ($($name:ident $family:literal;)*) => {$(
        #[doc = concat!("Both ends by the calls ", $family, ".")]
        #[test]
        fn $name() {
            need!(Need::Agent);
            family($family);
        }
    )*};
}

families! {
    read_write "read-write";
    readv_writev "readv-writev";
    recvfrom_sendto "recvfrom-sendto";
    recvmsg_sendmsg "recvmsg-sendmsg";
    recvmmsg_sendmmsg "recvmmsg-sendmmsg";
    sendfile "sendfile";
    splice "splice";
}
