//! Values of options: each function reads one kind of value and says in one sentence what would be right.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Smallest ring: holds a few of the largest records.
const RING_MIN: u64 = 64 << 10;
/// Smallest budget of CPU, percent of one core: less than the agent needs to do nothing.
const CPU_PERCENT_MIN: f64 = 0.01;
/// Largest budget of CPU, percent of one core.
const CPU_PERCENT_MAX: f64 = 100_000.0;
/// Largest ring.
const RING_MAX: u64 = 1 << 30;

/// An address to listen on, as given: a name is resolved when the server binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Host name or IP address without brackets; empty: every address of the host.
    pub host: String,
    /// TCP port; 0: any free one.
    pub port: u16,
}

impl ListenAddress {
    /// The socket addresses behind it. Blocks while a name is looked up. Every address of the host: IPv6's unspecified
    /// address, which takes IPv4 too where `net.ipv6.bindv6only` is 0, and then IPv4's for hosts without IPv6.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if self.host.is_empty() {
            return Ok(vec![
                (Ipv6Addr::UNSPECIFIED, self.port).into(),
                (std::net::Ipv4Addr::UNSPECIFIED, self.port).into(),
            ]);
        }
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<ListenAddress, String> {
        const FORMS: &str = "use HOST:PORT, [IPV6]:PORT or :PORT, e.g. 127.0.0.1:9100";
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("has no port: {FORMS}"))?;
        let port = match port.parse::<u16>() {
            Ok(number) if port.bytes().all(|byte| byte.is_ascii_digit()) => number,
            _ => return Err(format!("has no port from 0 to 65535 behind its last colon: {FORMS}")),
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .filter(|address| address.parse::<Ipv6Addr>().is_ok())
                .ok_or_else(|| format!("holds no IPv6 address in its brackets: {FORMS}"))?,
            None if host.contains(':') => return Err(format!("needs brackets around its IPv6 address: {FORMS}")),
            None => host,
        };
        if host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(format!("is no address: {FORMS}"));
        }
        Ok(ListenAddress {
            host: host.to_string(),
            port,
        })
    }
}

/// A path of the HTTP server that is free for metrics.
///
/// # Errors
/// It does not begin with `/`, is taken, or holds what a path cannot.
pub fn telemetry_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("does not begin with /: try \"/{text}\""));
    }
    if ["/healthz", "/readyz"].contains(&text) {
        return Err("is taken by a health check: choose another, e.g. /metrics".to_string());
    }
    if text
        .chars()
        .any(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '"' | '<' | '>'))
    {
        return Err("is no plain path: leave out spaces, quotes, < > ? and #".to_string());
    }
    Ok(text.to_string())
}

/// A directory; it need not exist (yet).
///
/// # Errors
/// It is empty.
pub fn path(text: &str) -> Result<PathBuf, String> {
    match text.is_empty() {
        true => Err("is empty: give the path of a directory".to_string()),
        false => Ok(text.into()),
    }
}

/// A whole number between two bounds, both included. Underscores may group its digits.
///
/// # Errors
/// It is none, or out of bounds.
pub fn count<T: TryFrom<u64>>(text: &str, min: u64, max: u64) -> Result<T, String> {
    let wrong = || format!("is not a whole number from {min} to {max}");
    let digits = text.replace('_', "");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = digits.parse::<u64>().map_err(|_| wrong())?;
    if !(min..=max).contains(&number) {
        return Err(wrong());
    }
    T::try_from(number).map_err(|_| wrong())
}

/// A number of bytes: `4194304`, `4MiB`, `4M` (K, M, G are powers of 1024).
///
/// # Errors
/// It is none of these forms, or beyond 64 bits.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "is not a number of bytes: use e.g. 4194304, 4096K, 4MiB or 8M".to_string();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" | "Ki" | "k" => 10,
        "M" | "MiB" | "Mi" | "m" => 20,
        "G" | "GiB" | "Gi" | "g" => 30,
        _ => return Err(wrong()),
    };
    let number = digits.parse::<u64>().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// A size that the kernel takes for a ring buffer: a power of two, whole pages.
