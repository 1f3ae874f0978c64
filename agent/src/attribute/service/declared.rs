//! What a process declares of itself: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` of its environment
//! (OpenTelemetry specification, "Environment Variable Specification" and "Resource SDK"). No other variable is looked at.

use super::text;

/// Attributes of `OTEL_RESOURCE_ATTRIBUTES` that are taken; the rest is dropped.
pub const ATTRIBUTES_MAX: usize = 32;

/// What a process declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// `service.name`.
    pub name: Option<String>,
    /// `service.namespace`.
    pub namespace: Option<String>,
    /// Every other attribute, in the order given, names unique.
    pub attributes: Vec<(String, String)>,
}

impl Declared {
    /// Reads `/proc/PID/environ`: `NAME=value` separated by NUL. `None` when nothing is declared.
    pub fn parse(environ: &[u8]) -> Option<Declared> {
        let mut declared = Declared::default();
        let mut name = None;
        for variable in environ.split(|b| *b == 0) {
            if let Some(value) = variable.strip_prefix(b"OTEL_SERVICE_NAME=") {
                name = name.or(text::clean(value));
            } else if let Some(value) = variable.strip_prefix(b"OTEL_RESOURCE_ATTRIBUTES=")
                && declared == Declared::default()
            {
                declared = Declared::attributes(value).unwrap_or_default();
            }
        }
        declared.name = name.or(declared.name);
        (declared != Declared::default()).then_some(declared)
    }

    /// `key=value` pairs separated by commas, values percent-encoded. One fault and, as the specification asks, all of it
    /// counts as not given.
    fn attributes(list: &[u8]) -> Option<Declared> {
        let mut declared = Declared::default();
        for pair in list.split(|b| *b == b',') {
            if pair.trim_ascii().is_empty() {
                continue;
            }
            let split = pair.iter().position(|b| *b == b'=')?;
            let key = text::clean(&decode(pair[..split].trim_ascii())?)?;
            let Some(value) = text::clean(&decode(pair[split + 1..].trim_ascii())?) else {
                continue;
            };
            match key.as_str() {
                "service.name" => declared.name = Some(value),
                "service.namespace" => declared.namespace = Some(value),
                _ if declared.attributes.iter().any(|(known, _)| *known == key) => {}
                _ if declared.attributes.len() < ATTRIBUTES_MAX => declared.attributes.push((key, value)),
                _ => {}
            }
        }
        Some(declared)
    }
}

/// Strict percent-decoding: the usual crates let a broken escape pass, the specification does not.
fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            out.push(byte);
            rest = after;
            continue;
        }
        let hex = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))?;
        out.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = &after[2..];
    }
    std::str::from_utf8(&out).is_ok().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(environ: &str, name: Option<&str>, namespace: Option<&str>, attributes: &[(&str, &str)]) {
        let declared = Declared::parse(environ.as_bytes()).unwrap_or_default();
        let found: Vec<_> = declared
            .attributes
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            (declared.name.as_deref(), declared.namespace.as_deref(), &found[..]),
            (name, namespace, attributes),
            "{environ:?}"
        );
    }

    #[test]
    fn environments() {
        check("", None, None, &[]);
        check("PATH=/bin\0HOME=/root\0", None, None, &[]);
        check("OTEL_SERVICE_NAME=shop\0", Some("shop"), None, &[]);
        check("A=b\0OTEL_SERVICE_NAME=shop", Some("shop"), None, &[]);
        check("OTEL_SERVICE_NAME=\0", None, None, &[]);
        check("OTEL_SERVICE_NAME=  \0", None, None, &[]);
        check("XOTEL_SERVICE_NAME=no\0", None, None, &[]);
        check("OTEL_SERVICE_NAME=a\nb\0", Some("a_b"), None, &[]);
        check("OTEL_RESOURCE_ATTRIBUTES=service.name=shop\0", Some("shop"), None, &[]);
        check(
            "OTEL_RESOURCE_ATTRIBUTES=service.name=low\0OTEL_SERVICE_NAME=high\0",
            Some("high"),
            None,
            &[],
        );
        check(
            "OTEL_RESOURCE_ATTRIBUTES=service.namespace=eu, deployment.environment.name=prod ,team=a%20b%2Cc\0",
            None,
            Some("eu"),
            &[("deployment.environment.name", "prod"), ("team", "a b,c")],
        );
        check("OTEL_RESOURCE_ATTRIBUTES=service.name=shop,broken\0", None, None, &[]);
        check("OTEL_RESOURCE_ATTRIBUTES=service.name=shop,a=%zz\0", None, None, &[]);
        check("OTEL_RESOURCE_ATTRIBUTES=service.name=shop,a=%f\0", None, None, &[]);
        check("OTEL_RESOURCE_ATTRIBUTES=a=1,a=2,,b=\0", None, None, &[("a", "1")]);
        check("OTEL_RESOURCE_ATTRIBUTES=a=x=y\0", None, None, &[("a", "x=y")]);
    }

    #[test]
    fn attributes_are_bounded() {
        let many: Vec<String> = (0..100).map(|i| format!("k{i}={}", "v".repeat(1000))).collect();
        let declared = Declared::parse(format!("OTEL_RESOURCE_ATTRIBUTES={}", many.join(",")).as_bytes());
        let declared = declared.expect("declared");
        assert_eq!(declared.attributes.len(), ATTRIBUTES_MAX);
        assert!(
            declared
                .attributes
                .iter()
                .all(|(_, value)| value.len() == text::NAME_MAX)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_environment_is_read(rest in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            Declared::parse(&[b"OTEL_RESOURCE_ATTRIBUTES=".as_slice(), &rest].concat());
            Declared::parse(&rest);
        }
    }
}
