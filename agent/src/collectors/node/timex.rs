//! State of the kernel's clock: adjtimex(2) (`kernel/time/ntp.c`). Asking changes nothing and needs no right.

use super::rows::counter;
use super::{Collect, CollectError, Collector};
use crate::host::calls::adjtimex;
use crate::metric::{Encoder, Family, Kind};
use std::io;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "timex",
    about: "state of the kernel's clock",
    make: |_| Ok(Box::new(Timex)),
    ..Collector::BASE
};

static FAMILIES: [Family; 17] = [
    gauge(
        "node_timex_sync_status",
        "",
        "Whether the clock follows another one that is right.",
    ),
    gauge(
        "node_timex_offset_seconds",
        "seconds",
        "Offset that the clock has still to make up for.",
    ),
    gauge(
        "node_timex_frequency_adjustment_ratio",
        "ratio",
        "How much faster than by itself the clock runs.",
    ),
    gauge("node_timex_maxerror_seconds", "seconds", "Largest error of the clock."),
    gauge(
        "node_timex_estimated_error_seconds",
        "seconds",
        "Likely error of the clock.",
    ),
    gauge(
        "node_timex_status",
        "",
        "Bits of the clock's status, STA_ of adjtimex(2).",
    ),
    gauge(
        "node_timex_loop_time_constant",
        "",
        "Time constant of the loop that corrects the clock.",
    ),
    gauge("node_timex_tick_seconds", "seconds", "Time between two ticks."),
    gauge(
        "node_timex_pps_frequency_hertz",
        "hertz",
        "Frequency of the pulse each second.",
    ),
    gauge(
        "node_timex_pps_jitter_seconds",
        "seconds",
        "Jitter of the pulse each second.",
    ),
    gauge(
        "node_timex_pps_shift_seconds",
        "seconds",
        "Interval of the pulse each second.",
    ),
    gauge(
        "node_timex_pps_stability_hertz",
        "hertz",
        "Stability of the pulse each second.",
    ),
    counter("node_timex_pps_jitter_total", "Pulses whose jitter was too large."),
    counter(
        "node_timex_pps_calibration_total",
        "Intervals in which the pulse was calibrated.",
    ),
    counter("node_timex_pps_error_total", "Calibrations that failed."),
    counter(
        "node_timex_pps_stability_exceeded_total",
        "Calibrations that were not stable.",
    ),
    gauge(
        "node_timex_tai_offset_seconds",
        "seconds",
        "How far International Atomic Time is ahead.",
    ),
];

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family::new(name, unit, help, Kind::Gauge)
}

const MICRO: f64 = 1e6;
const NANO: f64 = 1e9;
/// Frequencies are parts per million with 16 bits behind the point.
const PPM: f64 = 1e6 * 65536.0;

struct Timex;

impl Collect for Timex {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let (state, clock) = adjtimex().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => CollectError::NoData("adjtimex is not for this process".to_owned()),
            _ => CollectError::Other(format!("adjtimex: {error}")),
        })?;
        for (family, value) in FAMILIES.iter().zip(values(state, &clock)) {
            out.family(family);
            out.number(&[], value);
        }
        Ok(())
    }
}

/// Values in the order of [`FAMILIES`].
fn values(state: libc::c_int, clock: &libc::timex) -> [f64; FAMILIES.len()] {
    let unit = if clock.status & libc::STA_NANO == 0 {
        MICRO
    } else {
        NANO
    };
    [
        f64::from(u8::from(state != libc::TIME_ERROR)),
        clock.offset as f64 / unit,
        1.0 + clock.freq as f64 / PPM,
        clock.maxerror as f64 / MICRO,
        clock.esterror as f64 / MICRO,
        f64::from(clock.status),
        clock.constant as f64,
        clock.tick as f64 / MICRO,
        clock.ppsfreq as f64 / PPM,
        clock.jitter as f64 / unit,
        f64::from(clock.shift),
        clock.stabil as f64 / PPM,
        clock.jitcnt as f64,
        clock.calcnt as f64,
        clock.errcnt as f64,
        clock.stbcnt as f64,
        f64::from(clock.tai),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn this_host() {
        let text = Fixture::new(&[]).text(&COLLECTOR);
        assert_eq!(text.lines().count(), FAMILIES.len());
        let tick = text
            .lines()
            .find_map(|line| line.strip_prefix("node_timex_tick_seconds "));
        assert!(tick.unwrap().parse::<f64>().unwrap() > 0.0, "{text}");
    }

    #[test]
    fn units() {
        let (_, mut clock) = adjtimex().unwrap();
        clock.status = 0;
        (clock.offset, clock.freq, clock.tick) = (-250, -65536, 10_000);
        let [sync, offset, ratio, ..] = values(libc::TIME_ERROR, &clock);
        assert_eq!((sync, offset, ratio), (0.0, -0.00025, 0.999999));
        clock.status = libc::STA_NANO;
        let [sync, offset, ..] = values(libc::TIME_OK, &clock);
        assert_eq!((sync, offset), (1.0, -2.5e-7));
    }
}
