//! Installing distribution packages with apt.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::privileges;
use crate::shell::{Run, find_program, say, target};

/// Whether packages can be installed here: apt exists, and we are root or may become it.
pub(crate) fn usable() -> Result<()> {
    if find_program("apt-get").is_none() {
        bail!("this system has no apt");
    }
    if !privileges::is_root() && find_program("sudo").is_none() {
        bail!("installing packages needs root or sudo");
    }
    Ok(())
}

/// Installs those of `packages` that are not installed. The package lists are fetched once a run, before the first
/// installation. Packages that conflict with installed ones are refused, not exchanged.
pub(crate) fn install(packages: &[impl AsRef<str>]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .map(AsRef::as_ref)
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    usable().with_context(|| format!("install the packages {} and try again", missing.join(" ")))?;
    update()?;
    say(format!("packages: installing {}", missing.join(" ")));
    let fixed = [
        "install",
        "-y",
        "-qq",
        "--no-remove",
        "--no-install-recommends",
        "-o",
        "Dpkg::Use-Pty=0",
    ];
    apt(&fixed.into_iter().chain(missing).collect::<Vec<_>>())
}

/// Fetches a package without installing it, and copies `file` of it into the folder `into`.
pub(crate) fn unpack(package: &str, file: &str, into: &Path) -> Result<()> {
    usable().with_context(|| format!("take {file} from the package {package} and try again"))?;
    update()?;
    say(format!("packages: unpacking {package}"));
    let folder = target().join("packages").join(package);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // As root apt would download as another user, who may not write here.
    Run::new("apt-get")
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root", package])
        .within(&folder)
        .run()?;
    let archive = fs::read_dir(&folder)?
        .next()
        .context("apt-get downloaded nothing")??
        .path();
    Run::new("dpkg-deb").arg("-x").arg(archive).arg(&folder).run()?;
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let name = Path::new(file).file_name().context("no file is named")?;
    fs::copy(folder.join(file), into.join(name)).with_context(|| format!("{package} holds no {file}"))?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Fetches the package lists, once a run.
fn update() -> Result<()> {
    static UPDATED: OnceLock<()> = OnceLock::new();
    if UPDATED.get().is_none() {
        say("package lists: fetched anew");
        apt(&["update", "-qq"])?;
        UPDATED.get_or_init(|| ());
    }
    Ok(())
}

/// Whether dpkg has the package configured.
pub(crate) fn is_installed(package: &str) -> bool {
    Path::new("/var/lib/dpkg").exists()
        && Run::new("dpkg-query")
            .args(["-W", "-f", "${db:Status-Status}", package])
            .read()
            .is_ok_and(|status| status.trim() == "installed")
}

fn apt(args: &[&str]) -> Result<()> {
    let run = if privileges::is_root() {
        Run::new("env")
    } else {
        Run::new("sudo").arg("env")
    };
    // A run level of 1 keeps invoke-rc.d from starting the daemons of new packages.
    run.args([
        "DEBIAN_FRONTEND=noninteractive",
        "RUNLEVEL=1",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=120",
    ])
    .args(args)
    .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_install_needs_no_apt() {
        assert!(install(&[] as &[&str]).is_ok());
    }

    #[test]
    fn an_unknown_package_is_not_installed() {
        assert!(!is_installed("no-such-package-here"));
    }
}
