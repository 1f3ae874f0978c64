//! `cargo xtask build`: the kernel side into `target/ebpf/onlooker.bpf.o`, then the program that embeds it. The object of
//! no-op programs that `cargo xtask bench` compares with is built the same way, beside it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::{Run, find_program, root, say, target};
use crate::toolchain::{self, BPF_TARGET, Core, Toolchain};

/// Options of the build.
#[derive(clap::Args, Clone, Debug, Default)]
// `run` takes these beside its own: two groups of one name are refused.
#[group(id = "build")]
pub(crate) struct Options {
    /// Build the program without optimisation (the kernel side is always optimised)
    #[arg(long)]
    pub(crate) debug: bool,
}

/// Builds both sides; the path of the program.
pub(crate) fn run(options: &Options) -> Result<PathBuf> {
    with(&toolchain::find_or_install()?, options)
}

/// Builds both sides with a toolchain already found.
pub(crate) fn with(toolchain: &Toolchain, options: &Options) -> Result<PathBuf> {
    object(toolchain, "onlooker-ebpf", "onlooker.bpf.o")?;
    user_side(options)
}

/// Builds the object of programs that do nothing; its path.
pub(crate) fn no_ops(toolchain: &Toolchain) -> Result<PathBuf> {
    object(toolchain, "onlooker-noop", "noop.bpf.o")
}

/// Builds the agent's object for an architecture (`uname -m`) in a folder of its own; its path. What is there already is not
/// looked at, so that two folders tell whether two builds give the same.
pub(crate) fn object_in(toolchain: &Toolchain, arch: &str, folder: &Path) -> Result<PathBuf> {
    let program = "onlooker-ebpf";
    say(format!("kernel side: compiling {program} of agent-ebpf for {arch}"));
    let cargo = Run::foreign(&toolchain.compiler.cargo).args(["build", "--bin", program]);
    on_kernel_side_in(toolchain, cargo, arch, folder).run()?;
    Ok(without_dwarf(
        toolchain,
        folder.join(BPF_TARGET).join("bpf").join(program),
    ))
}

/// Builds one object of the kernel side, and replaces the one in `target/ebpf` only when it changed: the agent's is
/// embedded.
fn object(toolchain: &Toolchain, program: &str, name: &str) -> Result<PathBuf> {
    say(format!("kernel side: compiling {program} of agent-ebpf"));
    let bpf = root().join("target/ebpf-build");
    let cargo = Run::foreign(&toolchain.compiler.cargo).args(["build", "--bin", program]);
    on_kernel_side(toolchain, cargo).run()?;
    let built = bpf.join(BPF_TARGET).join("bpf").join(program);
    let object = target().join("ebpf").join(name);
    let changed = copy_if_changed(&without_dwarf(toolchain, built), &object)?;
    let size = fs::metadata(&object)?.len();
    let how = if changed { "new" } else { "unchanged" };
    say(format!("kernel side: target/ebpf/{name} is {how}, {size} bytes"));
    Ok(object)
}

/// A copy of the object without its DWARF, which nobody reads once BTF is made from it: two thirds of what would be
/// embedded. `.BTF` and `.BTF.ext` stay. Without an objcopy that knows BPF the object stays as it is.
fn without_dwarf(toolchain: &Toolchain, built: PathBuf) -> PathBuf {
    let llvm = toolchain.compiler.version.llvm;
    let beside = PathBuf::from(format!("/usr/lib/llvm-{llvm}/bin/llvm-objcopy"));
    let Some(objcopy) = Some(beside)
        .filter(|path| path.exists())
        .or_else(|| find_program(&format!("llvm-objcopy-{llvm}")))
        .or_else(|| find_program("llvm-objcopy"))
    else {
        say("kernel side: its debug information stays in, there is no llvm-objcopy here");
        return built;
    };
    let stripped = built.with_extension("stripped");
    match Run::new(objcopy).arg("--strip-debug").args([&built, &stripped]).read() {
        Ok(_) => stripped,
        Err(reason) => {
            say(format!("kernel side: its debug information stays in: {reason:#}"));
            built
        }
    }
}

