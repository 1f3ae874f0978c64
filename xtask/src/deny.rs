//! Licences, sources and duplicates of all dependencies, by cargo-deny and `deny.toml`.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell::{Run, find_program, say, tools};
use crate::stage::Ran;

/// Checks with the cargo-deny that is there; `may_install` builds one (some minutes) into `target/tools` otherwise.
pub(crate) fn run(may_install: bool) -> Result<Ran> {
    let Some(deny) = find_or_install(may_install)? else {
        return Ok(Ran::Skipped(
            "cargo-deny is not here (`cargo install cargo-deny --locked`)".to_owned(),
        ));
    };
    let deny = || Run::cargo_tool(&deny);
    deny()
        .args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"])
        .run()?;
    // The database of advisories is a repository elsewhere: a network that does not reach it is no defect of ours.
    match deny().args(["fetch", "db"]).read() {
        Ok(_) => deny().args(["check", "--disable-fetch", "advisories"]).run()?,
        Err(reason) => say(format!(
            "advisories are not checked, their database is out of reach: {reason:#}"
        )),
    }
    Ok(Ran::Done)
}

fn find_or_install(may_install: bool) -> Result<Option<PathBuf>> {
    let own = tools().join("bin/cargo-deny");
    if own.exists() {
        return Ok(Some(own));
    }
    if let Some(there) = find_program("cargo-deny") {
        return Ok(Some(there));
    }
    if !may_install {
        return Ok(None);
    }
    say("building cargo-deny (some minutes, once)");
    // Reading the lock file takes no time: what is saved is compiling.
    Run::cargo_install("cargo-deny", "^0.20").arg("--debug").run()?;
    Ok(Some(own))
}
