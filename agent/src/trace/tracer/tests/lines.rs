//! Lines and the requests for which they were written.

use super::*;
use crate::trace::lines::{Of, SpanIds};

fn bench() -> Bench {
    Bench::new(TracerConfig {
        lines: true,
        open_limit: 4,
        ..TracerConfig::default()
    })
}

fn ids(of: Of) -> SpanIds {
    match of {
        Of::Span(ids) => ids,
        other => panic!("{other:?}"),
    }
}

/// The exchange that a thread is handling, as a line written at 20 s says.
fn handling(bench: &mut Bench, exchange: &Exchange) -> Option<ExchangeId> {
    bench.tracer.handling(exchange.actor, 20 * SECOND)
}

#[test]
fn a_line_has_the_ids_of_the_request_that_its_thread_handles() {
    let mut bench = bench();
    let served = exchange(1, Role::Server, 7);
    let other = exchange(2, Role::Server, 8);
    assert_eq!(handling(&mut bench, &served), None);
    bench.begin_all(&[&served, &other]);
    let id = handling(&mut bench, &served).unwrap();
    assert_eq!(id, ExchangeId(1));
    // Not decided before the client's end may be known.
    assert_eq!(bench.tracer.span_of(id, 20 * SECOND, 20 * SECOND + 1), Of::Later);
    let traced = bench.tracer.end(&served, &bench.service, "", Some(&remote()));
    let span = traced.span.unwrap();
    let its = ids(bench.tracer.span_of(id, 20 * SECOND, 20 * SECOND + 1));
    assert_eq!(
        (its.trace_id, its.span_id, its.flags),
        (span.trace_id, span.span_id, span.flags)
    );
    // It is over.
    assert_eq!(handling(&mut bench, &served), None);
    assert_eq!(handling(&mut bench, &other), Some(ExchangeId(2)));
}

#[test]
fn a_long_request_is_decided_while_it_lasts() {
    let mut bench = bench();
    let served = exchange(1, Role::Server, 7);
    bench.begin(&served);
    let id = handling(&mut bench, &served).unwrap();
    let its = ids(bench.tracer.span_of(id, 20 * SECOND, 20 * SECOND + DEFER));
    let span = bench
        .tracer
        .end(&served, &bench.service, "", Some(&remote()))
        .span
        .unwrap();
    assert_eq!((its.trace_id, its.span_id), (span.trace_id, span.span_id));
    let mut told = exchange(2, Role::Server, 7);
    told.context = Some(header(1));
    bench.begin(&told);
    let id = handling(&mut bench, &told).unwrap();
    let at_once = ids(bench.tracer.span_of(id, 20 * SECOND, 20 * SECOND));
    assert_eq!((at_once.trace_id, at_once.flags), ([7; 16], 1));
}

#[test]
fn where_two_requests_could_be_meant_there_is_none() {
    let mut bench = bench();
    let (first, second) = (exchange(1, Role::Server, 7), exchange(2, Role::Server, 7));
    bench.begin_all(&[&first, &second]);
    assert_eq!(handling(&mut bench, &first), None);
    bench.tracer.lost(ExchangeId(2));
    assert_eq!(handling(&mut bench, &first), Some(ExchangeId(1)));
}

/// An event loop, or a thread that runs goroutines: one request was read and sleeps, the next was read, and the line is the first one's.
/// By the order of calls it would be of the one that was read last and is answered next.
#[test]
fn the_order_of_a_threads_calls_says_nothing() {
    let mut bench = bench();
    let (sleeps, last) = (exchange(1, Role::Server, 7), exchange(2, Role::Server, 7));
    bench.begin_all(&[&sleeps, &last]);
    assert_eq!(handling(&mut bench, &sleeps), None);
    bench.tracer.end(&last, &bench.service, "", Some(&remote()));
    assert_eq!(handling(&mut bench, &sleeps), Some(ExchangeId(1)));
}

/// What a client waits for is not what its thread handles.
#[test]
fn requests_that_a_thread_sends_are_not_meant() {
    let mut bench = bench();
    let asks = exchange(1, Role::Client, 7);
    bench.begin(&asks);
    assert_eq!(handling(&mut bench, &asks), None);
}

#[test]
fn where_requests_move_between_threads_the_process_has_to_have_one_alone() {
    let mut bench = bench();
    let (first, second) = (exchange(1, Role::Server, 7), exchange(2, Role::Server, 8));
    bench.begin_all(&[&first, &second]);
    assert_eq!(handling(&mut bench, &second), Some(ExchangeId(2)));
    bench.tracer.answered(first.actor, first.actor);
    assert_eq!(
        handling(&mut bench, &second),
        Some(ExchangeId(2)),
        "answered by its own thread"
    );
    bench.tracer.answered(first.actor, second.actor);
    assert_eq!(handling(&mut bench, &second), None);
    bench.tracer.lost(ExchangeId(1));
    // Whoever writes.
    assert_eq!(
        handling(&mut bench, &exchange(9, Role::Server, 99)),
        Some(ExchangeId(2))
    );
    bench.tracer.ended(first.actor.process);
    assert_eq!(
        handling(&mut bench, &exchange(9, Role::Server, 99)),
        None,
        "another process by now"
    );
}

#[test]
fn nothing_is_known_for_sure_while_an_exchange_found_no_room() {
    let mut bench = bench();
    let all: Vec<_> = (1..=5).map(|id| exchange(id, Role::Server, 10 + id as u32)).collect();
    bench.begin_all(&all.iter().collect::<Vec<_>>());
    assert_eq!(handling(&mut bench, &all[0]), None, "the fifth is not in the table");
    bench.tracer.lost(ExchangeId(5));
    assert_eq!(handling(&mut bench, &all[0]), Some(ExchangeId(1)));
}

#[test]
fn what_became_of_an_exchange_is_known_for_a_while_and_of_so_many() {
    let mut bench = bench();
    let mut last = None;
    for id in 1..=5 {
        let served = exchange(id, Role::Server, 7);
        bench.begin(&served);
        last = handling(&mut bench, &served);
        assert_eq!(last.is_some(), id <= 4, "so many lines wait");
        bench.tracer.end(&served, &bench.service, "", Some(&remote()));
    }
    assert_eq!(last, None);
    let known = |bench: &mut Bench, now| bench.tracer.span_of(ExchangeId(1), 20 * SECOND, now);
    assert!(matches!(known(&mut bench, 21 * SECOND), Of::Span(_)));
    bench.tracer.expire(30 * SECOND, &mut |_| ());
    assert_eq!(known(&mut bench, 30 * SECOND), Of::Nothing);
    // Not looked at where nobody asks, nor where no span is told.
    let mut bench = Bench::new(TracerConfig::default());
    let served = exchange(1, Role::Server, 7);
    bench.begin(&served);
    assert_eq!(handling(&mut bench, &served), None);
}
