use super::super::clock::tests::Script;
use super::super::span::Resource;
use super::*;
use crate::metric::{Family, Kind};
use crate::protocol::exchange::{JoinKey, RoleSchema, Schema};
use crate::signal::{Actor, ConnId, ProcessKey, Role};

mod limits;
mod lines;
mod shedding;
mod spans;

const fn family() -> Family {
    Family::new("t", "", "", Kind::Histogram)
}
const fn role() -> RoleSchema {
    RoleSchema {
        duration: family(),
        first_byte: family(),
        request_body: family(),
        response_body: family(),
        active: family(),
    }
}
static SCHEMA: Schema = Schema {
    protocol: "http",
    operation: "http.request.method",
    operation_original: "http.request.method_original",
    target: "url.path",
    target_full: "url.full",
    route: "http.route",
    status: "http.response.status_code",
    version: "network.protocol.version",
    scheme: ("url.scheme", "http"),
    agent: "user_agent.original",
    request_body: "http.request.body.size",
    response_body: "http.response.body.size",
    status_error: |role, status| match (role, status) {
        (_, 500..) => Some("500"),
        (Role::Client, 400..) => Some("400"),
        _ => None,
    },
    server: role(),
    client: role(),
};

const SECOND: Nanos = 1_000_000_000;
const LOCAL: Peer = Peer::Unix;
fn remote() -> Peer {
    Peer::Inet {
        local: ("192.0.2.1".parse().unwrap(), 80),
        remote: ("192.0.2.9".parse().unwrap(), 40_000),
    }
}

fn exchange(id: u64, role: Role, tid: u32) -> Exchange {
    Exchange {
        id: ExchangeId(id),
        schema: &SCHEMA,
        role,
        conn: ConnId(id),
        actor: Actor {
            process: ProcessKey { pid: 1, start: 1 },
            tid,
        },
        started: 20 * SECOND,
        first_byte: None,
        ended: 21 * SECOND,
        operation: "GET".into(),
        operation_original: None,
        target: "/a/7".into(),
        version: "1.1",
        server: Some(("shop.example".into(), None)),
        agent: None,
        status: Some(200),
        error: None,
        request_size: 10,
        response_size: 10,
        request_body: None,
        response_body: None,
        context: None,
        join: None,
        srtt_us: 0,
    }
}

fn header(flags: u8) -> TraceContext {
    TraceContext {
        trace_id: [7; 16],
        span_id: [8; 8],
        flags,
        state: Some("a=1".into()),
    }
}

/// A tracer and what came out of it.
struct Bench {
    tracer: Tracer,
    service: Arc<Service>,
    late: Vec<Span>,
}

impl Bench {
    fn new(config: TracerConfig) -> Bench {
        let clock = Clock::new(Box::new(Script(vec![(20 * SECOND, 1_000 * SECOND)])));
        let resource = Arc::new(Resource::default());
        let service = Arc::new(Service {
            name: "shop".into(),
            namespace: None,
            resource,
        });
        Bench {
            tracer: Tracer::new(config, clock),
            service,
            late: Vec::new(),
        }
    }
    fn begin(&mut self, exchange: &Exchange) {
        self.tracer.begin(&Begin::of(exchange));
    }
    fn begin_all(&mut self, exchanges: &[&Exchange]) {
        exchanges.iter().for_each(|exchange| self.begin(exchange));
    }
    fn end(&mut self, exchange: &Exchange, peer: &Peer) -> Traced {
        self.tracer.end(exchange, &self.service, "/a/{id}", Some(peer))
    }
    fn span(&mut self, exchange: &Exchange) -> Span {
        self.end(exchange, &remote()).span.expect("a span")
    }
    fn expire(&mut self, now: Nanos) -> Vec<Span> {
        self.tracer.expire(now, &mut |span| self.late.push(span));
        std::mem::take(&mut self.late)
    }
    fn links(&self) -> LinkCounts {
        self.tracer.counts().links
    }
    /// Everything ended: nothing may be left in the tables once waiting is over.
    fn assert_empty(&mut self) {
        self.expire(Nanos::MAX);
        let counts = self.tracer.counts();
        assert_eq!((counts.open, counts.waiting), (0, 0), "{counts:?}");
    }
}

