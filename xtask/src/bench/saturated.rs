//! Servers as fast as they go, driven by wrk: how much of their throughput is kept.

use anyhow::{Context, Result};

use super::Bench;
use super::bed::{Bed, Condition, Hooks};
use super::exact::{self, Driver, Exact};
use super::row::{Row, Sides, Style, Target};
use super::server::Server;

/// The option that leaves the clients' ends alone.
const SERVERS_ALONE: &str = "--capture.roles";

/// One load.
pub(crate) struct Saturated {
    name: &'static str,
    about: &'static str,
    server: &'static str,
    path: &'static str,
    connections: usize,
    /// A connection for each request.
    close: bool,
    /// Connections that had one request and are idle then.
    idle: usize,
    /// `None`: the agent's own choice.
    hooks: Option<Hooks>,
    args: &'static [&'static str],
    target: Option<Target>,
}

const BASE: Saturated = Saturated {
    name: "",
    about: "",
    server: "nginx",
    path: "/",
    connections: 64,
    close: false,
    idle: 0,
    hooks: None,
    args: &[],
    target: None,
};

const KEEPS_85: Target = Target {
    text: ">= 0.85 of nothing attached",
    holds: |row| row.ratio.map(|ratio| ratio.median >= 0.85),
};
const KEEPS_93: Target = Target {
    text: ">= 0.93 of nothing attached",
    holds: |row| row.ratio.map(|ratio| ratio.median >= 0.93),
};
const KEEPS_98: Target = Target {
    text: ">= 0.98 of nothing attached",
    holds: |row| row.ratio.map(|ratio| ratio.median >= 0.98),
};

/// nginx, both ends of every connection captured.
pub(crate) static NGINX: Saturated = Saturated {
    name: "nginx",
    about: "one worker, `return 200`, keep-alive, both ends captured",
    target: Some(KEEPS_85),
    ..BASE
};
/// nginx, its own end alone.
pub(crate) static NGINX_SERVER: Saturated = Saturated {
    name: "nginx-server",
    about: "the same, servers' ends alone captured",
    args: &["--capture.roles=server"],
    target: Some(KEEPS_93),
    ..BASE
};
/// nginx with the other hooks.
pub(crate) static NGINX_SYSCALL: Saturated = Saturated {
    name: "nginx-syscall",
    about: "the same, both ends, captured at the exit of system calls",
    hooks: Some(Hooks::Syscall),
    ..BASE
};
/// Go's net/http.
pub(crate) static GO: Saturated = Saturated {
    name: "go",
    about: "net/http with an access log, keep-alive",
    server: "go",
    path: "/ok",
    target: Some(KEEPS_98),
    ..BASE
};
/// Node's http.
pub(crate) static NODE: Saturated = Saturated {
    name: "node",
    about: "http with an access log, keep-alive",
    server: "node",
    path: "/ok",
    target: Some(KEEPS_98),
    ..BASE
};
/// aiohttp.
pub(crate) static PYTHON: Saturated = Saturated {
    name: "python",
    about: "aiohttp with an access log, keep-alive",
    server: "python",
    path: "/ok",
    target: Some(KEEPS_98),
    ..BASE
};
/// A connection for each request.
pub(crate) static CONNECTIONS: Saturated = Saturated {
    name: "connections",
    about: "nginx, a connection for each request",
    close: true,
    ..BASE
};
/// Long answers.
pub(crate) static LARGE: Saturated = Saturated {
    name: "large",
    about: "nginx, a file of 100 kB by sendfile",
    path: "/large",
    ..BASE
};
/// Many connections.
pub(crate) static IDLE: Saturated = Saturated {
    name: "idle",
    about: "nginx, 1,000 active connections beside 10,000 idle ones, all followed",
    connections: 1_000,
    idle: 10_000,
    args: &["--limits.connections=32768", "--limits.tcp-connections=32768"],
    ..BASE
};

/// What one condition came to in one round.
struct Found {
    per_second: f64,
    exact: Vec<Exact>,
}

