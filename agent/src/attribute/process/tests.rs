mod pods;
mod real;
mod sweep;

use super::counts::ProcessNumbers;
use super::reader::TICK;
use super::*;
use crate::metric::{Encoder, Family, Source, Value};
use std::path::Path;

const SECOND: Nanos = 1_000_000_000;

/// A made-up `/proc`.
struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Proc {
        Proc(tempfile::tempdir().expect("a folder"))
    }
    fn dir(&self, pid: u32) -> std::path::PathBuf {
        self.0.path().join("proc").join(pid.to_string())
    }
    fn host(&self) -> Host {
        Host {
            proc: self.0.path().join("proc"),
            sys: self.0.path().join("sys"),
            root: self.0.path().to_owned(),
            ..Host::default()
        }
    }
    fn add(&self, key: ProcessKey, exe: &str, args: &str, environ: &str, cgroup: &str) {
        let dir = self.dir(key.pid);
        std::fs::create_dir_all(&dir).expect("a folder");
        let comm = Path::new(exe)
            .file_name()
            .map_or("", |name| name.to_str().expect("text"));
        let start = key.start / TICK;
        let stat = format!(
            "{} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0\n",
            key.pid
        );
        std::fs::write(dir.join("stat"), stat).expect("stat");
        std::fs::write(dir.join("cmdline"), args.replace(' ', "\0") + "\0").expect("cmdline");
        std::fs::write(dir.join("environ"), environ.replace(' ', "\0") + "\0").expect("environ");
        std::fs::write(dir.join("cgroup"), cgroup).expect("cgroup");
        std::os::unix::fs::symlink(exe, dir.join("exe")).expect("exe");
    }
    fn remove(&self, key: ProcessKey) {
        std::fs::remove_dir_all(self.dir(key.pid)).expect("a process");
    }
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start: u64::from(pid) * SECOND + 1,
    }
}

fn exec<'a>(key: ProcessKey, filename: &'a str, args: &'a str) -> ProcessSignal<'a> {
    ProcessSignal {
        at: SECOND,
        process: key,
        event: ProcessEvent::Exec {
            ppid: 1,
            uid: 0,
            cgroup: 77,
            comm: b"comm",
            filename: filename.as_bytes(),
            args: args.as_bytes(),
            environ: b"",
        },
    }
}

fn fork(parent: ProcessKey, child: ProcessKey) -> ProcessSignal<'static> {
    ProcessSignal {
        at: SECOND,
        process: child,
        event: ProcessEvent::Fork { parent },
    }
}

fn exit(key: ProcessKey, at: Nanos) -> ProcessSignal<'static> {
    ProcessSignal {
        at,
        process: key,
        event: ProcessEvent::Exit { code: 0 },
    }
}

fn processes(host: Host, limit: usize) -> Processes {
    let config = ProcessesConfig {
        limit,
        ..ProcessesConfig::default()
    };
    Processes::new(host, config)
}

fn numbers(processes: &Processes) -> ProcessNumbers {
    processes.counts().numbers()
}

#[test]
fn a_known_service_is_handed_out_again_without_reading() {
    let proc = Proc::new();
    proc.add(
        key(5),
        "/usr/sbin/nginx",
        "nginx: worker",
        "",
        "0::/system.slice/web.service\n",
    );
    let mut processes = processes(proc.host(), 8);
    let service = processes.service(key(5));
    assert_eq!(&*service.name, "web");
    proc.remove(key(5));
    assert!(Arc::ptr_eq(&service, &processes.service(key(5))));
    assert_eq!(processes.facts(key(5)).program.exe_name.as_deref(), Some("nginx"));
}

#[test]
fn only_an_exec_of_a_process_that_was_named_renames() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 64);
    processes.signal(&exec(key(5), "/srv/shop", "shop\0"));
    processes.signal(&fork(key(5), key(6)));
    processes.signal(&exit(key(6), SECOND));
    assert!(!processes.take_renamed(), "nobody asked for their service");
    processes.service(key(5));
    processes.signal(&exec(key(7), "/bin/true", "true\0"));
    processes.signal(&exit(key(7), SECOND));
    processes.expire(2 * SECOND);
    assert!(!processes.take_renamed(), "other processes");
    processes.signal(&exec(key(5), "/srv/bank", "bank\0"));
    assert!(processes.take_renamed());
    assert!(!processes.take_renamed(), "told once");
    assert_eq!(&*processes.service(key(5)).name, "bank");
}

