//! Reading many entries of a hash map at a call (`BPF_MAP_LOOKUP_BATCH`), which aya does not offer.

use aya::Pod;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Entries asked for at a call, at most and at least.
const AT_ONCE: usize = 256;
const FEW: usize = 16;
/// `enum bpf_cmd` in `include/uapi/linux/bpf.h`.
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;

/// `struct { … } batch` of `union bpf_attr`.
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Shows every entry of a hash map with keys `K` and values `V`; `blank` is any value. `about`: so many there may be. For that many
/// there is room at first, not for all there could be: most tables hold a few, and room for more has to be cleared each time.
///
/// # Errors
/// What the kernel said.
pub(super) fn lookup<K: Pod + Default, V: Pod>(
    map: BorrowedFd<'_>,
    blank: &V,
    about: usize,
    mut each: impl FnMut(&K, &V),
) -> io::Result<()> {
    lookup_each(map, blank, 1, about, |key, values| each(key, &values[0]))
}

/// The same where an entry has `per` values: one for each CPU that may be there, or one.
///
/// # Errors
/// What the kernel said.
pub(super) fn lookup_each<K: Pod + Default, V: Pod>(
    map: BorrowedFd<'_>,
    blank: &V,
    per: usize,
    about: usize,
    mut each: impl FnMut(&K, &[V]),
) -> io::Result<()> {
    let per = per.max(1);
    let mut room = about.saturating_add(about / 4).clamp(FEW, AT_ONCE);
    let mut keys = vec![K::default(); room];
    let mut values = vec![*blank; room * per];
    // The kernel's place in the table.
    let (mut from, mut to) = (0u64, 0u64);
    let mut first = true;
    loop {
        let mut attributes = Attributes {
            in_batch: if first { 0 } else { (&raw const from) as u64 },
            out_batch: (&raw mut to) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: room as u32,
            map_fd: map.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the arrays hold `count` keys and (`per` times) values of this map, the places a word each; all outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_BATCH,
                &raw mut attributes,
                size_of::<Attributes>(),
            )
        };
        let error = (result < 0).then(io::Error::last_os_error);
        let errno = error.as_ref().and_then(io::Error::raw_os_error);
        if errno == Some(libc::ENOSPC) {
            // A bucket holds more entries than we asked for.
            room *= 2;
            keys.resize(room, K::default());
            values.resize(room * per, *blank);
            continue;
        }
        let end = errno == Some(libc::ENOENT);
        if let Some(error) = error.filter(|_| !end) {
            return Err(error);
        }
        for (key, values) in keys.iter().zip(values.chunks(per)).take(attributes.count as usize) {
            each(key, values);
        }
        if end {
            return Ok(());
        }
        from = to;
        first = false;
    }
}
