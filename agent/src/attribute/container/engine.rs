//! What container engines wrote down about a container: files below the host's root, no socket, no API.

use crate::host::Host;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file of an engine that is read, bytes.
const FILE_MAX: u64 = 4 << 20;

/// Name and image of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `container.name`.
    pub name: Option<String>,
    /// `container.image.name`, with its tag when the engine wrote it so.
    pub image: Option<String>,
}

/// Looks a container up by its id: Docker's `config.v2.json`, then the list of containers that podman and CRI-O share.
/// A runtime that the path told keeps the search to its own files.
pub fn look(host: &Host, id: &str, runtime: Option<&str>) -> Named {
    if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Named::default();
    }
    if matches!(runtime, None | Some("docker"))
        && let Some(named) = docker(host, id)
    {
        return named;
    }
    if matches!(runtime, None | Some("podman"))
        && let Some(named) = podman(host, id)
    {
        return named;
    }
    Named::default()
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Config")]
    config: Option<DockerImage>,
}

#[derive(Deserialize)]
struct DockerImage {
    #[serde(rename = "Image")]
    image: Option<String>,
}

fn docker(host: &Host, id: &str) -> Option<Named> {
    let path = host
        .root
        .join("var/lib/docker/containers")
        .join(id)
        .join("config.v2.json");
    let config: DockerConfig = json(&path)?;
    Some(Named {
        name: config
            .name
            .map(|name| name.trim_start_matches('/').to_owned())
            .filter(|name| !name.is_empty()),
        image: config.config.and_then(|config| config.image),
    })
}

#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

fn podman(host: &Host, id: &str) -> Option<Named> {
    let path = host
        .root
        .join("var/lib/containers/storage/overlay-containers/containers.json");
    let all: Vec<Stored> = json(&path)?;
    let one = all.into_iter().find(|stored| stored.id == id)?;
    Some(Named {
        name: one.names.into_iter().next(),
        image: None,
    })
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(FILE_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
