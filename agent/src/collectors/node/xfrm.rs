//! Errors of IPsec: `proc/net/xfrm_stat` (`net/xfrm/xfrm_proc.c`, `Documentation/networking/xfrm_proc.rst`).

use super::files::{Kept, parsed};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "xfrm",
    about: "errors of IPsec",
    default: false,
    make: |setup| Ok(Box::new(Xfrm::new(setup))),
    ..Collector::BASE
};

const fn packets(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "", help, Kind::Counter)
}

/// Names of the file that are told. Newer kernels have more.
static COUNTERS: [(&str, Family); 28] = [
    (
        "XfrmInError",
        packets("node_xfrm_in_error_packets_total", "All other errors on receipt."),
    ),
    (
        "XfrmInBufferError",
        packets(
            "node_xfrm_in_buffer_error_packets_total",
            "Packets received for which there was no buffer.",
        ),
    ),
    (
        "XfrmInHdrError",
        packets(
            "node_xfrm_in_hdr_error_packets_total",
            "Packets received with a bad header.",
        ),
    ),
    (
        "XfrmInNoStates",
        packets(
            "node_xfrm_in_no_states_packets_total",
            "Packets received that belong to no association.",
        ),
    ),
    (
        "XfrmInStateProtoError",
        packets(
            "node_xfrm_in_state_proto_error_packets_total",
            "Packets received that the protocol refused, such as for a wrong key.",
        ),
    ),
    (
        "XfrmInStateModeError",
        packets(
            "node_xfrm_in_state_mode_error_packets_total",
            "Packets received that the mode refused.",
        ),
    ),
    (
        "XfrmInStateSeqError",
        packets(
            "node_xfrm_in_state_seq_error_packets_total",
            "Packets received outside the window of sequence numbers.",
        ),
    ),
    (
        "XfrmInStateExpired",
        packets(
            "node_xfrm_in_state_expired_packets_total",
            "Packets received for an association that expired.",
        ),
    ),
    (
        "XfrmInStateMismatch",
        packets(
            "node_xfrm_in_state_mismatch_packets_total",
            "Packets received whose encapsulation does not fit.",
        ),
    ),
    (
        "XfrmInStateInvalid",
        packets(
            "node_xfrm_in_state_invalid_packets_total",
            "Packets received for an association that is not valid.",
        ),
    ),
    (
        "XfrmInTmplMismatch",
        packets(
            "node_xfrm_in_tmpl_mismatch_packets_total",
            "Packets received that fit no template of a policy.",
        ),
    ),
    (
        "XfrmInNoPols",
        packets(
            "node_xfrm_in_no_pols_packets_total",
            "Packets received that no policy covers.",
        ),
    ),
    (
        "XfrmInPolBlock",
        packets(
            "node_xfrm_in_pol_block_packets_total",
            "Packets received that a policy blocks.",
        ),
    ),
    (
        "XfrmInPolError",
        packets(
            "node_xfrm_in_pol_error_packets_total",
            "Packets received with an error of a policy.",
        ),
    ),
    (
        "XfrmOutError",
        packets("node_xfrm_out_error_packets_total", "All other errors while sending."),
    ),
    (
        "XfrmOutBundleGenError",
        packets(
            "node_xfrm_out_bundle_gen_error_packets_total",
            "Packets whose bundle could not be made.",
        ),
    ),
    (
        "XfrmOutBundleCheckError",
        packets(
            "node_xfrm_out_bundle_check_error_packets_total",
            "Packets whose bundle did not pass its check.",
        ),
    ),
    (
        "XfrmOutNoStates",
        packets(
            "node_xfrm_out_no_states_packets_total",
            "Packets to be sent that have no association.",
        ),
    ),
    (
        "XfrmOutStateProtoError",
        packets(
            "node_xfrm_out_state_proto_error_packets_total",
            "Packets to be sent that the protocol refused.",
        ),
    ),
    (
        "XfrmOutStateModeError",
        packets(
            "node_xfrm_out_state_mode_error_packets_total",
            "Packets to be sent that the mode refused.",
        ),
    ),
    (
        "XfrmOutStateSeqError",
        packets(
            "node_xfrm_out_state_seq_error_packets_total",
            "Packets to be sent for which sequence numbers ran out.",
        ),
    ),
    (
        "XfrmOutStateExpired",
        packets(
            "node_xfrm_out_state_expired_packets_total",
            "Packets to be sent by an association that expired.",
        ),
    ),
    (
        "XfrmOutPolBlock",
        packets(
            "node_xfrm_out_pol_block_packets_total",
            "Packets to be sent that a policy blocks.",
        ),
    ),
    (
        "XfrmOutPolDead",
        packets(
            "node_xfrm_out_pol_dead_packets_total",
            "Packets to be sent whose policy is dead.",
        ),
    ),
    (
        "XfrmOutPolError",
        packets(
            "node_xfrm_out_pol_error_packets_total",
            "Packets to be sent with an error of a policy.",
        ),
    ),
    (
        "XfrmFwdHdrError",
        packets(
            "node_xfrm_fwd_hdr_error_packets_total",
            "Packets to be forwarded with a bad header.",
        ),
    ),
    (
        "XfrmOutStateInvalid",
        packets(
            "node_xfrm_out_state_invalid_packets_total",
            "Packets to be sent by an association that is not valid.",
        ),
    ),
    (
        "XfrmAcquireError",
        packets(
            "node_xfrm_acquire_error_packets_total",
            "Packets that an association was not ready for.",
        ),
    ),
];

struct Xfrm(Kept);

impl Xfrm {
    fn new(setup: &Setup<'_>) -> Xfrm {
        Xfrm(Kept::whole(setup.host.proc.join("net/xfrm_stat")))
    }
}

impl Collect for Xfrm {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let counts = parse(&path, self.0.text()?)?;
        for ((_, family), count) in COUNTERS.iter().zip(counts) {
            if let Some(count) = count {
                out.family(family);
                out.number(&[], count as f64);
            }
        }
        Ok(())
    }
}

/// Numbers of the file by their place in [`COUNTERS`].
fn parse(path: &Path, text: &str) -> Result<[Option<i64>; COUNTERS.len()], CollectError> {
    let mut counts = [None; COUNTERS.len()];
    for line in text.lines() {
        let Some((name, number)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let place = COUNTERS.iter().position(|(known, _)| *known == name);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count = Some(parsed(path, number)?);
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn what_is_known_is_told() {
        let text = "XfrmInError             \t1\nXfrmOutStateDirError    \t9\nshort\nXfrmAcquireError        \t24\n";
        let told = "node_xfrm_in_error_packets_total 1\nnode_xfrm_acquire_error_packets_total 24\n";
        assert_eq!(Fixture::new(&[("proc/net/xfrm_stat", text)]).text(&COLLECTOR), told);
    }

    #[test]
    fn garbage_is_told() {
        let error = Fixture::new(&[("proc/net/xfrm_stat", "XfrmInError x\n")]).error(&COLLECTOR);
        assert!(
            error.ends_with("net/xfrm_stat: \"x\": invalid digit found in string"),
            "{error}"
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
