//! What `cargo xtask dist` makes, as the documents say that it is installed and started. `cargo xtask dist --smoke` runs all of it on the
//! package and the image that it made (`ONLOOKER_DIST`, their folder); without them a root file system of the release program stands for
//! the image.

use anyhow::{Context, Result, ensure};
use onlooker_tests::agent::scrape_of;
use onlooker_tests::http::{self, Target};
use onlooker_tests::load::get_many;
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::process::{Program, free_port, output};
use onlooker_tests::require::{Need, agent_program, say, source_dir, which};
use onlooker_tests::servers::{Kind, Server};
use onlooker_tests::wait;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

#[path = "dist/quickstart.rs"]
mod quickstart;

/// CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_PERFMON and CAP_BPF as bits (include/uapi/linux/capability.h).
const FOUR: u64 = 1 << 2 | 1 << 19 | 1 << 38 | 1 << 39;
const READY: Duration = Duration::from_secs(60);

/// A file of `ONLOOKER_DIST` with this ending, for this machine.
fn made(ending: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("ONLOOKER_DIST")?;
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        _ => "arm64",
    };
    let mut paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = paths.find(|path| path.to_str().unwrap().ends_with(&format!("{arch}{ending}")));
    Some(found.unwrap_or_else(|| panic!("`cargo xtask dist` made no {arch}{ending}")))
}

/// The words of the one command of `docs/install.md` that begins so, with its lines joined.
fn documented(beginning: &str) -> Vec<String> {
    let text = fs::read_to_string(source_dir().join("../docs/install.md")).unwrap();
    let joined = text.replace("\\\n", " ");
    let mut lines = joined.lines().filter_map(|line| line.strip_prefix("# "));
    let line = lines.find(|line| line.starts_with(beginning));
    let line = line.unwrap_or_else(|| panic!("docs/install.md has no command {beginning:?}"));
    assert!(!line.contains(['\'', '"', '$']), "{line}");
    line.split_whitespace().map(str::to_owned).collect()
}

/// containerd with folders of its own.
struct Containerd {
    socket: PathBuf,
    _program: Program,
    dir: TempDir,
}

impl Containerd {
    fn start() -> Result<Containerd> {
        let dir = TempDir::new()?;
        let at = |name: &str| dir.path().join(name);
        let socket = at("socket");
        // What serves Kubernetes wants networks of its own.
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            socket
        );
        fs::write(at("config.toml"), config)?;
        let mut command = Command::new(which("containerd").context("containerd")?);
        command.arg("--config").arg(at("config.toml")).stdout(Stdio::null());
        let mut program = Program::start("containerd", command)?;
        wait::until("containerd", READY, || {
            program.check_alive()?;
            ctr(&socket, &["version"]).map(drop)
        })?;
        Ok(Containerd {
            socket,
            _program: program,
            dir,
        })
    }
}

/// Runs `ctr`, the client of containerd, which reads the address from its environment.
fn ctr(socket: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new(which("ctr").context("ctr")?);
    command.args(args).env("CONTAINERD_ADDRESS", socket);
    output(command)
}

/// A running container of ours; killed when dropped, as containerd does not do it.
struct Container<'a> {
    containerd: &'a Containerd,
    id: &'a str,
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = ctr(&self.containerd.socket, &["task", "delete", "--force", self.id]);
        let _ = ctr(&self.containerd.socket, &["container", "delete", self.id]);
    }
}

/// The release program with the libraries that it asks for.
fn file_system(folder: &Path) -> Result<()> {
    let program = agent_program().context("the agent is not built")?;
    let put = |from: &Path, to: &str| -> Result<()> {
        let to = folder.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a folder")?)?;
        fs::copy(from, &to).with_context(|| format!("copy of {}", from.display()))?;
        Ok(())
    };
    put(&program, "/usr/bin/onlooker")?;
    let mut command = Command::new("ldd");
    command.arg(&program);
    // Of a static program it says so and fails.
    let list = output(command).unwrap_or_default();
    for path in list.split_whitespace().filter(|word| word.starts_with('/')) {
        put(Path::new(path), path)?;
    }
    for mount in [
        "host/proc",
        "host/sys",
        "host/root",
        "var/lib/onlooker",
        "proc",
        "sys",
        "dev",
    ] {
        fs::create_dir_all(folder.join(mount))?;
    }
    Ok(())
}