/// Adds to a cargo command what compiling the kernel side takes.
pub(crate) fn on_kernel_side(toolchain: &Toolchain, cargo: Run) -> Run {
    on_kernel_side_in(toolchain, cargo, std::env::consts::ARCH, Path::new("target/ebpf-build"))
}

fn on_kernel_side_in(toolchain: &Toolchain, cargo: Run, arch: &str, folder: &Path) -> Run {
    let run = cargo
        .env("RUSTC_BOOTSTRAP", "1") // aya-ebpf uses asm_experimental_arch
        // Else what is compiled depends on what was there before, and verifiers walk something else than was tested.
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTC", &toolchain.compiler.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&toolchain.linker, arch))
        .args([
            "-p",
            "onlooker-ebpf",
            "--profile",
            "bpf",
            "--target",
            BPF_TARGET,
            "--target-dir",
        ])
        .arg(folder);
    match toolchain.compiler.core {
        Core::Prebuilt => run,
        Core::Source => run.args(["-Z", "build-std=core"]),
    }
}

fn user_side(options: &Options) -> Result<PathBuf> {
    say("user side: compiling onlooker");
    let mut cargo = Run::cargo().args(["build", "-p", "onlooker"]);
    if !options.debug {
        cargo = cargo.arg("--release");
    }
    cargo.run()?;
    let program = target().join(if options.debug {
        "debug/onlooker"
    } else {
        "release/onlooker"
    });
    say(format!("built {}", program.display()));
    Ok(program)
}

/// The flags as `CARGO_ENCODED_RUSTFLAGS` wants them, so that paths may hold spaces.
fn rust_flags(linker: &Path, arch: &str) -> OsString {
    let mut linker_flag = OsString::from("linker=");
    linker_flag.push(linker);
    let arch = format!("--cfg=bpf_target_arch=\"{arch}\"");
    let words = [
        "-C".into(),
        linker_flag,
        "-C".into(),
        "debuginfo=2".into(), // BTF is made from it
        "-C".into(),
        "link-arg=--btf".into(),
        arch.into(),
    ];
    let words: Vec<OsString> = words.into_iter().chain(without_paths()).collect();
    words.join(&OsString::from("\u{1f}"))
}

/// Flags by which no folder of the machine that builds is in what it builds: neither the workspace's nor that of the crates.
pub(crate) fn without_paths() -> [OsString; 2] {
    [(root(), "=."), (cargo_home(), "=/cargo")].map(|(folder, name)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push(name);
        flag
    })
}

/// Where cargo keeps the sources of crates.
pub(crate) fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// Whether `to` was written: not when it holds the same bytes, so that what embeds it is not built again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<bool> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_the_linker_the_types_and_the_architecture() {
        let flags = rust_flags(Path::new("/a b/bpf-linker"), "x86_64")
            .into_string()
            .unwrap();
        let words: Vec<&str> = flags.split('\u{1f}').collect();
        assert!(words.contains(&"linker=/a b/bpf-linker"), "{words:?}");
        assert!(words.contains(&"link-arg=--btf"), "{words:?}");
        assert!(words.contains(&"--cfg=bpf_target_arch=\"x86_64\""), "{words:?}");
    }

    #[test]
    fn an_unchanged_object_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("new/to"));
        fs::write(&from, "one").unwrap();
        assert!(copy_if_changed(&from, &to).unwrap());
        assert!(!copy_if_changed(&from, &to).unwrap());
        fs::write(&from, "two").unwrap();
        assert!(copy_if_changed(&from, &to).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"two");
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            copy_if_changed(&from, &to)
                .unwrap_err()
                .to_string()
                .starts_with("cannot read")
        );
    }
}
