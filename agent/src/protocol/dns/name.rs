//! Names of questions as label values: few enough to be counted one by one. What differs from one question to the next (numbers,
//! hashes, identifiers) becomes `{id}`, addresses of PTR questions `{ip}`; of long names only the end is kept.

use std::fmt::Write as _;

/// Labels that are kept.
const LABELS: usize = 4;
/// Characters of a label that is all digits from which on it is an identifier.
const DIGITS: usize = 4;
/// Characters of a label of hexadecimal digits, some of them numbers.
const HEX: usize = 8;
/// Characters of a label that has a digit.
const LONG: usize = 24;

/// The template of a name in lower case without its last dot.
pub fn template(name: &str) -> String {
    for zone in ["in-addr.arpa", "ip6.arpa"] {
        match name.strip_suffix(zone) {
            Some("") => return zone.to_owned(),
            Some(front) if front.ends_with('.') => return format!("{{ip}}.{zone}"),
            _ => (),
        }
    }
    let count = name.split('.').count();
    let mut text = String::with_capacity(name.len());
    if count > LABELS {
        text.push_str("*.");
    }
    for (n, label) in name.split('.').skip(count.saturating_sub(LABELS)).enumerate() {
        if n > 0 {
            text.push('.');
        }
        let _ = text.write_str(if is_identifier(label) { "{id}" } else { label });
    }
    text
}

fn is_identifier(label: &str) -> bool {
    let digits = label.bytes().filter(u8::is_ascii_digit).count();
    let hex = label.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    digits == label.len() && digits >= DIGITS
        || hex && digits > 0 && label.len() >= HEX
        || digits > 0 && label.len() >= LONG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_left_out() {
        for (name, expect) in [
            ("example.com", "example.com"),
            ("www.example.com", "www.example.com"),
            (".", "."),
            ("db-1.prod.svc.cluster.local", "*.prod.svc.cluster.local"),
            ("4.3.2.1.in-addr.arpa", "{ip}.in-addr.arpa"),
            ("b.a.9.8.ip6.arpa", "{ip}.ip6.arpa"),
            ("in-addr.arpa", "in-addr.arpa"),
            ("plain-addr.arpa", "plain-addr.arpa"),
            ("12345.example.com", "{id}.example.com"),
            ("web2.example.com", "web2.example.com"),
            ("443.example.com", "443.example.com"),
            ("deadbeef01.example.com", "{id}.example.com"),
            ("facade.example.com", "facade.example.com"),
            ("6fa459ea-ee8a-3ca4-894e-db77e160355e.example.com", "{id}.example.com"),
            ("session0a8f7b6c5d4e3f2g1h0zzzz.example.com", "{id}.example.com"),
        ] {
            assert_eq!(template(name), expect);
        }
    }
}
