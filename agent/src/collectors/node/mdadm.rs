//! Software RAID: `proc/mdstat` and `sys/block/md*/md` (`Documentation/admin-guide/md.rst`, `status_show` in `drivers/md/md.c`).

use super::files::{self, Kept};
use super::flags::Setup;
use super::rows::{Rows, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "mdadm",
    about: "state and disks of software RAID arrays",
    make: |setup| Ok(Box::new(MdAdm::new(setup))),
    ..Collector::BASE
};

static STATE: Family = gauge("node_md_state", "Whether an array is in a state.");
static DISKS: Family = gauge("node_md_disks", "Disks of an array, by what they are in it.");
static REQUIRED: Family = gauge("node_md_disks_required", "Disks that an array should have.");
static BLOCKS: Family = gauge("node_md_blocks", "Blocks of 1 KiB of an array.");
static SYNCED: Family = gauge("node_md_blocks_synced", "Blocks of an array that are in sync.");
static RAID_DISKS: Family = gauge("node_md_raid_disks", "Disks that an array has when it is whole.");
static DEGRADED: Family = gauge("node_md_degraded", "Disks that an array lacks.");

struct MdAdm {
    file: Kept,
    block: PathBuf,
}

impl MdAdm {
    fn new(setup: &Setup<'_>) -> MdAdm {
        MdAdm {
            file: Kept::new(setup.host.proc.join("mdstat")),
            block: setup.host.sys.join("block"),
        }
    }
}

impl Collect for MdAdm {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        let (arrays, wrong) = parse(self.file.text()?);
        tell(&arrays, out);
        let result = tell_sys(&self.block, out);
        match wrong {
            Some(what) => Err(CollectError::malformed(&path, what)),
            None => result,
        }
    }
}

/// What an array does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Inactive,
    Recovering,
    Resync,
    Check,
    /// Something else, like reshaping.
    Other,
}

static STATES: [(State, &str); 5] = [
    (State::Active, "active"),
    (State::Inactive, "inactive"),
    (State::Recovering, "recovering"),
    (State::Resync, "resync"),
    (State::Check, "check"),
];

/// An array as `mdstat` has it.
#[derive(Debug, PartialEq)]
struct Array<'a> {
    name: &'a str,
    state: State,
    active: u64,
    failed: u64,
    spare: u64,
    required: u64,
    blocks: u64,
    synced: u64,
}

/// The arrays, and what is wrong with one that is left out.
fn parse(text: &str) -> (Vec<Array<'_>>, Option<String>) {
    let lines: Vec<&str> = text.lines().collect();
    let is_more = |line: &&str| line.starts_with([' ', '\t']);
    let (mut arrays, mut wrong) = (Vec::new(), None);
    for (index, line) in lines.iter().enumerate() {
        let general = ["Personalities", "unused", "read_ahead"];
        if line.trim().is_empty() || is_more(line) || general.iter().any(|word| line.starts_with(word)) {
            continue;
        }
        let more = lines.get(index + 1..).unwrap_or_default();
        let end = more.iter().position(|line| !is_more(line)).unwrap_or(more.len());
        match Array::parse(line, more.get(..end).unwrap_or_default()) {
            Ok(array) => arrays.push(array),
            Err(what) => wrong = wrong.or(Some(format!("line {}: {what}", index + 1))),
        }
    }
    (arrays, wrong)
}

