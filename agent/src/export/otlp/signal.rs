//! The signals of OTLP, and how the specifications name what belongs to each: one row per signal.

use super::json;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// A signal of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpSignal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Records of logs.
    Logs,
}

/// A variable of the exporter: that of the signal, which comes first, and that of all signals.
pub(super) type Pair = [&'static str; 2];

/// What belongs to one signal.
pub(super) struct Names {
    pub(super) exporter: &'static str,
    pub(super) endpoint: Pair,
    pub(super) insecure: Pair,
    pub(super) protocol: Pair,
    pub(super) compression: Pair,
    pub(super) headers: Pair,
    pub(super) timeout: Pair,
    pub(super) certificate: Pair,
    pub(super) client_certificate: Pair,
    pub(super) client_key: Pair,
    /// Variables of its batches, where the specification has any.
    pub(super) batches: Option<Batches>,
    /// Appended to `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) path: &'static str,
    /// Path of the gRPC method.
    pub(super) method: &'static str,
    /// A request of protobuf as JSON.
    pub(super) json: fn(&[u8]) -> Result<Vec<u8>, String>,
    /// Key of a partial success, in JSON, that counts what was rejected.
    pub(super) rejected: &'static str,
    /// What it consists of, in messages.
    plural: &'static str,
}

/// Variables of the processor that makes batches.
pub(super) struct Batches {
    pub(super) delay: &'static str,
    pub(super) queue: &'static str,
    pub(super) batch: &'static str,
}

/// A variable with the signal's name in it, and without.
macro_rules! pair {
    ($signal:literal, $what:literal) => {
        [
            concat!("OTEL_EXPORTER_OTLP_", $signal, "_", $what),
            concat!("OTEL_EXPORTER_OTLP_", $what),
        ]
    };
}

macro_rules! batches {
    () => {
        None
    };
    ($processor:literal) => {
        Some(Batches {
            delay: concat!("OTEL_", $processor, "_SCHEDULE_DELAY"),
            queue: concat!("OTEL_", $processor, "_MAX_QUEUE_SIZE"),
            batch: concat!("OTEL_", $processor, "_MAX_EXPORT_BATCH_SIZE"),
        })
    };
}

/// The row of a signal: its name in variables, that of its processor, its path, package and service in gRPC, and the rest as it is.
macro_rules! names {
    (
        $signal:literal, [$($processor:literal)?], $path:literal, $package:literal, $service:literal,
        $json:expr, $rejected:literal, $plural:literal $(,)?
    ) => {
        Names {
            exporter: concat!("OTEL_", $signal, "_EXPORTER"),
            endpoint: pair!($signal, "ENDPOINT"),
            insecure: pair!($signal, "INSECURE"),
            protocol: pair!($signal, "PROTOCOL"),
            compression: pair!($signal, "COMPRESSION"),
            headers: pair!($signal, "HEADERS"),
            timeout: pair!($signal, "TIMEOUT"),
            certificate: pair!($signal, "CERTIFICATE"),
            client_certificate: pair!($signal, "CLIENT_CERTIFICATE"),
            client_key: pair!($signal, "CLIENT_KEY"),
            batches: batches!($($processor)?),
            path: $path,
            method: concat!("/opentelemetry.proto.collector.", $package, ".v1.", $service, "/Export"),
            json: $json,
            rejected: $rejected,
            plural: $plural,
        }
    };
}

static TRACES: Names = names!(
    "TRACES",
    ["BSP"],
    "/v1/traces",
    "trace",
    "TraceService",
    json::of::<ExportTraceServiceRequest>,
    "rejectedSpans",
    "spans",
);
static METRICS: Names = names!(
    "METRICS",
    [],
    "/v1/metrics",
    "metrics",
    "MetricsService",
    json::of::<ExportMetricsServiceRequest>,
    "rejectedDataPoints",
    "data points",
);
static LOGS: Names = names!(
    "LOGS",
    ["BLRP"],
    "/v1/logs",
    "logs",
    "LogsService",
    json::of::<ExportLogsServiceRequest>,
    "rejectedLogRecords",
    "log records",
);

impl OtlpSignal {
    /// All of them.
    pub const ALL: [OtlpSignal; 3] = [OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs];

    /// What it consists of, in messages.
    pub fn plural(self) -> &'static str {
        self.names().plural
    }

    pub(super) fn names(self) -> &'static Names {
        match self {
            OtlpSignal::Traces => &TRACES,
            OtlpSignal::Metrics => &METRICS,
            OtlpSignal::Logs => &LOGS,
        }
    }
}
