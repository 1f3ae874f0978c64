//! Each limit, reached; and nothing left behind.

use super::*;

#[test]
fn too_many_waiting_spans_leave_as_roots() {
    let mut bench = Bench::new(TracerConfig {
        defer_limit: 2,
        ..TracerConfig::default()
    });
    for id in 1..=3 {
        let (server, _) = pair(id, 0, id, (1, 2));
        bench.begin(&server);
        bench.end(&server, &LOCAL);
    }
    assert_eq!(bench.expire(21 * SECOND).len(), 1);
    assert_eq!(
        (bench.tracer.counts().waiting, bench.tracer.counts().defer_evicted),
        (2, 1)
    );
    bench.assert_empty();
}

#[test]
fn wrong_keys_that_make_a_circle_end() {
    let mut bench = Bench::new(TracerConfig::default());
    // Thread 1 serves 1 and calls 2; thread 2 serves 3 and calls 4; the keys claim that 2 is asked of 3 and 4 of 1.
    let (mut one, mut two) = (exchange(1, Role::Server, 1), exchange(2, Role::Client, 1));
    let (mut three, mut four) = (exchange(3, Role::Server, 2), exchange(4, Role::Client, 2));
    (one.join, four.join) = (Some(JoinKey(1, 1)), Some(JoinKey(1, 1)));
    (two.join, three.join) = (Some(JoinKey(2, 2)), Some(JoinKey(2, 2)));
    let all = [&one, &three, &two, &four];
    bench.begin_all(&all);
    let traces: Vec<_> = all.map(|e| bench.span(e).trace_id).into();
    assert!(traces.iter().all(|trace| *trace == traces[0]));
    assert_eq!(bench.links().cut, 1);
    bench.assert_empty();
}

#[test]
fn lost_exchanges_leave_nothing_behind() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, client) = pair(1, 2, 9, (1, 2));
    let inner = exchange(3, Role::Client, 1);
    bench.begin_all(&[&server, &client, &inner]);
    bench.tracer.lost(client.id);
    bench.tracer.lost(server.id);
    assert_eq!(bench.span(&inner).parent, None, "no child of a span that will not be");
    let after = exchange(4, Role::Client, 1);
    bench.begin(&after);
    assert_eq!(bench.span(&after).parent, None);
    bench.assert_empty();
}

#[test]
fn full_table_refuses_and_knows_it() {
    let mut bench = Bench::new(TracerConfig {
        open_limit: 2,
        ..TracerConfig::default()
    });
    let (one, two) = (exchange(1, Role::Server, 1), exchange(2, Role::Server, 2));
    let mut refused = exchange(3, Role::Server, 1);
    refused.context = Some(header(1));
    bench.begin_all(&[&one, &two, &refused]);
    assert_eq!(bench.links().refused, 1);
    bench.span(&two);
    // Thread 1 has two requests, of which one is not in the table: whose call it is is not known.
    let call = exchange(4, Role::Client, 1);
    bench.begin(&call);
    assert_eq!((bench.span(&call).parent, bench.links().ambiguous), (None, 1));
    // The refused one still has its own header.
    assert_eq!(bench.span(&refused).parent, Some([8; 8]));
    let call = exchange(5, Role::Client, 1);
    bench.begin(&call);
    let c = bench.span(&call);
    is_child(&c, &bench.span(&one));
    bench.assert_empty();
}

#[test]
fn waiting_clients_are_limited_in_number_and_time() {
    let mut bench = Bench::new(TracerConfig {
        linger_limit: 2,
        ..TracerConfig::default()
    });
    for id in 1..=3 {
        let (_, client) = pair(0, id, id, (0, 1));
        bench.begin(&client);
        bench.span(&client);
    }
    assert_eq!((bench.tracer.counts().open, bench.links().join_evicted), (2, 1));
    bench.expire(22 * SECOND - 1);
    assert_eq!(bench.tracer.counts().open, 2);
    bench.expire(22 * SECOND);
    assert_eq!((bench.tracer.counts().open, bench.links().join_evicted), (0, 1));
}
