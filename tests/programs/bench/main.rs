//! What `cargo xtask bench` needs beside the agent, one command each. Commands that hold something (servers, connections,
//! processes, programs in the kernel) say so in one line of JSON on standard output, and hold it until standard input ends.
//!
//! ```text
//! bench serve nginx|go|node|python            a server without work to do
//! bench rate ADDRESS RATE SECONDS CONNECTIONS PATHS   requests at a fixed rate, open loop
//! bench exchanges ADDRESS RATE CONNECTIONS FIRST      likewise, numbered: GET /seq/N from FIRST on
//! bench lines FOLDER FILES RATE ROTATE KEEP   numbered lines in files, each rotated every ROTATE milliseconds (0: never)
//! bench idle ADDRESS COUNT                    keep-alive connections, one request on each
//! bench sleepers COUNT                        processes that do nothing
//! bench noop OBJECT socket|syscall            programs that do nothing, on onlooker's hooks
//! bench stats                                 kernel counts the run time of eBPF programs
//! bench sink                                  a receiver of OTLP that takes everything
//! bench tally ADDRESS                         a receiver of OTLP that counts numbered spans and lines
//! bench calls NAME MILLISECONDS               time of one system call
//! ```

mod calls;
mod hold;
mod lines;
mod noop;
mod rate;
mod serve;
mod sink;
mod tally;

use anyhow::{Context, Result, bail};
use std::time::Duration;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["serve", kind] => serve::run(kind),
        ["rate", address, rate, seconds, connections, paths] => {
            let plan = rate::Plan {
                address: address.parse()?,
                per_second: rate.parse()?,
                seconds: seconds.parse()?,
                connections: connections.parse()?,
                paths: paths.parse()?,
                numbered: None,
            };
            println!("{}", rate::run(&plan)?.json());
            Ok(())
        }
        ["exchanges", address, rate, connections, first] => rate::numbered(&rate::Plan {
            address: address.parse()?,
            per_second: rate.parse()?,
            seconds: 7200.0, // longer than anyone asks
            connections: connections.parse()?,
            paths: 1,
            numbered: Some(first.parse()?),
        }),
        ["lines", folder, files, rate, rotate, keep] => lines::run(&lines::Plan {
            folder: folder.into(),
            files: files.parse()?,
            per_second: rate.parse()?,
            rotate: Duration::from_millis(rotate.parse()?),
            keep: keep.parse()?,
        }),
        ["idle", address, count] => hold::connections(address.parse()?, count.parse()?),
        ["sleepers", count] => hold::sleepers(count.parse()?),
        ["noop", object, hooks] => noop::run(object.as_ref(), hooks),
        ["stats"] => noop::stats(),
        ["sink"] => sink::run(),
        ["tally", address] => tally::run(address),
        ["calls", name, milliseconds] => {
            let milliseconds = milliseconds.parse().context("milliseconds")?;
            println!("{}", calls::run(name, milliseconds)?);
            Ok(())
        }
        _ => bail!("see the first lines of tests/programs/bench/main.rs for what can be asked"),
    }
}

/// Says that it is there, and waits for the end of standard input.
fn hold(what: &serde_json::Value) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    writeln!(out, "{what}")?;
    out.flush()?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
