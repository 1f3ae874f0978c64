//! Which crates are in the program, and which only built it: asked of cargo, which resolves features as for the build itself.
//!
//! `cargo tree` knows what is compiled for a target, `cargo metadata` what a crate says of itself, `Cargo.lock` its sum.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::{Run, root};
use crate::toolchain::BPF_TARGET;

/// What a crate does for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Its code is in the program, or in the kernel side that the program carries.
    Linked,
    /// It ran while the program was built: macros, build scripts and what they need.
    Build,
}

/// One crate.
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) role: Role,
    /// SPDX's expression, as the crate wrote it.
    pub(super) licence: Option<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<String>,
    pub(super) authors: Vec<String>,
    /// Of the archive at the registry; the workspace's own have none.
    pub(super) sha256: Option<String>,
    /// Where its sources are.
    pub(super) folder: PathBuf,
    /// [`Crate::purl`] of what it asks for, sorted; may name crates of other targets.
    pub(super) depends_on: Vec<String>,
}

impl Crate {
    /// Its package URL (<https://github.com/package-url/purl-spec>).
    pub(super) fn purl(&self) -> String {
        purl(&self.name, &self.version)
    }
}

/// All crates of a program, sorted by name and version.
pub(super) struct Crates {
    pub(super) all: Vec<Crate>,
    /// Version of the Rust whose standard library is linked.
    pub(super) rust: String,
    /// Version of the LLVM whose libunwind Rust brings.
    pub(super) llvm: Option<String>,
    /// Version of the musl that Rust brings, where it can be told.
    pub(super) musl: Option<String>,
}

type Names = BTreeSet<(String, String)>;

/// The crates of the program for a target.
pub(super) fn read(target: &str) -> Result<Crates> {
    let linked_of = |package, target| tree(package, "normal,no-proc-macro", target);
    let mut linked = linked_of("onlooker", target)?;
    linked.extend(linked_of("onlooker-ebpf", BPF_TARGET)?);
    let mut all = tree("onlooker", "normal,build", target)?;
    all.extend(tree("onlooker-ebpf", "normal,build", BPF_TARGET)?);
    let metadata = Run::cargo()
        .args(["metadata", "--locked", "--format-version", "1"])
        .read()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let rust = Run::new("rustc").args(["-vV"]).read()?;
    let line = |name: &str| {
        let found = rust.lines().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim().to_owned())
    };
    let folder = Run::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .read()?;
    let libc = Path::new(folder.trim()).join("self-contained/libc.a");
    Ok(Crates {
        all: join(&all, &linked, &metadata, &sums(&lock))?,
        rust: line("release:").context("`rustc -vV` names no release")?,
        llvm: line("LLVM version:"),
        musl: fs::read(libc).ok().and_then(|bytes| version_in(&bytes)),
    })
}

/// The one text of three numbers, such as `1.2.5`, in a library: musl keeps its version so (`src/internal/version.c`). None where there
/// are several.
fn version_in(bytes: &[u8]) -> Option<String> {
    let texts = bytes.split(|byte| !(b' '..=b'~').contains(byte));
    let is_version = |text: &&[u8]| {
        let parts: Vec<&[u8]> = text.split(|&byte| byte == b'.').collect();
        parts.len() == 3
            && parts
                .iter()
                .all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    };
    let found: BTreeSet<&[u8]> = texts.filter(is_version).collect();
    let only = (found.len() == 1).then(|| found.first().copied())??;
    String::from_utf8(only.to_vec()).ok()
}

/// What cargo compiles for a package along those edges.
fn tree(package: &str, edges: &str, target: &str) -> Result<Names> {
    let text = Run::cargo()
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package, "--edges", edges, "--target", target])
        .read()?;
    let names = names(&text)?;
    if names.is_empty() {
        bail!("cargo tree tells of no crate of {package}");
    }
    Ok(names)
}

/// Names and versions in lines such as `ring v0.17.14 (proc-macro) (*)`.
fn names(text: &str) -> Result<Names> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, rest) = line
                .trim()
                .split_once(" v")
                .with_context(|| format!("cargo tree says {line:?}"))?;
            let version = rest.split(' ').next().unwrap_or(rest);
            Ok((name.to_owned(), version.to_owned()))
        })
        .collect()
}

/// SHA-256 of archives by name and version, from `Cargo.lock`.
fn sums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |part: &str, key: &str| {
        let start = format!("{key} = \"");
        let line = part.lines().find_map(|line| line.strip_prefix(start.as_str()))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|part| {
            Some((
                (field(part, "name")?, field(part, "version")?),
                field(part, "checksum")?,
            ))
        })
        .collect()
}