/// What an integration test asks of every agent, by a server of the host.
fn sees_the_host(web: &Target) -> Scrape {
    assert_eq!(http::get(web, "/healthz", &[]).unwrap().status, 200);
    let server = Server::start(Kind::PythonStdlib, "dist").unwrap();
    get_many(&server.target, 2, 40, &["/ok", "/status/503"]).unwrap();
    let scrape = wait::until("the requests", wait::SOON, || {
        let scrape = scrape_of(web)?;
        let seen = scrape.sum(
            "http_server_request_duration_seconds_count",
            &[("service_name", &server.service)],
        );
        ensure!(seen == 40.0, "{seen} of 40 requests of {}", server.service);
        Ok(scrape)
    });
    let scrape = scrape.unwrap();
    let failed = [("service_name", server.service.as_str()), ("error_type", "503")];
    assert_eq!(scrape.sum("http_server_request_duration_seconds_count", &failed), 20.0);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let total: f64 = total.trim().trim_end_matches(" kB").parse().unwrap();
    assert_eq!(scrape.sum("node_memory_MemTotal_bytes", &[]), total * 1024.0);
    for family in [
        "node_cpu_seconds_total",
        "node_load1",
        "node_network_receive_bytes_total",
    ] {
        assert!(scrape.has(family, &[]), "{family}");
    }
    assert_eq!(scrape.sum("onlooker_capability_held", &[]), 4.0);
    scrape
}

/// Whether a file system is mounted at a path of the host, as a container with the host's root sees it.
fn tells_file_systems(scrape: &Scrape) {
    let sized = |point: &str| scrape.has("node_filesystem_size_bytes", &[("mountpoint", point)]);
    assert!(sized("/"), "the host's root is not among the file systems");
}

/// The command of the document: it has no other capability than the four, its files are read-only, and it sees the host.
#[test]
fn the_documented_container_sees_the_host() {
    need!(
        Need::Agent,
        Need::Program("containerd"),
        Need::Program("ctr"),
        Need::Program("runc"),
        Need::Program("python3")
    );
    let containerd = Containerd::start().unwrap();
    let port = free_port();
    let web = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let state = containerd.dir.path().join("state-of-onlooker");
    fs::create_dir(&state).unwrap();
    let log = containerd.dir.path().join("log");
    let place = |word: &str| {
        word.replace("src=/var/lib/onlooker,", &format!("src={},", state.display()))
            .replace("file:///var/log/onlooker.log", &format!("file://{}", log.display()))
    };
    let words: Vec<String> = documented("ctr run ").iter().map(|word| place(word)).collect();
    let image = words.iter().position(|word| word.starts_with("localhost/")).unwrap();
    let mut args: Vec<String> = words[1..].to_vec();
    match made(".oci.tar") {
        Some(archive) => {
            let told = ctr(&containerd.socket, &["image", "import", archive.to_str().unwrap()]).unwrap();
            assert!(told.contains(words[image].as_str()), "{told}");
        }
        None => {
            say("the release program stands for the image");
            let root = containerd.dir.path().join("image");
            file_system(&root).unwrap();
            args[image - 1] = root.to_str().unwrap().to_owned();
            args.insert(1, "--rootfs".to_owned());
        }
    }
    args.push(format!("--web.listen-address=127.0.0.1:{port}"));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let container = Container {
        containerd: &containerd,
        id: &words[image + 1],
    };
    ctr(&containerd.socket, &args).unwrap();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let ready = wait::until("readiness of the container", READY, || {
        let ready = http::get(&web, "/readyz", &[])?;
        ensure!(ready.status == 200, "{}", ready.text());
        Ok(())
    });
    ready.unwrap_or_else(|error| panic!("{error:#}; it said: {}", said()));

    let tasks = ctr(&containerd.socket, &["task", "list"]).unwrap();
    let of_ours = |line: &&str| line.split_whitespace().next() == Some(container.id);
    let line = tasks.lines().find(of_ours).unwrap();
    let pid: u32 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    has_the_four(&status, &["CapPrm:", "CapEff:", "CapBnd:"]);
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let writable: Vec<&str> = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields[5].split(',').all(|option| option != "ro"))
        .map(|fields| fields[4])
        .filter(|point| !["/proc", "/dev", "/run"].iter().any(|own| point.starts_with(own)))
        .collect();
    assert_eq!(writable, ["/var/lib/onlooker"], "{mounts}");

    tells_file_systems(&sees_the_host(&web));
    assert!(!said().contains("panicked"), "{}", said());
    ctr(
        &containerd.socket,
        &["task", "kill", "--signal", "SIGTERM", container.id],
    )
    .unwrap();
    wait::until("the end of the container", wait::SOON, || {
        let tasks = ctr(&containerd.socket, &["task", "list"])?;
        ensure!(tasks.contains("STOPPED"), "{tasks}");
        Ok(())
    })
    .unwrap();
}

