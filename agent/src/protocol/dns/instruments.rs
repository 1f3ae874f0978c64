//! What is told of lookups.

use crate::signal::{Instrument, Shape};

/// All of them.
pub const ALL: [&Instrument; 7] = [
    &DURATION,
    &UNANSWERED,
    &RETRIES,
    &TRUNCATED,
    &UNMATCHED,
    &UNREADABLE,
    &LOST,
];

/// The boundaries of the semantic conventions, and finer ones below: a resolver on this host answers in less than a millisecond.
const BOUNDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
    10.0,
];

const FROM: &str = "probe `dns`: messages that the process sent to and received from port 53";

/// Lookups that were answered.
pub static DURATION: Instrument = Instrument {
    name: "dns_lookup_duration_seconds",
    unit: "seconds",
    help: "Time from the first sending of a question to the end of the call that received its answer. Without those that were never \
           answered: onlooker_dns_unanswered_total.",
    shape: Shape::Histogram(BOUNDS),
    labels: &[
        "dns_question_name",
        "dns_question_type",
        "dns_response_code",
        "error_type",
        "network_transport",
    ],
    limit: 1024,
    source: "probe `dns`: messages that the process sent to and received from port 53. `dns_question_name`: its last four labels, \
             identifiers as `{id}`, addresses as `{ip}`; `error_type`: the response code where it is not `NOERROR`",
};
/// Lookups that were given up.
pub static UNANSWERED: Instrument = Instrument {
    name: "onlooker_dns_unanswered_total",
    unit: "",
    help: "Questions to which no answer came within 6 s of their last sending: timeout, or the error of the last call on their socket \
           (ECONNREFUSED: nobody listens there), if the client asked it.",
    shape: Shape::Counter,
    labels: &[
        "dns_question_name",
        "dns_question_type",
        "error_type",
        "network_transport",
    ],
    limit: 256,
    source: FROM,
};
/// Questions sent again.
pub static RETRIES: Instrument = Instrument {
    name: "onlooker_dns_retries_total",
    unit: "",
    help: "Questions sent once more with the same id because no answer had come; the lookup's time runs from the first.",
    shape: Shape::Counter,
    labels: &["dns_question_type", "network_transport"],
    limit: 256,
    source: FROM,
};
/// Cut answers.
pub static TRUNCATED: Instrument = Instrument {
    name: "onlooker_dns_truncated_total",
    unit: "",
    help: "Answers that the server cut because they were too long (TC): the client asks again over TCP, which is a lookup of its own.",
    shape: Shape::Counter,
    labels: &["dns_question_type"],
    limit: 256,
    source: FROM,
};
/// Answers to nothing.
pub static UNMATCHED: Instrument = Instrument {
    name: "onlooker_dns_unmatched_answers_total",
    unit: "",
    help: "Answers to no question of that socket, id and name that waits: late ones, doubled ones, forged ones. They are no lookups.",
    shape: Shape::Counter,
    labels: &[],
    limit: 256,
    source: FROM,
};
/// What is no DNS.
pub static UNREADABLE: Instrument = Instrument {
    name: "onlooker_dns_unreadable_messages_total",
    unit: "",
    help: "Messages to or from port 53 that cannot be read, or whose bytes could not be.",
    shape: Shape::Counter,
    labels: &[],
    limit: 256,
    source: FROM,
};
/// Lookups of which the end is not known.
pub static LOST: Instrument = Instrument {
    name: "onlooker_dns_lookups_lost_total",
    unit: "",
    help: "Questions of which nothing is told: table_full when too many waited for an answer, gap when none was seen while messages were \
           lost on their way from the kernel.",
    shape: Shape::Counter,
    labels: &["reason"],
    limit: 256,
    source: "the agent's own tables",
};