fn pair(server: u64, client: u64, key: u64, tids: (u32, u32)) -> (Exchange, Exchange) {
    let mut pair = (
        exchange(server, Role::Server, tids.0),
        exchange(client, Role::Client, tids.1),
    );
    pair.0.join = Some(JoinKey(key, key));
    pair.1.join = Some(JoinKey(key, key));
    pair
}

fn is_child(child: &Span, parent: &Span) {
    assert_eq!((child.trace_id, child.parent), (parent.trace_id, Some(parent.span_id)));
    assert_ne!(child.span_id, parent.span_id);
}

#[test]
fn header_is_the_parent_of_both_roles() {
    for role in [Role::Server, Role::Client] {
        let mut bench = Bench::new(TracerConfig::default());
        let mut one = exchange(1, role, 1);
        one.context = Some(header(3));
        one.join = Some(JoinKey(1, 1));
        bench.begin(&one);
        let traced = bench.end(&one, &LOCAL);
        let span = traced.span.clone().unwrap();
        assert_eq!((span.trace_id, span.parent, span.flags), ([7; 16], Some([8; 8]), 3));
        assert_eq!(span.state.as_deref(), Some("a=1"));
        assert_eq!(traced.exemplar(), Some(([7; 16], span.span_id)));
        bench.assert_empty();
    }
}

#[test]
fn unsampled_header_is_followed() {
    let mut bench = Bench::new(TracerConfig::default());
    let mut one = exchange(1, Role::Server, 1);
    one.context = Some(header(0));
    bench.begin(&one);
    let traced = bench.end(&one, &remote());
    assert_eq!(
        (traced.exemplar(), traced.span, bench.tracer.counts().unsampled),
        (None, None, 1)
    );
}

#[test]
fn join_in_every_order() {
    for client_begins_first in [true, false] {
        for client_ends_first in [true, false] {
            let mut bench = Bench::new(TracerConfig::default());
            let (server, client) = pair(1, 2, 9, (1, 2));
            let begins = if client_begins_first {
                [&client, &server]
            } else {
                [&server, &client]
            };
            bench.begin_all(&begins);
            let (s, c) = if client_ends_first {
                let c = bench.span(&client);
                (bench.span(&server), c)
            } else {
                (bench.span(&server), bench.span(&client))
            };
            is_child(&s, &c);
            assert_eq!((c.parent, bench.links().joined), (None, 1));
            let counts = bench.tracer.counts();
            assert_eq!((counts.open, counts.deferred), (0, 0), "nothing has to wait");
        }
    }
}

#[test]
fn server_begins_after_the_client_ended() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, client) = pair(1, 2, 9, (1, 2));
    bench.begin(&client);
    let c = bench.span(&client);
    bench.begin(&server);
    is_child(&bench.span(&server), &c);
    bench.assert_empty();
}

#[test]
fn server_ends_before_the_client_begins() {
    let mut bench = Bench::new(TracerConfig::default());
    let outer = exchange(5, Role::Server, 2);
    bench.begin(&outer);
    let (server, client) = pair(1, 2, 9, (1, 2));
    bench.begin(&server);
    assert_eq!(bench.end(&server, &LOCAL), Traced::NOTHING);
    bench.begin(&client);
    let late = bench.expire(21 * SECOND);
    let c = bench.span(&client);
    assert_eq!(late.len(), 1);
    is_child(&late[0], &c);
    is_child(&c, &bench.span(&outer));
    bench.assert_empty();
}

