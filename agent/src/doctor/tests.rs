//! Checks against hosts that are folders.

use super::*;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const STATUS: &str = "Name:\tonlooker\nNSpid:\t7\nCapEff:\t000001ffffffffff\n";

/// A host on which all is well.
struct Tree {
    dir: TempDir,
    config: Config,
}

impl Tree {
    fn empty() -> Tree {
        let dir = tempfile::tempdir().expect("a folder");
        let host = Host {
            proc: dir.path().join("proc"),
            sys: dir.path().join("sys"),
            root: dir.path().to_owned(),
            own_sys: dir.path().join("own"),
            ..Host::default()
        };
        let config = Config {
            host,
            ..Config::default()
        };
        Tree { dir, config }
    }

    fn new() -> Tree {
        let tree = Tree::empty();
        tree.write("proc/sys/kernel/osrelease", "6.12.1-cloud\n");
        tree.write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
        tree.write("proc/sys/kernel/perf_event_paranoid", "3\n");
        tree.write("proc/self/status", STATUS);
        tree.write("proc/self/uid_map", "         0          0 4294967295\n");
        tree.write(
            "proc/self/timens_offsets",
            "monotonic           0         0\nboottime            0         0\n",
        );
        tree.write(
            "proc/self/limits",
            "Limit Soft Hard Units\nMax locked memory         65536       65536       bytes\n",
        );
        tree.write("proc/self/mounts", "proc /proc proc rw 0 0\n");
        tree.write("proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n");
        tree.link("proc/self/ns/pid", "pid:[4026531836]");
        tree.link("proc/self/ns/user", "user:[4026531837]");
        tree.write("proc/1/cmdline", "init\0");
        tree.write("proc/1/environ", "");
        tree.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        tree.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    fn link(&self, path: &str, to: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        let _ = fs::remove_file(&path);
        symlink(Path::new(to), path).expect("a link");
    }

    fn remove(&self, path: &str) {
        let path = self.dir.path().join(path);
        let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        removed.expect("something to remove");
    }

    fn run(&self, check: fn(&Patient<'_>) -> Vec<Finding>) -> Vec<Finding> {
        self.run_with(check, Err("no probe is tried in this test".to_owned()))
    }

    fn run_with(
        &self,
        check: fn(&Patient<'_>) -> Vec<Finding>,
        trial: Result<Vec<ProbeState>, String>,
    ) -> Vec<Finding> {
        check(&Patient {
            host: &self.config.host,
            config: &self.config,
            problems: &[],
            env: &|_| None,
            trial,
        })
    }

    /// The only finding of a check.
    fn one(&self, check: fn(&Patient<'_>) -> Vec<Finding>) -> Finding {
        let mut findings = self.run(check);
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.remove(0)
    }
}

/// The finding has this verdict and holds these words; what is not well says what is lost and how to mend it.
#[track_caller]
fn expect(finding: &Finding, verdict: Verdict, words: &[&str]) {
    let all = format!(
        "{}: {} / {} / {}",
        finding.name,
        finding.found,
        finding.loses.as_deref().unwrap_or_default(),
        finding.fix.as_deref().unwrap_or_default()
    );
    assert_eq!(finding.verdict, verdict, "{all}");
    for word in words {
        assert!(all.contains(word), "no {word:?} in {all}");
    }
    let mended = finding.loses.is_some() && finding.fix.is_some();
    assert_eq!(mended, verdict != Verdict::Pass, "{all}");
}

fn state(probe: &'static str, alternative: Option<&'static str>) -> ProbeState {
    let known = crate::probes::REGISTRY.iter().find(|known| known.name == probe);
    ProbeState {
        probe,
        group: known.and_then(|known| known.group),
        alternative,
        replaced_by: None,
        loses: if alternative.is_some() { "" } else { "something" },
        reason: alternative.is_none().then(|| "no such tracepoint".to_owned()),
    }
}

#[test]
fn a_host_on_which_all_is_well() {
    let tree = Tree::new();
    let checks = [
        kernel::version,
        kernel::lockdown,
        kernel::tracefs,
        rights::capabilities,
        rights::unprivileged_bpf,
        rights::perf_event_paranoid,
        rights::memlock,
        rights::proc_files,
        spaces::pid,
        spaces::user,
        spaces::time,
        cgroups::version,
        ring::memory,
    ];
    for check in checks {
        for finding in tree.run(check) {
            expect(&finding, Verdict::Pass, &[]);
        }
    }
}

#[test]
fn a_host_of_which_nothing_can_be_read() {
    let mut tree = Tree::empty();
    tree.config.web.listen = vec!["127.0.0.1:0".parse().expect("an address")];
    for check in REGISTRY {
        let findings = tree.run(check.run);
        assert!(!findings.is_empty(), "{}", check.family);
        for finding in &findings {
            expect(finding, finding.verdict, &[]);
        }
    }
    expect(&tree.one(kernel::version), Verdict::Warn, &["not known", "5.8"]);
    expect(&tree.one(spaces::pid), Verdict::Warn, &["not known", "--pid host"]);
}

#[test]
fn an_old_kernel() {
    let tree = Tree::new();
    tree.write("proc/sys/kernel/osrelease", "5.4.0-26-generic\n");
    expect(
        &tree.one(kernel::version),
        Verdict::Fail,
        &["5.4.0-26-generic", "5.8 or later"],
    );
}

#[test]
fn no_types_and_types_of_another_form() {
    let tree = Tree::new();
    let findings = tree.run(kernel::types);
    expect(&findings[0], Verdict::Fail, &["CONFIG_DEBUG_INFO_BTF=y", "everything"]);
    expect(&findings[1], Verdict::Fail, &["not known"]);
    tree.write("sys/kernel/btf/vmlinux", "no BTF at all, and long enough for a header");
    expect(&tree.run(kernel::types)[0], Verdict::Fail, &["not valid BTF"]);
    // A header of BTF without types: each member is missing.
    let empty = [0xeb9f_u32 | 1 << 16, 24, 0, 0, 0, 0];
    let bytes: Vec<u8> = empty.iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(tree.config.host.sys.join("kernel/btf/vmlinux"), bytes).expect("a file");
    let findings = tree.run(kernel::types);
    expect(&findings[0], Verdict::Pass, &["24 B"]);
    expect(
        &findings[1],
        Verdict::Warn,
        &["task_struct.", "requests and responses", "report"],
    );
}

#[test]
fn lockdown_is_told_and_what_is_not_known_is_not_guessed() {
    let tree = Tree::new();
    tree.write("sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    expect(
        &tree.one(kernel::lockdown),
        Verdict::Fail,
        &["confidentiality", "lockdown=integrity"],
    );
    tree.remove("sys/kernel/security/lockdown");
    let mount = ["not known", "mount -t securityfs"];
    expect(&tree.one(kernel::lockdown), Verdict::Warn, &mount);
    let captures = Ok(vec![state("socket", Some("tp_btf/x"))]);
    expect(
        &tree.run_with(kernel::lockdown, captures)[0],
        Verdict::Pass,
        &["not known", "accepts the programs"],
    );
    let others = Ok(vec![state("process", Some("tp_btf/x"))]);
    expect(&tree.run_with(kernel::lockdown, others)[0], Verdict::Warn, &mount);
    tree.write("sys/kernel/security/lsm", "capability\n");
    expect(&tree.one(kernel::lockdown), Verdict::Pass, &["has none"]);
}

#[test]
fn each_capability_that_is_missing_is_named() {
    let tree = Tree::new();
    let all: u64 = 0x1ff_ffff_ffff;
    let fails = |held: u64| -> Vec<(String, Verdict)> {
        tree.write("proc/self/status", &format!("CapEff:\t{held:016x}\n"));
        let findings = tree.run(rights::capabilities);
        let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
        bad.map(|finding| {
            expect(finding, finding.verdict, &["systemd", "--cap-add", "setcap"]);
            (finding.name.clone(), finding.verdict)
        })
        .collect()
    };
    let (bpf, perfmon, admin, ptrace, read, over) = (1 << 39, 1 << 38, 1 << 21, 1 << 19, 1 << 2, 1 << 1);
    assert_eq!(fails(all), []);
    assert_eq!(fails(bpf | perfmon | ptrace | read), []);
    assert_eq!(fails(admin | ptrace | over), [], "wider ones");
    assert_eq!(fails(all & !bpf & !admin), [("CAP_BPF".to_owned(), Verdict::Fail)]);
    assert_eq!(
        fails(all & !perfmon & !admin),
        [("CAP_PERFMON".to_owned(), Verdict::Fail)]
    );
    assert_eq!(fails(all & !ptrace), [("CAP_SYS_PTRACE".to_owned(), Verdict::Warn)]);
    assert_eq!(
        fails(all & !read & !over),
        [("CAP_DAC_READ_SEARCH".to_owned(), Verdict::Warn)]
    );
    assert_eq!(fails(0).len(), 4);
    tree.remove("proc/self/status");
    expect(&tree.one(rights::capabilities), Verdict::Warn, &["not known"]);
}

#[test]
fn memory_that_may_be_locked_counts_before_5_11() {
    let tree = Tree::new();
    expect(
        &tree.one(rights::memlock),
        Verdict::Pass,
        &["64.0 KiB", "does not count"],
    );
    tree.write("proc/sys/kernel/osrelease", "5.10.0-28-amd64\n");
    expect(&tree.one(rights::memlock), Verdict::Pass, &["CAP_SYS_RESOURCE"]);
    tree.write("proc/self/status", "CapEff:\t000000c000000000\n");
    expect(
        &tree.one(rights::memlock),
        Verdict::Fail,
        &["64.0 KiB", "ulimit -l unlimited"],
    );
    tree.write(
        "proc/self/limits",
        "Max locked memory         unlimited            unlimited            bytes\n",
    );
    expect(&tree.one(rights::memlock), Verdict::Pass, &["enough"]);
}

#[test]
fn namespaces_that_are_not_the_hosts() {
    let tree = Tree::new();
    tree.link("proc/self/ns/pid", "pid:[4026532001]");
    expect(
        &tree.one(spaces::pid),
        Verdict::Warn,
        &["pid:[4026532001]", "--pid host", "names"],
    );
    // The host's /proc seen from inside.
    tree.link("proc/1/ns/pid", "pid:[4026531836]");
    expect(&tree.one(spaces::pid), Verdict::Pass, &[]);
    tree.remove("proc/1/ns/pid");
    tree.write("proc/self/status", "NSpid:\t4711\t7\n");
    expect(&tree.one(spaces::pid), Verdict::Warn, &["not known"]);
    tree.write("proc/2/comm", "kthreadd\n");
    expect(&tree.one(spaces::pid), Verdict::Pass, &[]);
    tree.link("proc/self/ns/user", "user:[4026532007]");
    tree.write("proc/self/uid_map", "         0       1000          1\n");
    expect(&tree.one(spaces::user), Verdict::Fail, &["0 1000 1", "unshare"]);
    tree.write(
        "proc/self/timens_offsets",
        "monotonic      0    0\nboottime   86400         0\n",
    );
    expect(&tree.one(spaces::time), Verdict::Warn, &["boottime 86400 0"]);
}

#[test]
fn cgroups_of_each_version() {
    let tree = Tree::new();
    tree.remove("sys/fs/cgroup/cgroup.controllers");
    expect(
        &tree.one(cgroups::version),
        Verdict::Warn,
        &["none mounted", "mount -t cgroup2"],
    );
    tree.write("sys/fs/cgroup/memory/cgroup.procs", "");
    expect(
        &tree.one(cgroups::version),
        Verdict::Warn,
        &["version 1 alone", "unified"],
    );
    tree.write("sys/fs/cgroup/unified/cgroup.procs", "");
    expect(&tree.one(cgroups::version), Verdict::Pass, &["version 2 at"]);
}

#[test]
fn a_ring_too_large_for_the_host() {
    let tree = Tree::new();
    tree.write("proc/meminfo", "MemAvailable:    60000 kB\n");
    expect(
        &tree.one(ring::memory),
        Verdict::Warn,
        &["8.0 MiB", "58.6 MiB", "--limits.ring-bytes"],
    );
}

#[test]
fn whoever_holds_the_address_is_named() {
    let mut tree = Tree::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    tree.config.web.listen = vec![address.to_string().parse().expect("an address")];
    let line = format!(
        "  0: 0100007F:{:04X} 00000000:0000 0A 0:0 00:0 0 1000 0 99 1\n",
        address.port()
    );
    tree.write("proc/net/tcp", &format!("  sl  local_address\n{line}"));
    expect(
        &tree.one(listen::addresses),
        Verdict::Fail,
        &["not known", "--web.listen-address"],
    );
    tree.link("proc/4711/fd/3", "socket:[99]");
    tree.write("proc/4711/comm", "keeper\n");
    expect(
        &tree.one(listen::addresses),
        Verdict::Fail,
        &["taken by keeper, pid 4711", "stop it"],
    );
    tree.link("proc/4711/exe", "/usr/bin/onlooker (deleted)");
    expect(
        &tree.one(listen::addresses),
        Verdict::Pass,
        &["an agent is running", "4711"],
    );
    drop(listener);
    expect(&tree.one(listen::addresses), Verdict::Pass, &["free"]);
    // The same address twice: the second is in the way of the first.
    let again = tree.config.web.listen[0].clone();
    tree.config.web.listen.push(again);
    let own = std::process::id();
    tree.link(&format!("proc/{own}/fd/3"), "socket:[99]");
    tree.remove("proc/4711");
    let findings = tree.run(listen::addresses);
    expect(&findings[0], Verdict::Pass, &["free"]);
    expect(&findings[1], Verdict::Fail, &["given twice"]);
}

#[test]
fn of_a_group_one_probe_is_enough() {
    let mut tree = Tree::new();
    let all = vec![
        ProbeState {
            replaced_by: Some("syscall"),
            ..state("socket", None)
        },
        state("syscall", Some("tp_btf/sys_exit")),
        state("process", None),
    ];
    let findings = tree.run_with(probes::verdicts, Ok(all));
    expect(
        &findings[0],
        Verdict::Pass,
        &["syscall takes its place", "no such tracepoint"],
    );
    expect(&findings[1], Verdict::Pass, &["tp_btf/sys_exit"]);
    expect(&findings[2], Verdict::Warn, &["would not attach", "something"]);
    tree.config.hooks = crate::config::Hooks::Socket;
    let findings = tree.run_with(probes::verdicts, Ok(vec![state("socket", None)]));
    expect(&findings[0], Verdict::Fail, &["--capture.hooks=auto"]);
    let findings = tree.run(probes::verdicts);
    let names: Vec<&str> = findings.iter().map(|finding| finding.name.as_str()).collect();
    // All that are on by default, and of the group the one that is asked for.
    let tried = crate::probes::REGISTRY
        .iter()
        .filter(|probe| probe.default && probe.name != "syscall");
    let tried: Vec<&str> = tried.map(|probe| probe.name).collect();
    assert_eq!(names, tried, "what would be tried");
    assert!(names.contains(&"socket") && names.contains(&"process"));
    for (finding, words) in findings
        .iter()
        .zip(["no probe is tried", "as socket does", "as socket does"])
    {
        expect(finding, Verdict::Fail, &["would try tp_btf/", words]);
    }
}

#[test]
fn settings_that_are_refused() {
    let tree = Tree::new();
    let problem = Problem {
        place: "--series.ttl".into(),
        what: "\"soon\" is no duration".into(),
    };
    let findings = settings::configuration(&Patient {
        host: &tree.config.host,
        config: &tree.config,
        problems: &[problem],
        env: &|name| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "collector:4318".to_owned()),
        trial: Ok(vec![]),
    });
    expect(
        &findings[0],
        Verdict::Fail,
        &["--series.ttl", "\"soon\" is no duration"],
    );
    expect(&findings[1], Verdict::Fail, &["OTEL_EXPORTER_OTLP_ENDPOINT"]);
}

#[test]
fn the_report_as_text() {
    let tree = Tree::new();
    let patient = Patient {
        host: &tree.config.host,
        config: &tree.config,
        problems: &[],
        env: &|_| None,
        trial: Err("word ".repeat(60)),
    };
    let report = report::of(&patient);
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Fail, 2));
    let text = report.text(false);
    assert!(
        text.lines()
            .all(|line| line.chars().count() <= 100 && line.trim_end() == line),
        "{text}"
    );
    assert!(text.starts_with(concat!(
        "onlooker ",
        env!("CARGO_PKG_VERSION"),
        " doctor, Linux 6.12.1-cloud\n"
    )));
    assert!(!text.contains('\x1b') && report.text(true).contains("\x1b[31mFAIL\x1b[0m"));
    let failed = report.count(Verdict::Fail);
    assert!(text.contains(&format!("\nFAIL: {failed} failed, ")), "{text}");
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["checks"][0]["family"], "settings");
    assert_eq!(json["checks"][0]["verdict"], "PASS");
    assert_eq!(json["probes"][0]["alternative"], serde_json::Value::Null);
    assert!(json["services"].is_array());
}
