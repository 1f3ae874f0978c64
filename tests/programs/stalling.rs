//! Waits in known ways and says what it measured itself, as a line of JSON.
//!
//! `io FILE N BYTES`: so many direct writes, then reads. `sync FILE N`: so many fsync, fdatasync. `swarm FILE N`: so many
//! processes that sync once. `spin THREADS SECONDS`: threads that
//! want CPU 0, and how long the kernel says that they waited. `reclaim FILE`: reads a file. `faults FILE PAGES`:
//! touches pages of a file that are not in memory.
//!
//! Off the CPU, then still until it is killed: `nap N MILLIS`: so many sleeps. `blocked N MILLIS`: so many waits that no
//! signal ends, and a child that is stopped as often. `contend THREADS SECONDS`: threads that want CPU 0.

use serde_json::json;
use std::alloc::{Layout, alloc_zeroed};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize| args[n].parse::<usize>().expect("a number");
    let said = match args[0].as_str() {
        "io" => io(&args[1], number(2), number(3)),
        "sync" => sync(&args[1], number(2)),
        "swarm" => swarm(&args[1], number(2)),
        "spin" => spin(number(1), number(2)),
        "reclaim" => reclaim(&args[1]),
        "faults" => faults(&args[1], number(2)),
        "nap" => nap(number(1), number(2)),
        "blocked" => blocked(number(1), number(2)),
        "contend" => contend(number(1), number(2)),
        other => panic!("{other}?"),
    };
    println!("{said}");
    if ["nap", "blocked", "contend"].contains(&args[0].as_str()) {
        still();
    }
}

/// Until somebody ends the process.
fn still() -> ! {
    loop {
        std::thread::park();
    }
}

/// Pages, as direct IO wants them.
fn pages(bytes: usize) -> &'static mut [u8] {
    let layout = Layout::from_size_align(bytes, 4096).expect("a layout");
    // SAFETY: the memory is there, zeroed, and never freed.
    unsafe { std::slice::from_raw_parts_mut(alloc_zeroed(layout), bytes) }
}

fn io(path: &str, n: usize, bytes: usize) -> serde_json::Value {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let file = options.custom_flags(libc::O_DIRECT).open(path).expect("direct");
    let page = pages(bytes);
    let mut time = |call: &mut dyn FnMut(&mut [u8], u64)| {
        let begin = Instant::now();
        for i in 0..n {
            call(page, (i * bytes) as u64);
        }
        begin.elapsed().as_secs_f64()
    };
    let write = time(&mut |page, at| file.write_all_at(page, at).expect("written"));
    let read = time(&mut |page, at| file.read_exact_at(page, at).expect("read"));
    json!({"write": write, "read": read})
}

fn sync(path: &str, n: usize) -> serde_json::Value {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("the file");
    let mut time = |call: &dyn Fn(&std::fs::File)| {
        let mut sum = Duration::ZERO;
        for _ in 0..n {
            file.write_all(&[7; 100]).expect("written");
            let begin = Instant::now();
            call(&file);
            sum += begin.elapsed();
        }
        sum.as_secs_f64()
    };
    let fsync = time(&|file| file.sync_all().expect("synced"));
    let fdatasync = time(&|file| file.sync_data().expect("synced"));
    json!({"fsync": fsync, "fdatasync": fdatasync})
}

/// Touches every page of a file once, in an order that no reading ahead follows, and some of them through the kernel: what each of
/// these took that counted as a major fault, in sum, and how many did.
fn faults(path: &str, pages: usize) -> serde_json::Value {
    let file = std::fs::File::open(path).expect("the file");
    let bytes = pages * 4096;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: a mapping of its own, checked; advice changes no memory.
    let memory: &[u8] = unsafe {
        libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED);
        let at = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        assert_eq!(libc::madvise(at, bytes, libc::MADV_RANDOM), 0);
        std::slice::from_raw_parts(at.cast(), bytes)
    };
    let (mut ends, mut saw) = (std::io::pipe().expect("a pipe"), [0; 1]);
    let mut sum = Duration::ZERO;
    let begun = majors();
    for n in 0..pages {
        let page = &memory[(n * 7919 % pages) * 4096..][..1];
        let before = majors();
        let begin = Instant::now();
        if n % 2 == 0 {
            std::hint::black_box(page[0]);
        } else {
            // The kernel reads it.
            ends.1.write_all(page).expect("written");
        }
        let took = begin.elapsed();
        if n % 2 == 1 {
            ends.0.read_exact(&mut saw).expect("read");
        }
        if majors() > before {
            sum += took;
        }
    }
    json!({"faults": majors() - begun, "seconds": sum.as_secs_f64()})
}

/// Major faults of this process so far.
fn majors() -> i64 {
    // SAFETY: rusage is plain data, which the call fills.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage.ru_majflt
    }
}

