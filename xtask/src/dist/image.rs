//! The container image, `FROM scratch`, made without a daemon: an OCI image layout in a tar archive, as `ctr image import`,
//! `podman load` and `skopeo copy oci-archive:` read it, with the list by which `docker load` does.
//!
//! Specification: <https://github.com/opencontainers/image-spec/tree/v1.1.0>.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::archive::{Archive, gzip};
use super::date::rfc3339;
use super::files::{self, In};
use super::{Artifact, Release, sums};

pub(super) const ARTIFACT: Artifact = Artifact {
    name: |release| format!("{}.oci.tar", release.stem()),
    make,
};

/// The name under which engines list it until it is pushed somewhere.
const NAME: &str = "localhost/onlooker";

/// Root: Kubernetes gives capabilities to no other user, and the chart says the same. What it may do is for who starts it.
const USER: &str = "0:0";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn make(release: &Release, to: &Path) -> Result<()> {
    let bytes = layout(release)?.tar(release.epoch)?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

/// The layout: its marker, its index, and blobs by their sums.
fn layout(release: &Release) -> Result<Archive> {
    let tar = layer(release)?.tar(release.epoch)?;
    let mut blobs = Blobs::default();
    let layer = blobs.add(LAYER, gzip(&tar)?)?;
    let config = blobs.add(CONFIG, bytes(&configuration(release, &sums::sha256(&tar)))?)?;
    let docker = json!([{
        "Config": blob_path(&config),
        "RepoTags": [format!("{NAME}:{}", release.version)],
        "Layers": [blob_path(&layer)],
    }]);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
        "annotations": labels(release),
    });
    let mut manifest = blobs.add(MANIFEST, bytes(&manifest)?)?;
    manifest["platform"] = json!({"architecture": release.arch.name, "os": "linux"});
    manifest["annotations"] = json!({
        // The tag, for those who read the specification; the whole name, for containerd.
        "org.opencontainers.image.ref.name": release.version,
        "io.containerd.image.name": format!("{NAME}:{}", release.version),
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    let mut archive = blobs.archive;
    archive.file("oci-layout", 0o644, bytes(&json!({"imageLayoutVersion": "1.0.0"}))?)?;
    archive.file("index.json", 0o644, bytes(&index)?)?;
    // What Docker's own store looks for; others pass it by.
    archive.file("manifest.json", 0o644, bytes(&docker)?)?;
    Ok(archive)
}

/// Files of the image.
fn layer(release: &Release) -> Result<Archive> {
    let mut archive = Archive::default();
    for file in files::all()?.iter().filter(|file| file.is_in(&[In::All])) {
        archive.file(&file.to, file.mode, file.bytes(release)?)?;
    }
    // Where OpenSSL's users look first; without it no receiver of OTLP beyond the cluster's own could be trusted.
    archive.file("etc/ssl/certs/ca-certificates.crt", 0o644, roots().into_bytes())?;
    // Mount points, for read-only roots.
    archive.folder("etc/onlooker", 0o755)?;
    archive.folder("var/lib/onlooker", 0o700)?;
    Ok(archive)
}

/// Mozilla's list of authorities in PEM, of the version in `Cargo.lock`: the same on every machine that builds.
fn roots() -> String {
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        text += "-----BEGIN CERTIFICATE-----\n";
        let encoded = STANDARD.encode(certificate);
        for (at, c) in encoded.chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                text.push('\n');
            }
            text.push(c);
        }
        text += "\n-----END CERTIFICATE-----\n";
    }
    text
}

