//! Programs that a test starts: killed by pid when the guard is dropped, and when the test process dies.

use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running program. Dropping it kills and reaps it (and, for those that fork, its process group).
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Ends when nobody has its standard error any more.
    reader: Option<JoinHandle<()>>,
    name: String,
    group: bool,
}

impl Program {
    /// Starts a program. Standard output is `null` unless the command says otherwise; standard error is kept for messages.
    pub fn start(name: &str, mut command: Command) -> Result<Program> {
        command.stdin(Stdio::null());
        Self::begin(name, command)
    }

    /// The same with a pipe as its standard input, see [`Program::stdin`].
    pub fn talking(name: &str, mut command: Command) -> Result<Program> {
        command.stdin(Stdio::piped());
        Self::begin(name, command)
    }

    fn begin(name: &str, mut command: Command) -> Result<Program> {
        command.stderr(Stdio::piped()).process_group(0);
        let mut child = spawn(command).with_context(|| format!("start of {name}"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|stderr| {
            let lines = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut lines = lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    if lines.len() < 10_000 {
                        lines.push(line);
                    }
                }
            })
        });
        Ok(Program {
            child,
            lines,
            reader,
            name: name.into(),
            group: true,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes the pipe of standard output, when the command had one.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Takes the pipe of standard input of [`Program::talking`].
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.lines
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .join("\n")
    }

    /// The same of a program that has ended: all of it.
    pub fn last_words(&self) -> String {
        let read = || self.reader.as_ref().is_none_or(JoinHandle::is_finished);
        // A child that lives on may hold standard error; then what was read has to do.
        let _ = wait::until_true("the end of standard error", wait::SOON, read);
        self.stderr()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: kill has no memory preconditions; the child is not reaped yet, so the pid is still its own.
        unsafe { libc::kill(self.pid() as libc::pid_t, signal) };
    }

    /// Its end, when it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait::until(&format!("end of {name}"), deadline, || match self.child.try_wait()? {
            Some(status) => Ok(status),
            None => bail!("still running"),
        })
    }

    /// Fails when it has ended, with what it said.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended ({status}): {}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Waits until something listens on the address.
    pub fn wait_listening(&mut self, addr: SocketAddr) -> Result<()> {
        wait::until(
            &format!("{} listening on {addr}", self.name.clone()),
            wait::SOON,
            || {
                self.check_alive()?;
                TcpStream::connect(addr)?;
                Ok(())
            },
        )
    }

    /// State of its main thread (`/proc/PID/stat`): `R`, `S`, `T` for stopped.
    pub fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // Behind the name, which may hold anything.
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// Resident memory, bytes (`VmRSS` of `/proc/PID/status`).
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: kill has no memory preconditions. The child is alive or unreaped, so the pid, and the process group
            // that it leads, are still its own.
            unsafe {
                if self.group {
                    libc::kill(-(self.pid() as libc::pid_t), libc::SIGKILL);
                }
                libc::kill(self.pid() as libc::pid_t, libc::SIGKILL);
            }
            let _ = self.child.wait();
        }
    }
}

/// Runs a program to its end and gives standard output; a failure carries standard error.
pub fn output(mut command: Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {} (signal {:?}): {}{}",
            output.status,
            output.status.signal(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A TCP port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    // Ports below the ephemeral range: no outgoing connection of another test can take them in between.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let base = std::process::id() % 10_000;
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + ((base * 2 + n) % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A name that no other program of this run has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{prefix}-{:x}-{:x}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Copies a program under another name, so that its service (named by the executable) is its own.
pub fn copy_as(program: &Path, dir: &Path, name: &str) -> Result<std::path::PathBuf> {
    let copy = dir.join(name);
    std::fs::copy(program, &copy).with_context(|| format!("copy of {}", program.display()))?;
    Ok(copy)
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Waits for a child's end; what it and those that it waited for used until then: seconds of CPU and minor page faults.
///
/// # Errors
/// It cannot be waited for.
pub fn used_to_its_end(child: &mut Child) -> Result<(f64, f64)> {
    // SAFETY: both are plain data, which the call fills; it leaves the child to `wait`.
    let (usage, result) = unsafe {
        let (mut usage, mut info): (libc::rusage, libc::siginfo_t) = (std::mem::zeroed(), std::mem::zeroed());
        let how = libc::WEXITED | libc::WNOWAIT;
        let result = libc::syscall(libc::SYS_waitid, libc::P_PID, child.id(), &mut info, how, &mut usage);
        (usage, result)
    };
    ensure!(result == 0, "waitid: {}", std::io::Error::last_os_error());
    child.wait()?;
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Ok((cpu, usage.ru_minflt as f64))
}

/// Spawns a program that may have been copied just now: a child that another thread forks during the copy holds it open for
/// writing until it executes something itself, and until then the kernel answers `ETXTBSY`.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn_free(command: &mut Command) -> std::io::Result<Child> {
    let end = Instant::now() + wait::SOON * wait::slow();
    loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Spawns from one thread that lives as long as the test process: the kernel delivers a child's parent-death signal when
/// the *thread* that made it ends, and test threads end early.
fn spawn(mut command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    // SAFETY: prctl is async-signal-safe and changes only the new process.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let spawner = SPAWNER.get_or_init(|| {
        let (send, receive) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in receive {
                let _ = answer.send(spawn_free(&mut command));
            }
        });
        Mutex::new(send)
    });
    let (send, receive) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .send((command, send))
        .ok()
        .context("the spawning thread is gone")?;
    Ok(receive.recv()??)
}

/// Threads of a name, by the kernel's own words.
#[derive(Debug, Default)]
pub struct Threads {
    /// How many.
    pub count: f64,
    /// Context switches.
    pub switches: f64,
    /// Seconds of CPU, to the tick for each thread and mode.
    pub seconds: f64,
}

/// Threads of a process by their names.
///
/// # Errors
/// It is gone.
pub fn threads_of(pid: u32) -> Result<BTreeMap<String, Threads>> {
    let mut truth: BTreeMap<String, Threads> = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        let status = std::fs::read_to_string(path.join("status"))?;
        let switches = status.lines().filter(|line| line.contains("ctxt_switches:"));
        let switches = switches.filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok());
        let name = std::fs::read_to_string(path.join("comm"))?;
        let entry = truth.entry(name.trim().to_owned()).or_default();
        entry.count += 1.0;
        entry.switches += switches.sum::<f64>();
        let stat = std::fs::read_to_string(path.join("stat"))?;
        let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
        // utime and stime, fields 14 and 15, in hundredths of a second.
        let ticks = fields.split_whitespace().skip(11).take(2);
        entry.seconds += ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0;
    }
    Ok(truth)
}
