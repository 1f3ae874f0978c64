//! What programs pay whose calls are none of onlooker's business: single system calls, and a compiler at work.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use super::Bench;
use super::bed::{Bed, Condition, Hooks};
use super::row::{Row, Sides, Style, Target};
use crate::shell::target;

/// Calls of the program `bench`, how the table names them, and whether the target is meant for them (the others are more
/// than one call).
const CALLS: [(&str, &str, bool); 6] = [
    ("getppid", "getppid", true),
    ("read-zero", "read of 1 byte of /dev/zero", true),
    ("write-null", "write of 1 byte to /dev/null", true),
    ("read-fails", "read that fails (EBADF)", true),
    ("ping-pong", "pipe ping-pong, round trip", false),
    ("dd", "dd, a byte", false),
];

const NEAR_FLOOR: Target = Target {
    text: "<= no-op + 15 ns",
    holds: |row| row.over_floor_added.map(|added| added.median <= 15.0),
};

/// Single calls.
pub(crate) struct Calls;

impl Bench for Calls {
    fn name(&self) -> &'static str {
        "syscalls"
    }

    fn about(&self) -> &'static str {
        "nanoseconds of system calls that are no socket calls"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let milliseconds = (bed.seconds * 100).min(300).to_string();
        let conditions = conditions(bed);
        let found = bed.compare(&conditions, bed.rounds, |_, _| {
            let nanos = |name: &str| {
                let said = bed.ask(&["calls", name, &milliseconds])?;
                said["nanos"].as_f64().context("nanos")
            };
            CALLS.iter().map(|(name, ..)| nanos(name)).collect::<Result<Vec<f64>>>()
        })?;
        let mut rows = Vec::new();
        for (call, (_, shown, single)) in CALLS.iter().enumerate() {
            let values = |index: usize| found[index].iter().map(|nanos| nanos[call]).collect();
            for (hooks, sides) in sides(bed, values) {
                let figure = format!("{shown}, {}", hooks.told());
                let target = single.then_some(NEAR_FLOOR);
                rows.push(Row::compared(self.name(), figure, "ns", Style::Time, &sides).wanting(target));
            }
        }
        Ok(rows)
    }
}

/// A compiler: files, memory, and processes that begin and end.
pub(crate) struct Compile;

impl Bench for Compile {
    fn name(&self) -> &'static str {
        "compile"
    }

    fn about(&self) -> &'static str {
        "milliseconds of small compilations"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let cc = bed.need("cc")?;
        let (source, object) = source(bed.scaled(400, 50))?;
        let args = ["-O1", "-c", "-o", &object.to_string_lossy(), &source.to_string_lossy()];
        bed.run(&cc, &args)?;
        let times = bed.scaled(3, 1);
        let found = bed.compare(&conditions(bed), bed.rounds, |_, _| {
            let started = Instant::now();
            for _ in 0..times {
                bed.run(&cc, &args)?;
            }
            Ok(started.elapsed().as_secs_f64() * 1e3 / times as f64)
        })?;
        let rows = sides(bed, |index| found[index].clone())
            .into_iter()
            .map(|(hooks, sides)| {
                let figure = format!("cc of one file, {}", hooks.told());
                Row::compared(self.name(), figure, "ms", Style::Time, &sides)
            });
        Ok(rows.collect())
    }
}

/// A C file of so many functions below `target`, and where its object goes.
fn source(functions: usize) -> Result<(PathBuf, PathBuf)> {
    let folder = target().join("bench");
    fs::create_dir_all(&folder)?;
    let mut text = String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
    for n in 0..functions {
        let _ = writeln!(
            text,
            "int f{n}(const char *s) {{ int sum = {n}; for (size_t i = 0; i < strlen(s); i++) sum = sum * 31 + s[i]; \
             printf(\"%d\\n\", sum); return abs(sum); }}"
        );
    }
    let source = folder.join("compile.c");
    fs::write(&source, text).with_context(|| format!("cannot write {}", source.display()))?;
    Ok((source, folder.join("compile.o")))
}

/// Nothing, then the no-ops and onlooker of each way to capture. Errors of system calls are counted at their exit whatever
/// captures, so the floor is a no-op there.
fn conditions(bed: &Bed) -> Vec<Condition> {
    let both = bed
        .hooks
        .iter()
        .flat_map(|hooks| [Condition::NoOp(Hooks::Syscall), Condition::Onlooker(*hooks, &[])]);
    std::iter::once(Condition::Nothing).chain(both).collect()
}

/// The sides of each way to capture, from the values by index of [`conditions`].
fn sides(bed: &Bed, values: impl Fn(usize) -> Vec<f64>) -> Vec<(Hooks, Sides)> {
    let of = |(n, hooks): (usize, &Hooks)| {
        let sides = Sides {
            nothing: values(0),
            no_op: values(1 + 2 * n),
            onlooker: values(2 + 2 * n),
        };
        (*hooks, sides)
    };
    bed.hooks.iter().enumerate().map(of).collect()
}
