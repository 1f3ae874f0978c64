//! What a machine runs in the host's files: the test binaries, compiled here, with the variables that they need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::entries::Binary;
use crate::programs;
use crate::shell::{Run, root, say, target};

/// Test binaries that measure the network's times: one test at a time, for those beside it would take the processor from it.
const ONE_AT_A_TIME: [&str; 1] = ["tcp_wire"];

/// Test binaries by name.
pub(super) type Binaries = BTreeMap<String, PathBuf>;

/// How much slower things take here than on the host: deadlines of the tests are longer and loads are smaller by it.
const SLOW: u32 = 20;
/// Seconds that one test binary may take.
const BINARY_DEADLINE: u32 = 2700;

/// Compiles the integration tests and tells where each lies.
pub(super) fn compile() -> Result<Binaries> {
    say("tests: compiling them as they run in the machines");
    let told = Run::cargo()
        .args([
            "test",
            "--package",
            "onlooker-tests",
            "--no-run",
            "--message-format=json",
        ])
        .read()
        .context("the tests do not compile; `cargo test --package onlooker-tests --no-run` shows why")?;
    Ok(executables(&told))
}

/// From cargo's messages.
fn executables(messages: &str) -> Binaries {
    let mut found = Binaries::new();
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let of_test = message["target"]["kind"][0] == "test" && message["profile"]["test"] == true;
        if let (true, Some(name), Some(path)) = (
            of_test,
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
        ) {
            found.insert(name.to_owned(), path.into());
        }
    }
    found
}

/// A script that runs a shell command.
pub(super) fn command(command: &str) -> String {
    format!("{}{command}\n", environment())
}

/// What a test says (`tests/skipped.rs`) that failed where the kernel may have skipped both copies of a program, or one without a
/// second.
const SKIPPED: &str = "the kernel skipped ";

/// Runs a test binary with its arguments, and what failed of it once more if the kernel skipped programs.
const FUNCTIONS: &str = r#"
said=/run/onlooker/said
run() {
    { timeout -k 5 "$DEADLINE" "$@"; echo $? >$said.status; } 2>&1 | tee $said
    status=$(cat $said.status)
}
of() {
    binary=$1
    run "$@"
    # The last list of libtest; a binary that was not through in its time, or ended early, has none.
    names=$(awk '/^failures:$/ { list = "" } /^    [a-z0-9_:]+$/ { list = list " " $1 } END { print list }' $said)
    if [ "$status" = 101 ] && [ -n "$names" ] && grep -q "$SKIPPED" $said; then
        echo "onlooker-vm: once more"
        run "$binary" --color=never --test-threads=1 --exact $names
    fi
    echo "onlooker-vm: status $status"
    [ "$status" = 0 ] || failed=1
}
"#;

/// A script that runs test binaries and tells the end of each.
pub(super) fn tests(binaries: &Binaries, tests: &[Binary], filter: &[String]) -> Result<String> {
    let mut script = environment();
    script += &format!("DEADLINE={BINARY_DEADLINE}\nSKIPPED='{SKIPPED}'\n{FUNCTIONS}failed=0\n");
    for (name, filters) in tests {
        let binary = binaries
            .get(*name)
            .with_context(|| format!("there is no test binary {name}"))?;
        let words = filters.iter().copied().chain(filter.iter().map(String::as_str));
        let words: Vec<String> = words.map(quoted).collect();
        let threads = if ONE_AT_A_TIME.contains(name) { 1 } else { 4 };
        script += &format!(
            "echo 'onlooker-vm: binary {name}'\nof {} --color=never --test-threads={threads} {}\n",
            quoted(&binary.display().to_string()),
            words.join(" "),
        );
    }
    script += "exit $failed\n";
    Ok(script)
}

