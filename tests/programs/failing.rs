//! Makes system calls that fail, and says how many of each did: one JSON object, `{"close 9": 1000, …}`, keys as the call
//! was named here and the number of the error it returned. What is told is what was returned, not what was meant.
//!
//! - `failing storm THREADS COUNT`: each thread lets COUNT calls of each of four kinds fail.
//! - `failing kinds COUNT`: one thread, COUNT of many kinds.
//! - `failing brief PROCESSES COUNT`: so many processes, one after the other, that end after COUNT errors.
//! - `failing expected COUNT`: those that are no failures.
//! - `failing compat COUNT`: 32-bit calls.
//! - `failing any CALLS ERRNOS`: so many calls times so many errors, made by a filter of our own (seccomp).
//! - `failing numbers PROCESSES`: so many processes, each makes every call from 500 to 599 once. None of them is one.
//! - `failing waiting THREADS`: so many threads wait in `read` at the same time, until all do.
//! - `failing slow COUNT MICROSECONDS`: sleeps so many times for so long, by `clock_nanosleep`.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io::Error;
use std::ptr::null;
use std::sync::atomic::{AtomicU64, Ordering};

type Counts = BTreeMap<String, u64>;

/// A call that fails: its name, its number, its arguments.
struct Kind(&'static str, libc::c_long, [usize; 4]);

impl Kind {
    /// Calls it and counts what it returned.
    fn fail(&self, times: u64, counts: &mut Counts) -> Result<()> {
        let Kind(name, number, [a, b, c, d]) = *self;
        let mut errors: BTreeMap<i32, u64> = BTreeMap::new();
        for _ in 0..times {
            // SAFETY: each kind below names memory that lives for ever, or none.
            let result = unsafe { libc::syscall(number, a, b, c, d) };
            ensure!(result == -1, "{name} did not fail: {result}");
            *errors.entry(errno()).or_default() += 1;
        }
        for (errno, count) in errors {
            *counts.entry(format!("{name} {errno}")).or_default() += count;
        }
        Ok(())
    }
}

fn errno() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn text(text: &'static CStr) -> usize {
    text.as_ptr() as usize
}

const NOWHERE: usize = usize::MAX;
const CWD: usize = libc::AT_FDCWD as usize;

fn storm() -> Vec<Kind> {
    vec![
        Kind("close", libc::SYS_close, [NOWHERE, 0, 0, 0]),
        Kind("read", libc::SYS_read, [NOWHERE, 0, 0, 0]),
        Kind("openat", libc::SYS_openat, [CWD, text(c"/no/such/file"), 0, 0]),
        Kind("setpriority", libc::SYS_setpriority, [77, 0, 0, 0]),
    ]
}

fn kinds() -> Vec<Kind> {
    let mut all = storm();
    all.extend([
        Kind("openat", libc::SYS_openat, [CWD, text(c"/etc/passwd/below"), 0, 0]),
        Kind(
            "openat",
            libc::SYS_openat,
            [CWD, text(c"/tmp"), libc::O_WRONLY as usize, 0],
        ),
        Kind("openat", libc::SYS_openat, [CWD, 8, 0, 0]),
        Kind("unlinkat", libc::SYS_unlinkat, [CWD, text(c"/no/such/file"), 0, 0]),
        Kind(
            "renameat",
            libc::SYS_renameat,
            [CWD, text(c"/no/such/file"), CWD, text(c"/no/other")],
        ),
        Kind("mkdirat", libc::SYS_mkdirat, [CWD, text(c"/usr/no/such"), 0o700, 0]),
        Kind("chdir", libc::SYS_chdir, [text(c"/no/such/folder"), 0, 0, 0]),
        Kind("execve", libc::SYS_execve, [text(c"/no/such/program"), 0, 0, 0]),
        Kind("socket", libc::SYS_socket, [9999, 0, 0, 0]),
        Kind("dup", libc::SYS_dup, [NOWHERE, 0, 0, 0]),
        Kind("lseek", libc::SYS_lseek, [NOWHERE, 0, 0, 0]),
        Kind("fsync", libc::SYS_fsync, [NOWHERE, 0, 0, 0]),
        Kind("getpgid", libc::SYS_getpgid, [NOWHERE >> 33, 0, 0, 0]),
        Kind("munmap", libc::SYS_munmap, [1, 1, 0, 0]),
        Kind("mmap", libc::SYS_mmap, [0, 0, 0, 0]),
        Kind("timer_delete", libc::SYS_timer_delete, [12345, 0, 0, 0]),
        Kind("clock_gettime", libc::SYS_clock_gettime, [999, 0, 0, 0]),
        Kind("epoll_create1", libc::SYS_epoll_create1, [1 << 20, 0, 0, 0]),
        Kind("syscall_590", 590, [0; 4]),
    ]);
    all
}

/// Calls in their own way what is expected of them.
fn expected(count: u64, counts: &mut Counts) -> Result<()> {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    let made = unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_NONBLOCK) };
    ensure!(made == 0, "pipe2: {}", Error::last_os_error());
    let mut byte = 0u8;
    let none = pipe[0] as usize;
    let byte = (&raw mut byte) as usize;
    let kinds = [
        Kind("read", libc::SYS_read, [none, byte, 1, 0]),
        Kind("wait4", libc::SYS_wait4, [NOWHERE, 0, 0, 0]),
        Kind("ioctl", libc::SYS_ioctl, [none, libc::TCGETS as usize, byte, 0]),
        Kind("lseek", libc::SYS_lseek, [none, 0, 0, 0]),
        Kind("faccessat", libc::SYS_faccessat, [CWD, text(c"/no/such/file"), 0, 0]),
        Kind("newfstatat", libc::SYS_newfstatat, [CWD, text(c"/no/such/file"), 0, 0]),
        Kind(
            "readlinkat",
            libc::SYS_readlinkat,
            [CWD, text(c"/no/such/file"), byte, 1],
        ),
        Kind(
            "openat",
            libc::SYS_openat,
            [CWD, text(c"/usr/lib/no-such-library.so"), 0, 0],
        ),
        Kind(
            "openat",
            libc::SYS_openat,
            [CWD, text(c"/lib/no-such-library.so"), 0, 0],
        ),
        Kind("execve", libc::SYS_execve, [text(c"/usr/bin/no-such-program"), 0, 0, 0]),
    ];
    kinds.iter().try_for_each(|kind| kind.fail(count, counts))
}

