//! Real servers, each with a service name, a folder and an access log of its own.

use crate::http::Target;
use crate::load::Load;
use crate::process::{Program, copy_as, free_port, output, unique};
use crate::require::{Need, own_program, source_dir, target_dir, which};
use crate::steps::{Answer, Step};
use crate::truth::{AccessLog, Counts, Request};
use anyhow::{Context, Result, anyhow};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Versions are pinned so that a failure is ours.
const PYTHON_PACKAGES: &str = include_str!("programs/python/requirements.txt");

/// Servers written in a language's own way; all know the same paths (see `programs/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Python `ThreadingHTTPServer`, HTTP/1.1.
    PythonStdlib,
    /// The same in HTTP/1.0.
    PythonHttp10,
    /// Flask under werkzeug's threaded server.
    Werkzeug,
    /// Flask under gunicorn's gthread worker.
    Gunicorn,
    /// aiohttp.
    Aiohttp,
    /// Node's `http`.
    Node,
    /// Go's `net/http`.
    Go,
}

impl Kind {
    /// One of each language, for what is the same in all of them.
    pub const LANGUAGES: [Kind; 3] = [Kind::PythonStdlib, Kind::Node, Kind::Go];

    /// What it needs of the machine.
    pub fn need(self) -> Need {
        match self {
            Kind::PythonStdlib | Kind::PythonHttp10 => Need::Program("python3"),
            Kind::Werkzeug | Kind::Gunicorn | Kind::Aiohttp => Need::PythonPackages,
            Kind::Node => Need::Program("node"),
            Kind::Go => Need::GoProgram,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub program: Program,
    /// Where it listens.
    pub target: Target,
    /// Its service name.
    pub service: String,
    /// Its access log.
    pub log: AccessLog,
    /// Its folder.
    pub dir: TempDir,
}

impl Server {
    /// Starts a server.
    pub fn start(kind: Kind, case: &str) -> Result<Server> {
        let programs = source_dir().join("programs");
        let mut command = match kind {
            Kind::PythonStdlib | Kind::PythonHttp10 => python(&programs.join("python/stdlib.py"))?,
            Kind::Werkzeug | Kind::Gunicorn | Kind::Aiohttp => Command::new(python_environment()?.join("bin/python")),
            Kind::Node => {
                let mut command = Command::new(which("node").context("node")?);
                command.arg(programs.join("node/server.js"));
                command
            }
            Kind::Go => Command::new(go_program()?),
        };
        let port = free_port();
        match kind {
            Kind::PythonHttp10 => {
                command.env("PROTOCOL", "HTTP/1.0");
            }
            Kind::Werkzeug => {
                command.arg(programs.join("python/flask_app.py"));
            }
            Kind::Gunicorn => {
                command
                    .args([
                        "-m",
                        "gunicorn",
                        "--worker-class=gthread",
                        "--threads=16",
                        "--workers=1",
                    ])
                    .args(["--keep-alive=60", "--log-level=error"])
                    .arg(format!("--bind=127.0.0.1:{port}"))
                    .arg("--chdir")
                    .arg(programs.join("python"))
                    .arg("flask_app:application");
            }
            Kind::Aiohttp => {
                command.arg(programs.join("python/aiohttp_app.py"));
            }
            _ => {}
        }
        Server::of(command, Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port))), case)
    }

    /// Python's standard library on a Unix socket.
    pub fn python_unix(case: &str) -> Result<Server> {
        let command = python(&source_dir().join("programs/python/stdlib.py"))?;
        let path = std::env::temp_dir().join(format!("{}.sock", unique("onlooker-test")));
        Server::of(command, Target::Unix(path), case)
    }

    /// The raw server of these tests, on an address with a free port.
    pub fn raw(case: &str, ip: &str) -> Result<Server> {
        let target: Target = format!("{ip}:{}", free_port()).parse()?;
        Server::raw_at(case, target)
    }

    /// The raw server of these tests.
    pub fn raw_at(case: &str, target: Target) -> Result<Server> {
        let dir = TempDir::new()?;
        let mut command = Command::new(own_program("rawhttp"));
        command
            .arg("serve")
            .arg(target.to_string())
            .arg(dir.path().join("access.log"));
        Server::start_in(dir, command, target, case)
    }

    fn of(command: Command, target: Target, case: &str) -> Result<Server> {
        Server::start_in(TempDir::new()?, command, target, case)
    }

    /// Starts a command that serves at the target, with `PORT` or `SOCKET`, `ACCESS_LOG` and `OTEL_SERVICE_NAME`.
    pub fn start_in(dir: TempDir, mut command: Command, target: Target, case: &str) -> Result<Server> {
        let service = unique(case);
        let log = dir.path().join("access.log");
        match &target {
            Target::Tcp(addr) => command.env("PORT", addr.port().to_string()),
            Target::Unix(path) => command.env("SOCKET", path),
        };
        command
            .env("OTEL_SERVICE_NAME", &service)
            .env("ACCESS_LOG", &log)
            .current_dir(dir.path());
        let mut program = Program::start(&service, command)?;
        wait_listening(&mut program, &target)?;
        Ok(Server {
            program,
            target,
            service,
            log: AccessLog::new(&log),
            dir,
        })
    }

    /// Waits until it has no connection any more, then gives its log, which is whole now: a line is written before its
    /// connection is closed. For loads of which nobody else knows how many requests were logged.
    pub fn whole_log(&self) -> Result<Vec<Request>> {
        crate::wait::until(
            &format!("end of the connections to {}", self.target),
            crate::wait::SOON,
            || {
                let open = connections_to(&self.target)?;
                anyhow::ensure!(open == 0, "{open} connections");
                Ok(())
            },
        )?;
        self.log.read()
    }

    /// `http://ADDRESS` of a TCP server.
    pub fn url(&self) -> String {
        format!("http://{}", self.target)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Target::Unix(path) = &self.target {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Waits until a connection succeeds.
pub fn wait_listening(program: &mut Program, target: &Target) -> Result<()> {
    crate::wait::until(&format!("server at {target}"), crate::wait::SOON, || {
        program.check_alive()?;
        crate::http::Connection::open(target).map(drop)
    })
}

/// Connections to a TCP server of IPv4 that it still has, or has yet to accept (`/proc/net/tcp`).
fn connections_to(target: &Target) -> Result<usize> {
    let Target::Tcp(SocketAddr::V4(addr)) = target else {
        anyhow::bail!("{target} is no TCP server of IPv4");
    };
    let local = format!(":{:04X}", addr.port());
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let open = |line: &&str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, from, _, state, _, _, _, _, _, inode, ..] = words.as_slice() else {
            return false;
        };
        // 0A: LISTEN. 01 and 08: ESTABLISHED and CLOSE_WAIT, which without an inode wait to be accepted. Without an inode
        // all others are closed by the program and the kernel's alone.
        from.ends_with(&local) && *state != "0A" && (*inode != "0" || matches!(*state, "01" | "08"))
    };
    Ok(table.lines().filter(open).count())
}

