//! `google.rpc.Status` and `google.rpc.RetryInfo` (googleapis, google/rpc/status.proto and error_details.proto): what receivers say of
//! an error beyond its code.

use super::http::RETRY_LIMIT;
use prost::Message;
use std::time::Duration;

/// An error.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    /// A code of gRPC.
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    /// For developers, in English.
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// When it makes sense to try again.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) delay: Option<Pause>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Pause {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl Status {
    pub(super) fn read(bytes: &[u8]) -> Option<Status> {
        Status::decode(bytes).ok()
    }

    /// The pause that is asked for, at most [`RETRY_LIMIT`]; `None`: there is no word of trying again.
    pub(super) fn retry(&self) -> Option<Duration> {
        let info = self
            .details
            .iter()
            .find(|any| any.type_url.rsplit('/').next() == Some("google.rpc.RetryInfo"))?;
        let delay = RetryInfo::decode(info.value.as_slice()).ok()?.delay.unwrap_or_default();
        let seconds = u64::try_from(delay.seconds).unwrap_or(0);
        let nanos = u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999);
        Some(Duration::new(seconds, nanos).min(RETRY_LIMIT))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A status that asks for a pause.
    pub(in super::super) fn asks(code: i32, seconds: i64, nanos: i32) -> Vec<u8> {
        let delay = Some(Pause { seconds, nanos });
        let info = Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: RetryInfo { delay }.encode_to_vec(),
        };
        let other = Any {
            type_url: "type.googleapis.com/google.rpc.DebugInfo".to_owned(),
            value: b"\x0a\x01x".to_vec(),
        };
        let status = Status {
            code,
            message: "later".to_owned(),
            details: vec![other, info],
        };
        status.encode_to_vec()
    }

    #[test]
    fn pauses() {
        let check = |seconds, nanos, expect| {
            let found = Status::read(&asks(14, seconds, nanos)).and_then(|status| status.retry());
            assert_eq!(found, Some(expect), "{seconds} {nanos}");
        };
        check(3, 500_000_000, Duration::from_millis(3500));
        check(0, 0, Duration::ZERO);
        check(-1, -1, Duration::ZERO);
        check(i64::MAX, i32::MAX, RETRY_LIMIT);
        let silent = Status {
            code: 8,
            message: String::new(),
            details: vec![],
        };
        assert_eq!(silent.retry(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(status) = Status::read(&bytes) {
                let _ = status.retry();
            }
        }
    }
}
