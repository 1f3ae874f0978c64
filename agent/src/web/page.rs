//! Texts for people: the landing page and the state of readiness.

use crate::health::{Health, ProbeState};

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

/// Whether the agent is ready, and a line for each probe.
pub(crate) fn readiness(health: &Health) -> (bool, String) {
    let probes = health.probes();
    if probes.is_empty() {
        return (false, "not ready: no probe was tried yet\n".to_owned());
    }
    let ready = health.ready();
    let mut text = String::from(if ready {
        "ready\n"
    } else {
        "not ready: no probe is attached\n"
    });
    for probe in &probes {
        text.push_str(&line(probe));
    }
    if let Some(what) = health.shedding() {
        text.push_str(&format!(
            "above the CPU budget: gives up {what}; counts and durations stay whole\n"
        ));
    }
    (ready, text)
}

/// Reasons come from the kernel's logs and may have several lines; here each probe has one.
fn line(probe: &ProbeState) -> String {
    let reason = probe
        .reason
        .as_deref()
        .map(|reason| reason.split_whitespace().collect::<Vec<_>>().join(" "));
    match (probe.alternative, reason) {
        (Some(alternative), None) => format!("{}: attached ({alternative})\n", probe.probe),
        (Some(alternative), Some(reason)) => format!("{}: attached ({alternative}); {reason}\n", probe.probe),
        (None, reason) => format!(
            "{}: not attached: {}; without it: {}\n",
            probe.probe,
            reason.as_deref().unwrap_or("reason unknown"),
            probe.loses
        ),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
