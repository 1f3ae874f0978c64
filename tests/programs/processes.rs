//! Processes that live as they are told to: `processes fork COUNT MICROS code|signal NUMBER` makes children one after the other, each
//! burns so much CPU time and ends so; `processes bomb COUNT` makes so many that make each other and live at the same time; `processes
//! hold MILLIS` burns in three threads (two `burner`, and `idler` for half the time) and waits; `processes eat` takes memory until it is ended. The first three write one JSON line with what `wait4` and `getrusage` say, and wait for the end of
//! standard input.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::zeroed;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["fork", count, micros, how, number] => fork(count.parse()?, micros.parse()?, how, number.parse()?),
        ["bomb", count] => bomb(count.parse()?),
        ["hold", millis] => hold(Duration::from_millis(millis.parse()?)),
        ["eat"] => eat(),
        _ => bail!("usage: processes fork COUNT MICROS code|signal NUMBER | bomb COUNT | hold MILLIS | eat"),
    }
}

/// User and system time, microseconds.
fn used(who: libc::c_int) -> Result<(i64, i64, i64)> {
    // SAFETY: rusage is plain data, which the call fills.
    let (usage, result) = unsafe {
        let mut usage: libc::rusage = zeroed();
        let result = libc::getrusage(who, &mut usage);
        (usage, result)
    };
    ensure!(result == 0, "getrusage");
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    Ok((micros(usage.ru_utime), micros(usage.ru_stime), usage.ru_minflt))
}

fn burn(clock: libc::clockid_t, time: Duration) {
    // SAFETY: timespec is plain data, which the call fills.
    let now = || unsafe {
        let mut now: libc::timespec = zeroed();
        libc::clock_gettime(clock, &mut now);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let end = now() + time;
    while now() < end {}
}

fn fork(count: u32, micros: u64, how: &str, number: i32) -> Result<()> {
    let (mut as_told, mut dumped) = (0, 0);
    let mut lived = Duration::ZERO;
    for _ in 0..count {
        let begin = std::time::Instant::now();
        // SAFETY: one thread; the child calls nothing that needs another.
        let child = unsafe { libc::fork() };
        ensure!(child >= 0, "fork");
        if child == 0 {
            burn(libc::CLOCK_PROCESS_CPUTIME_ID, Duration::from_micros(micros));
            // SAFETY: ends this process.
            unsafe {
                if how == "signal" {
                    // Rust has a handler of its own for some.
                    libc::signal(number, libc::SIG_DFL);
                    libc::kill(libc::getpid(), number);
                }
                libc::_exit(number);
            }
        }
        let mut status = 0;
        // SAFETY: the status is ours.
        ensure!(unsafe { libc::waitpid(child, &mut status, 0) } == child, "wait");
        lived += begin.elapsed();
        as_told += u32::from(match how {
            "signal" => libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == number,
            _ => libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == number,
        });
        dumped += u32::from(libc::WIFSIGNALED(status) && libc::WCOREDUMP(status));
    }
    report(json!({ "children": count, "as_told": as_told, "dumped": dumped, "lived": lived.as_secs_f64() }))
}

/// What all processes of a bomb share.
struct Shared {
    /// Processes that may still be made.
    left: AtomicU32,
    /// Processes that were made.
    made: AtomicU32,
    /// Of those, how many their parents saw end with code 0.
    ended: AtomicU32,
}

/// Each process makes two more and waits for them, as long as any may be made.
fn bomb(count: u32) -> Result<()> {
    let (read, shared) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping, zeroed, of a size that holds the struct; it stays for good.
    let shared = unsafe {
        let at = libc::mmap(std::ptr::null_mut(), size_of::<Shared>(), read, shared, -1, 0);
        ensure!(at != libc::MAP_FAILED, "mmap");
        &*at.cast::<Shared>()
    };
    // Begins when it is told to.
    std::io::stdin().read_line(&mut String::new())?;
    shared.left.store(count, Relaxed);
    spread(shared);
    let (made, ended) = (shared.made.load(Relaxed), shared.ended.load(Relaxed));
    report(json!({ "children": made, "as_told": ended }))
}

fn spread(shared: &Shared) {
    let mut children = Vec::with_capacity(2);
    for _ in 0..2 {
        if shared
            .left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .is_err()
        {
            break;
        }
        // SAFETY: one thread; the child calls nothing that needs another.
        match unsafe { libc::fork() } {
            0 => {
                spread(shared);
                // SAFETY: ends this process.
                unsafe { libc::_exit(0) };
            }
            child if child > 0 => {
                shared.made.fetch_add(1, Relaxed);
                children.push(child);
            }
            // No more processes may be made here: what was made is the truth.
            _ => break,
        }
    }
    for child in children {
        let mut status = 0;
        // SAFETY: the status is ours.
        if unsafe { libc::waitpid(child, &mut status, 0) } == child && status == 0 {
            shared.ended.fetch_add(1, Relaxed);
        }
    }
}

fn hold(time: Duration) -> Result<()> {
    let files: Vec<File> = (0..50).map(|_| File::open("/dev/null")).collect::<Result<_, _>>()?;
    // Beside it the libraries that others share are little.
    let ballast = std::hint::black_box(vec![7u8; 16 << 20]);
    let (burnt, end) = (Barrier::new(4), Barrier::new(4));
    std::thread::scope(|scope| {
        for name in ["burner", "burner", "idler"] {
            let (burnt, end) = (&burnt, &end);
            let time = if name == "idler" { time / 2 } else { time };
            let thread = std::thread::Builder::new().name(name.into());
            thread.spawn_scoped(scope, move || {
                burn(libc::CLOCK_THREAD_CPUTIME_ID, time);
                burnt.wait();
                end.wait();
            })?;
        }
        burnt.wait();
        let done = report(json!({ "files": files.len(), "ballast": ballast.len() }));
        end.wait();
        done
    })
}

fn report(mut line: serde_json::Value) -> Result<()> {
    let (children, own) = (used(libc::RUSAGE_CHILDREN)?, used(libc::RUSAGE_SELF)?);
    line["micros"] = json!(children.0 + children.1 + own.0 + own.1);
    line["faults"] = json!(children.2 + own.2);
    println!("{line}");
    std::io::stdout().flush()?;
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).context("standard input")?;
    Ok(())
}

fn eat() -> Result<()> {
    // Begins when it is told to: by then it is where it shall be.
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
    }
}