///
/// # Errors
/// It is not, or out of bounds; names the next size that fits.
pub fn ring_bytes(size: u64) -> Result<u32, String> {
    let min = RING_MIN.max(procfs::page_size().next_power_of_two());
    if size.is_power_of_two() && (min..=RING_MAX).contains(&size) {
        return u32::try_from(size).map_err(|error| error.to_string());
    }
    let fits = size.clamp(min, RING_MAX).next_power_of_two();
    let fits = if fits < 1 << 20 {
        format!("{}KiB", fits >> 10)
    } else {
        format!("{}MiB", fits >> 20)
    };
    Err(format!(
        "is not a power of two from {}KiB to {}MiB: the next that fits is {fits}",
        min >> 10,
        RING_MAX >> 20
    ))
}

/// A duration as Go writes it: numbers with units `ns`, `us`, `ms`, `s`, `m`, `h`, e.g. `300ms`, `1.5h`, `1h30m`.
///
/// # Errors
/// It is none, shorter than `min`, or beyond a hundred years.
pub fn duration(text: &str, min: Duration) -> Result<Duration, String> {
    let wrong = || "is not a duration: use numbers with units ms, s, m, h, e.g. 90s, 5m or 1h30m".to_string();
    const MAX_SECONDS: f64 = 100.0 * 365.0 * 86_400.0;
    let mut rest = text;
    let mut seconds = 0.0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * scale;
        rest = tail;
    }
    if text.is_empty() || !seconds.is_finite() || seconds > MAX_SECONDS {
        return Err(wrong());
    }
    let found = Duration::from_secs_f64(seconds);
    match found < min {
        true => Err(format!("is too short: give at least {min:?}")),
        false => Ok(found),
    }
}

/// A budget of CPU in percent of one core (`1%`, `0.5%`, `150%`), as cores; `off`: `None`.
///
/// # Errors
/// It is neither, not above 0, or beyond the largest machines.
pub fn cpu_budget(text: &str) -> Result<Option<f64>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let percent = text.strip_suffix('%').map(str::trim_end);
    // Digits and a point alone: no sign, no exponent, no infinity.
    let plain = |number: &&str| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match percent.filter(plain).map(str::parse::<f64>) {
        Some(Ok(percent)) if (CPU_PERCENT_MIN..=CPU_PERCENT_MAX).contains(&percent) => Ok(Some(percent / 100.0)),
        _ => Err(format!(
            "is not a share of one core from {CPU_PERCENT_MIN}% to {CPU_PERCENT_MAX}%: use e.g. 1%, 0.5%, or off"
        )),
    }
}

