//! Servers that do as little as they can, so that what onlooker takes shows most.

use anyhow::{Result, bail};
use onlooker_tests::servers::{Kind, Nginx, NginxOptions, Server};
use serde_json::json;

/// Bytes of nginx's `/large`.
const LARGE: usize = 100_000;

/// One worker, so that it is one core against the driver's; nothing is logged. `/large` is a file, `/served` nginx's own
/// count of requests, everything else an answer without work.
const NGINX: &str = "access_log off; keepalive_requests 100000000;\n\
    location = /served { stub_status; }\n\
    location = /large { }\n\
    location / { return 200 \"ok\\n\"; }";

/// Starts a server and holds it. Those that are not nginx write an access log, which is their count of requests.
pub(crate) fn run(kind: &str) -> Result<()> {
    let kind = match kind {
        "nginx" => return nginx(),
        "go" => Kind::Go,
        "node" => Kind::Node,
        "python" => Kind::Aiohttp,
        other => bail!("no server {other}"),
    };
    let server = Server::start(kind, "bench")?;
    crate::hold(&json!({
        "address": server.target.to_string(),
        "service": server.service,
        "log": server.dir.path().join("access.log"),
    }))
}

fn nginx() -> Result<()> {
    let options = NginxOptions {
        server: NGINX.into(),
        workers: 1,
        ..NginxOptions::default()
    };
    let nginx = Nginx::start("bench", &options)?;
    std::fs::write(nginx.root.join("large"), vec![b'l'; LARGE])?;
    crate::hold(&json!({
        "address": nginx.server.target.to_string(),
        "service": nginx.server.service,
        "log": null,
    }))
}
