//! Running other programs: each call is printed before it runs, and its failure is one sentence.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The workspace's own `target/`, whatever `CARGO_TARGET_DIR` says: the agent's build script reads the kernel side
/// from there.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Where programs that these commands install for themselves are put.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// Tells one step in one line.
pub(crate) fn say(line: impl AsRef<str>) {
    println!("xtask: {}", line.as_ref());
}

/// Words of a command that an error repeats: the whole of it was printed before.
const NAMED_WORDS: usize = 3;

/// A program to run, remembered as it is printed.
pub(crate) struct Run {
    command: Command,
    shown: String,
    /// Its first words: what errors call it.
    name: String,
    words: usize,
}

impl Run {
    /// A program found by path or on `PATH`, run in the workspace's root.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Run {
        let shown = quoted(program.as_ref());
        let mut command = Command::new(program);
        command.current_dir(root());
        Run {
            command,
            name: shown.clone(),
            shown,
            words: 1,
        }
    }

    /// The cargo that started this program, with its toolchain, building into the workspace's `target/`.
    pub(crate) fn cargo() -> Run {
        let mut run = Run::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        run.shown = "cargo".to_owned();
        run.name = run.shown.clone();
        run.in_workspace()
    }

    /// A program of another Rust toolchain: nothing of the running one may reach it.
    pub(crate) fn foreign(program: impl AsRef<OsStr>) -> Run {
        let mut run = Run::new(program);
        run.forget(|name| inherited_from_cargo(name) || names_a_toolchain(name));
        run
    }

    /// A cargo subcommand by its own path: it asks cargo, so the same variables count.
    pub(crate) fn cargo_tool(program: &Path) -> Run {
        Run::new(program).in_workspace()
    }

    /// `cargo install` of a crate's newest release in that range of versions into `target/tools`.
    pub(crate) fn cargo_install(name: &str, version: &str) -> Run {
        Run::cargo()
            .args(["install", name, "--quiet", "--locked", "--version", version, "--root"])
            .arg(tools())
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        let arg_shown = quoted(arg.as_ref());
        self.shown = format!("{} {arg_shown}", self.shown);
        self.words += 1;
        if self.words <= NAMED_WORDS {
            self.name = format!("{} {arg_shown}", self.name);
        }
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(self, args: I) -> Run {
        args.into_iter().fold(self, Run::arg)
    }

    /// Sets a variable and shows it.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        // The separator of CARGO_ENCODED_RUSTFLAGS is a control character.
        let value = value.as_ref();
        self.shown = format!("{name}={} {}", quoted(value).replace('\u{1f}', " "), self.shown);
        self.command.env(name, value);
        self
    }

    /// Puts folders before the others of `PATH`.
    pub(crate) fn path_first(mut self, folders: &[PathBuf]) -> Run {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let all = folders.iter().cloned().chain(std::env::split_paths(&old));
        if let Ok(joined) = std::env::join_paths(all) {
            self.command.env("PATH", joined);
        }
        self
    }

    /// Runs in another folder than the workspace's root.
    pub(crate) fn within(mut self, folder: &Path) -> Run {
        self.command.current_dir(folder);
        self
    }

    /// Prints the command and runs it on the terminal.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("  $ {}", self.shown);
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot start `{}`", self.name))?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.name);
        }
        Ok(())
    }

    /// Like [`Run::run`], with every line of standard output shown and handed to `line` too.
    pub(crate) fn run_reading(mut self, mut line: impl FnMut(&str)) -> Result<()> {
        println!("  $ {}", self.shown);
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.name))?;
        if let Some(out) = child.stdout.take() {
            for text in BufReader::new(out).split(b'\n') {
                let text = text?;
                let text = String::from_utf8_lossy(&text);
                println!("{text}");
                line(&text);
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.name);
        }
        Ok(())
    }

    /// Runs in silence; standard output on success, an error with the last line of standard error otherwise.
    pub(crate) fn read(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read_bytes()?).into_owned())
    }

    /// The same, where the output is no text.
    pub(crate) fn read_bytes(mut self) -> Result<Vec<u8>> {
        let output = self
            .command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `{}`", self.name))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let last = stderr.trim().lines().last().unwrap_or("without a message").to_owned();
            bail!("`{}` failed ({}): {last}", self.name, output.status);
        }
        Ok(output.stdout)
    }

    /// Replaces this process by the program; returns only when that fails.
    pub(crate) fn replace(mut self) -> anyhow::Error {
        use std::os::unix::process::CommandExt;
        println!("  $ {}", self.shown);
        let error = self.command.exec();
        anyhow::Error::new(error).context(format!("cannot start `{}`", self.name))
    }

    fn in_workspace(mut self) -> Run {
        self.forget(inherited_from_cargo);
        self.command.env("CARGO_TARGET_DIR", target());
        self
    }

    fn forget(&mut self, unwanted: impl Fn(&str) -> bool) {
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            if unwanted(name) {
                self.command.env_remove(name);
            } else if name == "LD_LIBRARY_PATH" {
                // rustup and `cargo run` put their own libraries here.
                let kept = std::env::split_paths(&value).filter(|path| !is_of_a_toolchain(path));
                match std::env::join_paths(kept) {
                    Ok(kept) if !kept.is_empty() => self.command.env(name, kept),
                    _ => self.command.env_remove(name),
                };
            }
        }
    }
}

/// Whether a program of that name is on `PATH` or in one of the folders where distributions hide daemons.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/go/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Variables that `cargo run` sets for the program it runs. Settings of a user (`CARGO_HOME`, `CARGO_NET_*`, …) stay.
fn inherited_from_cargo(name: &str) -> bool {
    const PREFIXES: [&str; 5] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
    ];
    const NAMES: [&str; 5] = [
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "OUT_DIR",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables by which one toolchain imposes itself on another.
fn names_a_toolchain(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUSTUP_TOOLCHAIN_SOURCE",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ];
    NAMES.contains(&name) || (name.starts_with("CARGO_TARGET_") && name != "CARGO_TARGET_DIR")
}

fn is_of_a_toolchain(path: &Path) -> bool {
    path.components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("toolchains" | "rustlib")))
        || path.starts_with(target())
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_sentence_that_names_the_command() {
        let error = Run::new("sh")
            .args(["-c", "echo first >&2; echo the reason >&2; exit 3"])
            .read()
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.starts_with("`sh -c '") && text.ends_with("failed (exit status: 3): the reason"),
            "{text}"
        );
        assert!(!text.contains('\n'));
        let error = Run::new("no-such-program-here").run().unwrap_err();
        assert!(
            error.to_string().starts_with("cannot start `no-such-program-here`"),
            "{error}"
        );
    }

    #[test]
    fn output_is_read_line_by_line() {
        let mut lines = Vec::new();
        Run::new("printf")
            .arg("a\\nb\\n")
            .run_reading(|line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(lines, ["a", "b"]);
    }

    #[test]
    fn variables_of_the_outer_cargo_are_told_from_settings() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR", "OUT_DIR"] {
            assert!(inherited_from_cargo(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR", "PATH", "CARGO"] {
            assert!(!inherited_from_cargo(name), "{name}");
        }
        assert!(names_a_toolchain("RUSTUP_TOOLCHAIN") && names_a_toolchain("RUSTC"));
        assert!(names_a_toolchain("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"));
        assert!(!names_a_toolchain("RUSTUP_HOME") && !names_a_toolchain("CARGO_HOME"));
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-here"), None);
    }
}