#[test]
fn facts_of_a_reused_pid_are_not_taken() {
    let proc = Proc::new();
    proc.add(key(5), "/usr/bin/thief", "thief", "OTEL_SERVICE_NAME=thief", "0::/\n");
    let old = ProcessKey {
        pid: 5,
        start: 3 * SECOND,
    };
    let mut processes = processes(proc.host(), 8);
    assert_eq!(&*processes.service(old).name, "unknown");
    assert_eq!(&*processes.service(key(5)).name, "thief");
    processes.signal(&exec(old, "/srv/shop", "shop\0"));
    assert_eq!(&*processes.service(old).name, "shop");
}

#[test]
fn an_exec_names_a_process_that_nobody_could_look_at() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 64);
    let mut check = |pid, filename: &str, args: &str, name: &str| {
        processes.signal(&exec(key(pid), filename, args));
        assert_eq!(&*processes.service(key(pid)).name, name, "{filename} {args}");
    };
    check(1, "/usr/bin/curl", "curl\0http://x/\0", "curl");
    check(2, "/usr/bin/python3", "python3\0/srv/app.py\0", "app");
    check(3, "/srv/shop.py", "/usr/bin/python3\0/srv/shop.py\0", "shop");
    check(4, "", "", "comm");
    check(5, "/proc/self/fd/6", "runc\0init\0", "runc");
    check(6, &"/x".repeat(128), "long\0", "long");
    check(7, "relative/shop", "", "shop");
}

#[test]
fn without_the_right_to_read_the_executable_an_exec_names_the_program() {
    let proc = Proc::new();
    for pid in [5, 6] {
        proc.add(key(pid), "/srv/shop", "something-else", "", "0::/\n");
        std::fs::remove_file(proc.dir(pid).join("exe")).expect("exe");
    }
    let mut processes = processes(proc.host(), 8);
    processes.signal(&exec(key(5), "/srv/shop", "something-else"));
    assert_eq!(&*processes.service(key(5)).name, "shop");
    assert_eq!(
        &*processes.service(key(6)).name,
        "something-else",
        "older than the agent"
    );
}

#[test]
fn an_exec_makes_another_service_of_the_same_process() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 8);
    processes.signal(&exec(key(5), "/bin/sh", "sh\0run.sh\0"));
    assert_eq!(&*processes.service(key(5)).name, "run");
    processes.signal(&exec(key(5), "/srv/shop", "shop\0"));
    assert_eq!(&*processes.service(key(5)).name, "shop");
}

#[test]
fn a_worker_is_its_masters_service_until_it_execs() {
    let proc = Proc::new();
    let unit = "0::/system.slice/x.service\n";
    proc.add(
        key(5),
        "/usr/bin/python3",
        "gunicorn shop:app",
        "OTEL_SERVICE_NAME=orders",
        unit,
    );
    let mut processes = processes(proc.host(), 8);
    let master = processes.service(key(5));
    // The worker's own environment lies below its title.
    proc.add(key(6), "/usr/bin/python3", "gunicorn:worker", "", "0::/\n");
    processes.signal(&fork(key(5), key(6)));
    let worker = processes.service(key(6));
    assert_eq!((&*master.name, &*worker.name), ("orders", "orders"));
    assert_ne!(master.resource, worker.resource);
    processes.signal(&exec(key(6), "/bin/true", "true\0"));
    assert_eq!(&*processes.service(key(6)).name, "python3");
    assert_eq!(&*processes.service(key(5)).name, "orders");
}

#[test]
fn a_worker_of_multiprocessing_is_its_parents_script() {
    let proc = Proc::new();
    // The parent's pid in the made-up stat is 1.
    let master = ProcessKey { pid: 1, start: 7 };
    proc.add(
        master,
        "/usr/bin/python3",
        "python3 /usr/bin/uvicorn main:app",
        "",
        "0::/\n",
    );
    let worker = "python3 -c code --multiprocessing-fork";
    proc.add(key(6), "/usr/bin/python3", worker, "", "0::/\n");
    proc.add(key(7), "/usr/bin/python3", worker, "", "0::/\n");
    proc.add(key(8), "/usr/bin/python3", "python3 -c code", "", "0::/\n");
    let mut processes = processes(proc.host(), 8);
    assert_eq!(&*processes.service(key(6)).name, "main");
    processes.signal(&fork(master, key(7)));
    processes.signal(&exec(
        key(7),
        "/usr/bin/python3",
        "python3\0-c\0code\0--multiprocessing-fork\0",
    ));
    assert_eq!(&*processes.service(key(7)).name, "main");
    assert_eq!(&*processes.service(key(8)).name, "python3");
}