fn environment() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = interpreter()
        .into_iter()
        .chain(programs::folders())
        .chain(std::env::split_paths(&path))
        .collect();
    let path = std::env::join_paths(folders).unwrap_or(path);
    let mut variables: Vec<(String, String)> = vec![
        ("PATH".into(), path.to_string_lossy().into_owned()),
        ("HOME".into(), std::env::var("HOME").unwrap_or_else(|_| "/".into())),
        ("CI".into(), "true".into()),
        ("TMPDIR".into(), "/run/onlooker/tmp".into()),
        (
            "ONLOOKER_BIN".into(),
            target().join("release/onlooker").display().to_string(),
        ),
        ("ONLOOKER_TEST_VENV".into(), programs::venv().display().to_string()),
        ("ONLOOKER_TEST_SLOW".into(), SLOW.to_string()),
        ("ONLOOKER_TEST_FACTS".into(), "/run/onlooker/out/facts.json".into()),
    ];
    variables.extend(std::env::vars().filter(|(name, _)| name == "RUST_BACKTRACE" || name == "ONLOOKER_TEST_HOOKS"));
    let mut script = String::new();
    for (name, value) in variables {
        script += &format!("export {name}={}\n", quoted(&value));
    }
    script + &format!("cd {}\n", quoted(&root().join("tests").display().to_string()))
}

/// The folder of the Python that `python3` is: a version manager's script that finds it takes ten seconds in a machine.
fn interpreter() -> Option<PathBuf> {
    let program = "import sys; print(sys.executable)";
    let path = Run::new("python3").args(["-c", program]).read().ok()?;
    Path::new(path.trim()).parent().map(Path::to_path_buf)
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_binaries_are_found_in_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"wire"},"profile":{"test":true},"executable":"/t/wire-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"rawhttp"},"profile":{"test":false},"executable":"/t/rawhttp"}"#,
            "\nnot json\n"
        );
        assert_eq!(
            executables(messages),
            Binaries::from([("wire".into(), "/t/wire-1".into())])
        );
    }

    #[test]
    fn scripts_tell_each_binarys_end() {
        let binaries = Binaries::from([("kernel".into(), "/t/ker nel".into())]);
        let script = tests(&binaries, &[("kernel", &["a b"])], &["it's".into()]).unwrap();
        assert!(
            script.contains("of '/t/ker nel' --color=never --test-threads=4 'a b' 'it'\\''s'\n"),
            "{script}"
        );
        assert!(
            script.contains("onlooker-vm: status $status") && script.contains("CI='true'"),
            "{script}"
        );
        assert!(tests(&binaries, &[("wire", &[])], &[]).is_err());
    }

    /// A test binary that fails the first time, and says that the kernel skipped programs, or not.
    fn played(says: &str) -> String {
        let dir = tempfile::TempDir::new().unwrap();
        let binary = dir.path().join("binary");
        let text = format!(
            "#!/bin/sh\n[ $# = 4 ] && echo \"again: $4\" && exit 0\n\
             echo 'failures:\n\n---- a::b stdout ----\n    text\n{says}\n\n\nfailures:\n    a::b\n\ntest result: FAILED'\nexit 101\n"
        );
        std::fs::write(&binary, text).unwrap();
        let binaries = Binaries::from([("wire".into(), binary)]);
        let script = tests(&binaries, &[("wire", &[])], &[]).unwrap();
        let script = script.replace("/run/onlooker/said", &dir.path().join("said").display().to_string());
        let script = format!("chmod +x {}/binary; {script}", dir.path().display());
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_fails_is_run_once_more_if_the_kernel_skipped_programs() {
        let again = played(&format!("{SKIPPED}, at most 3 times"));
        assert!(
            again.ends_with("onlooker-vm: once more\nagain: a::b\nonlooker-vm: status 0\n"),
            "{again}"
        );
        let not = played("something else");
        assert!(not.ends_with("test result: FAILED\nonlooker-vm: status 101\n"), "{not}");
        assert!(
            include_str!("../../../tests/skipped.rs").contains(SKIPPED),
            "the tests say it in other words"
        );
    }
}
