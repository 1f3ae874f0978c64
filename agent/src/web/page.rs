//! Texts for people: the landing page and the state of readiness.

use crate::health::{Health, ProbeState, Readiness};

/// The page at `/`.
pub(crate) fn landing(telemetry_path: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let path = escape(telemetry_path);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>onlooker</title>\n\
         <style>body{{font-family:sans-serif;margin:2rem auto;max-width:40rem;padding:0 1rem}}</style>\n</head>\n<body>\n\
         <h1>onlooker</h1>\n<p>Version {version}. Watches this host from the kernel.</p>\n<ul>\n\
         <li><a href=\"{path}\">Metrics</a></li>\n<li><a href=\"/readyz\">Readiness, by probe</a></li>\n\
         <li><a href=\"/healthz\">Health</a></li>\n</ul>\n</body>\n</html>\n"
    )
}

/// Whether the agent is ready, and a line for each probe and for each capability that is missing.
pub(crate) fn readiness(health: &Health) -> (bool, String) {
    let probes = health.probes();
    if probes.is_empty() {
        return (false, "not ready: no probe was tried yet\n".to_owned());
    }
    let readiness = health.readiness();
    let mut text = String::from(match readiness {
        Readiness::Ready => "ready\n",
        Readiness::Degraded => "ready, but something is missing\n",
        Readiness::NotReady => "not ready: no request is seen\n",
    });
    for probe in &probes {
        text.push_str(&line(probe));
    }
    for capability in health.missing() {
        text.push_str(&format!(
            "{} is missing; not seen: {}\n",
            capability.name, capability.loses
        ));
    }
    if let Some(what) = health.shedding() {
        text.push_str(&format!(
            "above the CPU budget: gives up {what}; counts and durations stay whole\n"
        ));
    }
    (readiness != Readiness::NotReady, text)
}

/// Reasons come from the kernel's logs and may have several lines; here each probe has one.
fn line(probe: &ProbeState) -> String {
    let mut text = match (probe.alternative, probe.replaced_by) {
        (Some(alternative), _) => format!("{}: attached ({alternative})", probe.probe),
        (None, Some(other)) => format!("{}: not attached, {other} is in its place", probe.probe),
        (None, None) => format!("{}: not attached", probe.probe),
    };
    if let Some(reason) = &probe.reason {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let after = if probe.alternative.is_some() {
            "; refused were"
        } else {
            ""
        };
        text.push_str(&format!("{after}: {reason}"));
    }
    if !probe.loses.is_empty() && probe.replaced_by.is_none() {
        text.push_str(&format!("; not seen: {}", probe.loses));
    }
    text.push('\n');
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