#[test]
fn a_child_that_is_gone_has_the_facts_its_parent_had() {
    let proc = Proc::new();
    proc.add(key(5), "/srv/shop", "shop", "", "0::/\n");
    let mut processes = processes(proc.host(), 16);
    // Of a parent that nobody asked for, of its child, and of a parent in the table.
    processes.signal(&fork(key(5), key(6)));
    processes.signal(&fork(key(6), key(7)));
    assert_eq!(&*processes.service(key(7)).name, "shop");
    assert_eq!(&*processes.service(key(6)).name, "shop");
    // Of a parent that became another program since.
    proc.add(key(8), "/srv/later", "later", "", "0::/\n");
    processes.signal(&fork(key(8), key(9)));
    processes.signal(&exec(key(8), "/srv/later", "later\0"));
    assert_eq!(&*processes.service(key(9)).name, "unknown");
}

#[test]
fn a_cgroup_seen_before_places_a_process_that_is_gone() {
    let proc = Proc::new();
    proc.add(key(5), "/srv/shop", "shop", "", "0::/system.slice/web.service\n");
    let mut processes = processes(proc.host(), 8);
    processes.signal(&exec(key(5), "/srv/shop", "shop\0"));
    processes.signal(&exec(key(6), "/bin/sh", "sh\0"));
    assert_eq!(&*processes.service(key(6)).name, "web");
}

#[test]
fn the_id_of_a_cgroup_is_learnt_from_its_folder() {
    use std::os::unix::fs::MetadataExt;
    let proc = Proc::new();
    let folder = proc.host().sys.join("fs/cgroup/system.slice/web.service");
    std::fs::create_dir_all(&folder).expect("folders");
    proc.add(key(5), "/srv/shop", "shop", "", "0::/system.slice/web.service\n");
    let mut processes = processes(proc.host(), 8);
    processes.service(key(5));
    let mut signal = exec(key(6), "/bin/sh", "sh\0");
    if let ProcessEvent::Exec { cgroup, .. } = &mut signal.event {
        *cgroup = std::fs::metadata(&folder).expect("a folder").ino();
    }
    processes.signal(&signal);
    assert_eq!(&*processes.service(key(6)).name, "web");
}

#[test]
fn facts_outlive_their_process_for_the_grace_time() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 8);
    processes.signal(&exec(key(5), "/srv/shop", "shop\0"));
    processes.signal(&exit(key(5), 2 * SECOND));
    processes.signal(&exit(key(5), 3 * SECOND));
    processes.expire(30 * SECOND);
    assert_eq!(&*processes.service(key(5)).name, "shop");
    assert_eq!((numbers(&processes).live, numbers(&processes).ended), (0, 1));
    processes.expire(33 * SECOND);
    assert_eq!(numbers(&processes), ProcessNumbers::default());
    assert_eq!(&*processes.service(key(5)).name, "unknown");
}

#[test]
fn a_full_table_gives_up_the_ended_first_and_then_the_least_used() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 4);
    for pid in 1..=4 {
        proc.add(key(pid), "/srv/old", "old", "", "0::/\n");
        processes.service(key(pid));
    }
    processes.signal(&exit(key(3), SECOND));
    for pid in 1..=4 {
        proc.remove(key(pid));
        proc.add(key(pid), "/srv/new", "new", "", "0::/\n");
    }
    proc.add(key(5), "/srv/old", "old", "", "0::/\n");
    proc.add(key(6), "/srv/old", "old", "", "0::/\n");
    processes.service(key(5));
    assert_eq!(
        (numbers(&processes).evicted, processes.table.contains_key(&key(3))),
        (1, false)
    );
    processes.service(key(1));
    processes.service(key(6));
    assert_eq!((numbers(&processes).evicted, processes.table.len()), (2, 4));
    // 2 was the least used: it alone is read again.
    assert!(!processes.table.contains_key(&key(2)));
    assert_eq!(&*processes.service(key(1)).name, "old");
    assert_eq!(&*processes.service(key(2)).name, "new");
}

#[test]
fn the_ended_keep_at_most_a_quarter_of_the_table() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 40);
    for pid in 1..=30 {
        processes.signal(&fork(key(999), key(pid)));
        processes.signal(&exit(key(pid), SECOND));
    }
    let numbers = numbers(&processes);
    assert_eq!((numbers.live, numbers.ended, numbers.evicted), (0, 10, 20));
}

#[test]
fn a_storm_of_forks_is_bounded_and_counted() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 64);
    for pid in 1..=10_000 {
        processes.signal(&fork(key(20_000), key(pid)));
        assert!(processes.table.len() <= 64);
    }
    let numbers = numbers(&processes);
    assert_eq!(numbers.live + numbers.ended + numbers.evicted, 10_000);
}

