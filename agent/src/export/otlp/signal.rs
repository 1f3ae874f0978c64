//! The signals of OTLP that the agent sends, and how the specification names what belongs to each.

/// A signal of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpSignal {
    /// Spans.
    Traces,
    /// Records of logs.
    Logs,
}

/// Variables of one signal. Where a variable without the signal's name exists, that one comes second.
pub(super) struct Names {
    pub(super) exporter: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) protocol: [&'static str; 2],
    pub(super) compression: [&'static str; 2],
    pub(super) headers: [&'static str; 2],
    pub(super) timeout: [&'static str; 2],
    pub(super) delay: &'static str,
    pub(super) queue: &'static str,
    pub(super) batch: &'static str,
    /// Appended to `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) path: &'static str,
    /// Where to when an exporter is asked for without an endpoint.
    pub(super) default: &'static str,
}

/// The names of a signal, written out of its own in capitals, that of its processor, and that of its path.
macro_rules! names {
    ($signal:literal, $processor:literal, $path:literal) => {
        Names {
            exporter: concat!("OTEL_", $signal, "_EXPORTER"),
            endpoint: concat!("OTEL_EXPORTER_OTLP_", $signal, "_ENDPOINT"),
            protocol: [
                concat!("OTEL_EXPORTER_OTLP_", $signal, "_PROTOCOL"),
                "OTEL_EXPORTER_OTLP_PROTOCOL",
            ],
            compression: [
                concat!("OTEL_EXPORTER_OTLP_", $signal, "_COMPRESSION"),
                "OTEL_EXPORTER_OTLP_COMPRESSION",
            ],
            headers: [
                concat!("OTEL_EXPORTER_OTLP_", $signal, "_HEADERS"),
                "OTEL_EXPORTER_OTLP_HEADERS",
            ],
            timeout: [
                concat!("OTEL_EXPORTER_OTLP_", $signal, "_TIMEOUT"),
                "OTEL_EXPORTER_OTLP_TIMEOUT",
            ],
            delay: concat!("OTEL_", $processor, "_SCHEDULE_DELAY"),
            queue: concat!("OTEL_", $processor, "_MAX_QUEUE_SIZE"),
            batch: concat!("OTEL_", $processor, "_MAX_EXPORT_BATCH_SIZE"),
            path: $path,
            default: concat!("http://localhost:4318", $path),
        }
    };
}

static TRACES: Names = names!("TRACES", "BSP", "/v1/traces");
static LOGS: Names = names!("LOGS", "BLRP", "/v1/logs");

impl OtlpSignal {
    /// All of them.
    pub const ALL: [OtlpSignal; 2] = [OtlpSignal::Traces, OtlpSignal::Logs];

    /// What it consists of, in messages.
    pub const fn plural(self) -> &'static str {
        match self {
            OtlpSignal::Traces => "spans",
            OtlpSignal::Logs => "log records",
        }
    }

    pub(super) fn names(self) -> &'static Names {
        match self {
            OtlpSignal::Traces => &TRACES,
            OtlpSignal::Logs => &LOGS,
        }
    }
}
