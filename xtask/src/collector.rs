//! OpenTelemetry Collectors, made of the modules that are wanted by the Collector's own builder
//! (<https://opentelemetry.io/docs/collector/custom-collector/>). They come as Go modules do, with checksums that Go looks up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::shell::{Run, say};

/// The release that all modules are of, and that of those that are stable.
const VERSION: &str = "v0.148.0";
const STABLE: &str = "v1.54.0";

/// Where the Collector's own modules are, and those of its contributors.
const CORE: &str = "go.opentelemetry.io/collector";
const CONTRIB: &str = "github.com/open-telemetry/opentelemetry-collector-contrib";

/// One Collector.
pub(crate) struct Distribution {
    /// Parts of it: receivers, exporters and so on, each with where it is and its name there.
    parts: &'static [(&'static str, &'static str, &'static str)],
}

/// Writes what it is sent to a file.
pub(crate) const JUDGE: Distribution = Distribution {
    parts: &[
        ("receivers", CORE, "receiver/otlpreceiver"),
        ("exporters", CONTRIB, "exporter/fileexporter"),
        ("providers", CORE, "confmap/provider/envprovider"), // without it no Collector starts
        ("providers", CORE, "confmap/provider/fileprovider"),
    ],
};

/// Knows what is configured in `deploy/collector`, but for what nobody has as a module that Go's checksums tell of.
pub(crate) const BACKENDS: Distribution = Distribution {
    parts: &[
        ("receivers", CORE, "receiver/otlpreceiver"),
        ("receivers", CONTRIB, "receiver/prometheusreceiver"),
        ("exporters", CORE, "exporter/otlpexporter"),
        ("exporters", CORE, "exporter/otlphttpexporter"),
        ("exporters", CONTRIB, "exporter/prometheusremotewriteexporter"),
        ("exporters", CONTRIB, "exporter/zipkinexporter"),
        ("processors", CORE, "processor/batchprocessor"),
        ("processors", CORE, "processor/memorylimiterprocessor"),
        ("providers", CORE, "confmap/provider/envprovider"),
        ("providers", CORE, "confmap/provider/fileprovider"),
    ],
};

impl Distribution {
    /// Builds it as `tools/bin/NAME`; sources are made beside it.
    pub(crate) fn build(&self, go: &Path, name: &str, tools: &Path) -> Result<()> {
        let sources = tools.join("src").join(name);
        fs::create_dir_all(&sources).with_context(|| format!("cannot make {}", sources.display()))?;
        let manifest = tools.join("src").join(format!("{name}.yaml"));
        fs::write(&manifest, self.manifest(name, &sources))
            .with_context(|| format!("cannot write {}", manifest.display()))?;
        say(format!(
            "{name}: building a Collector {VERSION} (a minute or some, once)"
        ));
        let builder = format!("{CORE}/cmd/builder@{VERSION}");
        // By itself it would also fetch the modules that are needed by tests of modules alone.
        Run::new(go)
            .args(["run", &builder, "--skip-compilation", "--skip-get-modules", "--config"])
            .arg(manifest)
            .run()?;
        Run::new(go)
            .args(["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o"])
            .arg(tools.join("bin").join(name))
            .arg(".")
            .env("CGO_ENABLED", "0")
            .within(&sources)
            .run()
    }

    /// What the builder reads.
    fn manifest(&self, name: &str, sources: &Path) -> String {
        let mut text = format!(
            "dist:\n  name: {name}\n  output_path: {}\n  version: {}\n",
            sources.display(),
            &VERSION[1..]
        );
        let mut last = "";
        for (kind, place, module) in self.parts {
            if *kind != last {
                let _ = writeln!(text, "{kind}:"); // a text takes everything
                last = kind;
            }
            let version = if *kind == "providers" { STABLE } else { VERSION };
            let _ = writeln!(text, "  - gomod: {place}/{module} {version}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_manifest_names_each_part_under_its_kind_once() {
        let text = JUDGE.manifest("otelcol", Path::new("/there"));
        let expect = "dist:\n  name: otelcol\n  output_path: /there\n  version: 0.148.0\n\
            receivers:\n  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.148.0\n\
            exporters:\n  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter v0.148.0\n\
            providers:\n  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.54.0\n\
            \x20 - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v1.54.0\n";
        assert_eq!(text, expect);
        for distribution in [JUDGE, BACKENDS] {
            let kinds: Vec<&str> = distribution.parts.iter().map(|(kind, ..)| *kind).collect();
            let changes = 1 + kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(
                changes,
                kinds.iter().collect::<HashSet<_>>().len(),
                "kinds are together"
            );
        }
    }
}
