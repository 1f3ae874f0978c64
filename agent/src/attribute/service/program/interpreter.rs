//! Interpreters, and how each is told what to run.

use super::{base, launcher};

/// An interpreter's command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    /// File names of the executable, without version.
    names: &'static [&'static str],
    /// Options whose value is the next argument.
    valued: &'static [&'static str],
    /// Options after which there is code instead of a script, or nothing to name.
    code: &'static [&'static str],
    /// Options that name what is run.
    named: &'static [&'static str],
    /// Words before the script.
    verbs: &'static [&'static str],
    /// Only `named` options name anything; a free argument is no script.
    only_named: bool,
}

const NONE: Interpreter = Interpreter {
    names: &[],
    valued: &[],
    code: &[],
    named: &[],
    verbs: &[],
    only_named: false,
};

const PYTHON: &[&str] = &["python", "pypy"];
const JAVA: &[&str] = &["java"];
const BEAM: &[&str] = &["beam.smp"];
const SHELL: &[&str] = &["bash", "sh", "dash", "zsh", "ksh", "ash", "fish", "mksh"];

static INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: PYTHON,
        valued: &["-X", "-W", "-Q", "--check-hash-based-pycs"],
        code: &["-c"],
        named: &["-m"],
        ..NONE
    },
    Interpreter {
        names: &["node", "nodejs"],
        valued: &[
            "-r",
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "-C",
            "--conditions",
            "--title",
        ],
        code: &["-e", "--eval", "-p", "--print", "-pe"],
        ..NONE
    },
    Interpreter {
        names: &["deno"],
        valued: &[
            "-c",
            "--config",
            "--import-map",
            "--lock",
            "--cert",
            "-L",
            "--log-level",
        ],
        code: &["eval", "repl", "task"],
        verbs: &["run", "serve"],
        ..NONE
    },
    Interpreter {
        names: &["bun"],
        valued: &["-r", "--preload", "-c", "--config", "--cwd"],
        code: &["-e", "--eval", "x", "install"],
        verbs: &["run"],
        ..NONE
    },
    Interpreter {
        names: &["ruby", "jruby"],
        valued: &["-I", "-r", "-C", "-E"],
        code: &["-e"],
        ..NONE
    },
    Interpreter {
        names: &["perl"],
        valued: &["-I"],
        code: &["-e", "-E"],
        ..NONE
    },
    Interpreter {
        names: &["php"],
        valued: &["-d", "-c", "-S", "-t", "-z"],
        code: &["-r", "-R"],
        named: &["-f", "-F", "--file"],
        ..NONE
    },
    Interpreter {
        names: JAVA,
        valued: &[
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--upgrade-module-path",
            "--add-modules",
            "--add-opens",
            "--add-exports",
            "--add-reads",
            "--patch-module",
            "--limit-modules",
            "--source",
            "--enable-native-access",
        ],
        named: &["-jar", "-m", "--module"],
        ..NONE
    },
    Interpreter {
        names: &["dotnet"],
        valued: &[
            "--depsfile",
            "--runtimeconfig",
            "--additionalprobingpath",
            "--fx-version",
            "--roll-forward",
        ],
        code: &["run", "build", "test", "watch", "publish", "tool"],
        verbs: &["exec"],
        ..NONE
    },
    Interpreter {
        names: SHELL,
        valued: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
        code: &["-c"],
        ..NONE
    },
    Interpreter {
        names: &["Rscript", "R"],
        code: &["-e"],
        named: &["-f", "--file"],
        ..NONE
    },
    Interpreter {
        names: BEAM,
        named: &["-sname", "-name"],
        only_named: true,
        ..NONE
    },
    Interpreter {
        names: &["lua", "luajit", "tclsh", "guile", "elixir"],
        valued: &["-l", "-L"],
        code: &["-e", "-c"],
        ..NONE
    },
];

/// The interpreter of an executable's file name; a version behind it does not matter (`python3.11`, `php8.2`, `ruby3.1`).
pub(super) fn find(name: &[u8]) -> Option<&'static Interpreter> {
    let bare = bare(name)?;
    INTERPRETERS
        .iter()
        .find(|interpreter| interpreter.names.contains(&bare))
}

/// `process.runtime.name` of an executable's file name, where OpenTelemetry's own resource detectors give one and the file
/// name is enough to tell.
pub(super) fn runtime(name: &[u8]) -> Option<&'static str> {
    match bare(name)? {
        "python" => Some("cpython"),
        "pypy" => Some("pypy"),
        "node" | "nodejs" => Some("nodejs"),
        "ruby" => Some("ruby"),
        "jruby" => Some("jruby"),
        "beam.smp" => Some("BEAM"),
        _ => None,
    }
}

