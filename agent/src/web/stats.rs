//! What the server tells of itself: promhttp's families, as node_exporter serves them, and the limits that bit.

use super::guard::Refusal;
use crate::export::prometheus::Refused;
use crate::metric::{Encoder, Family, Kind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

static REQUESTS: Family = Family::new(
    "promhttp_metric_handler_requests_total",
    "",
    "Scrapes answered, by HTTP status code.",
    Kind::Counter,
);
static IN_FLIGHT: Family = Family::new(
    "promhttp_metric_handler_requests_in_flight",
    "",
    "Scrapes being answered now.",
    Kind::Gauge,
);
static CONNECTIONS: Family = Family::new(
    "onlooker_web_connections",
    "",
    "Connections to the web server that are open now.",
    Kind::Gauge,
);
static CONNECTIONS_REFUSED: Family = Family::new(
    "onlooker_web_connections_refused_total",
    "",
    "Connections turned away because too many were open.",
    Kind::Counter,
);
static HANDSHAKES_FAILED: Family = Family::new(
    "onlooker_web_handshakes_failed_total",
    "",
    "Connections that ended before their TLS handshake was through.",
    Kind::Counter,
);
static TURNED_AWAY: Family = Family::new(
    "onlooker_web_requests_turned_away_total",
    "",
    "Requests that were not let in, by reason: no right name and password, too many logins to check, beyond rate_limit.",
    Kind::Counter,
);
static KEPT_OUT: Family = Family::new(
    "onlooker_exposition_refused_total",
    "",
    "Families and samples left out of scrapes because they were there already or not well formed.",
    Kind::Counter,
);

/// Counters of the server.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    /// By [`Refusal`].
    turned_away: [AtomicU64; 3],
    families_kept_out: AtomicU64,
    samples_kept_out: AtomicU64,
}

impl Stats {
    /// Counts a request that is not let in.
    pub(super) fn turned_away(&self, refusal: Refusal) {
        let [login, busy, rate] = &self.turned_away;
        let counter = match refusal {
            Refusal::Login => login,
            Refusal::Busy => busy,
            Refusal::Rate => rate,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what an encoder kept out.
    pub(crate) fn kept_out(&self, refused: Refused) {
        self.families_kept_out.fetch_add(refused.families, Ordering::Relaxed);
        self.samples_kept_out.fetch_add(refused.samples, Ordering::Relaxed);
    }

    /// Writes all families.
    pub(crate) fn collect(&self, out: &mut dyn Encoder) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        out.family(&REQUESTS);
        out.number(&[("code", "200")], load(&self.ok));
        out.number(&[("code", "500")], load(&self.failed));
        out.number(&[("code", "503")], load(&self.refused));
        out.family(&IN_FLIGHT);
        out.number(&[], self.in_flight.load(Ordering::Relaxed) as f64);
        out.family(&CONNECTIONS);
        out.number(&[], self.connections.load(Ordering::Relaxed) as f64);
        out.family(&CONNECTIONS_REFUSED);
        out.number(&[], load(&self.connections_refused));
        out.family(&HANDSHAKES_FAILED);
        out.number(&[], load(&self.handshakes_failed));
        out.family(&TURNED_AWAY);
        for (reason, counter) in ["login", "busy", "rate"].iter().zip(&self.turned_away) {
            out.number(&[("reason", reason)], load(counter));
        }
        out.family(&KEPT_OUT);
        out.number(&[("what", "family")], load(&self.families_kept_out));
        out.number(&[("what", "sample")], load(&self.samples_kept_out));
    }
}
