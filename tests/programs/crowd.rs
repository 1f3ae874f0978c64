//! More processes or threads than tables have entries, each of which waits; says what it knows of them as a line of JSON.
//!
//! One after another, so many processes: `read DEVICE N` with one direct read, `touch FILE N` that read a part of a file of 4 MiB each,
//! `sync FILE N` with one fdatasync, `fault DEVICE N` with one page of a mapping that is not in memory, `sleep N` that sleep once.
//!
//! At once, so many threads: `write DEVICE N` with one direct write, `syncs DEVICE N` that sync a page together, `faults FILE N` that each write to a page
//! of a mapping that is not in memory, `wait N ROUNDS` that
//! are woken so often, by turns, and then still until the program is killed.

use serde_json::json;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// Bytes of a file that one process or thread reads.
const PART: usize = 4 << 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let n = |place: usize| args[place].parse::<usize>().expect("a number");
    match args[0].as_str() {
        "read" => {
            let (file, page) = (direct(&args[1]), page());
            processes(n(2), |i| file.read_exact_at(page, i as u64 * 4096).expect("read"));
        }
        "touch" => processes(n(2), |i| touch(&args[1], i)),
        "sync" => {
            let file = OpenOptions::new().append(true).open(&args[1]).expect("the file");
            processes(n(2), |_| file.sync_data().expect("synced"));
        }
        "sleep" => return sleep(n(1)),
        "fault" => {
            let memory = Mapping::new(&args[1], n(2));
            processes(n(2), |i| {
                _ = std::hint::black_box(memory.page(i).load(Ordering::Relaxed))
            });
        }
        "faults" => {
            let memory = Mapping::new(&args[1], n(2));
            threads(n(2), move |i| memory.page(i).store(1, Ordering::Relaxed));
        }
        "write" => {
            let file = Arc::new(direct(&args[1]));
            // Far from each other, or the kernel makes one request of several.
            threads(n(2), move |i| {
                file.write_all_at(page(), i as u64 * 16_384).expect("written")
            });
        }
        "syncs" => {
            let file = OpenOptions::new().write(true).open(&args[1]).expect("the device");
            file.write_all_at(&[7; 4096], 0).expect("written");
            let file = Arc::new(file);
            threads(n(2), move |_| file.sync_data().expect("synced"));
        }
        "wait" => rounds(n(1), n(2)),
        other => panic!("{other}?"),
    }
    println!("{}", json!({"number": n(2)}));
}

fn direct(path: &str) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    options.open(path).expect("direct")
}

/// Pages of a file that are not in memory, and stay mapped.
#[derive(Clone, Copy)]
struct Mapping(&'static [AtomicU8]);

impl Mapping {
    fn new(path: &str, pages: usize) -> Mapping {
        let file = OpenOptions::new().read(true).write(true).open(path).expect("the file");
        let (fd, bytes) = (file.as_raw_fd(), pages * 4096);
        // SAFETY: a mapping of its own, checked, never unmapped; advice changes no memory.
        unsafe {
            libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED);
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(std::ptr::null_mut(), bytes, rights, libc::MAP_SHARED, fd, 0);
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::madvise(at, bytes, libc::MADV_RANDOM), 0);
            Mapping(std::slice::from_raw_parts(at.cast(), bytes))
        }
    }

    /// First byte of a page.
    fn page(&self, n: usize) -> &AtomicU8 {
        &self.0[n * 4096]
    }
}

/// A page, as direct IO wants it; it is never freed.
fn page() -> &'static mut [u8] {
    let layout = std::alloc::Layout::from_size_align(4096, 4096).expect("a layout");
    // SAFETY: the memory is there, zeroed, and never freed.
    unsafe { std::slice::from_raw_parts_mut(std::alloc::alloc_zeroed(layout), 4096) }
}

fn touch(path: &str, part: usize) {
    let file = File::open(path).expect("the file");
    let mut bytes = vec![0; 256 << 10];
    for at in (0..PART).step_by(bytes.len()) {
        file.read_exact_at(&mut bytes, (part * PART + at) as u64).expect("read");
    }
}

/// So many processes one after another.
fn processes(n: usize, mut each: impl FnMut(usize)) {
    for i in 0..n {
        // SAFETY: this program has one thread, which goes on in the copy.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "no more processes");
        if child == 0 {
            each(i);
            // SAFETY: ends the copy.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: a number of this function's.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "a child failed");
    }
}

/// So many threads at once, each with a small stack.
fn threads(n: usize, each: impl Fn(usize) + Clone + Send + 'static) {
    let start = Arc::new(Barrier::new(n));
    let all: Vec<_> = (0..n)
        .map(|i| {
            let (each, start) = (each.clone(), start.clone());
            spawn(move || {
                start.wait();
                each(i);
            })
        })
        .collect();
    for thread in all {
        thread.join().expect("a thread");
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    let builder = std::thread::Builder::new().stack_size(32 << 10);
    builder.spawn(run).expect("a thread")
}

/// Processes that sleep, and how often they left the CPU until then.
fn sleep(n: usize) {
    // SAFETY: a page that the children share with this process, never unmapped.
    let switches: &AtomicU64 = unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let at = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        );
        assert_ne!(at, libc::MAP_FAILED);
        &*at.cast()
    };
    processes(n, |_| {
        std::thread::sleep(Duration::from_micros(50));
        // SAFETY: plain numbers, which the kernel fills in.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
            usage
        };
        switches.fetch_add((usage.ru_nvcsw + usage.ru_nivcsw) as u64, Ordering::Relaxed);
    });
    println!("{}", json!({"switches": switches.load(Ordering::Relaxed)}));
}

/// How often a thread was woken, in all.
static WOKEN: AtomicUsize = AtomicUsize::new(0);

/// Waits for a byte of a pipe again and again.
extern "C" fn wait(pipe: *mut libc::c_void) -> *mut libc::c_void {
    let mut byte = 0u8;
    loop {
        // SAFETY: one byte of this function's.
        let n = unsafe { libc::read(pipe as libc::c_int, (&raw mut byte).cast(), 1) };
        assert_eq!(n, 1, "the pipe");
        WOKEN.fetch_add(1, Ordering::Relaxed);
    }
}

/// Threads of the C library alone: those of Rust's have a second stack each, and a process has few parts of memory.
fn rounds(n: usize, rounds: usize) -> ! {
    let mut pipe = [0; 2];
    // SAFETY: numbers and attributes of this function's; the threads get a number in place of a pointer.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let mut how: libc::pthread_attr_t = std::mem::zeroed();
        assert_eq!(libc::pthread_attr_init(&mut how), 0);
        assert_eq!(libc::pthread_attr_setstacksize(&mut how, 32 << 10), 0);
        assert_eq!(libc::pthread_attr_setguardsize(&mut how, 0), 0);
        for _ in 0..n {
            let mut thread = 0;
            let made = libc::pthread_create(&mut thread, &how, wait, pipe[0] as *mut libc::c_void);
            assert_eq!(made, 0, "no more threads");
        }
    }
    for round in 1..=rounds {
        for _ in 0..n {
            // SAFETY: one byte that is there.
            assert_eq!(unsafe { libc::write(pipe[1], [0u8].as_ptr().cast(), 1) }, 1);
        }
        while WOKEN.load(Ordering::Relaxed) < n * round {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    println!("{}", json!({"number": n}));
    loop {
        std::thread::park();
    }
}