/// A share.
///
/// # Errors
/// It is no number from 0 to 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("is not a number from 0 to 1, e.g. 0.25".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Ok` must print as `expect`; an error must contain it.
    fn check<T: fmt::Debug>(input: &str, got: Result<T, String>, expect: &str) {
        match got {
            Ok(value) => assert_eq!(format!("{value:?}"), expect, "of {input:?}"),
            Err(what) => assert!(what.contains(expect), "{input:?}: {what:?} does not say {expect:?}"),
        }
    }

    #[test]
    fn addresses() {
        for (input, expect) in [
            (":9100", ":9100"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("localhost:80", "localhost:80"),
            ("[::1]:9100", "[::1]:9100"),
            ("[::]:65535", "[::]:65535"),
        ] {
            assert_eq!(
                input.parse::<ListenAddress>().map(|a| a.to_string()),
                Ok(expect.to_string())
            );
        }
        for (input, expect) in [
            ("9100", "has no port"),
            ("", "has no port"),
            ("host", "has no port"),
            ("host:", "port from 0 to 65535"),
            ("host:65536", "port from 0 to 65535"),
            ("host:+80", "port from 0 to 65535"),
            ("::1:9100", "needs brackets"),
            ("[::1:9100", "holds no IPv6 address"),
            ("[host]:80", "holds no IPv6 address"),
            ("http://host:80", "needs brackets"),
            ("a b:80", "is no address"),
        ] {
            check(input, input.parse::<ListenAddress>(), expect);
        }
    }

    #[test]
    fn addresses_resolve() {
        let all = ":9"
            .parse::<ListenAddress>()
            .and_then(|a| a.resolve().map_err(|e| e.to_string()));
        check(":9", all, "[[::]:9, 0.0.0.0:9]");
        let one = "[::1]:9"
            .parse::<ListenAddress>()
            .and_then(|a| a.resolve().map_err(|e| e.to_string()));
        check("[::1]:9", one, "[[::1]:9]");
    }

    #[test]
    fn numbers_of_bytes() {
        for (input, expect) in [
            ("0", "0"),
            ("4096", "4096"),
            ("4MiB", "4194304"),
            ("8M", "8388608"),
            ("16k", "16384"),
            ("1G", "1073741824"),
            ("4MB", "not a number of bytes"),
            ("MiB", "not a number of bytes"),
            ("-1", "not a number of bytes"),
            ("4 MiB", "not a number of bytes"),
            ("99999999999999999999", "not a number of bytes"),
            ("18446744073709551615G", "not a number of bytes"),
        ] {
            check(input, bytes(input), expect);
        }
    }

    #[test]
    fn ring_sizes() {
        for (input, expect) in [
            (4 << 20, "4194304"),
            (64 << 10, "65536"),
            (1 << 30, "1073741824"),
            (3 << 20, "the next that fits is 4MiB"),
            (0, "the next that fits is 64KiB"),
            (1 << 31, "the next that fits is 1024MiB"),
        ] {
            check(&input.to_string(), ring_bytes(input), expect);
        }
    }

    #[test]
    fn durations() {
        for (input, expect) in [
            ("5m", "300s"),
            ("1h30m", "5400s"),
            ("1.5h", "5400s"),
            ("1s500ms", "1.5s"),
            ("1000000us", "1s"),
            ("999ms", "at least 1s"),
            ("0s", "at least 1s"),
            ("", "not a duration"),
            ("5", "not a duration"),
            ("m", "not a duration"),
            ("1d", "not a duration"),
            ("-5m", "not a duration"),
            ("1.2.3s", "not a duration"),
            ("99999999999999999h", "not a duration"),
        ] {
            check(input, duration(input, Duration::from_secs(1)), expect);
        }
    }

    #[test]
    fn counts_and_ratios() {
        for (input, expect) in [
            ("1", "1"),
            ("1_000", "1000"),
            ("0", "from 1 to 1000"),
            ("1001", "from 1 to 1000"),
            ("", "from 1 to 1000"),
            ("+1", "from 1 to 1000"),
            ("1e3", "from 1 to 1000"),
        ] {
            check(input, count::<u32>(input, 1, 1000), expect);
        }
        for (input, expect) in [
            ("0", "0.0"),
            ("1", "1.0"),
            ("0.25", "0.25"),
            ("1.1", "0 to 1"),
            ("NaN", "0 to 1"),
            ("-0.1", "0 to 1"),
        ] {
            check(input, ratio(input), expect);
        }
    }

    #[test]
    fn budgets_of_cpu() {
        for (input, expect) in [
            ("off", "None"),
            ("Off", "None"),
            ("1%", "Some(0.01)"),
            ("0.5%", "Some(0.005)"),
            ("150 %", "Some(1.5)"),
            ("0.01%", "Some(0.0001)"),
            ("1", "use e.g. 1%, 0.5%, or off"),
            ("0%", "from 0.01% to 100000%"),
            ("0.001%", "from 0.01%"),
            ("200000%", "to 100000%"),
            ("-1%", "not a share of one core"),
            ("1e0%", "not a share of one core"),
            ("inf%", "not a share of one core"),
            ("1.2.3%", "not a share of one core"),
            ("%", "not a share of one core"),
            ("", "not a share of one core"),
            ("on", "not a share of one core"),
        ] {
            check(input, cpu_budget(input), expect);
        }
    }

    #[test]
    fn paths() {
        for (input, expect) in [
            ("/metrics", "\"/metrics\""),
            ("/", "\"/\""),
            ("metrics", "try \"/metrics\""),
            ("/healthz", "is taken"),
            ("/a b", "no plain path"),
            ("/a?b", "no plain path"),
        ] {
            check(input, telemetry_path(input), expect);
        }
        check("", path(""), "is empty");
    }
}
