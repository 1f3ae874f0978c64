//! The addresses to serve on: taken for a moment by the server's own code, and given back.

use super::sockets::{self, Holder, Listener};
use super::{Finding, Patient, rights};
use crate::config::value::ListenAddress;
use crate::health::Health;
use crate::web::{Sources, Web, WebConfig, WebError};
use std::sync::Arc;

const LOSES: &str = "everything: the agent does not start without its address";

/// A finding for each address.
pub(super) fn addresses(patient: &Patient<'_>) -> Vec<Finding> {
    if patient.config.web.systemd_socket {
        let found = "left to systemd (--web.systemd-socket): looked at when the agent starts";
        return vec![Finding::pass("listen sockets", found)];
    }
    // All are held until the last was tried: two of the list may be in each other's way.
    let mut held = vec![];
    patient
        .config
        .web
        .listen
        .iter()
        .map(|address| {
            let config = WebConfig {
                listen: vec![address.to_string()],
                ..WebConfig::default()
            };
            let name = format!("listen address {address}");
            match Web::bind(config, Sources::default(), Arc::new(Health::default())) {
                Ok(web) => {
                    held.push(web);
                    Finding::pass(name, "free")
                }
                Err(WebError::InUse { .. }) => taken(patient, address, name),
                Err(error) => {
                    let fix = if rights::may_bind(patient, address.port) {
                        "--web.listen-address=127.0.0.1:9100 (`web: {listen-address: [\"127.0.0.1:9100\"]}`)"
                    } else {
                        "a port from 1024 on, e.g. --web.listen-address=127.0.0.1:9100; or CAP_NET_BIND_SERVICE"
                    };
                    Finding::fail(name, error.to_string(), LOSES, fix)
                }
            }
        })
        .collect()
}

fn taken(patient: &Patient<'_>, address: &ListenAddress, name: String) -> Finding {
    let elsewhere = "stop it, or choose another address, e.g. --web.listen-address=127.0.0.1:9101 \
                     (`web: {listen-address: [\"127.0.0.1:9101\"]}`)";
    let wanted = address.resolve().unwrap_or_default();
    let tables = sockets::tcp(&patient.host.proc.join("net"));
    let holders: Vec<&Listener> = tables.iter().filter(|socket| socket.in_the_way_of(&wanted)).collect();
    let found = sockets::holder(patient.host, &holders);
    match found {
        Holder::Known { pid, name: program } if pid == std::process::id() => Finding::fail(
            name,
            format!("given twice (by this {program} itself)"),
            LOSES,
            "give each address once",
        ),
        Holder::Known { pid, name: program } if program == "onlooker" => {
            Finding::pass(name, format!("an agent is running: held by onlooker, pid {pid}"))
        }
        Holder::Known { pid, name: program } => {
            Finding::fail(name, format!("taken by {program}, pid {pid}"), LOSES, elsewhere)
        }
        Holder::Hidden { uid } => {
            let found = format!("taken by a process of uid {uid}, which this user may not look into");
            Finding::fail(
                name,
                found,
                LOSES,
                format!("name it as root: `sudo ss -ltnp`; then {elsewhere}"),
            )
        }
        Holder::Unknown => {
            let found = "taken, by whom is not known: no process of this /proc has it";
            Finding::fail(name, found, LOSES, elsewhere)
        }
    }
}
