//! The standard variables of the periodic reader and of the metrics exporter
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#periodic-exporting-metricreader>,
//! <https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/>).

use super::super::config::{Env, OtlpConfigError};
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use std::time::Duration;

const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const TIMEOUT: &str = "OTEL_METRIC_EXPORT_TIMEOUT";
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";

/// Whether points tell all since the start of their series, or what came since the point before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// All since the start, of every kind.
    #[default]
    Cumulative,
    /// Counters and histograms: what came since the point before. Sums that are not monotonic: all.
    Delta,
    /// Histograms as with `Delta`. Counters are read when they are collected, which the specification calls asynchronous: as with
    /// `Cumulative`.
    LowMemory,
}

impl Temporality {
    pub(super) const DELTA: i32 = AggregationTemporality::Delta as i32;
    const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

    /// That of sums.
    pub(super) fn of_sums(self, monotonic: bool) -> i32 {
        match self {
            Temporality::Delta if monotonic => Self::DELTA,
            _ => Self::CUMULATIVE,
        }
    }

    /// That of histograms.
    pub(super) fn of_histograms(self) -> i32 {
        match self {
            Temporality::Cumulative => Self::CUMULATIVE,
            Temporality::Delta | Temporality::LowMemory => Self::DELTA,
        }
    }
}

/// Settings of the push of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Time between the beginnings of two collections.
    pub interval: Duration,
    /// How long a collection may take until it is in the queue.
    pub timeout: Duration,
    /// Whether points are running totals or differences.
    pub temporality: Temporality,
}

impl Default for MetricsConfig {
    fn default() -> MetricsConfig {
        MetricsConfig {
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
            temporality: Temporality::Cumulative,
        }
    }
}

impl MetricsConfig {
    /// Reads the variables.
    ///
    /// # Errors
    /// One of them does not make sense, or asks for what cannot be had.
    pub fn from_env(get: &dyn Fn(&str) -> Option<String>) -> Result<MetricsConfig, OtlpConfigError> {
        let env = Env(get);
        let mut config = MetricsConfig::default();
        let day = 86_400_000;
        if let Some(ms) = env.number(&[INTERVAL], 100, day, "milliseconds")? {
            config.interval = Duration::from_millis(ms);
        }
        if let Some(ms) = env.number(&[TIMEOUT], 1, day, "milliseconds")? {
            config.timeout = Duration::from_millis(ms);
        }
        if let Some(temporality) = env.choice(
            &[TEMPORALITY],
            &[
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                ("lowmemory", Temporality::LowMemory),
            ],
            "cumulative, delta or lowmemory",
        )? {
            config.temporality = temporality;
        }
        let exponential = env.choice(
            &[AGGREGATION],
            &[
                ("explicit_bucket_histogram", false),
                ("base2_exponential_bucket_histogram", true),
            ],
            "explicit_bucket_histogram",
        )?;
        if exponential == Some(true) {
            return Err(OtlpConfigError::new(
                AGGREGATION,
                "base2_exponential_bucket_histogram cannot be had: the agent counts in fixed buckets (those that the semantic \
                 conventions advise), which are no powers of a base and would have to be guessed; use explicit_bucket_histogram",
            ));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<MetricsConfig, OtlpConfigError> {
        MetricsConfig::from_env(&|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn variables_and_defaults() {
        assert_eq!(from(&[]), Ok(MetricsConfig::default()));
        let all = [
            (INTERVAL, "1500"),
            (TIMEOUT, "700"),
            (TEMPORALITY, "Delta"),
            (AGGREGATION, "EXPLICIT_bucket_histogram"),
        ];
        let expect = MetricsConfig {
            interval: Duration::from_millis(1500),
            timeout: Duration::from_millis(700),
            temporality: Temporality::Delta,
        };
        assert_eq!(from(&all), Ok(expect));
        let low = from(&[(TEMPORALITY, "lowmemory")]).map(|config| config.temporality);
        assert_eq!(low, Ok(Temporality::LowMemory));
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_sentence() {
        for (name, value, expect) in [
            (INTERVAL, "0", "a whole number of milliseconds from 100"),
            (TIMEOUT, "soon", "a whole number of milliseconds from 1"),
            (TEMPORALITY, "gauge", "use cumulative, delta or lowmemory"),
            (AGGREGATION, "sketch", "use explicit_bucket_histogram"),
            (
                AGGREGATION,
                "base2_exponential_bucket_histogram",
                "use explicit_bucket_histogram",
            ),
        ] {
            let error = from(&[(name, value)]).expect_err(value).to_string();
            assert!(error.contains(name) && error.contains(expect), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    /// <https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/#additional-environment-variable-configuration>
    #[test]
    fn temporality_by_instrument() {
        use Temporality::{Cumulative, Delta, LowMemory};
        let of = |preference: Temporality| {
            let is_delta = |temporality| temporality == Temporality::DELTA;
            [
                is_delta(preference.of_sums(true)),
                is_delta(preference.of_sums(false)),
                is_delta(preference.of_histograms()),
            ]
        };
        assert_eq!(of(Cumulative), [false, false, false]);
        assert_eq!(of(Delta), [true, false, true]);
        assert_eq!(of(LowMemory), [false, false, true]);
    }
}