/// A file name without the version behind it.
fn bare(name: &[u8]) -> Option<&str> {
    let end = name
        .iter()
        .rposition(|b| !(b.is_ascii_digit() || matches!(b, b'.' | b'-')))
        .map_or(0, |last| last + 1);
    std::str::from_utf8(&name[..end]).ok()
}

impl Interpreter {
    /// Name of what is run, from the arguments behind `argv[0]`.
    pub(super) fn script(&self, args: &[&[u8]], cwd: impl FnOnce() -> Option<Vec<u8>>) -> Option<String> {
        let args: Vec<std::borrow::Cow<'_, str>> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        let args: Vec<&str> = args.iter().map(|arg| &**arg).collect();
        let mut at = 0;
        let mut verbs = self.verbs;
        while let Some(&arg) = args.get(at) {
            let (option, value) = match arg.split_once('=') {
                Some((option, value)) if option.starts_with('-') => (option, Some(value)),
                _ => (arg, None),
            };
            if self.code.contains(&arg) {
                return None;
            }
            if self.named.contains(&option) {
                let what = value.or(args.get(at + 1).copied())?;
                return self.named(option, what, args.get(at + 2..).unwrap_or_default());
            }
            if arg == "--" && !self.only_named {
                at += 1;
                break;
            }
            if let Some(letters) = self.letters(arg) {
                match letters {
                    Letters::Code => return None,
                    Letters::Module(inside) => {
                        let (what, rest) = match inside {
                            "" => (*args.get(at + 1)?, at + 2),
                            what => (what, at + 1),
                        };
                        return self.named("-m", what, args.get(rest..).unwrap_or_default());
                    }
                    Letters::Flags => at += 1,
                    Letters::Valued => at += 2,
                }
            } else if self.valued.contains(&arg) {
                at += 2;
            } else if self.only_named || arg.starts_with(['-', '@']) || (arg.starts_with('+') && arg.len() > 1) {
                if arg == "-" {
                    return None;
                }
                at += 1;
            } else if verbs.contains(&arg) {
                verbs = &[];
                at += 1;
            } else {
                break;
            }
        }
        let script = *args.get(at)?;
        if script.starts_with("/dev/") || script.starts_with("/proc/self/fd/") {
            // A descriptor has no name.
            return None;
        }
        let rest = args.get(at + 1..).unwrap_or_default();
        if self.names == JAVA && !script.ends_with(".java") {
            return Some(script.to_owned());
        }
        if script.trim_end_matches('/').ends_with('.') && script.bytes().all(|b| matches!(b, b'.' | b'/')) {
            return (script.trim_end_matches('/') == ".")
                .then(cwd)
                .flatten()
                .map(|cwd| String::from_utf8_lossy(base(&cwd)).into_owned());
        }
        Some(launcher::application(stem(script), rest))
    }

    /// Several short options in one argument: Python's `-um`, the shells' `-lc`.
    fn letters<'a>(&self, arg: &'a str) -> Option<Letters<'a>> {
        let letters = arg
            .strip_prefix('-')
            .filter(|rest| !rest.starts_with('-') && !rest.is_empty())?;
        let python = self.names == PYTHON;
        if !python && self.names != SHELL {
            return None;
        }
        for (at, letter) in letters.char_indices() {
            match letter {
                'c' => return Some(Letters::Code),
                'm' if python => return Some(Letters::Module(&letters[at + 1..])),
                'X' | 'W' | 'Q' if python => {
                    let attached = at + 1 < letters.len();
                    return Some(if attached { Letters::Flags } else { Letters::Valued });
                }
                'o' | 'O' if !python => return Some(Letters::Valued),
                _ => {}
            }
        }
        Some(Letters::Flags)
    }

    fn named(&self, option: &str, what: &str, rest: &[&str]) -> Option<String> {
        match option {
            _ if self.names == PYTHON => {
                let module = what.strip_suffix(".__main__").unwrap_or(what);
                Some(launcher::application(module, rest))
            }
            "-m" | "--module" if self.names == JAVA => Some(what.split('/').next().unwrap_or(what).to_owned()),
            _ if self.names == BEAM => Some(what.split('@').next().unwrap_or(what).to_owned()),
            _ => Some(stem(what).to_owned()),
        }
    }
}

enum Letters<'a> {
    /// Code follows.
    Code,
    /// A module follows, in the same argument when not empty.
    Module(&'a str),
    /// Nothing follows.
    Flags,
    /// A value follows.
    Valued,
}

const EXTENSIONS: &[&str] = &[
    "py", "pyc", "pyw", "pyz", "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "rb", "ru", "pl", "psgi", "php",
    "phar", "jar", "war", "java", "dll", "sh", "bash", "zsh", "fish", "R", "r", "lua", "tcl", "scm", "ex", "exs",
];

/// File name without the extension of a script or archive.
pub(super) fn stem(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && EXTENSIONS.contains(&extension) => stem,
        _ => name,
    }
}
