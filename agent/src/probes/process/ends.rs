//! Ends of processes: counted by exit code or signal, and told as events when a signal was the end.

use super::lives::EXITS;
use crate::probes::add;
use crate::signal::{Detail, EventSignal, Label, Nanos, ProcessKey, Severity, Signal, Who};

/// Signals by which people and service managers end programs, and that of a reader who went away.
const USUAL: [&str; 4] = ["SIGHUP", "SIGINT", "SIGPIPE", "SIGTERM"];

/// A process ended. `code`: as `wait` reports it. To be called once a process.
pub(super) fn tell_end(at: Nanos, key: ProcessKey, code: u32, tell: &mut dyn FnMut(Signal<'_>)) {
    let (number, status) = (code & 0x7f, (code >> 8 & 0xff).to_string());
    if number == 0 {
        let labels = [Label::Text(&status), Label::Text(""), Label::Text("")];
        return add(at, &EXITS, Who::Process(key), &labels, 1.0, tell);
    }
    let signal = name(number).map_or_else(|| number.to_string(), str::to_owned);
    let dumped = code & 0x80 != 0;
    let labels = [
        Label::Text(""),
        Label::Text(&signal),
        Label::Text(if dumped { "true" } else { "" }),
    ];
    add(at, &EXITS, Who::Process(key), &labels, 1.0, tell);
    let severity = match USUAL.contains(&signal.as_str()) {
        true => Severity::Info,
        false => Severity::Error,
    };
    let dumped = if dumped { ", core dumped" } else { "" };
    tell(Signal::Event(EventSignal {
        at,
        name: "process.exit",
        severity,
        who: Who::Process(key),
        tid: 0,
        body: &format!("ended by signal {signal}{dumped}"),
        attributes: &[("onlooker.process.exit.signal", Detail::Text(&signal))],
        count: 1,
    }));
}

/// Name of a signal, the same on x86-64 and arm64.
fn name(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}
