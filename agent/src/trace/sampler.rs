//! Which traces are recorded: the samplers of the OpenTelemetry SDK specification, set by `--traces.sampler` and
//! `--traces.sampler-arg` (`OTEL_TRACES_SAMPLER` and its `_ARG`). Ratios follow the consistent probability rule (threshold
//! against the trace id's last 56 bits), so that every agent and SDK with the same ratio keeps the same traces.

/// 2^56: one more than the largest randomness value of a trace id.
const SCALE: u64 = 1 << 56;

/// Decides for a trace that begins here, and for one that has a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    parent_based: bool,
    /// Traces whose randomness is at least this are kept: 0 all, 2^56 none.
    threshold: u64,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler::PARENT_BASED_ALWAYS_ON
    }
}

impl Sampler {
    /// `always_on`.
    pub const ALWAYS_ON: Sampler = Sampler {
        parent_based: false,
        threshold: 0,
    };
    /// `always_off`.
    pub const ALWAYS_OFF: Sampler = Sampler {
        parent_based: false,
        threshold: SCALE,
    };
    /// `parentbased_always_on`, the default.
    pub const PARENT_BASED_ALWAYS_ON: Sampler = Sampler {
        parent_based: true,
        threshold: 0,
    };
    /// `parentbased_always_off`.
    pub const PARENT_BASED_ALWAYS_OFF: Sampler = Sampler {
        parent_based: true,
        threshold: SCALE,
    };

    /// Keeps a share of traces, 0 to 1 (values beyond are taken as the nearer end); `parent_based`: a parent's decision is
    /// followed.
    pub fn ratio(ratio: f64, parent_based: bool) -> Sampler {
        let threshold = SCALE - (ratio.clamp(0.0, 1.0) * SCALE as f64) as u64;
        Sampler {
            parent_based,
            threshold,
        }
    }
    /// Is a span of this trace recorded? `parent`: what was decided for its parent, when it has one.
    pub fn decide(&self, trace_id: &[u8; 16], parent: Option<bool>) -> bool {
        match parent {
            Some(sampled) if self.parent_based => sampled,
            _ => randomness(trace_id) >= self.threshold,
        }
    }
}

/// The last 56 bits of a trace id (W3C Trace Context level 2, section 3.2.2.3.3).
fn randomness(id: &[u8; 16]) -> u64 {
    u64::from_be_bytes([0, id[9], id[10], id[11], id[12], id[13], id[14], id[15]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn parents() {
        let id = [0xab; 16];
        for (sampler, root, sampled, unsampled) in [
            (Sampler::ALWAYS_ON, true, true, true),
            (Sampler::ALWAYS_OFF, false, false, false),
            (Sampler::PARENT_BASED_ALWAYS_ON, true, true, false),
            (Sampler::PARENT_BASED_ALWAYS_OFF, false, true, false),
            (Sampler::ratio(1.0, true), true, true, false),
            (Sampler::ratio(0.0, false), false, false, false),
        ] {
            let decided = [None, Some(true), Some(false)].map(|parent| sampler.decide(&id, parent));
            assert_eq!(decided, [root, sampled, unsampled], "{sampler:?}");
        }
    }

    #[test]
    fn threshold_is_that_of_the_last_56_bits() {
        let id = |randomness: u64| (0xffu128 << 56 | u128::from(randomness)).to_be_bytes();
        let half = Sampler::ratio(0.5, false);
        assert!(!half.decide(&id(SCALE / 2 - 1), None));
        assert!(half.decide(&id(SCALE / 2), None));
        assert!(!Sampler::ALWAYS_OFF.decide(&id(SCALE - 1), None));
        assert!(Sampler::ALWAYS_ON.decide(&id(0), None));
    }

    #[test]
    fn share_and_consistency() {
        let mut random = SmallRng::seed_from_u64(7);
        let (few, many) = (Sampler::ratio(0.1, false), Sampler::ratio(0.3, true));
        let (mut kept_few, mut kept_many) = (0u32, 0u32);
        for _ in 0..100_000 {
            let id: [u8; 16] = random.random();
            let (a, b) = (few.decide(&id, None), many.decide(&id, None));
            assert!(b || !a, "a smaller ratio keeps a subset");
            kept_few += u32::from(a);
            kept_many += u32::from(b);
        }
        // Five standard deviations of a binomial distribution: 474 and 725.
        assert!(kept_few.abs_diff(10_000) < 474, "{kept_few}");
        assert!(kept_many.abs_diff(30_000) < 725, "{kept_many}");
    }
}
