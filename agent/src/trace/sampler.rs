//! Which traces are recorded: the samplers of the OpenTelemetry SDK specification, set by `OTEL_TRACES_SAMPLER` and
//! `OTEL_TRACES_SAMPLER_ARG`. Ratios follow the consistent probability rule (threshold against the trace id's last 56 bits),
//! so that every agent and SDK with the same ratio keeps the same traces.

/// 2^56: one more than the largest randomness value of a trace id.
const SCALE: u64 = 1 << 56;

/// Decides for a trace that begins here, and for one that has a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    parent_based: bool,
    /// Traces whose randomness is at least this are kept: 0 all, 2^56 none.
    threshold: u64,
}

/// A sampler's variables do not make sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// Not a sampler's name.
    #[error(
        "OTEL_TRACES_SAMPLER: {0:?} is not known; use always_on, always_off, traceidratio, parentbased_always_on, \
         parentbased_always_off or parentbased_traceidratio"
    )]
    Name(String),
    /// Not a ratio.
    #[error("OTEL_TRACES_SAMPLER_ARG: {0:?} is not a number from 0 to 1")]
    Ratio(String),
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
    /// Reads `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`. Unset and empty mean the default; a ratio's default is 1.
    pub fn from_env(get: &dyn Fn(&str) -> Option<String>) -> Result<Sampler, SamplerError> {
        let get = |name| get(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let ratio = |parent_based| match get("OTEL_TRACES_SAMPLER_ARG") {
            None => Ok(Sampler::ratio(1.0, parent_based)),
            Some(text) => match text.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Sampler::ratio(ratio, parent_based)),
                _ => Err(SamplerError::Ratio(text)),
            },
        };
        let Some(name) = get("OTEL_TRACES_SAMPLER") else {
            return Ok(Sampler::default());
        };
        match name.to_ascii_lowercase().as_str() {
            "always_on" => Ok(Sampler::ALWAYS_ON),
            "always_off" => Ok(Sampler::ALWAYS_OFF),
            "traceidratio" => ratio(false),
            "parentbased_always_on" => Ok(Sampler::PARENT_BASED_ALWAYS_ON),
            "parentbased_always_off" => Ok(Sampler::PARENT_BASED_ALWAYS_OFF),
            "parentbased_traceidratio" => ratio(true),
            _ => Err(SamplerError::Name(name)),
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

    fn check(name: &str, arg: &str, expect: Result<Sampler, &str>) {
        let get = |key: &str| match key {
            "OTEL_TRACES_SAMPLER" => Some(name.to_owned()),
            "OTEL_TRACES_SAMPLER_ARG" => Some(arg.to_owned()),
            _ => None,
        };
        match (Sampler::from_env(&get), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{name} {arg}"),
            (Err(found), Err(expect)) => assert!(found.to_string().contains(expect), "{found}"),
            other => panic!("{name} {arg}: {other:?}"),
        }
    }

    #[test]
    fn names() {
        check("", "", Ok(Sampler::PARENT_BASED_ALWAYS_ON));
        check(" Always_On ", "7", Ok(Sampler::ALWAYS_ON));
        check("always_off", "", Ok(Sampler::ALWAYS_OFF));
        check("parentbased_always_on", "", Ok(Sampler::PARENT_BASED_ALWAYS_ON));
        check("parentbased_always_off", "", Ok(Sampler::PARENT_BASED_ALWAYS_OFF));
        check("traceidratio", "0.25", Ok(Sampler::ratio(0.25, false)));
        check("traceidratio", "", Ok(Sampler::ALWAYS_ON));
        check("traceidratio", "0", Ok(Sampler::ALWAYS_OFF));
        check("parentbased_traceidratio", "1e-3", Ok(Sampler::ratio(0.001, true)));
        check(
            "parentbased_traceidratio",
            "1.5",
            Err("\"1.5\" is not a number from 0 to 1"),
        );
        check("traceidratio", "-0.1", Err("OTEL_TRACES_SAMPLER_ARG"));
        check("traceidratio", "NaN", Err("OTEL_TRACES_SAMPLER_ARG"));
        check("traceidratio", "half", Err("OTEL_TRACES_SAMPLER_ARG"));
        check(
            "jaeger_remote",
            "",
            Err("OTEL_TRACES_SAMPLER: \"jaeger_remote\" is not known"),
        );
        assert_eq!(Sampler::from_env(&|_| None), Ok(Sampler::default()));
    }

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