/// So many processes at once, each with one fdatasync.
fn swarm(path: &str, n: usize) -> serde_json::Value {
    let (mut done, says) = std::io::pipe().expect("a pipe");
    let (mut ends, end) = std::io::pipe().expect("a pipe");
    let mut children = Vec::new();
    for _ in 0..n {
        // Copies, which share their memory. SAFETY: of this process, whose one thread goes on in it.
        let child = unsafe { libc::fork() };
        assert_ne!(child, -1, "a process");
        if child == 0 {
            drop((end, done));
            let file = OpenOptions::new().append(true).create(true).open(path);
            let synced = file.and_then(|file| file.sync_data());
            let told = synced.and_then(|()| (&says).write_all(&[1]));
            // Until the other end goes.
            let _ = ends.read(&mut [0]);
            // SAFETY: ends the copy.
            unsafe { libc::_exit(told.is_err().into()) };
        }
        children.push(child);
    }
    done.read_exact(&mut vec![0; n]).expect("all synced");
    drop(end);
    for child in children {
        assert_eq!(wait(child, 0), child);
    }
    json!({"processes": n})
}

/// Binds this thread, and those that it makes, to CPU 0.
fn pin() {
    // SAFETY: a set of CPUs of this program's own.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
    }
}

fn spin(threads: usize, seconds: usize) -> serde_json::Value {
    pin();
    let end = Instant::now() + Duration::from_secs(seconds as u64);
    let all: Vec<_> = (0..threads)
        .map(|_| {
            std::thread::spawn(move || {
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                // Off the CPU once more, so that the last wait is told of too.
                std::thread::sleep(Duration::from_millis(50));
                own_waits()
            })
        })
        .collect();
    let (mut waited, mut runs) = (0, 0);
    for thread in all {
        let (nanos, count) = thread.join().expect("a thread");
        waited += nanos;
        runs += count;
    }
    let (nanos, count) = own_waits();
    waited += nanos;
    runs += count;
    json!({"waited": waited as f64 / 1e9, "runs": runs})
}

/// What the kernel says of this thread's waits for a CPU: nanoseconds, and how often it ran.
fn own_waits() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let mut numbers = text.split_ascii_whitespace().skip(1).map(|word| word.parse::<u64>());
    let mut next = || numbers.next().expect("a number").expect("a number");
    (next(), next())
}

/// Reads only: dirty pages beyond the limit of a version 1 cgroup get the program killed.
fn reclaim(path: &str) -> serde_json::Value {
    let begin = Instant::now();
    let mut file = std::fs::File::open(path).expect("the file");
    let mut read = vec![0; 1 << 20];
    while file.read(&mut read).expect("read") > 0 {}
    json!({"seconds": begin.elapsed().as_secs_f64()})
}

fn nap(n: usize, millis: usize) -> serde_json::Value {
    let mut slept = Duration::ZERO;
    for _ in 0..n {
        let begin = Instant::now();
        std::thread::sleep(Duration::from_millis(millis as u64));
        slept += begin.elapsed();
    }
    json!({"slept": slept.as_secs_f64()})
}

/// Waits for children as with `vfork`, and how long that took; stops one again and again, and how long all of that took.
fn blocked(n: usize, millis: usize) -> serde_json::Value {
    let pause = Duration::from_millis(millis as u64);
    let (mut held, mut children) = (Duration::ZERO, vec![]);
    for _ in 0..n {
        let begin = Instant::now();
        let flags = libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: a copy of this process, whose one thread goes on in it.
        let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if child == 0 {
            std::thread::sleep(pause);
            // SAFETY: ends the copy.
            unsafe { libc::_exit(0) };
        }
        held += begin.elapsed();
        assert_eq!(wait(child as libc::pid_t, 0), child as libc::pid_t);
        children.push(child);
    }
    let begin = Instant::now();
    // SAFETY: as above.
    let child = unsafe { libc::fork() };
    if child == 0 {
        for _ in 0..n {
            // SAFETY: no memory is touched.
            unsafe { libc::raise(libc::SIGSTOP) };
        }
        // SAFETY: ends the copy.
        unsafe { libc::_exit(0) };
    }
    for _ in 0..n {
        assert_eq!(wait(child, libc::WUNTRACED), child);
        std::thread::sleep(pause);
        // SAFETY: a child that was not waited for.
        assert_eq!(unsafe { libc::kill(child, libc::SIGCONT) }, 0);
    }
    assert_eq!(wait(child, 0), child);
    children.push(child.into());
    json!({"held": held.as_secs_f64(), "stopped": begin.elapsed().as_secs_f64(), "children": children})
}

fn wait(child: libc::pid_t, options: libc::c_int) -> libc::pid_t {
    // SAFETY: the status is not wanted.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), options) }
}

fn contend(threads: usize, seconds: usize) -> serde_json::Value {
    pin();
    let end = Instant::now() + Duration::from_secs(seconds as u64);
    let (done, all) = std::sync::mpsc::channel();
    for _ in 0..threads {
        let done = done.clone();
        std::thread::spawn(move || {
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            done.send(own_waits()).expect("the main thread");
            still();
        });
    }
    let waited: u64 = all.iter().take(threads).map(|(nanos, _)| nanos).sum();
    json!({"waited": waited as f64 / 1e9})
}