fn configuration(release: &Release, diff_id: &str) -> Value {
    let created = rfc3339(release.epoch);
    json!({
        "created": created,
        "architecture": release.arch.name,
        "os": "linux",
        "config": {
            "User": USER,
            "ExposedPorts": {"9100/tcp": {}},
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["/usr/bin/onlooker"],
            "WorkingDir": "/",
            "Labels": labels(release),
            "StopSignal": "SIGTERM",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
        "history": [{"created": created, "created_by": "cargo xtask dist"}],
    })
}

/// Annotations of the specification, on the manifest and as labels.
fn labels(release: &Release) -> Value {
    let mut labels = json!({
        "org.opencontainers.image.created": rfc3339(release.epoch),
        "org.opencontainers.image.title": "onlooker",
        "org.opencontainers.image.description": "Watches a Linux host from the kernel",
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.licenses": "Apache-2.0 AND (MIT OR GPL-2.0-only)",
        "org.opencontainers.image.url": REPOSITORY,
        "org.opencontainers.image.source": REPOSITORY,
        "org.opencontainers.image.documentation": format!("{REPOSITORY}/blob/main/docs/install.md"),
    });
    if !release.commit.is_empty() {
        labels["org.opencontainers.image.revision"] = json!(release.commit);
    }
    labels
}

const REPOSITORY: &str = "https://github.com/onlooker-rs/onlooker";

/// Blobs of the layout by their content.
#[derive(Default)]
struct Blobs {
    archive: Archive,
}

impl Blobs {
    /// Adds one; its descriptor.
    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Result<Value> {
        let sum = sums::sha256(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": format!("sha256:{sum}"), "size": bytes.len()});
        self.archive.file(&format!("blobs/sha256/{sum}"), 0o644, bytes)?;
        Ok(descriptor)
    }
}

/// Where the blob of a descriptor lies.
fn blob_path(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::twice;
    use super::*;
    use flate2::read::GzDecoder;
    use std::collections::BTreeMap;
    use std::io::Read;

    type Files = BTreeMap<String, (u32, Vec<u8>)>;

    fn files(tar: impl Read) -> Files {
        let mut archive = tar::Archive::new(tar);
        let read = |entry: Result<tar::Entry<'_, _>, std::io::Error>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            (path, (entry.header().mode().unwrap(), bytes))
        };
        archive.entries().unwrap().map(read).collect()
    }

    /// The blob a descriptor points at, with what the specification asks of both.
    fn follow(files: &Files, descriptor: &Value, media_type: &str) -> Vec<u8> {
        assert_eq!(descriptor["mediaType"], media_type);
        let digest = descriptor["digest"].as_str().unwrap();
        let sum = digest.strip_prefix("sha256:").unwrap();
        let (_, bytes) = &files[&format!("blobs/sha256/{sum}")];
        assert_eq!(sums::sha256(bytes), sum);
        assert_eq!(descriptor["size"], bytes.len());
        bytes.clone()
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn the_layout_keeps_the_rules_of_the_specification_twice_the_same() {
        let image = twice(&ARTIFACT);
        let files = files(image.as_slice());
        assert_eq!(value(&files["oci-layout"].1), json!({"imageLayoutVersion": "1.0.0"}));
        let index = value(&files["index.json"].1);
        assert_eq!(
            (&index["schemaVersion"], &index["mediaType"]),
            (&json!(2), &json!(INDEX))
        );
        let descriptor = &index["manifests"][0];
        assert_eq!(descriptor["platform"], json!({"architecture": "amd64", "os": "linux"}));
        assert_eq!(descriptor["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
        assert_eq!(
            descriptor["annotations"]["io.containerd.image.name"],
            "localhost/onlooker:1.2.3"
        );

        let manifest = value(&follow(&files, descriptor, MANIFEST));
        assert_eq!(
            (&manifest["schemaVersion"], &manifest["mediaType"]),
            (&json!(2), &json!(MANIFEST))
        );
        let config = value(&follow(&files, &manifest["config"], CONFIG));
        let packed = follow(&files, &manifest["layers"][0], LAYER);
        let mut tar = Vec::new();
        GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).unwrap();
        assert_eq!(config["rootfs"]["type"], "layers");
        assert_eq!(
            config["rootfs"]["diff_ids"],
            json!([format!("sha256:{}", sums::sha256(&tar))])
        );
        assert_eq!(
            (&config["architecture"], &config["os"]),
            (&json!("amd64"), &json!("linux"))
        );
        assert_eq!(config["created"], "2025-11-30T10:53:20Z");
        let docker = &value(&files["manifest.json"].1)[0];
        assert_eq!(docker["RepoTags"], json!(["localhost/onlooker:1.2.3"]));
        assert_eq!(value(&files[docker["Config"].as_str().unwrap()].1), config);
        assert_eq!(files[docker["Layers"][0].as_str().unwrap()].1, packed);
        // Nothing lies there that nothing points at: marker, index, Docker's list, three blobs, two folders.
        assert_eq!(files.len(), 8, "{:?}", files.keys());
    }

    #[test]
    fn annotations_are_those_of_the_specification_and_texts() {
        const KNOWN: [&str; 14] = [
            "created",
            "authors",
            "url",
            "documentation",
            "source",
            "version",
            "revision",
            "vendor",
            "licenses",
            "ref.name",
            "title",
            "description",
            "base.digest",
            "base.name",
        ];
        let (_folder, mut release) = super::super::tests::release();
        let labels = labels(&release);
        for (name, value) in labels.as_object().unwrap() {
            let name = name.strip_prefix("org.opencontainers.image.").unwrap();
            assert!(KNOWN.contains(&name) && value.is_string(), "{name}: {value}");
        }
        assert_eq!(labels["org.opencontainers.image.revision"], release.commit);
        release.commit.clear();
        assert!(
            super::labels(&release)
                .get("org.opencontainers.image.revision")
                .is_none()
        );
    }

    #[test]
    fn the_image_starts_the_program_as_the_chart_expects() {
        let (_folder, release) = super::super::tests::release();
        let tar = layer(&release).unwrap().tar(release.epoch).unwrap();
        let files = files(tar.as_slice());
        let config = &configuration(&release, "00")["config"];
        let entry = config["Entrypoint"][0].as_str().unwrap().trim_start_matches('/');
        assert_eq!(files[entry], (0o755, b"\x7fELF and more".to_vec()));
        assert_eq!(files["var/lib/onlooker/"].0, 0o700);
        let chart =
            fs::read_to_string(crate::shell::root().join("deploy/helm/onlooker/templates/daemonset.yaml")).unwrap();
        assert!(
            chart.contains("runAsUser: 0\n") && config["User"] == "0:0",
            "{}",
            config["User"]
        );
        // The chart gives arguments alone.
        assert!(!chart.contains("command:") && chart.contains("args:"));
        assert!(
            !files
                .keys()
                .any(|path| path.contains("systemd") || path.ends_with(".env")),
            "{:?}",
            files.keys()
        );
    }

    #[test]
    fn authorities_are_certificates_in_pem() {
        let text = roots();
        let parts: Vec<&str> = text.split("-----BEGIN CERTIFICATE-----\n").skip(1).collect();
        assert_eq!(parts.len(), webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(parts.len() > 50);
        for (part, certificate) in parts.iter().zip(webpki_root_certs::TLS_SERVER_ROOT_CERTS) {
            let lines = part.strip_suffix("\n-----END CERTIFICATE-----\n").unwrap();
            assert!(lines.lines().all(|line| !line.is_empty() && line.len() <= 64));
            assert_eq!(STANDARD.decode(lines.replace('\n', "")).unwrap(), certificate.as_ref());
        }
    }
}