#[test]
fn a_storm_of_execs_is_read_within_its_budget_and_the_rest_on_demand() {
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 1024);
    for pid in 1..=300 {
        proc.add(key(pid), "/srv/shop", "shop", "OTEL_SERVICE_NAME=read", "0::/\n");
        processes.signal(&exec(key(pid), "/srv/shop", "shop\0"));
    }
    assert_eq!(numbers(&processes).deferred, 100);
    let read = processes.table.values().filter(|entry| entry.looked).count();
    assert_eq!(read, 200);
    assert_eq!(&*processes.service(key(300)).name, "read");
}

#[test]
fn a_file_that_cannot_be_read_is_counted_and_the_others_are_used() {
    let proc = Proc::new();
    proc.add(key(5), "/srv/shop", "shop", "", "0::/\n");
    std::fs::remove_file(proc.dir(5).join("environ")).expect("a file");
    std::fs::create_dir(proc.dir(5).join("environ")).expect("a folder in its place");
    let mut processes = processes(proc.host(), 8);
    assert_eq!(&*processes.service(key(5)).name, "shop");
    assert_eq!(numbers(&processes).read_errors, 1);
}

#[test]
fn a_kernel_thread_is_its_comm() {
    let proc = Proc::new();
    proc.add(key(5), "/kworker", "", "", "0::/\n");
    std::fs::write(proc.dir(5).join("cmdline"), "").expect("cmdline");
    std::fs::remove_file(proc.dir(5).join("exe")).expect("exe");
    let mut processes = processes(proc.host(), 8);
    assert_eq!(&*processes.service(key(5)).name, "kworker");
}

#[test]
fn numbers_are_series() {
    struct Names(Vec<String>);
    impl Encoder for Names {
        fn family(&mut self, family: &Family) {
            self.0.push(family.name.to_string());
        }
        fn sample(&mut self, labels: &[(&str, &str)], value: Value<'_>) {
            let Value::Number(value) = value else {
                panic!("a number")
            };
            self.0.push(format!("{labels:?} {value}"));
        }
    }
    let proc = Proc::new();
    let mut processes = processes(proc.host(), 8);
    processes.signal(&fork(key(1), key(2)));
    let mut names = Names(Vec::new());
    processes.counts().collect(&mut names);
    let expect = [
        "onlooker_processes",
        "[(\"state\", \"live\")] 1",
        "[(\"state\", \"exited\")] 0",
    ];
    assert_eq!(names.0[..3], expect);
}

proptest::proptest! {
    #[test]
    fn whatever_happens_the_table_stays_bounded_and_whole(
        steps in proptest::collection::vec((0..5u8, 1..12u32, 1..12u32), 0..80),
    ) {
        let proc = Proc::new();
        let mut processes = processes(proc.host(), 8);
        for (at, (step, a, b)) in (0u64..).zip(steps) {
            let at = at * SECOND;
            match step {
                0 => processes.signal(&fork(key(a), key(b))),
                1 => processes.signal(&exec(key(a), "/srv/shop", "shop\0")),
                2 => processes.signal(&exit(key(a), at)),
                3 => processes.expire(at),
                _ => assert!(!processes.service(key(a)).name.is_empty()),
            }
            let ended = processes.table.values().filter(|entry| entry.ended).count();
            assert!(processes.table.len() <= 8 && ended <= 2, "{} {ended}", processes.table.len());
            assert_eq!(ended, processes.ended.len());
            assert!(processes.ended.iter().all(|(_, key)| processes.table.contains_key(key)));
            assert_eq!(numbers(&processes).live as usize + ended, processes.table.len());
        }
    }
}

#[test]
fn one_that_was_known_to_the_tick_keeps_its_name_at_its_end() {
    let proc = Proc::new();
    let exact = key(5);
    let rough = ProcessKey {
        start: exact.start / TICK * TICK,
        ..exact
    };
    assert_ne!(exact, rough);
    proc.add(exact, "/usr/sbin/nginx", "nginx", "", "0::/system.slice/web.service\n");
    let mut processes = processes(proc.host(), 8);
    assert_eq!(&*processes.service(rough).name, "web");
    proc.remove(exact);
    processes.signal(&exit(exact, SECOND));
    assert_eq!(&*processes.service(exact).name, "web");
    assert!(processes.gone(exact) && processes.gone(rough));
    processes.expire(ProcessesConfig::default().grace + SECOND);
    assert_eq!((numbers(&processes).live, numbers(&processes).ended), (0, 0));
}
