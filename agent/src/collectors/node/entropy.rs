//! The kernel's random numbers: `proc/sys/kernel/random` (`drivers/char/random.c`).

use super::files::Kept;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "entropy",
    about: "entropy of the kernel's random numbers",
    make: |setup| {
        let folder = setup.host.proc.join("sys/kernel/random");
        let files = FAMILIES.each_ref().map(|(file, _)| Kept::whole(folder.join(file)));
        Ok(Box::new(Entropy(files)))
    },
    ..Collector::BASE
};

static FAMILIES: [(&str, Family); 2] = [
    (
        "entropy_avail",
        Family::new(
            "node_entropy_available_bits",
            "bits",
            "Entropy at hand, in bits.",
            Kind::Gauge,
        ),
    ),
    (
        "poolsize",
        Family::new(
            "node_entropy_pool_size_bits",
            "bits",
            "Entropy that the pool can hold, in bits.",
            Kind::Gauge,
        ),
    ),
];

struct Entropy([Kept; 2]);

impl Collect for Entropy {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        for (file, (_, family)) in self.0.iter_mut().zip(&FAMILIES) {
            let value: u64 = file.number()?;
            out.family(family);
            out.number(&[], value as f64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn bits_at_hand_and_of_the_pool() {
        let fixture = Fixture::new(&[
            ("proc/sys/kernel/random/entropy_avail", "250\n"),
            ("proc/sys/kernel/random/poolsize", "256\n"),
        ]);
        assert_eq!(
            fixture.text(&COLLECTOR),
            "node_entropy_available_bits 250\nnode_entropy_pool_size_bits 256\n"
        );
        fixture.put(&[("proc/sys/kernel/random/poolsize", "big")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_entropy_available_bits 250\n");
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("poolsize: \"big\": invalid digit")
        );
    }
}