/// nginx from the machine's package, run under a name of its own.
#[derive(Debug)]
pub struct Nginx {
    /// The server.
    pub server: Server,
    /// Folder of static files.
    pub root: PathBuf,
}

/// How nginx is set up.
#[derive(Clone, Debug)]
pub struct NginxOptions {
    /// Lines of the `http` block.
    pub http: String,
    /// Lines of the `server` block.
    pub server: String,
    /// `worker_processes`.
    pub workers: u32,
    /// Keep the name `nginx`, instead of one of its own.
    pub plain_name: bool,
}

impl Default for NginxOptions {
    fn default() -> NginxOptions {
        NginxOptions {
            http: String::new(),
            server: "location /ok { return 200 \"ok\\n\"; }".into(),
            workers: 2,
            plain_name: false,
        }
    }
}

impl Nginx {
    /// Paths of [`Nginx::mixed`]: three in five are answered with 200, the others with 404 and 503.
    pub const MIXED: [&str; 5] = ["/ok", "/ok", "/gone", "/ok", "/bad"];

    /// Starts nginx for a load of which some requests fail, with these lines added to its `server` block.
    pub fn mixed(case: &str, more: &str) -> Result<Nginx> {
        let locations =
            "location /ok { return 200 \"ok\\n\"; } location /gone { return 404; } location /bad { return 503; }";
        let options = NginxOptions {
            server: format!("{more} {locations}"),
            ..NginxOptions::default()
        };
        Nginx::start(case, &options)
    }