fn join(
    all: &Names,
    linked: &Names,
    metadata: &Value,
    sums: &BTreeMap<(String, String), String>,
) -> Result<Vec<Crate>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| {
        value
            .as_str()
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let key = |package: &Value| {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        (name, package["version"].as_str().unwrap_or_default().to_owned())
    };
    let packages: BTreeMap<(String, String), Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (key(&package), package))
        .collect();
    let by_id: BTreeMap<&str, &(String, String)> = packages
        .iter()
        .filter_map(|(key, package)| Some((package["id"].as_str()?, key)))
        .collect();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let asks: BTreeMap<&str, &Value> = nodes
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, &node["dependencies"])))
        .collect();
    all.iter()
        .map(|key| {
            let (name, version) = key;
            let package = packages
                .get(key)
                .with_context(|| format!("cargo metadata has no {name} {version}"))?;
            let manifest = package["manifest_path"].as_str().unwrap_or_default();
            let asked = package["id"]
                .as_str()
                .and_then(|id| asks.get(id))
                .map(|asked| list(asked));
            let mut depends_on: Vec<String> = asked
                .unwrap_or_default()
                .iter()
                .filter_map(|id| by_id.get(id.as_str()?))
                .filter(|other| all.contains(**other))
                .map(|(name, version)| purl(name, version))
                .collect();
            depends_on.sort();
            depends_on.dedup();
            Ok(Crate {
                name: name.clone(),
                version: version.clone(),
                role: if linked.contains(key) {
                    Role::Linked
                } else {
                    Role::Build
                },
                licence: text(&package["license"]),
                description: text(&package["description"]),
                repository: text(&package["repository"]),
                authors: list(&package["authors"]).iter().filter_map(text).collect(),
                sha256: sums.get(key).cloned(),
                folder: Path::new(manifest).parent().unwrap_or(Path::new("")).to_path_buf(),
                depends_on,
            })
        })
        .collect()
}

fn purl(name: &str, version: &str) -> String {
    // A version's build part has a plus sign, which purls encode.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_of_the_tree_are_names_and_versions() {
        let text = "onlooker v0.1.0 (/home/me/agent)\nring v0.17.14\nring v0.17.14 (*)\nserde_derive v1.0.2+b (proc-macro)\n\n";
        let names: Vec<(String, String)> = names(text).unwrap().into_iter().collect();
        let expect = [("onlooker", "0.1.0"), ("ring", "0.17.14"), ("serde_derive", "1.0.2+b")];
        assert_eq!(
            names,
            expect.map(|(name, version)| (name.to_owned(), version.to_owned()))
        );
        assert!(super::names("warning").is_err());
    }

    #[test]
    fn the_program_has_what_it_runs_with_and_nothing_of_tests() {
        let crates = read("x86_64-unknown-linux-musl").unwrap();
        let role = |name: &str| {
            let found = crates.all.iter().find(|krate| krate.name == name);
            found.map(|krate| krate.role)
        };
        for linked in [
            "onlooker",
            "ring",
            "tokio",
            "rustls-webpki",
            "onlooker-ebpf",
            "aya-ebpf",
        ] {
            assert_eq!(role(linked), Some(Role::Linked), "{linked}");
        }
        for built in ["clap_derive", "syn", "cc"] {
            assert_eq!(role(built), Some(Role::Build), "{built}");
        }
        for stranger in ["proptest", "insta", "xtask", "rcgen"] {
            assert_eq!(role(stranger), None, "{stranger}");
        }
        let alien = |krate: &&Crate| krate.sha256.is_none() && !krate.name.starts_with("onlooker");
        assert!(
            !crates.all.iter().any(|krate| alien(&krate)),
            "a crate of the registry without its sum"
        );
        assert!(crates.rust.starts_with("1."), "{}", crates.rust);
        assert!(crates.llvm.is_some());
    }

    #[test]
    fn a_version_is_told_where_there_is_but_one() {
        assert_eq!(
            version_in(b"\x7fELF\0 1.2.3 \0\x011.2.5\0GCC: 1.2\0").as_deref(),
            Some("1.2.5")
        );
        assert_eq!(version_in(b"\x001.2.5\0\x001.2.5\0").as_deref(), Some("1.2.5"));
        for none in [&b"\x001.2.5\0\x001.2.6\0"[..], b"1.2", b"1..5", b"a1.2.5", b""] {
            assert_eq!(version_in(none), None);
        }
    }

    #[test]
    fn crates_are_joined_from_all_three() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"aa\"\ndependencies = [\n \"b\",\n]\n\n\
            [[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let sums = sums(lock);
        assert_eq!(sums.len(), 1);
        let package = |name: &str, version: &str| {
            json!({"name": name, "version": version, "id": format!("id-{name}"), "license": "MIT", "description": "two\n  lines",
                "authors": ["A"], "repository": null, "manifest_path": format!("/sources/{name}/Cargo.toml")})
        };
        let metadata = json!({
            "packages": [package("a", "1.0.0"), package("b", "2.0.0"), package("c", "3.0.0")],
            "resolve": {"nodes": [{"id": "id-a", "dependencies": ["id-c", "id-b"]}, {"id": "id-b", "dependencies": []}]},
        });
        let name = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let all = Names::from([name("a", "1.0.0"), name("b", "2.0.0")]);
        let linked = Names::from([name("a", "1.0.0")]);
        let crates = join(&all, &linked, &metadata, &sums).unwrap();
        assert_eq!((crates[0].role, crates[1].role), (Role::Linked, Role::Build));
        assert_eq!(crates[0].depends_on, ["pkg:cargo/b@2.0.0"], "c is not compiled");
        assert_eq!(crates[0].sha256.as_deref(), Some("aa"));
        assert_eq!(crates[0].description.as_deref(), Some("two lines"));
        assert_eq!(crates[0].folder, Path::new("/sources/a"));
        let unknown = Names::from([name("d", "1.0.0")]);
        assert!(join(&unknown, &linked, &metadata, &sums).is_err());
    }

    #[test]
    fn versions_are_encoded_in_package_urls() {
        assert_eq!(
            purl("zstd-sys", "2.0.16+zstd.1.5.7"),
            "pkg:cargo/zstd-sys@2.0.16%2Bzstd.1.5.7"
        );
    }
}
