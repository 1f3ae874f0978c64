//! Read-only globals, set by the loader before the programs are verified, so that the verifier sees constants.

use aya_ebpf::Global;
use onlooker_common::{config::ProbeConfig, layout};

/// Byte offsets of kernel struct members, in the order of `layout::FIELDS`.
#[unsafe(no_mangle)]
static LAYOUT: [u32; layout::COUNT] = [0; layout::COUNT];

/// Settings.
#[unsafe(no_mangle)]
static CONFIG: Global<ProbeConfig> = Global::new(ProbeConfig { self_tgid: 0, wake_bytes: 0 });

/// Byte offset of a member, an index of `layout`.
#[inline(always)]
pub(crate) fn offset(field: usize) -> usize {
    // SAFETY: `field` is one of the constants of `layout`, all below COUNT. Volatile: the compiler must not fold the zero
    // that stands there before the loader writes the real value.
    unsafe { core::ptr::read_volatile(&raw const LAYOUT[field]) as usize }
}

/// Settings as the loader wrote them.
#[inline(always)]
pub(crate) fn config() -> ProbeConfig {
    CONFIG.load()
}
