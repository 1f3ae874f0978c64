//! What is given up above the CPU budget.

use super::*;
use crate::budget::Level;
use std::collections::BTreeMap;

fn bench(level: u8) -> (Bench, Shedding) {
    let mut bench = Bench::new(TracerConfig::default());
    let shedding = Shedding::default();
    shedding.set(Level::of(level));
    bench.tracer.shed_by(shedding.clone());
    (bench, shedding)
}

fn names(span: &Span) -> Vec<&str> {
    span.attributes.iter().map(|(name, _)| &**name).collect()
}

#[test]
fn spans_without_detail_hold_what_is_required() {
    let (mut bench, shedding) = bench(1);
    let mut one = exchange(1, Role::Server, 1);
    one.agent = Some("curl/8".into());
    one.response_body = Some(5);
    one.status = Some(500);
    bench.begin(&one);
    let span = bench.end(&one, &remote()).span.unwrap();
    let all = [
        "http.request.method",
        "http.response.status_code",
        "error.type",
        "url.scheme",
        "network.protocol.version",
        "url.path",
        "http.route",
    ];
    assert_eq!(names(&span), all);
    assert_eq!((span.name.as_str(), span.error), ("GET /a/{id}", true));
    let mut two = exchange(2, Role::Client, 1);
    two.agent = Some("curl/8".into());
    bench.begin(&two);
    let span = bench.end(&two, &remote()).span.unwrap();
    let all = [
        "http.request.method",
        "http.response.status_code",
        "url.scheme",
        "network.protocol.version",
        "url.full",
        "server.address",
        "server.port",
    ];
    assert_eq!(names(&span), all);
    assert_eq!((shedding.shed(What::SpanDetail), shedding.shed(What::Span)), (2, 0));
}

/// Of a trace all spans are kept or none, also those that waited and those that continue a trace from elsewhere; each span is
/// either handed over or counted.
#[test]
fn whole_traces_are_given_up_and_counted() {
    let (mut bench, shedding) = bench(2);
    let mut spans = Vec::new();
    for id in 0..400u64 {
        let mut server = exchange(4 * id, Role::Server, id as u32);
        if id % 2 == 0 {
            let mut trace_id = [7; 16];
            trace_id[..8].copy_from_slice(&id.to_be_bytes());
            server.context = Some(TraceContext { trace_id, ..header(1) });
        }
        let mut client = exchange(4 * id + 1, Role::Client, id as u32);
        client.join = Some(JoinKey(id, 1));
        // The far end of the child's connection, whose record comes first: its span waits.
        let mut far = exchange(4 * id + 2, Role::Server, 100_000 + id as u32);
        far.join = client.join;
        bench.begin(&server);
        bench.begin(&far);
        spans.extend(bench.end(&far, &LOCAL).span);
        bench.begin(&client);
        spans.extend(bench.end(&client, &LOCAL).span);
        spans.extend(bench.end(&server, &remote()).span);
    }
    let late = &mut bench.late;
    bench.tracer.expire(Nanos::MAX, &mut |span| late.push(span));
    spans.append(&mut bench.late);
    let mut traces: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    for span in &spans {
        *traces.entry(span.trace_id).or_default() += 1;
    }
    assert!(traces.values().all(|count| *count == 3), "{traces:?}");
    assert!((120..280).contains(&traces.len()), "{} of 400", traces.len());
    assert_eq!(shedding.shed(What::Span) as usize + spans.len(), 1200);
}

#[test]
fn the_last_level_keeps_few_and_the_end_of_shedding_keeps_all() {
    let (mut bench, shedding) = bench(9);
    let kept = |bench: &mut Bench, from: u64| {
        let ids = from..from + 1000;
        ids.filter(|id| {
            let one = exchange(*id, Role::Server, 1);
            bench.begin(&one);
            bench.end(&one, &remote()).span.is_some()
        })
        .count()
    };
    assert!(kept(&mut bench, 0) < 40);
    shedding.set(Level::NONE);
    let before = shedding.shed(What::Span);
    assert_eq!(kept(&mut bench, 1000), 1000);
    assert_eq!(shedding.shed(What::Span), before);
}
