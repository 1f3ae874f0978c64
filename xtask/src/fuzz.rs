//! Runs every fuzz target for a short time, starting from the kept corpus.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};

use crate::shell::{Run, find_program, root, say, target, tools};
use crate::stage::Ran;

/// Seconds a target.
const SECONDS: u32 = 20;

/// Runs the targets in `fuzz/fuzz_targets` one after the other; what they find new goes to `target/fuzz-corpus`.
pub(crate) fn run() -> Result<Ran> {
    let targets = targets(&root().join("fuzz/fuzz_targets")).context("cannot list fuzz/fuzz_targets")?;
    if targets.is_empty() {
        return Ok(Ran::Skipped("there is no target in fuzz/fuzz_targets".to_owned()));
    }
    if !tools().join("bin/cargo-fuzz").exists() && find_program("cargo-fuzz").is_none() {
        say("building cargo-fuzz (a minute, once)");
        Run::cargo_install("cargo-fuzz", "^0.13").run()?;
    }
    for name in targets {
        let found = target().join("fuzz-corpus").join(&name);
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        let kept = root().join("fuzz/corpus").join(&name);
        say(format!("fuzz target {name}: {SECONDS} s"));
        // The sanitizer is an unstable option; the stable compiler has its runtime all the same.
        Run::cargo()
            .env("RUSTC_BOOTSTRAP", "1")
            .path_first(&[tools().join("bin")])
            .args(["fuzz", "run", "--target-dir"])
            .arg(target().join("fuzz"))
            .arg(&name)
            .arg(&found)
            .args(kept.exists().then_some(kept))
            .args([
                "--",
                &format!("-max_total_time={SECONDS}"),
                "-rss_limit_mb=2048",
                "-print_final_stats=1",
            ])
            .run()
            .with_context(|| format!("fuzz target {name}: the input that broke it is below fuzz/artifacts/{name}"))?;
    }
    Ok(Ran::Done)
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
}
