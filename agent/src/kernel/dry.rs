//! What a start of the agent would come to, found by doing all of it but attaching: the maps are made, each program is
//! verified by the kernel, and everything is dropped again before the call returns. Nothing of the host changes.

use super::loader::{self, LoadError, Options, Step};
use crate::health::ProbeState;
use crate::host::Host;

/// Tries every probe as [`loader::load`] would, with the same alternatives in the same order. An alternative named in a
/// state is one whose programs the kernel accepted.
///
/// # Errors
/// As [`loader::load`]: only when nothing can work.
pub fn probes(host: &Host, options: &Options) -> Result<Vec<ProbeState>, LoadError> {
    let mut opened = loader::open(host, options)?;
    Ok(opened.try_all(options, Step::Verify))
}