/// 32-bit calls: `close(-1)` and `openat(AT_FDCWD, "/no", 0)` of `arch/x86/entry/syscalls/syscall_32.tbl`.
#[cfg(target_arch = "x86_64")]
fn compat(count: u64, counts: &mut Counts) -> Result<()> {
    fn call(number: i32, first: i32, second: u32) -> i32 {
        let result: i32;
        // SAFETY: reads one C string at most; rbx, which Rust does not give, is put back.
        unsafe {
            std::arch::asm!(
                "xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
                first = inout(reg) i64::from(first) => _,
                inlateout("eax") number => result, in("ecx") second, in("edx") 0, in("esi") 0,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _
            );
        }
        result
    }
    // Memory that a 32-bit address reaches.
    // SAFETY: a new page.
    let page = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    ensure!(page != libc::MAP_FAILED, "no page below 4 GiB");
    let path = b"/no/such/file\0";
    // SAFETY: the page is larger.
    unsafe { page.cast::<u8>().copy_from(path.as_ptr(), path.len()) };
    for (name, number, first, second) in [
        ("close", 6, -1, 0),
        ("openat", 295, libc::AT_FDCWD, page as usize as u32),
    ] {
        for _ in 0..count {
            let result = call(number, first, second);
            ensure!((-4095..0).contains(&result), "{name} returned {result}");
            *counts.entry(format!("{name} {}", -result)).or_default() += 1;
        }
    }
    Ok(())
}

/// A filter that lets `getppid` and the calls behind it return the error in their first argument.
fn filter(calls: u32) -> Result<()> {
    const DATA_NUMBER: u32 = 0;
    const DATA_ARGUMENT: u32 = 16;
    let first = libc::SYS_getppid as u32;
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    use libc::{BPF_A, BPF_ABS, BPF_ALU, BPF_AND, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_OR, BPF_RET, BPF_W};
    let mut code = [
        op(BPF_LD | BPF_W | BPF_ABS, 0, 0, DATA_NUMBER),
        op(BPF_JMP | BPF_JGE | BPF_K, 0, 5, first),
        op(BPF_JMP | BPF_JGE | BPF_K, 4, 0, first + calls),
        op(BPF_LD | BPF_W | BPF_ABS, 0, 0, DATA_ARGUMENT),
        op(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xfff),
        op(BPF_ALU | BPF_OR | BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO),
        op(BPF_RET | BPF_A, 0, 0, 0),
        op(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: code.len() as u16,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: the filter lives until the calls are over.
    unsafe {
        ensure!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
        let mode = libc::SECCOMP_MODE_FILTER as libc::c_ulong;
        ensure!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) == 0,
            "{}",
            Error::last_os_error()
        );
    }
    Ok(())
}

fn any(calls: u32, errnos: u32, counts: &mut Counts) -> Result<()> {
    // getppid, getpgrp, setsid, … on x86-64: any calls that nobody else makes here.
    filter(calls)?;
    for n in 0..calls {
        for errno in 1..=errnos {
            // SAFETY: the filter keeps the call from being made.
            let result = unsafe { libc::syscall(libc::SYS_getppid + libc::c_long::from(n), errno) };
            ensure!(result == -1, "the filter let a call pass");
            *counts.entry(format!("any {}", self::errno())).or_default() += 1;
        }
    }
    Ok(())
}