impl<'a> Array<'a> {
    /// Of the line with its name, and those that follow: how large it is, what it does at the moment, its bitmap.
    fn parse(first: &'a str, more: &[&str]) -> Result<Array<'a>, String> {
        let mut words = first.split_ascii_whitespace();
        let (Some(name), Some(":"), Some(state)) = (words.next(), words.next(), words.next()) else {
            return Err("no array".to_owned());
        };
        let size = more.first().copied().unwrap_or_default();
        let blocks = number(size.split_ascii_whitespace().next().unwrap_or_default())?;
        let mut array = Array {
            name,
            state: if state == "active" {
                State::Active
            } else {
                State::Inactive
            },
            active: 0,
            failed: first.matches("(F)").count() as u64,
            spare: first.matches("(S)").count() as u64,
            required: 0,
            blocks,
            synced: blocks,
        };
        if words.any(|word| word == "raid0" || word == "linear") {
            // All their disks are needed, and numbered.
            array.active = first.matches('[').count() as u64;
            array.required = array.active;
        } else if state != "inactive" {
            (array.required, array.active) = disks(size)?;
        }
        for line in more.iter().skip(1) {
            array.progress(line)?;
        }
        Ok(array)
    }

    /// What it does at the moment: `[=>...]  recovery =  8.5% (16775552/195310144) finish=…` or `resync=DELAYED`.
    fn progress(&mut self, line: &str) -> Result<(), String> {
        let states = [
            ("recovery", State::Recovering),
            ("check", State::Check),
            ("resync", State::Resync),
            ("reshape", State::Other),
        ];
        let Some((_, state)) = states.iter().find(|(word, _)| line.contains(word)) else {
            return Ok(());
        };
        self.state = *state;
        if ["PENDING", "DELAYED", "REMOTE"].iter().any(|word| line.contains(word)) {
            self.synced = 0;
            return Ok(());
        }
        let done = line.split_once('(').and_then(|(_, rest)| rest.split_once('/'));
        self.synced = number(done.map(|(done, _)| done).unwrap_or(line))?;
        Ok(())
    }
}

/// Disks that are required and that are active: `[4/3]`.
fn disks(line: &str) -> Result<(u64, u64), String> {
    let found = line.split('[').skip(1).find_map(|part| {
        let (required, active) = part.split_once(']')?.0.split_once('/')?;
        Some((number(required).ok()?, number(active).ok()?))
    });
    found.ok_or_else(|| format!("no number of disks in {:?}", line.trim()))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn tell(arrays: &[Array<'_>], out: &mut dyn Encoder) {
    let mut rows = Rows::new(out, &STATE);
    for array in arrays {
        for (state, name) in &STATES {
            let value = f64::from(array.state == *state);
            rows.number(&[("device", array.name), ("state", name)], value);
        }
    }
    let mut rows = Rows::new(out, &DISKS);
    for array in arrays {
        for (state, disks) in [
            ("active", array.active),
            ("failed", array.failed),
            ("spare", array.spare),
        ] {
            rows.number(&[("device", array.name), ("state", state)], disks as f64);
        }
    }
    type Column = (&'static Family, fn(&Array<'_>) -> u64);
    let columns: [Column; 3] = [
        (&REQUIRED, |array| array.required),
        (&BLOCKS, |array| array.blocks),
        (&SYNCED, |array| array.synced),
    ];
    for (family, value) in columns {
        let mut rows = Rows::new(out, family);
        for array in arrays {
            rows.number(&[("device", array.name)], value(array) as f64);
        }
    }
}

/// What `sys` has of the arrays.
fn tell_sys(block: &Path, out: &mut dyn Encoder) -> Result<(), CollectError> {
    let names = match files::names(block) {
        Err(error) if error.is_no_data() => return Ok(()),
        names => names?,
    };
    let mut result = Ok(());
    let mut arrays = Vec::new();
    for name in names.iter().filter(|name| name.starts_with("md")) {
        match disks_of(&block.join(name).join("md")) {
            Ok((disks, degraded)) => arrays.push((name, disks, degraded)),
            // It is no array, or it stopped meanwhile.
            Err(error) if error.is_no_data() => {}
            Err(error) => result = Err(error),
        }
    }
    let mut rows = Rows::new(out, &RAID_DISKS);
    for (name, disks, _) in &arrays {
        rows.number(&[("device", name)], *disks as f64);
    }
    let mut rows = Rows::new(out, &DEGRADED);
    for (name, _, degraded) in &arrays {
        rows.number(&[("device", name)], *degraded as f64);
    }
    result
}

/// Disks that an array has when it is whole, and how many it lacks.
fn disks_of(array: &Path) -> Result<(u64, u64), CollectError> {
    let path = array.join("raid_disks");
    let text = files::text(&path)?;
    // While it is reshaped, how many it had before follows.
    let disks = files::parsed(&path, text.split(' ').next().unwrap_or_default())?;
    match files::number(&array.join("degraded")) {
        // A level without redundancy has no such file, and lacks nothing as long as it runs.
        Err(error) if error.is_no_data() => Ok((disks, 0)),
        degraded => Ok((disks, degraded?)),
    }
}

#[cfg(test)]
mod tests;