#[test]
fn nobody_comes_for_the_server() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, _) = pair(1, 2, 9, (1, 2));
    bench.begin(&server);
    bench.end(&server, &LOCAL);
    assert_eq!(bench.expire(21 * SECOND + DEFER - 1).len(), 0);
    let late = bench.expire(21 * SECOND + DEFER);
    assert_eq!(
        (late.len(), late[0].parent, bench.tracer.counts().deferred),
        (1, None, 1)
    );
    // A peer that is surely elsewhere, or a child's need, is not waited for: an exemplar is there at once.
    let (server, _) = pair(3, 4, 10, (1, 2));
    bench.begin(&server);
    assert!(bench.end(&server, &remote()).exemplar().is_some());
    bench.assert_empty();
}

#[test]
fn client_heads_a_trace_that_a_child_began() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, client) = pair(1, 2, 9, (1, 2));
    let inner = exchange(3, Role::Client, 1);
    bench.begin(&server);
    bench.begin(&inner);
    let i = bench.span(&inner);
    bench.begin(&client);
    let (s, c) = (bench.span(&server), bench.span(&client));
    is_child(&i, &s);
    is_child(&s, &c);
    bench.assert_empty();
}

#[test]
fn too_late_to_join_is_counted() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, client) = pair(1, 2, 9, (1, 2));
    let (inner, outer) = (exchange(3, Role::Client, 1), exchange(4, Role::Server, 2));
    bench.begin_all(&[&server, &inner]);
    bench.span(&inner);
    bench.begin_all(&[&outer, &client]);
    let (c, o, s) = (bench.span(&client), bench.span(&outer), bench.span(&server));
    is_child(&c, &o);
    assert_eq!((s.parent, bench.links().join_conflicts), (None, 1));
    bench.assert_empty();
}

#[test]
fn a_key_used_twice_at_once_joins_only_the_first() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, client) = pair(1, 2, 9, (1, 2));
    let (_, second) = pair(0, 3, 9, (0, 3));
    bench.begin_all(&[&client, &second, &server]);
    is_child(&bench.span(&server), &bench.span(&client));
    assert_eq!((bench.span(&second).parent, bench.links().join_conflicts), (None, 1));
    bench.assert_empty();
}

#[test]
fn a_key_may_come_again() {
    let mut bench = Bench::new(TracerConfig::default());
    let (_, old) = pair(0, 1, 9, (0, 1));
    bench.begin(&old);
    bench.span(&old);
    let (server, client) = pair(2, 3, 9, (1, 2));
    bench.begin_all(&[&client, &server]);
    is_child(&bench.span(&server), &bench.span(&client));
    bench.assert_empty();
}

#[test]
fn thread_child() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, client) = (exchange(1, Role::Server, 1), exchange(2, Role::Client, 1));
    let other = exchange(3, Role::Client, 2);
    bench.begin_all(&[&server, &client, &other]);
    let (c, o) = (bench.span(&client), bench.span(&other));
    let s = bench.span(&server);
    is_child(&c, &s);
    assert_eq!(o.parent, None, "another thread");
    // The thread is done with its request.
    let after = exchange(4, Role::Client, 1);
    bench.begin(&after);
    assert_eq!(bench.span(&after).parent, None);
    assert_eq!((bench.links().linked, bench.links().ambiguous), (1, 0));
    bench.assert_empty();
}

#[test]
fn child_that_outlives_its_parent() {
    let mut bench = Bench::new(TracerConfig::default());
    let (server, client) = (exchange(1, Role::Server, 1), exchange(2, Role::Client, 1));
    bench.begin_all(&[&server, &client]);
    let s = bench.span(&server);
    is_child(&bench.span(&client), &s);
    bench.assert_empty();
}

#[test]
fn child_inherits_what_the_header_said() {
    let mut bench = Bench::new(TracerConfig::default());
    let mut server = exchange(1, Role::Server, 1);
    server.context = Some(header(1));
    let client = exchange(2, Role::Client, 1);
    bench.begin_all(&[&server, &client]);
    let (c, s) = (bench.span(&client), bench.span(&server));
    is_child(&c, &s);
    assert_eq!((c.trace_id, c.flags, c.state.as_deref()), ([7; 16], 1, Some("a=1")));
    bench.assert_empty();
}