/// A shell in a mount namespace of its own whose `$root` is this machine's, with a file system of memory over it; `$1` is the folder.
fn throw_away(folder: &Path, then: &str) -> Command {
    let script = format!(
        "set -e
        mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work /mnt/root
        mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work none /mnt/root
        root=/mnt/root
        mkdir \"$root/out\"
        {then}"
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(folder)
        .stdout(Stdio::null());
    command
}

/// Waits until an agent is ready, or says why its program ended.
fn wait_ready(program: &mut Program, web: &Target) {
    let ready = wait::until("readiness", READY, || {
        if let Err(ended) = program.check_alive() {
            return Ok(Err(ended));
        }
        let ready = http::get(web, "/readyz", &[])?;
        ensure!(ready.status == 200, "{}", ready.text());
        Ok(Ok(()))
    });
    ready
        .and_then(|ready| ready)
        .unwrap_or_else(|error| panic!("{error:#}: {}", program.stderr()));
}

/// The sets of capabilities in a `/proc/PID/status` are the four and no others.
fn has_the_four(status: &str, sets: &[&str]) {
    for set in sets {
        let held = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        assert_eq!(u64::from_str_radix(held.trim(), 16).unwrap(), FOUR, "{set}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

/// Installs the package into a root that is this machine's with a file system of memory over it, and starts there what the document says
/// for hosts without systemd. It is enabled where systemd would look for it.
#[test]
#[ignore = "needs the package that `cargo xtask dist` makes: `cargo xtask dist --smoke`"]
fn the_package_installs_and_its_command_runs() {
    need!(
        Need::Agent,
        Need::Program("dpkg"),
        Need::Program("unshare"),
        Need::Program("python3")
    );
    let package = made(".deb").expect("`cargo xtask dist --smoke` says where the package is");
    let text = fs::read_to_string(source_dir().join("../docs/install.md")).unwrap();
    let start = "onlooker --config.file=/etc/onlooker/onlooker.yaml";
    assert!(
        text.contains(&format!("`{start}`")),
        "docs/install.md starts it otherwise"
    );
    assert_eq!(documented("dpkg --install")[..2], ["dpkg", "--install"]);
    let dir = TempDir::new().unwrap();
    let port = free_port();
    let inside = format!(
        "set -e
        dpkg --install /out/package.deb >&2
        test -L /etc/systemd/system/multi-user.target.wants/onlooker.service
        onlooker check-config --config.file=/etc/onlooker/onlooker.yaml >&2
        dpkg --verify onlooker >&2
        test -f /usr/share/doc/onlooker/deploy/prometheus/prometheus.yml
        test -f /usr/share/onlooker/docs/runbooks/ServiceErrors.md
        exec {start} --web.listen-address=127.0.0.1:{port} --summary=never"
    );
    fs::copy(&package, dir.path().join("package.deb")).unwrap();
    fs::write(dir.path().join("inside"), inside).unwrap();
    let chroot = "for folder in proc sys dev; do mount --rbind \"/$folder\" \"$root/$folder\"; done
        mount --bind \"$1\" \"$root/out\"
        exec chroot \"$root\" sh /out/inside";
    let mut program = Program::start("package", throw_away(dir.path(), chroot)).unwrap();
    let web = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    wait_ready(&mut program, &web);
    sees_the_host(&web);
    program.signal(libc::SIGTERM);
    let end = program.wait(wait::SOON).unwrap();
    assert!(end.success(), "{end}: {}", program.last_words());
}

/// The same where systemd runs: booted in namespaces of its own, it starts the unit as a user that is nobody else, with what the unit
/// leaves it, and stops it; the package goes and leaves nothing.
#[test]
#[ignore = "needs the package that `cargo xtask dist` makes: `cargo xtask dist --smoke`"]
fn systemd_starts_the_unit_of_the_package() {
    need!(
        Need::Agent,
        Need::Program("dpkg"),
        Need::Program("unshare"),
        Need::Program("systemd-nspawn")
    );
    let package = made(".deb").expect("`cargo xtask dist --smoke` says where the package is");
    let start = documented("systemctl start");
    assert_eq!(start[..3], ["systemctl", "start", "onlooker"]);
    let dir = TempDir::new().unwrap();
    let port = free_port();
    fs::copy(&package, dir.path().join("package.deb")).unwrap();
    let inside = format!(
        "exec >/out/log 2>&1
        set -ex
        dpkg --install /out/package.deb
        sed -i 's/127.0.0.1:9100/127.0.0.1:{port}/' /etc/onlooker/onlooker.yaml
        systemctl start onlooker
        until curl -s -f -o /dev/null http://127.0.0.1:{port}/readyz; do sleep 0.2; done
        cat \"/proc/$(systemctl show --property MainPID --value onlooker)/status\" > /out/status
        systemd-analyze security onlooker > /out/score
        systemctl restart onlooker
        systemctl is-active onlooker
        systemctl stop onlooker
        systemctl show --property Result --value onlooker > /out/result
        dpkg --purge onlooker
        test ! -e /etc/onlooker
        test ! -e /var/lib/onlooker
        test ! -e /var/lib/private/onlooker
        touch /out/end"
    );
    fs::write(dir.path().join("inside"), inside).unwrap();
    let unit = "[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nExecStart=/bin/sh /out/inside\nExecStopPost=/bin/systemctl poweroff\n";
    fs::write(dir.path().join("unit"), unit).unwrap();
    // What this machine starts is not wanted there.
    let boot = "cp \"$1/unit\" \"$root/etc/systemd/system/onlooker-try.service\"
        : > \"$root/etc/machine-id\"
        SYSTEMD_SECCOMP=0 exec systemd-nspawn --quiet --directory=\"$root\" --bind=\"$1:/out\" --register=no --keep-unit --console=pipe \
            --machine=onlooker-try --capability=CAP_BPF,CAP_PERFMON,CAP_SYS_PTRACE --boot -- \
            systemd.unit=basic.target systemd.wants=onlooker-try.service";
    let mut program = Program::start("systemd", throw_away(dir.path(), boot)).unwrap();
    let end = program.wait(Duration::from_secs(120)).unwrap();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    assert!(
        dir.path().join("end").exists(),
        "{end}: {}\n{}",
        read("log"),
        program.last_words()
    );
    let status = read("status");
    has_the_four(&status, &["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"]);
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let user: u32 = user.split_whitespace().next().unwrap().parse().unwrap();
    // Where systemd takes dynamic users from.
    assert!((61184..=65519).contains(&user), "{user}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(read("result").trim(), "success", "{}", read("log"));
    let score = read("score");
    let told = score.lines().rfind(|line| line.contains("exposure level")).unwrap();
    say(told.trim());
}
