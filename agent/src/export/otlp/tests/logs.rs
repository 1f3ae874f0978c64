//! Records of logs: what a request holds.

use super::*;
use crate::logs::{Severity, SpanContext};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;

fn resource(name: &str) -> Arc<Resource> {
    let name = AttributeValue::Text(name.to_owned().into());
    Arc::new(Resource {
        attributes: vec![("service.name".into(), name)],
    })
}

impl Sample for LogRecord {
    fn sample(number: u64) -> LogRecord {
        LogRecord {
            timestamp: number,
            observed: number + 1,
            severity: Severity::WARN,
            event_name: Some("onlooker.syscall.error".into()),
            body: "billing[412]: openat /etc/billing/tls.key: EACCES".to_owned(),
            attributes: vec![("error.type".into(), AttributeValue::Text("EACCES".into()))],
            resource: resource("billing"),
            span: None,
            severity_text: None,
            receipt: None,
        }
    }
    fn count(request: &[u8]) -> usize {
        let request = ExportLogsServiceRequest::decode(request).unwrap();
        let resources = request.resource_logs.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_logs);
        scopes.map(|scope| scope.log_records.len()).sum()
    }
    fn rejects(rejected_log_records: i64, message: &str) -> Vec<u8> {
        let partial = ExportLogsPartialSuccess {
            rejected_log_records,
            error_message: message.to_owned(),
        };
        let partial_success = Some(partial);
        ExportLogsServiceResponse { partial_success }.encode_to_vec()
    }
}

#[test]
fn records_as_the_protocol_wants_them() {
    let (listener, address) = listen();
    let requests = receiver(listener, vec![ok()]);
    let (shop, cart) = (resource("shop"), resource("cart"));
    let of = |number, resource: &Arc<Resource>| LogRecord {
        resource: resource.clone(),
        ..LogRecord::sample(number)
    };
    run::<LogRecord>(config(address), |sink| {
        let mut first = of(1, &shop);
        first.span = Some(SpanContext {
            trace_id: [3; 16],
            span_id: [4; 8],
            flags: 1,
        });
        let mut line = of(3, &shop);
        line.event_name = None;
        line.severity = Severity::ERROR;
        [first, of(2, &cart), line]
            .into_iter()
            .for_each(|record| sink.accept(record));
    });
    let request = requests.recv().unwrap();
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    let request = ExportLogsServiceRequest::decode(request.plain().as_slice()).unwrap();
    let shape: Vec<_> = request
        .resource_logs
        .iter()
        .map(|group| group.scope_logs[0].log_records.len())
        .collect();
    assert_eq!(shape, [2, 1], "one group per resource");
    let group = &request.resource_logs[0];
    let name = group.resource.as_ref().unwrap().attributes[0].clone();
    assert_eq!(name.value.unwrap().value, Some(Value::StringValue("shop".to_owned())));
    let scope = group.scope_logs[0].scope.as_ref().unwrap();
    assert_eq!(scope.name, "onlooker");
    let [one, line] = group.scope_logs[0].log_records.as_slice() else {
        panic!()
    };
    assert_eq!((one.time_unix_nano, one.observed_time_unix_nano), (1, 2));
    assert_eq!(
        (one.severity_number, one.severity_text.as_str()),
        (SeverityNumber::Warn as i32, "WARN")
    );
    assert_eq!(one.event_name, "onlooker.syscall.error");
    let body = one.body.clone().unwrap().value.unwrap();
    let text = "billing[412]: openat /etc/billing/tls.key: EACCES";
    assert_eq!(body, Value::StringValue(text.to_owned()));
    assert_eq!(one.attributes[0].key, "error.type");
    assert_eq!(
        (one.trace_id.as_slice(), one.span_id.as_slice(), one.flags),
        ([3; 16].as_slice(), [4; 8].as_slice(), 1)
    );
    assert_eq!(
        (line.severity_number, line.event_name.as_str(), line.trace_id.len()),
        (SeverityNumber::Error as i32, "", 0)
    );
}

/// Exporters of all signals to one host share a client, and with it connections; a way that differs has its own.
#[test]
fn clients_are_shared() {
    let mut clients = OtlpClients::default();
    let mut with = |url: &str| {
        let config = OtlpConfig::new(Url::parse(url).unwrap());
        let made = new::<LogRecord>(config.clone(), &mut clients).is_ok() && new::<Span>(config, &mut clients).is_ok();
        assert!(made);
        clients.len()
    };
    assert_eq!(with("http://127.0.0.1:1/v1/logs"), 1);
    assert_eq!(with("http://127.0.0.1:2/v1/traces"), 1);
    assert_eq!(with("http://localhost:2/v1/traces"), 2);
    assert_eq!(with("http://collector.example/v1/traces"), 3);
    assert_eq!(with("https://127.0.0.1/v1/traces"), 4);
}
