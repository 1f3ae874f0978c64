//! Time of single system calls that are none of onlooker's business, and of work that is made of them.

use anyhow::{Result, bail, ensure};
use rustix::io::{read, write};
use rustix::pipe::pipe;
use serde_json::{Value, json};
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Calls between two looks at the clock.
const BATCH: u32 = 2_000;

/// Nanoseconds a call: the median of the batches that fit in the time, so that a batch in which the processor was taken
/// away counts little.
pub(crate) fn run(name: &str, milliseconds: u64) -> Result<Value> {
    let time = Duration::from_millis(milliseconds);
    let mut byte = [0u8; 1];
    let nanos = match name {
        "getppid" => batches(time, BATCH, || {
            std::hint::black_box(rustix::process::getppid());
            Ok(())
        }),
        "read-zero" => {
            let zero = File::open("/dev/zero")?;
            batches(time, BATCH, || {
                ensure!(read(&zero, &mut byte)? == 1, "short read");
                Ok(())
            })
        }
        "write-null" => {
            let null = File::options().write(true).open("/dev/null")?;
            batches(time, BATCH, || {
                ensure!(write(&null, &byte)? == 1, "short write");
                Ok(())
            })
        }
        // A descriptor that is open for writing alone: EBADF.
        "read-fails" => {
            let null = File::options().write(true).open("/dev/null")?;
            batches(time, BATCH, || {
                ensure!(read(&null, &mut byte).is_err(), "the read did not fail");
                Ok(())
            })
        }
        "ping-pong" => ping_pong(time),
        "dd" => dd(time),
        other => bail!("no call {other}"),
    }?;
    Ok(json!({ "nanos": nanos }))
}

/// Median of the batches' nanoseconds a call.
fn batches(time: Duration, batch: u32, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut found = Vec::new();
    let end = Instant::now() + time;
    loop {
        let started = Instant::now();
        for _ in 0..batch {
            call()?;
        }
        let now = Instant::now();
        found.push((now - started).as_nanos() as f64 / f64::from(batch));
        if now >= end {
            found.sort_by(f64::total_cmp);
            return Ok(found[found.len() / 2]);
        }
    }
}

/// One byte there and back between two threads by two pipes: four calls and two changes of thread.
fn ping_pong(time: Duration) -> Result<f64> {
    let (there, to) = pipe()?;
    let (back, from) = pipe()?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut byte = [0u8; 1];
            while let Ok(1) = read(&there, &mut byte) {
                if write(&from, &byte).is_err() {
                    return;
                }
            }
        });
        let mut byte = [0u8; 1];
        let nanos = batches(time, BATCH / 10, || {
            write(&to, &byte)?;
            ensure!(read(&back, &mut byte)? == 1, "the other thread is gone");
            Ok(())
        });
        drop(to); // the thread reads the end
        nanos
    })
}

/// `dd` byte by byte: a read of /dev/zero and a write to /dev/null for each.
fn dd(time: Duration) -> Result<f64> {
    // About 300 ns a byte.
    let bytes = time.as_nanos() as u64 / 300 + 1;
    let mut command = Command::new("dd");
    command
        .args(["if=/dev/zero", "of=/dev/null", "bs=1", "status=none"])
        .arg(format!("count={bytes}"))
        .stdin(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    ensure!(status.success(), "dd: {status}");
    Ok(started.elapsed().as_nanos() as f64 / bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_takes_some_time() {
        for name in ["getppid", "read-zero", "write-null", "read-fails", "ping-pong", "dd"] {
            let nanos = run(name, 1).unwrap()["nanos"].as_f64().unwrap();
            assert!(nanos > 1.0, "{name}: {nanos}");
        }
        assert!(run("nothing", 1).is_err());
    }
}