impl Bench for Saturated {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let figure = "requests a second";
        if self.args.iter().any(|arg| arg.starts_with(SERVERS_ALONE)) && !bed.knows(SERVERS_ALONE) {
            let row = Row::new(self.name, figure, "1/s", Style::Throughput).wanting(self.target);
            return Ok(vec![
                row.noting(format!("this onlooker does not know {SERVERS_ALONE} yet")),
            ]);
        }
        let hooks = self.hooks.unwrap_or(bed.own_hooks());
        let conditions = [
            Condition::Nothing,
            Condition::NoOp(hooks),
            Condition::Onlooker(hooks, self.args),
        ];
        let server = Server::start(bed, self.server)?;
        // Once without being measured: code is compiled, memory is there.
        self.drive(bed, &server, 1)?;
        let rounds = if self.idle > 0 { bed.rounds.min(3) } else { bed.rounds };
        let found = bed.compare(&conditions, rounds, |condition, attached| {
            let before = server.served()?;
            let idle = bed.scaled(self.idle, self.idle / 20);
            let held = match idle {
                0 => None,
                _ => Some(bed.helper(&["idle", &server.address.to_string(), &idle.to_string()])?),
            };
            let (answered, seconds) = self.drive(bed, &server, bed.seconds)?;
            let exact = match attached.agent() {
                Some(agent) => {
                    // Of a client that is not captured there is nothing to compare.
                    let driver = self.args.iter().all(|arg| !arg.starts_with(SERVERS_ALONE));
                    let driver = driver.then_some(Driver { name: "wrk", answered });
                    exact::check(agent, told(condition), &server, before, driver)?
                }
                None => Vec::new(),
            };
            drop(held);
            Ok(Found {
                per_second: answered as f64 / seconds,
                exact,
            })
        })?;
        let values = |index: usize| found[index].iter().map(|found| found.per_second).collect();
        let sides = Sides {
            nothing: values(0),
            no_op: values(1),
            onlooker: values(2),
        };
        let mut row = Row::compared(self.name, figure, "1/s", Style::Throughput, &sides)
            .wanting(self.target)
            .noting(self.about);
        row.exact = exact::summed(found.into_iter().flatten().flat_map(|found| found.exact));
        Ok(vec![row])
    }
}

impl Saturated {
    /// Answers that wrk read, and the seconds it took.
    fn drive(&self, bed: &Bed, server: &Server, seconds: u64) -> Result<(u64, f64)> {
        let url = format!("http://{}{}", server.address, self.path);
        let connections = match self.idle {
            0 => self.connections,
            _ => bed.scaled(self.connections, self.connections / 10),
        };
        wrk(bed, &url, connections, seconds, self.close)
    }
}

/// One thread of wrk; the answers that it read, and the seconds it took.
pub(crate) fn wrk(bed: &Bed, url: &str, connections: usize, seconds: u64, close: bool) -> Result<(u64, f64)> {
    let wrk = bed.need("wrk")?;
    let (connections, seconds) = (format!("-c{connections}"), format!("-d{seconds}s"));
    let mut args = vec!["-t1", &connections, &seconds];
    if close {
        args.extend(["-H", "Connection: close"]);
    }
    args.push(url);
    let text = bed.run(&wrk, &args)?;
    parse(&text).with_context(|| format!("wrk said {text}"))
}

/// Name of a condition in the table of counts.
pub(crate) fn told(condition: Condition) -> &'static str {
    match condition {
        Condition::Onlooker(hooks, _) => hooks.told(),
        _ => "",
    }
}

/// From `  454 requests in 2.00s, 92.38KB read`. Any error that wrk tells is ours: the load is not what was asked for.
fn parse(text: &str) -> Result<(u64, f64)> {
    if let Some(line) = text.lines().find(|line| {
        line.contains("Non-2xx") || (line.contains("Socket errors") && !line.contains("connect 0, read 0, write 0"))
    }) {
        anyhow::bail!("{}", line.trim());
    }
    let line = text
        .lines()
        .find(|line| line.contains(" requests in "))
        .context("no count")?;
    let mut words = line.split_whitespace();
    let requests = words.next().context("no count")?.parse()?;
    let time = words.nth(2).context("no time")?.trim_end_matches(',');
    let seconds = match time.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse::<f64>()? / 1e3,
        None => match time.strip_suffix('m') {
            Some(minutes) => minutes.parse::<f64>()? * 60.0,
            None => time.trim_end_matches('s').parse()?,
        },
    };
    Ok((requests, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says() {
        let text = |middle: &str, errors: &str| format!("Running\n  {middle}, 9.38MB read\n{errors}Requests/sec: 1\n");
        for (middle, expect) in [
            ("454052 requests in 2.00s", (454_052, 2.0)),
            ("7 requests in 500.00ms", (7, 0.5)),
            ("7 requests in 1.50m", (7, 90.0)),
        ] {
            assert_eq!(parse(&text(middle, "")).unwrap(), expect, "{middle}");
        }
        let timeouts = "  Socket errors: connect 0, read 0, write 0, timeout 3\n";
        assert!(parse(&text("1 requests in 1.00s", timeouts)).is_ok());
        let errors = "  Socket errors: connect 0, read 5, write 0, timeout 0\n";
        assert!(parse(&text("1 requests in 1.00s", errors)).is_err());
        assert!(parse(&text("1 requests in 1.00s", "  Non-2xx or 3xx responses: 4\n")).is_err());
        assert!(parse("").is_err());
    }
}