#[test]
fn event_loop_is_not_guessed() {
    let mut bench = Bench::new(TracerConfig::default());
    let (one, two) = (exchange(1, Role::Server, 1), exchange(2, Role::Server, 1));
    let (unknown, mut told) = (exchange(3, Role::Client, 1), exchange(4, Role::Client, 1));
    told.context = Some(header(1));
    bench.begin_all(&[&one, &two, &unknown, &told]);
    assert_eq!(bench.span(&unknown).parent, None);
    assert_eq!(bench.span(&told).parent, Some([8; 8]));
    assert_eq!((bench.links().ambiguous, bench.links().linked), (1, 0));
    // One request is left: now it is clear again whose work a call is.
    bench.span(&one);
    let clear = exchange(5, Role::Client, 1);
    bench.begin(&clear);
    let c = bench.span(&clear);
    is_child(&c, &bench.span(&two));
    bench.assert_empty();
}

#[test]
fn a_whole_chain_resolved_from_its_leaf() {
    let mut bench = Bench::new(TracerConfig::default());
    let hops: Vec<_> = (0..20)
        .map(|hop| pair(100 + hop, 200 + hop, hop, (hop as u32 + 1, hop as u32)))
        .collect();
    for (server, client) in &hops {
        bench.begin_all(&[client, server]);
    }
    let mut below: Option<Span> = None;
    for (server, client) in hops.iter().rev() {
        let (s, c) = (bench.span(server), bench.span(client));
        is_child(&s, &c);
        if let Some(below) = below.replace(c) {
            is_child(&below, &s);
        }
    }
    assert_eq!(bench.links().cut, 0);
    bench.assert_empty();
}

#[test]
fn nobody_takes_spans() {
    let mut bench = Bench::new(TracerConfig {
        enabled: false,
        ..TracerConfig::default()
    });
    let mut one = exchange(1, Role::Server, 1);
    bench.begin(&one);
    assert_eq!(bench.tracer.counts().open, 0);
    assert_eq!(bench.end(&one, &remote()), Traced::NOTHING);
    one.context = Some(header(0));
    assert_eq!(bench.end(&one, &remote()), Traced::NOTHING);
    one.context = Some(header(1));
    let traced = bench.end(&one, &remote());
    assert_eq!((traced.exemplar(), traced.span), (Some(([7; 16], [8; 8])), None));
}

#[test]
fn sampled_by_the_caller_but_not_here() {
    let mut bench = Bench::new(TracerConfig {
        sampler: Sampler::ALWAYS_OFF,
        ..TracerConfig::default()
    });
    let mut one = exchange(1, Role::Server, 1);
    one.context = Some(header(1));
    bench.begin(&one);
    let traced = bench.end(&one, &remote());
    assert_eq!((traced.exemplar(), traced.span), (Some(([7; 16], [8; 8])), None));
}

#[test]
fn one_decision_for_a_whole_trace() {
    let mut bench = Bench::new(TracerConfig {
        sampler: Sampler::ratio(0.5, true),
        ..TracerConfig::default()
    });
    let mut kept = 0;
    for n in 0..200 {
        let (server, client) = pair(3 * n, 3 * n + 1, n, (1, 2));
        let inner = exchange(3 * n + 2, Role::Client, 1);
        bench.begin_all(&[&client, &server, &inner]);
        let spans = [&inner, &server, &client].map(|e| bench.end(e, &remote()).span.is_some());
        assert!(spans == [true; 3] || spans == [false; 3]);
        kept += usize::from(spans[0]);
    }
    // Six standard deviations of a binomial distribution.
    assert!(kept.abs_diff(100) < 43, "{kept}");
    assert_eq!(bench.tracer.counts().unsampled, 3 * (200 - kept as u64));
    bench.assert_empty();
}
