//! OpenTelemetry's names for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>, `http-spans`), and the two families of our own.

use crate::metric::{Family, Kind};
use crate::protocol::exchange::{RoleSchema, Schema};
use crate::signal::Role;

/// Names of HTTP exchanges, semantic conventions 1.23 and later (stable).
pub static HTTP: Schema = Schema {
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
    status_error,
    server: RoleSchema {
        duration: Family::new(
            "http_server_request_duration_seconds",
            "seconds",
            "Duration of HTTP server requests, from the first byte read to the last byte of the response written.",
            Kind::Histogram,
        ),
        first_byte: Family::new(
            "onlooker_http_server_time_to_first_byte_seconds",
            "seconds",
            "Time from the first byte of an HTTP request read to the first byte of its final response written.",
            Kind::Histogram,
        ),
        request_body: Family::new(
            "http_server_request_body_size_bytes",
            "bytes",
            "Size of HTTP server request bodies.",
            Kind::Histogram,
        ),
        response_body: Family::new(
            "http_server_response_body_size_bytes",
            "bytes",
            "Size of HTTP server response bodies.",
            Kind::Histogram,
        ),
        active: Family::new(
            "http_server_active_requests",
            "",
            "Number of active HTTP server requests.",
            Kind::Gauge,
        ),
    },
    client: RoleSchema {
        duration: Family::new(
            "http_client_request_duration_seconds",
            "seconds",
            "Duration of HTTP client requests, from the first byte written to the last byte of the response read.",
            Kind::Histogram,
        ),
        first_byte: Family::new(
            "onlooker_http_client_time_to_first_byte_seconds",
            "seconds",
            "Time from the first byte of an HTTP request written to the first byte of its final response read.",
            Kind::Histogram,
        ),
        request_body: Family::new(
            "http_client_request_body_size_bytes",
            "bytes",
            "Size of HTTP client request bodies.",
            Kind::Histogram,
        ),
        response_body: Family::new(
            "http_client_response_body_size_bytes",
            "bytes",
            "Size of HTTP client response bodies.",
            Kind::Histogram,
        ),
        active: Family::new(
            "http_client_active_requests",
            "",
            "Number of active HTTP client requests.",
            Kind::Gauge,
        ),
    },
};

/// `error.type` of a status: 5xx on servers, 4xx and 5xx (and what is beyond) on clients.
fn status_error(role: Role, status: u16) -> Option<&'static str> {
    let first = match role {
        Role::Server => 500,
        Role::Client => FIRST_ERROR,
    };
    if status < first {
        return None;
    }
    let at = usize::from(status - FIRST_ERROR) * 3;
    std::str::from_utf8(DIGITS.get(at..at + 3)?).ok()
}

const FIRST_ERROR: u16 = 400;
const LAST_ERROR: u16 = 999;
const COUNT: usize = (LAST_ERROR - FIRST_ERROR + 1) as usize;

/// `400401402…999`: the digits of every status that may be an error.
static DIGITS: [u8; COUNT * 3] = digits();

const fn digits() -> [u8; COUNT * 3] {
    let mut out = [0; COUNT * 3];
    let mut n = 0;
    while n < COUNT {
        let status = n as u16 + FIRST_ERROR;
        out[n * 3] = b'0' + (status / 100) as u8;
        out[n * 3 + 1] = b'0' + (status / 10 % 10) as u8;
        out[n * 3 + 2] = b'0' + (status % 10) as u8;
        n += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_errors() {
        let check = |role, status, expect| assert_eq!((HTTP.status_error)(role, status), expect, "{status}");
        check(Role::Server, 200, None);
        check(Role::Server, 404, None);
        check(Role::Server, 499, None);
        check(Role::Server, 500, Some("500"));
        check(Role::Server, 503, Some("503"));
        check(Role::Client, 399, None);
        check(Role::Client, 400, Some("400"));
        check(Role::Client, 404, Some("404"));
        check(Role::Client, 599, Some("599"));
        check(Role::Client, 999, Some("999"));
        check(Role::Client, 1000, None);
    }
}