    /// Starts nginx.
    pub fn start(case: &str, options: &NginxOptions) -> Result<Nginx> {
        let dir = TempDir::new()?;
        let root = dir.path().join("root");
        std::fs::create_dir(&root)?;
        for folder in ["body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            std::fs::create_dir(dir.path().join(folder))?;
        }
        open_to_workers(dir.path())?;
        let program = which("nginx").context("nginx")?;
        let (name, program) = if options.plain_name {
            ("nginx".to_string(), program)
        } else {
            // nginx writes its title over its environment, so its service is told by the executable's name.
            let name = unique(case);
            let program = copy_as(&program, dir.path(), &name)?;
            (name, program)
        };
        let port = free_port();
        let folder = dir.path().display();
        let config = format!(
            "daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log warn;\n\
             worker_rlimit_nofile 20000;\n\
             events {{ worker_connections 18000; }}\n\
             http {{\n\
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             log_format truth escape=json '{{\"method\":\"$request_method\",\"path\":\"$request_uri\",\"status\":$status,'\n\
             '\"seconds\":$request_time,\"response_body\":$body_bytes_sent,\"sent\":$bytes_sent}}';\n\
             access_log {folder}/access.log truth;\n\
             keepalive_requests 1000000; keepalive_timeout 75s; client_max_body_size 64m;\n\
             {http}\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; {server} }}\n\
             }}\n",
            workers = options.workers,
            http = options.http,
            server = options.server,
            root = root.display(),
        );
        let path = dir.path().join("nginx.conf");
        std::fs::write(&path, config)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&path).arg("-p").arg(dir.path());
        command.arg("-e").arg(dir.path().join("error.log"));
        command.env_remove("OTEL_SERVICE_NAME");
        let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        let mut program = Program::start(&name, command)?;
        wait_listening(&mut program, &target)?;
        let log = AccessLog::new(&dir.path().join("access.log"));
        Ok(Nginx {
            server: Server {
                program,
                target,
                service: name,
                log,
                dir,
            },
            root,
        })
    }
}

/// Workers of nginx are another user: they need to enter the folder and write below it.
fn open_to_workers(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    for entry in std::fs::read_dir(dir)? {
        std::fs::set_permissions(entry?.path(), std::fs::Permissions::from_mode(0o777))?;
    }
    Ok(())
}

/// Runs the steps by `rawhttp ask` as a client of the service name given.
pub fn ask(service: &str, target: &Target, steps: &[Step]) -> Result<Vec<Answer>> {
    raw_client("ask", service, target, &steps)
}

/// Runs a load by `rawhttp load` as a client of the service name given; the answers by status.
pub fn drive(service: &str, target: &Target, load: &Load) -> Result<Counts<u16>> {
    raw_client("load", service, target, load)
}

fn raw_client<T: serde::de::DeserializeOwned>(
    word: &str,
    service: &str,
    target: &Target,
    order: &impl serde::Serialize,
) -> Result<T> {
    let mut command = Command::new(own_program("rawhttp"));
    command
        .arg(word)
        .arg(target.to_string())
        .arg(serde_json::to_string(order)?)
        .env("OTEL_SERVICE_NAME", service);
    Ok(serde_json::from_str(&output(command)?)?)
}

