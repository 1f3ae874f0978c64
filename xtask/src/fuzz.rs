//! `cargo xtask fuzz`, a stage of the tests too: runs every fuzz target for a short time, starting from the kept corpus.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::shell::{Run, find_program, root, say, target, tools};
use crate::stage::Ran;

/// Release of cargo-fuzz that is built when none is there.
const VERSION: &str = "^0.13";

/// Options of fuzzing.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Only this target of fuzz/fuzz_targets
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 6)]
    seconds: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: None,
            seconds: 6,
        }
    }
}

/// Runs the targets in `fuzz/fuzz_targets` one after the other; what they find new goes to `target/fuzz-corpus`, and what
/// broke one to `fuzz/artifacts`.
pub(crate) fn run(options: &Options) -> Result<Ran> {
    let mut targets = targets(&root().join("fuzz/fuzz_targets")).context("cannot list fuzz/fuzz_targets")?;
    if let Some(only) = &options.target {
        targets.retain(|name| name == only);
        if targets.is_empty() {
            bail!("there is no fuzz target {only} in fuzz/fuzz_targets");
        }
    }
    if targets.is_empty() {
        return Ok(Ran::Skipped("there is no target in fuzz/fuzz_targets".to_owned()));
    }
    set_up()?;
    say("fuzz targets: building (some minutes the first time)");
    cargo_fuzz("build", None).run()?;
    for name in targets {
        let found = target().join("fuzz-corpus").join(&name);
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        let kept = root().join("fuzz/corpus").join(&name);
        say(format!("fuzz target {name}: {} s", options.seconds));
        cargo_fuzz("run", Some(&name))
            .arg(&found)
            .args(kept.exists().then_some(kept))
            .args([
                "--",
                &format!("-max_total_time={}", options.seconds),
                "-rss_limit_mb=2048",
                "-timeout=5",
                "-print_final_stats=1",
                "-verbosity=0",
            ])
            .run()
            .with_context(|| format!("fuzz target {name}: the input that broke it is below fuzz/artifacts/{name}"))?;
    }
    Ok(Ran::Done)
}

/// cargo-fuzz without a sanitizer needs no unstable option: any stable compiler does. What is fuzzed is safe Rust but for
/// one checked read of a record; what a sanitizer would find there, its assertions of lengths find too.
fn cargo_fuzz(command: &str, name: Option<&str>) -> Run {
    Run::cargo()
        .path_first(&[tools().join("bin")])
        .args([
            "fuzz",
            command,
            "--sanitizer",
            "none",
            "--codegen-units",
            "16",
            "--target-dir",
        ])
        .arg(target().join("fuzz"))
        .args(name)
}

/// cargo-fuzz itself, and the C++ compiler that libFuzzer is built with.
fn set_up() -> Result<()> {
    if find_program("c++").is_none() {
        apt::install(&["g++"]).context("libFuzzer is written in C++")?;
    }
    let own: PathBuf = tools().join("bin/cargo-fuzz");
    if own.exists() || find_program("cargo-fuzz").is_some() {
        return Ok(());
    }
    say("building cargo-fuzz (a minute, once)");
    // It only starts others: what is saved is compiling.
    Run::cargo_install("cargo-fuzz", VERSION).arg("--debug").run()
}

fn targets(folder: &Path) -> io::Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_file_is_a_target() {
        let folder = std::env::temp_dir().join(format!("xtask-fuzz-{}", std::process::id()));
        assert!(targets(&folder).unwrap().is_empty());
        fs::create_dir_all(&folder).unwrap();
        for name in ["b.rs", "a.rs", "notes.md"] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(targets(&folder).unwrap(), ["a", "b"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn each_target_is_declared_and_has_a_corpus() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        for name in targets(&root().join("fuzz/fuzz_targets")).unwrap() {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
                "{name}"
            );
            let kept = fs::read_dir(root().join("fuzz/corpus").join(&name)).map(Iterator::count);
            assert!(kept.is_ok_and(|kept| kept > 0), "{name} has nothing to start from");
        }
    }
}
