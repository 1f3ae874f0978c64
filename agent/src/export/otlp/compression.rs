//! How requests are compressed: `Content-Encoding` of HTTP, `grpc-encoding` of gRPC, by the same names.

use flate2::write::GzEncoder;
use std::io::Write;

/// Compression of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpCompression {
    /// Not at all.
    None,
    /// RFC 1952.
    #[default]
    Gzip,
    /// RFC 8878. The specification of the exporter's variables does not have it; receivers commonly do.
    Zstd,
}

impl OtlpCompression {
    /// The name that the protocols have for it; `None`: nothing is to be said of it.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            OtlpCompression::None => None,
            OtlpCompression::Gzip => Some("gzip"),
            OtlpCompression::Zstd => Some("zstd"),
        }
    }

    /// The bytes compressed, behind those that are there already. The fastest level: the rest is repeated names mostly.
    pub(super) fn append(self, plain: &[u8], mut to: Vec<u8>) -> Vec<u8> {
        match self {
            OtlpCompression::None => to.extend_from_slice(plain),
            OtlpCompression::Gzip => {
                let mut encoder = GzEncoder::new(to, flate2::Compression::fast());
                // Writing to a Vec does not fail.
                let _ = encoder.write_all(plain);
                return encoder.finish().unwrap_or_default();
            }
            OtlpCompression::Zstd => {
                ruzstd::encoding::compress(plain, &mut to, ruzstd::encoding::CompressionLevel::Fastest)
            }
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn unpacked(compression: OtlpCompression, packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match compression {
            OtlpCompression::None => plain.extend_from_slice(packed),
            OtlpCompression::Gzip => drop(flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap()),
            OtlpCompression::Zstd => {
                let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).unwrap();
                decoder.read_to_end(&mut plain).unwrap();
            }
        }
        plain
    }

    fn check(plain: &[u8]) {
        for compression in [OtlpCompression::None, OtlpCompression::Gzip, OtlpCompression::Zstd] {
            let packed = compression.append(plain, b"before".to_vec());
            let (before, packed) = packed.split_at(6);
            assert_eq!(
                (before, unpacked(compression, packed).as_slice()),
                (b"before".as_slice(), plain)
            );
        }
    }

    /// More than a block of zstd (128 KiB) too, of what compresses and what does not.
    #[test]
    fn what_is_large_comes_back() {
        check(&[]);
        check(&[7; 400_000]);
        let line = b"GET /api/items/17 200 service.name=shop http.route=/api/items/{id} ";
        check(&line.iter().copied().cycle().take(1_000_000).collect::<Vec<_>>());
        let mut state = 1u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        check(&noise.take(300_000).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn whatever_it_is_comes_back(plain in proptest::collection::vec(0u8..20, 0..5000)) {
            check(&plain);
        }
    }
}
