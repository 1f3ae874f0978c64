//! What a former life of the agent left in the folder.

use super::{Disk, Place, SEGMENT_SIZES, SEGMENTS, Segment};
use crate::export::queue::files::{Files, Store};
use crate::export::queue::segment::{FileHead, Found, read_file_head, walk};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::export) struct Recovered {
    /// Batches that the receiver has not, and their items.
    pub(in crate::export) batches: u64,
    pub(in crate::export) items: u64,
    /// Bytes that are no record: their writing was cut off, or they are spoilt.
    pub(in crate::export) torn_bytes: u64,
    /// Files of other versions, which are left alone: how many, and the version of one.
    pub(in crate::export) other_versions: Option<(u64, u32)>,
    /// Files that cannot be read, which are left alone: how many, and why.
    pub(in crate::export) unreadable: Option<(u64, String)>,
}

impl Disk {
    /// Opens a folder, which nobody else may have open, and looks for what is in it. `signal`: its number in the records; `limit`:
    /// most bytes of all files.
    pub(in crate::export) fn open(files: Arc<dyn Files>, signal: u8, limit: u64) -> io::Result<(Disk, Recovered)> {
        let numbers = files.list()?;
        let mut disk = Disk {
            files,
            signal,
            limit,
            segment_size: (limit / SEGMENTS).clamp(SEGMENT_SIZES.0, SEGMENT_SIZES.1),
            segments: VecDeque::new(),
            open: false,
            next_number: numbers.last().map_or(1, |last| last.saturating_add(1)),
            foreign: 0,
            reader: Place::default(),
            newer: None,
            claimed: BTreeMap::new(),
            unmarked: BTreeMap::new(),
            handles: Vec::new(),
            lost: Vec::new(),
            errors: 0,
            torn_bytes: 0,
            closed: false,
        };
        let mut recovered = Recovered::default();
        for number in numbers {
            if let Err(error) = disk.look_into(number, &mut recovered) {
                disk.errors += 1;
                recovered.unreadable.get_or_insert_with(|| (0, error.to_string())).0 += 1;
            }
        }
        recovered.torn_bytes = disk.torn_bytes;
        let most = limit.saturating_sub(disk.foreign).max(disk.segment_size);
        // A smaller limit than that of the former life.
        let made = disk.make_room(0, most);
        let _ = disk.counted(made);
        Ok((disk, recovered))
    }

    fn look_into(&mut self, number: u64, recovered: &mut Recovered) -> io::Result<()> {
        let file: Arc<dyn Store> = self.files.open(number)?;
        let length = file.length()?;
        let found = match read_file_head(&*file)? {
            FileHead::Other(version) => {
                self.foreign += length;
                recovered.other_versions.get_or_insert((0, version)).0 += 1;
                return Ok(());
            }
            FileHead::Known => walk(&*file)?,
            FileHead::Broken => Found {
                torn: length,
                ..Found::default()
            },
        };
        self.torn_bytes += found.torn;
        if found.batches == 0 {
            let removed = self.files.remove(number);
            let _ = self.counted(removed);
            return Ok(());
        }
        if found.torn > 0 {
            // Not needed, but it frees room, and is not counted again in the next life.
            let cut = file.cut(found.end);
            let _ = self.counted(cut);
        }
        recovered.batches += found.batches;
        recovered.items += found.items;
        self.segments.push_back(Segment {
            number,
            end: found.end,
            batches: found.batches,
            items: found.items,
            former: true,
            oldest: found.oldest.unwrap_or_default(),
            // As good as it will be.
            synced: found.end,
            doubtful: false,
        });
        Ok(())
    }
}
