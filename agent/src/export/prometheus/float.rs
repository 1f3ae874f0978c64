//! Numbers as Go's `strconv.AppendFloat(f, 'g', -1, 64)` writes them, because that is what Prometheus' own encoder
//! (`expfmt`) prints and what people compare with: the shortest digits that read back as the same number, with an exponent
//! when it is below -4 or above 5.

use std::io::Write;

/// Appends `value` as Prometheus' text format has it: `1e+06`, `0.005`, `+Inf`, `NaN`.
pub(super) fn write_float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.trunc() == value && value.abs() < 1e6 {
        // Counts, mostly. -0 is written as 0, as expfmt does.
        write_integer(out, value as i64);
    } else {
        write_digits(out, value);
    }
}

/// Appends `value` as OpenMetrics has it: like [`write_float`], but whole numbers keep a `.0` to be told from integers.
pub(super) fn write_open_metrics_float(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    write_float(out, value);
    if value.is_finite() && !out[start..].iter().any(|&byte| matches!(byte, b'.' | b'e')) {
        out.extend_from_slice(b".0");
    }
}

/// Appends an integer in decimal.
pub(super) fn write_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Below this, whole numbers lie no more than 1 apart: the shortest digits of one are its own.
const WHOLE: f64 = (1u64 << 53) as f64;

fn write_digits(out: &mut Vec<u8>, value: f64) {
    match value.trunc() == value && value.abs() < WHOLE {
        true => write_whole(out, value),
        false => write_shortest(out, value),
    }
}

/// Bytes and counts, mostly: several times as fast as to look for the shortest digits.
fn write_whole(out: &mut Vec<u8>, value: f64) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.abs() as u64).as_bytes();
    let exponent = digits.len() as i32 - 1;
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let (first, fraction) = digits[..digits.len() - zeros].split_at(1.min(digits.len() - zeros));
    lay_out(out, value < 0.0, (first, fraction), exponent);
}

/// The shortest digits, which `{:e}` gives as `d.ddde-N`.
fn write_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = [0u8; 40];
    let mut rest = &mut buffer[..];
    // 17 digits, sign, point and exponent take at most 25 bytes.
    let _ = write!(rest, "{value:e}");
    let unused = rest.len();
    let text = &buffer[..buffer.len() - unused];
    let (text, negative) = match text.strip_prefix(b"-") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let split = text.iter().position(|&byte| byte == b'e').unwrap_or(text.len());
    let exponent = std::str::from_utf8(text.get(split + 1..).unwrap_or_default())
        .ok()
        .and_then(|digits| digits.parse::<i32>().ok())
        .unwrap_or(0);
    let (first, fraction) = text[..split].split_at(1);
    let fraction = fraction.strip_prefix(b".").unwrap_or_default();
    lay_out(out, negative, (first, fraction), exponent);
}

/// Lays out digits, that before the point and those behind it, in Go's way.
fn lay_out(out: &mut Vec<u8>, negative: bool, (first, fraction): (&[u8], &[u8]), exponent: i32) {
    if negative {
        out.push(b'-');
    }
    if !(-4..6).contains(&exponent) {
        out.extend_from_slice(first);
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(first);
        out.extend_from_slice(fraction);
    } else {
        let whole = (exponent as usize).min(fraction.len());
        out.extend_from_slice(first);
        out.extend_from_slice(&fraction[..whole]);
        out.extend(std::iter::repeat_n(b'0', exponent as usize - whole));
        if whole < fraction.len() {
            out.push(b'.');
            out.extend_from_slice(&fraction[whole..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, text: &str, open_metrics: &str) {
        let mut out = Vec::new();
        write_float(&mut out, value);
        assert_eq!(String::from_utf8_lossy(&out), text);
        out.clear();
        write_open_metrics_float(&mut out, value);
        assert_eq!(String::from_utf8_lossy(&out), open_metrics);
    }

    #[test]
    fn prints_as_go_does() {
        check(0.0, "0", "0.0");
        check(-0.0, "0", "0.0");
        check(1.0, "1", "1.0");
        check(-1.0, "-1", "-1.0");
        check(0.005, "0.005", "0.005");
        check(7.5, "7.5", "7.5");
        check(100_000.0, "100000", "100000.0");
        check(999_999.0, "999999", "999999.0");
        check(999_999.5, "999999.5", "999999.5");
        check(1_000_000.0, "1e+06", "1e+06");
        check(-1_000_000.0, "-1e+06", "-1e+06");
        check(1_048_576.0, "1.048576e+06", "1.048576e+06");
        check(123_456_789.0, "1.23456789e+08", "1.23456789e+08");
        check(608_863_452_348.114_9, "6.088634523481149e+11", "6.088634523481149e+11");
        check(0.0001, "0.0001", "0.0001");
        check(0.000_012_5, "1.25e-05", "1.25e-05");
        check(0.1 + 0.2, "0.30000000000000004", "0.30000000000000004");
        check(12.25, "12.25", "12.25");
        check(-250.125, "-250.125", "-250.125");
        check(1e21, "1e+21", "1e+21");
        check(f64::MAX, "1.7976931348623157e+308", "1.7976931348623157e+308");
        check(5e-324, "5e-324", "5e-324");
        check(f64::INFINITY, "+Inf", "+Inf");
        check(f64::NEG_INFINITY, "-Inf", "-Inf");
        check(f64::NAN, "NaN", "NaN");
    }

    /// Both ways to the digits of a whole number are one.
    #[test]
    fn whole_numbers_have_their_shortest_digits() {
        proptest::proptest!(|(number in 0u64..1 << 53, shift in 0u32..53, negative in proptest::bool::ANY)| {
            let value = (number >> shift) as f64 * if negative { -1.0 } else { 1.0 };
            proptest::prop_assume!(value != 0.0);
            let (mut whole, mut shortest) = (Vec::new(), Vec::new());
            write_whole(&mut whole, value);
            write_shortest(&mut shortest, value);
            proptest::prop_assert_eq!(whole, shortest);
        });
        let (mut last, mut shortest) = (Vec::new(), Vec::new());
        write_whole(&mut last, WHOLE - 1.0);
        write_shortest(&mut shortest, WHOLE - 1.0);
        assert_eq!(last, shortest);
    }

    #[test]
    fn reads_back_as_the_same_number() {
        proptest::proptest!(|(bits in proptest::num::u64::ANY)| {
            let value = f64::from_bits(bits);
            let mut out = Vec::new();
            write_float(&mut out, value);
            let text = String::from_utf8(out).expect("ASCII");
            let read: f64 = text.parse().expect("a number");
            proptest::prop_assert!(read == value || (read.is_nan() && value.is_nan()), "{text}");
        });
    }
}
