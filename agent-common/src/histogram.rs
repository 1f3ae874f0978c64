//! Histograms that the kernel side keeps: observations by power of two, and their sum. [`Histogram`] is a run of `u64`, so a
//! reader may take it, or a struct that holds it, as an array of them.

/// Bounds: the first bucket takes all up to 2^[`FIRST`] nanoseconds (1.024 us), each further one twice as much.
pub const FIRST: u32 = 10;
/// Number of bounds; the last is 2^34 ns (17.18 s). One more bucket holds the rest.
pub const BOUNDS: usize = 25;
/// The bounds in seconds, inclusive.
pub const SECONDS: [f64; BOUNDS] = {
    let mut bounds = [0.0; BOUNDS];
    let mut i = 0;
    while i < BOUNDS {
        bounds[i] = (1u64 << (FIRST + i as u32)) as f64 / 1e9;
        i += 1;
    }
    bounds
};

/// Durations, nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Observations by bucket.
    pub buckets: [u64; BOUNDS + 1],
    /// Sum of all, nanoseconds.
    pub sum: u64,
}

/// `u64`s of a [`Histogram`].
pub const WORDS: usize = BOUNDS + 2;

impl Histogram {
    /// Nothing observed.
    pub const BLANK: Histogram = Histogram {
        buckets: [0; BOUNDS + 1],
        sum: 0,
    };
}

/// Bucket of a duration in nanoseconds: a bound belongs to the bucket below it.
#[inline(always)]
pub const fn bucket(nanos: u64) -> usize {
    // By comparison, not by leading zeros: the verifiers of older kernels have no instruction for them, and know this range.
    let mut value = nanos.saturating_sub(1) >> FIRST;
    let mut index = 0;
    let mut step = 16;
    while step > 0 {
        if value >> step > 0 {
            value >>= step;
            index += step;
        }
        step /= 2;
    }
    let index = index + value as usize;
    if index > BOUNDS { BOUNDS } else { index }
}

/// Takes the numbers of a histogram apart: buckets, and the sum in seconds. `None` when there are not [`WORDS`] numbers.
pub fn read(words: &[u64]) -> Option<(&[u64], f64)> {
    let (buckets, sum) = words.get(..WORDS)?.split_at(BOUNDS + 1);
    Some((buckets, sum[0] as f64 / 1e9))
}

const _: () = assert!(core::mem::size_of::<Histogram>() == WORDS * 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_in_the_bucket_below_it() {
        for (index, bound) in SECONDS.iter().enumerate() {
            let nanos = (bound * 1e9).round() as u64;
            assert_eq!((bucket(nanos), bucket(nanos + 1)), (index, index + 1), "{bound}");
        }
        assert_eq!((bucket(0), bucket(1), bucket(1024)), (0, 0, 0));
        assert_eq!(bucket(u64::MAX), BOUNDS);
    }
}