/// The machine's Python interpreter itself with a script. A version manager's shim would be a shell script that execs it.
pub fn python(script: &Path) -> Result<Command> {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let interpreter = match PYTHON.get() {
        Some(path) => path,
        None => {
            let mut command = Command::new(which("python3").context("python3")?);
            command.args(["-c", "import sys; print(sys.executable)"]);
            PYTHON.get_or_init(|| output(command).unwrap_or_default().trim().into())
        }
    };
    let mut command = Command::new(interpreter);
    command.arg(script);
    Ok(command)
}

/// The Python environment of the tests, made below the target folder when absent.
pub fn python_environment() -> Result<PathBuf> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| make_python_environment().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn make_python_environment() -> Result<PathBuf> {
    // `cargo xtask test` makes one beforehand and names it.
    let given = std::env::var_os("ONLOOKER_TEST_VENV").map(PathBuf::from);
    let dir = given.unwrap_or_else(|| target_dir().join("test-venv"));
    let _lock = lock_file(&dir.with_extension("lock"))?;
    let marker = dir.join("packages");
    if std::fs::read_to_string(&marker).is_ok_and(|have| have == PYTHON_PACKAGES) {
        return Ok(dir);
    }
    let mut command = Command::new(which("python3").context("python3 is not installed")?);
    command.args(["-m", "venv", "--clear"]).arg(&dir);
    output(command)?;
    let mut command = Command::new(dir.join("bin/python"));
    command
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(source_dir().join("programs/python/requirements.txt"));
    output(command)?;
    std::fs::write(marker, PYTHON_PACKAGES)?;
    Ok(dir)
}

/// The Go program of the tests, built below the target folder (Go's own cache makes a second build quick).
pub fn go_program() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build_go_program().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn build_go_program() -> Result<PathBuf> {
    let folder = target_dir().join("test-programs");
    std::fs::create_dir_all(&folder)?;
    let _lock = lock_file(&folder.join("lock"))?;
    let program = folder.join("go-server");
    let mut command = Command::new(which("go").context("go is not installed")?);
    command
        .args(["build", "-o"])
        .arg(&program)
        .arg(source_dir().join("programs/go/main.go"))
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .current_dir(&folder);
    output(command)?;
    Ok(program)
}

/// Held while one test process builds what others use too.
fn lock_file(path: &Path) -> Result<std::fs::File> {
    let file = std::fs::File::create(path)?;
    // SAFETY: the descriptor is open; flock touches no memory.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
        return Err(std::io::Error::last_os_error()).context("flock");
    }
    Ok(file)
}

/// Families of system calls that the program `syscalls` speaks.
pub const FAMILIES: [&str; 9] = [
    "read-write",
    "readv-writev",
    "preadv2-pwritev2",
    "recvfrom-sendto",
    "recvmsg-sendmsg",
    "recvmmsg-sendmmsg",
    "sendfile",
    "splice",
    "peek",
];

/// A server and a finished client of one family of system calls.
#[derive(Debug)]
pub struct SyscallPair {
    /// The server.
    pub server: Server,
    /// Service name of the client.
    pub client: String,
    /// What the client asked and timed.
    pub asked: Vec<crate::truth::Request>,
}

/// Lets `syscalls ask` make so many requests to `syscalls serve`, both with the same family.
pub fn syscall_pair(family: &str, requests: u32) -> Result<SyscallPair> {
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], free_port())));
    let dir = TempDir::new()?;
    let mut command = Command::new(own_program("syscalls"));
    command
        .args(["serve", family, &target.to_string()])
        .arg(dir.path().join("access.log"));
    let server = Server::start_in(dir, command, target, &format!("calls-{family}"))?;
    let client = unique(&format!("asks-{family}"));
    let mut command = Command::new(own_program("syscalls"));
    command
        .args(["ask", family, &server.target.to_string(), &requests.to_string()])
        .env("OTEL_SERVICE_NAME", &client);
    let asked = output(command)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{line:?}")))
        .collect::<Result<_>>()?;
    Ok(SyscallPair { server, client, asked })
}
