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

/// Exchanges on few threads and keys, begun, ended and lost in any order: whatever happens, every table is empty in the end, no
/// span is its own ancestor, and a child is in its parent's trace.
#[test]
fn any_order_leaves_nothing_behind() {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    for seed in 0..3_000 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bench = Bench::new(TracerConfig {
            open_limit: random.random_range(4..12),
            linger_limit: random.random_range(1..4),
            defer_limit: random.random_range(1..4),
            ..TracerConfig::default()
        });
        let mut exchanges: Vec<Exchange> = (1..=10)
            .map(|id| {
                let role = if random.random() { Role::Server } else { Role::Client };
                let mut one = exchange(id, role, random.random_range(1..4));
                let key = random.random_range(0..4);
                one.join = random.random_bool(0.8).then_some(JoinKey(key, key));
                one.context = random.random_bool(0.1).then(|| header(1));
                one
            })
            .collect();
        let mut open: Vec<Exchange> = Vec::new();
        let mut spans: Vec<Span> = Vec::new();
        let mut lost = 0;
        while !exchanges.is_empty() || !open.is_empty() {
            if !exchanges.is_empty() && (open.is_empty() || random.random()) {
                let next = exchanges.swap_remove(random.random_range(0..exchanges.len()));
                bench.begin(&next);
                open.push(next);
            } else {
                let next = open.swap_remove(random.random_range(0..open.len()));
                if random.random_bool(0.1) {
                    bench.tracer.lost(next.id);
                    lost += 1;
                } else {
                    let peer = if random.random() { LOCAL } else { remote() };
                    spans.extend(bench.end(&next, &peer).span);
                }
            }
        }
        spans.extend(bench.expire(Nanos::MAX));
        bench.assert_empty();
        assert_eq!(spans.len() + lost, 10, "seed {seed}: one span each");
        let parent = |span: &Span| spans.iter().find(|other| Some(other.span_id) == span.parent);
        for span in &spans {
            let (mut at, mut steps) = (span, 0);
            while let Some(above) = parent(at) {
                assert_eq!(above.trace_id, span.trace_id, "seed {seed}");
                (at, steps) = (above, steps + 1);
                assert!(steps < 10, "seed {seed}: its own ancestor");
            }
        }
    }
}
