//! `node_exporter_build_info`: what fills the variables of node_exporter's dashboards.

use crate::metric::{Encoder, Family, Kind, Source};
use std::env::consts::{ARCH, OS};

static BUILD: Family = Family::new(
    "node_exporter_build_info",
    "",
    "Constant 1. The labels are those of node_exporter; what they say is of onlooker, which answers in its place.",
    Kind::Gauge,
);

/// The labels that node_exporter has, with onlooker's version. What onlooker does not have is named so.
pub(super) struct BuildInfo;

impl Source for BuildInfo {
    fn collect(&self, out: &mut dyn Encoder) {
        out.family(&BUILD);
        let labels = [
            ("branch", "unknown"),
            ("goarch", goarch(ARCH)),
            ("goos", OS),
            ("goversion", "none"),
            ("revision", "unknown"),
            ("tags", "unknown"),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        out.number(&labels, 1.0);
    }
}

/// An architecture as Go names it.
fn goarch(arch: &'static str) -> &'static str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::prometheus::{Format, PrometheusEncoder};

    #[test]
    fn the_labels_of_node_exporter_with_what_is_true() {
        let mut text = Vec::new();
        let mut encoder = PrometheusEncoder::new(Format::Text, &mut text);
        BuildInfo.collect(&mut encoder);
        encoder.finish().unwrap();
        let text = String::from_utf8(text).unwrap();
        let expect = format!(
            "\nnode_exporter_build_info{{branch=\"unknown\",goarch=\"{}\",goos=\"linux\",goversion=\"none\",\
             revision=\"unknown\",tags=\"unknown\",version=\"{}\"}} 1\n",
            goarch(ARCH),
            env!("CARGO_PKG_VERSION")
        );
        assert!(text.ends_with(&expect), "{text}");
    }
}
