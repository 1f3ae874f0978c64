use super::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use proptest::prelude::*;
use serde_json::json;

fn metrics(metrics: Vec<Metric>) -> Value {
    let scope = ScopeMetrics {
        metrics,
        ..Default::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![scope],
            ..Default::default()
        }],
    };
    let json = of::<ExportMetricsServiceRequest>(&request.encode_to_vec()).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone()
}

fn metric(data: Data) -> Metric {
    Metric {
        name: "m".to_owned(),
        data: Some(data),
        ..Default::default()
    }
}

/// What the encoding asks of numbers: 64 bits are texts, others are not, bytes are base64.
#[test]
fn numbers_of_metrics() {
    let attribute = KeyValue {
        key: "k".to_owned(),
        value: Some(AnyValue {
            value: Some(Any::IntValue(i64::MIN)),
        }),
        ..Default::default()
    };
    let point = |value| NumberDataPoint {
        time_unix_nano: u64::MAX,
        value: Some(value),
        attributes: vec![attribute.clone()],
        ..Default::default()
    };
    let gauge = Gauge {
        data_points: vec![point(Number::AsInt(-5)), point(Number::AsDouble(0.5))],
    };
    let sum = Sum {
        data_points: vec![],
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let histogram = Histogram {
        data_points: vec![HistogramDataPoint {
            count: 3,
            sum: Some(1.5),
            bucket_counts: vec![1, 2],
            explicit_bounds: vec![0.1],
            ..Default::default()
        }],
        aggregation_temporality: 1,
    };
    let exponential = ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            zero_count: 7,
            scale: -1,
            positive: Some(Buckets {
                offset: -2,
                bucket_counts: vec![9],
            }),
            ..Default::default()
        }],
        aggregation_temporality: 2,
    };
    let all = metrics(vec![
        metric(Data::Gauge(gauge)),
        metric(Data::Sum(sum)),
        metric(Data::Histogram(histogram)),
        metric(Data::ExponentialHistogram(exponential)),
    ]);
    let points = &all[0]["gauge"]["dataPoints"];
    assert_eq!(points[0]["asInt"], "-5");
    assert_eq!(points[1]["asDouble"], 0.5);
    assert_eq!(points[0]["timeUnixNano"], u64::MAX.to_string());
    assert_eq!(
        points[0]["attributes"][0]["value"],
        json!({"intValue": i64::MIN.to_string()})
    );
    assert_eq!(all[1]["sum"]["aggregationTemporality"], 2);
    assert_eq!(all[1]["sum"]["isMonotonic"], true);
    let point = &all[2]["histogram"]["dataPoints"][0];
    assert_eq!((&point["count"], &point["sum"]), (&json!("3"), &json!(1.5)));
    assert_eq!(point["bucketCounts"], json!(["1", "2"]));
    assert_eq!(point["explicitBounds"], json!([0.1]));
    let point = &all[3]["exponentialHistogram"]["dataPoints"][0];
    assert_eq!((&point["zeroCount"], &point["scale"]), (&json!("7"), &json!(-1)));
    assert_eq!(point["positive"], json!({"offset": -2, "bucketCounts": ["9"]}));
}

#[test]
fn partial_successes() {
    let check = |body: &str, expect: Option<(i64, &str)>| {
        let expect = expect.map(|(count, message)| (count, message.to_owned()));
        assert_eq!(partial("rejectedSpans", body.as_bytes()), expect, "{body}");
    };
    check("{}", None);
    check("", None);
    check("[1]", None);
    check(r#"{"partialSuccess": null}"#, Some((0, "")));
    check(r#"{"partialSuccess": {"rejectedSpans": 3}}"#, Some((3, "")));
    check(
        r#"{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "x"}}"#,
        Some((3, "x")),
    );
    check(r#"{"partialSuccess": {"rejectedSpans": "many"}}"#, None);
    check(
        r#"{"partialSuccess": {"rejectedLogRecords": 3, "errorMessage": 7}}"#,
        Some((0, "")),
    );
}

proptest! {
    #[test]
    fn any_response_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = partial("rejectedSpans", &bytes);
    }
}
