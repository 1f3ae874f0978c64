//! The bill of materials, CycloneDX 1.5 in JSON: the crates whose code is in the program, and, as `excluded`, those that only built
//! it. Specification: <https://cyclonedx.org/docs/1.5/json/>.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::crates::{Crate, Crates, Role};
use super::date::rfc3339;
use super::{Artifact, Release, sums};

pub(super) const ARTIFACT: Artifact = Artifact {
    name: |release| format!("{}.cdx.json", release.stem()),
    make,
};

/// The crate that is the program.
const OWN: &str = "onlooker";

fn make(release: &Release, to: &Path) -> Result<()> {
    fs::write(to, text(release)?).with_context(|| format!("cannot write {}", to.display()))
}

/// The whole file.
pub(super) fn text(release: &Release) -> Result<String> {
    Ok(serde_json::to_string_pretty(&bill(release)?)? + "\n")
}

fn bill(release: &Release) -> Result<Value> {
    let own = release
        .crates
        .all
        .iter()
        .find(|krate| krate.name == OWN)
        .context("the program is no crate")?;
    let others = || release.crates.all.iter().filter(|krate| krate.name != OWN);
    let mut subject = component(own);
    subject["type"] = json!("application");
    let program = fs::read(&release.program).context("cannot read the program")?;
    subject["hashes"] = json!([{"alg": "SHA-256", "content": sums::sha256(&program)}]);
    let mut components: Vec<Value> = others().map(component).collect();
    components.extend(runtime(&release.crates));
    let mut dependencies: Vec<Value> = release.crates.all.iter().map(dependency).collect();
    // Everything linked stands on these.
    if let Some(asks) = dependencies.iter_mut().find(|one| one["ref"] == own.purl().as_str())
        && let Some(list) = asks["dependsOn"].as_array_mut()
    {
        list.extend(runtime(&release.crates).map(|one| one["bom-ref"].clone()));
    }
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(release.epoch),
            "tools": {"components": [{"type": "application", "name": "cargo xtask dist", "version": release.version}]},
            "component": subject,
            "properties": [
                {"name": "onlooker:target", "value": release.arch.target},
                {"name": "onlooker:commit", "value": release.commit},
            ],
        },
        "components": components,
        "dependencies": dependencies,
    });
    bill["serialNumber"] = json!(serial(&serde_json::to_vec(&bill)?));
    Ok(bill)
}

fn component(krate: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": krate.purl(),
        "name": krate.name,
        "version": krate.version,
        "purl": krate.purl(),
        "scope": match krate.role {
            Role::Linked => "required",
            Role::Build => "excluded",
        },
    });
    if let Some(licence) = &krate.licence {
        component["licenses"] = json!([{"expression": expression(licence)}]);
    }
    if let Some(description) = &krate.description {
        component["description"] = json!(description);
    }
    if !krate.authors.is_empty() {
        component["author"] = json!(krate.authors.join(", "));
    }
    if let Some(sum) = &krate.sha256 {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    if let Some(repository) = &krate.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// What is linked and is no crate, under the names by which advisories are looked for (CPE of the NVD).
fn runtime(crates: &Crates) -> [Value; 3] {
    let component = |name: &str, version: Option<&str>, licence: &str, cpe: Option<&str>| {
        let mut one = json!({"type": "library", "bom-ref": name, "name": name, "scope": "required",
            "licenses": [{"expression": licence}]});
        if let Some(version) = version {
            one["version"] = json!(version);
            one["purl"] = json!(format!("pkg:generic/{name}@{version}"));
            if let Some(cpe) = cpe {
                one["cpe"] = json!(format!("cpe:2.3:a:{cpe}:{version}:*:*:*:*:*:*:*"));
            }
        }
        one
    };
    let (rust, llvm, musl) = (&crates.rust, crates.llvm.as_deref(), crates.musl.as_deref());
    [
        component("rust-std", Some(rust), "MIT OR Apache-2.0", Some("rust-lang:rust")),
        component("libunwind", llvm, "Apache-2.0 WITH LLVM-exception", None),
        component("musl", musl, "MIT", Some("musl-libc:musl")),
    ]
}

fn dependency(krate: &Crate) -> Value {
    json!({"ref": krate.purl(), "dependsOn": krate.depends_on})
}

/// Older crates separate licences by a slash, which SPDX took for OR.
pub(super) fn expression(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// A UUID made of the content (RFC 9562, version 8), so that the same bill has the same.
fn serial(content: &[u8]) -> String {
    let mut bytes = ring::digest::digest(&ring::digest::SHA256, content).as_ref().to_vec();
    bytes.truncate(16);
    for (at, keep, set) in [(6, 0x0f, 0x80), (8, 0x3f, 0x80)] {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = *byte & keep | set;
        }
    }
    let digits = sums::hex(&bytes);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{release, twice};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_bill_names_what_is_linked_and_what_built_it_apart_twice_the_same() {
        let bill: Value = serde_json::from_slice(&twice(&ARTIFACT)).unwrap();
        assert_eq!(
            (&bill["bomFormat"], &bill["specVersion"]),
            (&json!("CycloneDX"), &json!("1.5"))
        );
        let scope = |name: &str| {
            let all = bill["components"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap()["scope"].clone()
        };
        assert_eq!(
            (scope("linked"), scope("maker"), scope("musl")),
            (json!("required"), json!("excluded"), json!("required"))
        );
        let musl = bill["components"].as_array().unwrap().last().unwrap();
        assert_eq!(musl["cpe"], "cpe:2.3:a:musl-libc:musl:1.2.5:*:*:*:*:*:*:*");
        assert_eq!(bill["metadata"]["component"]["name"], "onlooker");
        assert_eq!(bill["metadata"]["timestamp"], "2025-11-30T10:53:20Z");
    }

    #[test]
    fn references_are_unique_and_none_hangs() {
        let (_folder, release) = release();
        let bill = bill(&release).unwrap();
        let list = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .chain([&bill["metadata"]["component"]]);
        let refs: Vec<&str> = list.map(|one| one["bom-ref"].as_str().unwrap()).collect();
        let known: BTreeSet<&str> = refs.iter().copied().collect();
        assert_eq!(known.len(), refs.len(), "{refs:?}");
        let mut pointed = 0;
        for dependency in bill["dependencies"].as_array().unwrap() {
            assert!(known.contains(dependency["ref"].as_str().unwrap()), "{dependency}");
            for other in dependency["dependsOn"].as_array().unwrap() {
                assert!(known.contains(other.as_str().unwrap()), "{other}");
                pointed += 1;
            }
        }
        assert_eq!(pointed, 5, "two crates, the standard library, libunwind, musl");
    }

    #[test]
    fn serials_are_uuids_of_the_content() {
        let one = serial(b"a");
        assert_eq!(one, serial(b"a"));
        assert_ne!(one, serial(b"b"));
        let digits = one.strip_prefix("urn:uuid:").unwrap();
        assert_eq!(digits.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&digits[14..15], "8");
        assert!("89ab".contains(&digits[19..20]), "{digits}");
    }

    #[test]
    fn slashes_of_old_crates_mean_or() {
        assert_eq!(expression("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(
            expression("(MIT OR Apache-2.0) AND Unicode-3.0"),
            "(MIT OR Apache-2.0) AND Unicode-3.0"
        );
    }
}