/// Processes that end after some errors.
fn brief(processes: u64, count: u64, counts: &mut Counts) -> Result<()> {
    for _ in 0..processes {
        // SAFETY: the child makes system calls and ends.
        match unsafe { libc::fork() } {
            -1 => bail!("fork: {}", Error::last_os_error()),
            0 => {
                for _ in 0..count {
                    // SAFETY: no memory.
                    unsafe { libc::syscall(libc::SYS_close, NOWHERE) };
                }
                let code = i32::from(errno() != libc::EBADF);
                // SAFETY: ends at once.
                unsafe { libc::_exit(code) };
            }
            child => {
                let mut status = 0;
                // SAFETY: room for the status.
                let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
                ensure!(reaped == child && status == 0, "child ended with {status}");
            }
        }
        *counts.entry(format!("close {}", libc::EBADF)).or_default() += count;
    }
    Ok(())
}

/// Calls that there are not, by processes that end at once.
fn no_calls(processes: u64, counts: &mut Counts) -> Result<()> {
    const NUMBERS: std::ops::Range<libc::c_long> = 500..600;
    for _ in 0..processes {
        // SAFETY: the child makes system calls and ends.
        match unsafe { libc::fork() } {
            -1 => bail!("fork: {}", Error::last_os_error()),
            0 => {
                // SAFETY: the kernel has no such calls; ends at once.
                unsafe {
                    let failed = NUMBERS.filter(|number| libc::syscall(*number) == -1).count();
                    libc::_exit(i32::from(failed != NUMBERS.count()));
                }
            }
            child => {
                let mut status = 0;
                // SAFETY: room for the status.
                let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
                ensure!(reaped == child && status == 0, "child ended with {status}");
            }
        }
        *counts.entry(format!("numbers {}", libc::ENOSYS)).or_default() += NUMBERS.count() as u64;
    }
    Ok(())
}

/// Threads that all wait in `read` of a pipe.
fn waiting(threads: u64, counts: &mut Counts) -> Result<()> {
    use std::os::fd::AsRawFd;
    let (from, to) = std::io::pipe()?;
    let fd = from.as_raw_fd();
    let ready = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let wait = || {
                let mut byte = 0u8;
                ready.fetch_add(1, Ordering::Release);
                // SAFETY: room for the byte.
                unsafe { libc::syscall(libc::SYS_read, fd, &raw mut byte, 1) }
            };
            let small = std::thread::Builder::new().stack_size(32 << 10);
            small.spawn_scoped(scope, wait)?;
        }
        while ready.load(Ordering::Acquire) < threads || !all_sleep()? {
            std::thread::yield_now();
        }
        drop(to);
        anyhow::Ok(())
    })?;
    counts.insert("read 0".into(), threads);
    Ok(())
}

/// Do all threads but the first sleep? Without a call of `read`, which is what is measured.
fn all_sleep() -> Result<bool> {
    use std::os::unix::fs::FileExt;
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?;
        let mut room = [0; 512];
        let n = std::fs::File::open(task.path().join("stat"))?.read_at(&mut room, 0)?;
        let stat = String::from_utf8_lossy(&room[..n]);
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        let first = task.file_name().to_str() == Some(&std::process::id().to_string());
        if !first && state != Some(b'S') {
            return Ok(false);
        }
    }
    Ok(true)
}

fn slow(count: u64, micros: u64, counts: &mut Counts) -> Result<()> {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: (micros * 1000) as libc::c_long,
    };
    for _ in 0..count {
        // SAFETY: reads the time.
        let result = unsafe {
            libc::syscall(
                libc::SYS_clock_nanosleep,
                libc::CLOCK_MONOTONIC,
                0,
                &raw const time,
                null::<u8>(),
            )
        };
        ensure!(result == 0, "clock_nanosleep: {}", Error::last_os_error());
        *counts.entry("clock_nanosleep 0".into()).or_default() += 1;
    }
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (what, numbers) = args.split_first().context("what?")?;
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    let mut counts = Counts::new();
    match (what.as_str(), &*numbers) {
        ("storm", &[threads, count]) => {
            let all = std::thread::scope(|scope| {
                let one = || {
                    let mut counts = Counts::new();
                    storm().iter().try_for_each(|kind| kind.fail(count, &mut counts))?;
                    anyhow::Ok(counts)
                };
                let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
                all.into_iter().map(|one| one.join()).collect::<Vec<_>>()
            });
            for one in all {
                let one = one.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
                for (name, count) in one {
                    *counts.entry(name).or_default() += count;
                }
            }
        }
        ("kinds", &[count]) => kinds().iter().try_for_each(|kind| kind.fail(count, &mut counts))?,
        ("brief", &[processes, count]) => brief(processes, count, &mut counts)?,
        ("expected", &[count]) => expected(count, &mut counts)?,
        #[cfg(target_arch = "x86_64")]
        ("compat", &[count]) => compat(count, &mut counts)?,
        ("any", &[calls, errnos]) => any(calls as u32, errnos as u32, &mut counts)?,
        ("numbers", &[processes]) => no_calls(processes, &mut counts)?,
        ("waiting", &[threads]) => waiting(threads, &mut counts)?,
        ("slow", &[count, micros]) => slow(count, micros, &mut counts)?,
        _ => bail!("see the source"),
    }
    println!("{}", serde_json::to_string(&counts)?);
    Ok(())
}
