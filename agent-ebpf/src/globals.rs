//! Read-only globals, set by the loader before the programs are verified, so that the verifier sees constants.

use onlooker_common::{config::ProbeConfig, layout};

/// Byte offsets of kernel struct members, in the order of `layout::FIELDS`.
#[unsafe(no_mangle)]
static LAYOUT: [u32; layout::COUNT] = [0; layout::COUNT];

/// BTF ids of structs, in the order of `layout::TYPES`.
#[unsafe(no_mangle)]
static TYPES: [u32; layout::TYPES.len()] = [0; layout::TYPES.len()];

/// Settings.
#[unsafe(no_mangle)]
static CONFIG: ProbeConfig = ProbeConfig {
    self_tgid: 0,
    ring_half: 0,
    hold: 0,
    roles: 0,
    again: 0,
};

/// Byte offset of a member, an index of `layout`.
#[inline(always)]
pub(crate) fn offset(field: usize) -> usize {
    // SAFETY: `field` is one of the constants of `layout`, all below COUNT. Volatile: the compiler must not fold the zero
    // that stands there before the loader writes the real value.
    unsafe { core::ptr::read_volatile(&raw const LAYOUT[field]) as usize }
}

/// BTF id of a struct, an index of `layout::TYPES`.
#[inline(always)]
pub(crate) fn type_id(index: usize) -> u64 {
    // SAFETY: as above.
    u64::from(unsafe { core::ptr::read_volatile(&raw const TYPES[index]) })
}

/// Settings as the loader wrote them, each read by itself, as [`offset`]: read as a whole they would lie on the stack, and be copied for
/// one word of them.
macro_rules! settings {
    ($($name:ident),* $(,)?) => {$(
        #[doc = concat!("[`ProbeConfig::", stringify!($name), "`]")]
        #[inline(always)]
        pub(crate) fn $name() -> u32 {
            // SAFETY: a static. Volatile: as above.
            unsafe { core::ptr::read_volatile(&raw const super::CONFIG.$name) }
        }
    )*};
}

/// Settings, one by one.
pub(crate) mod config {
    #[cfg(doc)]
    use onlooker_common::config::ProbeConfig;

    settings!(self_tgid, ring_half, hold, roles, again);
}

/// Always zero. It lies in a writable section, so the verifier does not know.
#[unsafe(no_mangle)]
static mut ZERO: u64 = 0;

/// A number that the verifier knows nothing of. Paths that differ only in what is known of a number are then one path to
/// it: without this, the paths through a capture program multiply beyond what the verifier walks.
#[inline(always)]
pub(crate) fn forget(value: u64) -> u64 {
    // SAFETY: nobody writes it. Volatile: the compiler must not fold it.
    value ^ unsafe { core::ptr::read_volatile(&raw const ZERO) }
}
