//! Options of the OTLP exporter. Each stands for a standard variable, of all signals or of one: what it means, and what is wrong with
//! it, is the exporter's to say (`export::otlp::OtlpConfig`).

use super::{BASE, Opt, Set};

/// A row for each option: its name, that of its variable, its value, and its help before and behind what is sent.
macro_rules! rows {
    ($key:literal $variable:literal $of:literal $($name:literal $var:literal $value:literal [$before:literal $behind:literal])*) => {
        [$(Opt {
            name: concat!("otlp.", $key, $name),
            value: $value,
            help: concat!($before, $of, $behind),
            env: Some(concat!("OTEL_EXPORTER_OTLP_", $variable, $var)),
            repeatable: matches!($name.as_bytes(), b"headers"),
            secret: matches!($name.as_bytes(), b"headers" | b"endpoint"),
            set: Set::Field(|config, value| {
                config.otlp.give(concat!("OTEL_EXPORTER_OTLP_", $variable, $var), value);
                Ok(())
            }),
            ..BASE
        }),*]
    };
}

/// The options of all signals (`""`), or of one (`"traces."`, `"TRACES_"`).
macro_rules! scope {
    ($key:literal, $variable:literal, $of:literal) => {
        rows! { $key $variable $of
            "endpoint" "ENDPOINT" "URL" ["Where " " are sent by OTLP: http:// or https://, of gRPC also HOST:PORT."]
            "protocol" "PROTOCOL" "PROTOCOL" ["How " " are sent: grpc, http/protobuf (default) or http/json."]
            "insecure" "INSECURE" "BOOL" ["No TLS for " " by gRPC to an end point without http:// or https://."]
            "headers" "HEADERS" "KEY=VALUE" ["Header of requests with " ", its value percent-encoded. Repeatable."]
            "compression" "COMPRESSION" "HOW" ["How requests with " " are compressed: gzip (default), zstd or none."]
            "timeout" "TIMEOUT" "MILLISECONDS" ["How long one request with " " may take, 10000 by default."]
            "certificate" "CERTIFICATE" "FILE" ["What signed the certificate of the receiver of " ", in PEM; else the system's roots."]
            "client-certificate" "CLIENT_CERTIFICATE" "FILE" ["The client's own certificate in PEM, for receivers of " " that ask for one."]
            "client-key" "CLIENT_KEY" "FILE" ["The key of the client's certificate in PEM, for receivers of " "."]
        }
    };
}

/// In the order of the help.
pub(super) static OTLP: [[Opt; 9]; 4] = [
    scope!("", "", "spans, metrics and records of logs"),
    scope!("traces.", "TRACES_", "spans"),
    scope!("metrics.", "METRICS_", "metrics"),
    scope!("logs.", "LOGS_", "records of logs"),
];
