use super::*;
use proptest::prelude::*;

#[test]
fn timeouts_have_eight_digits_at_most() {
    let check = |duration, expect: &str| assert_eq!(timeout(duration), expect);
    check(Duration::from_millis(1), "1m");
    check(Duration::from_secs(10), "10000m");
    check(Duration::from_secs(3600), "3600000m");
    check(Duration::from_secs(100_000), "100000S");
    check(Duration::MAX, "99999999S");
}

#[test]
fn a_frame_is_unframed() {
    let frame = frame(OtlpCompression::None, b"abc");
    assert_eq!(frame, b"\0\0\0\0\x03abc");
    assert_eq!(unframe(&frame), Some(b"abc".as_slice()));
    assert_eq!(
        unframe(&super::frame(OtlpCompression::Gzip, b"abc")),
        None,
        "compressed"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_unframed(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        let _ = unframe(&bytes);
    }

    /// Trailers that somebody else wrote.
    #[test]
    fn any_trailers_are_read(code in "\\PC{0,4}", message in "\\PC{0,40}", details in "[a-zA-Z0-9+/=,]{0,80}") {
        let mut headers = HeaderMap::new();
        for (name, value) in [("grpc-status", &code), ("grpc-message", &message), ("grpc-status-details-bin", &details)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if let Some(status) = Status::of(&headers) {
            let _ = status.judge(None);
        }
    }
}
