//! Which distribution the host runs: `etc/os-release`, else `usr/lib/os-release` (os-release(5)).

use super::flags::Setup;
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "os",
    about: "which distribution the host runs",
    make: |setup| Ok(Box::new(Os::new(setup))),
    ..Collector::BASE
};

static INFO: Family = Family::new(
    "node_os_info",
    "",
    "Which distribution the host runs, in labels.",
    Kind::Gauge,
);
static VERSION: Family = Family::new(
    "node_os_version",
    "",
    "Version of the distribution: at most the first two of its numbers.",
    Kind::Gauge,
);
static SUPPORT_END: Family = Family::new(
    "node_os_support_end_timestamp_seconds",
    "seconds",
    "Unix time when support of the distribution ends.",
    Kind::Gauge,
);

/// Labels of [`INFO`], and what they are in the file.
const LABELS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

struct Os {
    paths: [PathBuf; 2],
}

impl Os {
    fn new(setup: &Setup<'_>) -> Os {
        Os {
            paths: ["etc/os-release", "usr/lib/os-release"].map(|path| setup.host.root.join(path)),
        }
    }
}

impl Collect for Os {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        for path in &self.paths {
            match files::text(path) {
                Err(CollectError::NoData(_)) => {}
                text => return tell(path, &text?, out),
            }
        }
        Err(CollectError::NoData("no os-release".to_owned()))
    }
}

fn tell(path: &Path, text: &str, out: &mut dyn Encoder) -> Result<(), CollectError> {
    let release = parse(text).map_err(|what| CollectError::malformed(path, what))?;
    let get = |key: &str| {
        // The last one holds.
        let found = release.iter().rfind(|(name, _)| *name == key);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    out.family(&INFO);
    out.number(&LABELS.map(|(label, key)| (label, get(key))), 1.0);
    if let Some(version) = version(get("VERSION_ID")) {
        out.family(&VERSION);
        out.number(
            &[("id", get("ID")), ("id_like", get("ID_LIKE")), ("name", get("NAME"))],
            version,
        );
    }
    let end = get("SUPPORT_END");
    if !end.is_empty() {
        let at = humantime::parse_rfc3339_weak(&format!("{end}T00:00:00Z"));
        let at = at.map_err(|error| CollectError::malformed(path, format!("SUPPORT_END={end:?}: {error}")))?;
        out.family(&SUPPORT_END);
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.number(&[], since.as_secs_f64());
    }
    Ok(())
}

/// `20.04` of `20.04.2`; `None` when it does not begin with a number, or is 0.
fn version(text: &str) -> Option<f64> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(text);
    if end == 0 {
        return None;
    }
    if let Some(rest) = text.get(end..).and_then(|rest| rest.strip_prefix('.')) {
        end += 1 + digits(rest);
    }
    text.get(..end)?.parse().ok().filter(|version| *version > 0.0)
}

/// Its assignments, in the words of a shell.
fn parse(text: &str) -> Result<Vec<(&str, String)>, String> {
    let mut all = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("line {}: {text:?} assigns nothing", line + 1))?;
        let value = unquoted(value).ok_or_else(|| format!("line {}: a quotation does not end", line + 1))?;
        all.push((key.trim(), value));
    }
    Ok(all)
}

/// A word without its quotes and escapes; `None` when a quotation does not end.
fn unquoted(word: &str) -> Option<String> {
    let mut plain = String::with_capacity(word.len());
    let mut quote = None;
    let mut chars = word.trim().chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => plain.push(chars.next()?),
            (None, '#') => break,
            _ => plain.push(c),
        }
    }
    match quote {
        Some(_) => None,
        None => Some(plain.trim_end().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn the_file_of_etc_comes_first() {
        let fixture = Fixture::new(&[(
            "root/usr/lib/os-release",
            "ID=arch\nNAME='Arch Linux'\nBUILD_ID=rolling\n",
        )]);
        let text = fixture.text(&COLLECTOR);
        let labels =
            "build_id=\"rolling\",id=\"arch\",id_like=\"\",image_id=\"\",image_version=\"\",name=\"Arch Linux\",";
        assert!(text.starts_with(&format!("node_os_info{{{labels}")), "{text}");
        assert_eq!(text.lines().count(), 1, "no version, no end");
        fixture.put(&[(
            "root/etc/os-release",
            "# ours\nID=fedora\nNAME=\"Fedora \\\"x\\\" Linux\"\nVERSION_ID=40\n\nSUPPORT_END=2025-05-13\n",
        )]);
        let text = fixture.text(&COLLECTOR);
        assert!(text.contains("name=\"Fedora \\\"x\\\" Linux\","), "{text}");
        assert!(text.ends_with(
            "node_os_version{id=\"fedora\",id_like=\"\",name=\"Fedora \\\"x\\\" Linux\"} 40\n\
            node_os_support_end_timestamp_seconds 1.7470944e+09\n"
        ));
    }

    #[test]
    fn versions() {
        assert_eq!(version("20.04.2"), Some(20.04));
        assert_eq!(version("12"), Some(12.0));
        assert_eq!(version("9."), Some(9.0));
        assert_eq!(version("0"), None);
        assert_eq!(version("rolling"), None);
    }

    #[test]
    fn garbage_is_told() {
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
        let error = |text| Fixture::new(&[("root/etc/os-release", text)]).error(&COLLECTOR);
        assert!(error("ID=a\nnothing\n").ends_with("os-release: line 2: \"nothing\" assigns nothing"));
        assert!(error("ID=\"a\n").ends_with("line 1: a quotation does not end"));
        assert!(error("SUPPORT_END=soon").contains("SUPPORT_END=\"soon\""));
    }
}
