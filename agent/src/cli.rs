//! The command line: from arguments to a command and its validated [`Config`]. The flags are those of the table in
//! [`crate::config::options`]; `run` is the command when none is named, and flags may stand before or behind it.

use crate::config::options::{CONFIG_FILE, OPTIONS, Opt};
use crate::config::{self, Config, Flags, Problem, Setting};
use clap::{Arg, ArgAction, ArgMatches, Command as Clap};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Watch the host.
    Run,
    /// Say whether the configuration is valid, and what it comes to.
    CheckConfig,
    /// Say what is measured.
    Metrics,
    /// Say what can be seen on this host, what cannot, and what to change.
    Doctor {
        /// As an object for programs.
        json: bool,
    },
}

/// A valid command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// With which settings.
    pub config: Config,
    /// Where each setting comes from.
    pub settings: Vec<Setting>,
    /// Settings that were refused: [`Command::Doctor`] says so among other things, every other command ends there.
    pub problems: Vec<Problem>,
}

/// The program ends here: help, version, or a mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Exit {
    /// Exit code: 0 for help and version, 2 for a mistake.
    pub code: u8,
    /// What to print: to standard output when the code is 0, else to standard error.
    pub text: String,
}

/// What is known of this build, for `--version`.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Bytes of the kernel side that is compiled in; `None` or 0 when there is none.
    pub kernel_side: Option<usize>,
}

/// Reads the command line (the first argument is the program's name) and what it refers to.
///
/// # Errors
/// Help and version were asked for, or something is wrong: see [`Exit`].
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<String>,
    build: Build,
) -> Result<Invocation, Exit> {
    let matches = command(build).try_get_matches_from(args).map_err(|error| Exit {
        code: if error.use_stderr() { 2 } else { 0 },
        text: error.render().to_string(),
    })?;
    let (command, matches) = match matches.subcommand() {
        Some(("check-config", matches)) => (Command::CheckConfig, matches),
        Some(("metrics", matches)) => (Command::Metrics, matches),
        Some(("doctor", matches)) => {
            let json = matches.get_flag("json");
            (Command::Doctor { json }, matches)
        }
        Some((_, matches)) => (Command::Run, matches),
        None => (Command::Run, &matches),
    };
    let (config, settings, problems) = config::load_leniently(&flags(matches), env);
    if !problems.is_empty() && !matches!(command, Command::Doctor { .. }) {
        let error = config::ConfigError(problems);
        return Err(Exit {
            code: 2,
            text: format!("onlooker: the configuration is not valid\n{error}\n"),
        });
    }
    Ok(Invocation {
        command,
        config,
        settings,
        problems,
    })
}

/// The text that `check-config` prints for a valid configuration.
pub fn report(settings: &[Setting]) -> String {
    let mut text = String::from("the configuration is valid\n");
    for setting in settings {
        let _ = writeln!(text, "  {setting}");
    }
    text
}

fn command(build: Build) -> Clap {
    let file = Arg::new(CONFIG_FILE)
        .long(CONFIG_FILE)
        .value_name("FILE")
        .help("YAML file with the same settings: the names of the flags, nested at their dots.")
        .global(true)
        .help_heading("Settings (flag, then environment, then file, then default)");
    let negatives = OPTIONS.iter().filter(|option| option.switch).map(negative);
    let args = OPTIONS.iter().map(arg).chain(negatives).chain([file]);
    Clap::new("onlooker")
        .bin_name("onlooker")
        .about("Watches a Linux host from the kernel, so that applications nobody instrumented become observable")
        .version(version(build))
        .args(args)
        .max_term_width(120)
        .subcommand(Clap::new("run").about("Watch the host and serve what was seen (the default command)"))
        .subcommand(Clap::new("check-config").about("Check the settings, print what they come to, and exit"))
        .subcommand(doctor())
        .subcommand(
            Clap::new("metrics").about(
                "Print every metric of protocols and probes, where it comes from and what it costs, as Markdown",
            ),
        )
        .disable_help_subcommand(true)
}

fn doctor() -> Clap {
    Clap::new("doctor")
        .about("Say what the agent sees on this host, what it does not, and what to change")
        .long_about(
            "Says what the agent would see on this host with these settings, what it would not, and what to change. Looks at \
             settings, kernel, rights, namespaces and network, loads every probe's programs without attaching them, and names \
             for each service that listens what can be seen of it. Changes nothing; runs before an agent, beside one, and \
             as any user.\n\n\
             Each check is PASS (nothing is lost), WARN (something is lost, the agent works) or FAIL (the agent does not \
             start, or sees no requests), with what is lost and how to mend it.",
        )
        .after_long_help(
            "Exit code: 0 all checks passed, 1 one warned, 2 one failed.\n\n\
             Examples:\n  \
             sudo onlooker doctor\n  \
             sudo onlooker doctor --config.file=/etc/onlooker.yml\n  \
             onlooker doctor --json | jq -r '.checks[] | select(.verdict != \"PASS\") | .fix'",
        )
        .arg(
            Arg::new("json")
                .long("json")
                .help("Print one JSON object: version, kernel, verdict, checks, probes, services")
                .action(ArgAction::SetTrue),
        )
}

fn arg(option: &'static Opt) -> Arg {
    let mut help = option.help.to_string();
    if !option.words.is_empty() {
        let _ = write!(help, " One of: {}.", option.words.join(", "));
    }
    if !option.default.is_empty() {
        let _ = write!(help, " [default: {}]", option.default.join(", "));
    }
    if let Some(env) = option.env {
        let _ = write!(help, " [env: {env}]");
    }
    let arg = Arg::new(option.name)
        .long(option.name)
        .aliases(option.also.iter().copied())
        .value_name(option.value)
        .help(help)
        .action(if option.repeatable {
            ArgAction::Append
        } else {
            ArgAction::Set
        })
        .global(true)
        .hide(option.hidden)
        .allow_hyphen_values(true)
        .help_heading(match option.is_of_collector() {
            true => "Collectors of the host's metrics (as above; a switch is taken back by --no-NAME)",
            false => "Settings (flag, then environment, then file, then default)",
        });
    if option.switch {
        // As Go's programs have them: a value needs the equals sign, and none means true.
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg
    }
}

/// `--no-NAME` of a switch.
fn negative(option: &'static Opt) -> Arg {
    let name: &'static str = negatives()[option.name];
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .global(true)
        .hide(true)
        .conflicts_with(option.name)
}

/// Names of switches and of what takes them back.
fn negatives() -> &'static BTreeMap<&'static str, &'static str> {
    static NAMES: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
        let switches = OPTIONS.iter().filter(|option| option.switch);
        let name = |name: &'static str| (name, &*format!("no-{name}").leak());
        switches.map(|option| name(option.name)).collect()
    });
    &NAMES
}

fn flags(matches: &ArgMatches) -> Flags {
    let names = OPTIONS.iter().map(|option| option.name).chain([CONFIG_FILE]);
    let off = negatives().iter().filter(|(_, negative)| matches.get_flag(negative));
    off.map(|(name, _)| (*name, "false".to_owned()))
        .chain(names.flat_map(|name| {
            matches
                .get_many::<String>(name)
                .into_iter()
                .flatten()
                .map(move |value| (name, value.clone()))
        }))
        .collect()
}

fn version(build: Build) -> String {
    let env = match (cfg!(target_env = "musl"), cfg!(target_env = "gnu")) {
        (true, _) => "-musl",
        (_, true) => "-gnu",
        _ => "",
    };
    let kernel = match build.kernel_side {
        None | Some(0) => "without kernel side: build with `cargo xtask build`".to_string(),
        Some(bytes) => format!("kernel side of {} KiB", bytes.div_ceil(1024)),
    };
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{} ({arch}-{os}{env}, {kernel})", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Export, LogLevel, Origin};

    const BUILD: Build = Build {
        kernel_side: Some(50_000),
    };

    fn run(line: &str) -> Result<Invocation, Exit> {
        let args = std::iter::once("onlooker").chain(line.split_whitespace());
        parse(args.map(OsString::from), &|_| None, BUILD)
    }

    #[test]
    fn definition_is_sound() {
        command(BUILD).debug_assert();
    }

    #[test]
    fn run_is_the_default_command_and_flags_stand_on_either_side() {
        for line in ["--log.level debug", "run --log.level debug", "--log.level=debug run"] {
            let found = run(line).expect(line);
            assert_eq!(
                (found.command, found.config.log.level),
                (Command::Run, LogLevel::Debug),
                "{line}"
            );
        }
        assert_eq!(run("check-config").expect("valid").command, Command::CheckConfig);
        assert_eq!(run("").expect("valid").config, Config::default());
    }

    #[test]
    fn doctor_takes_every_setting_and_has_more_to_say_than_that_one_is_wrong() {
        let found = run("doctor --json --web.listen-address=:7").expect("valid");
        assert_eq!(found.command, Command::Doctor { json: true });
        assert_eq!((found.config.web.listen[0].port, found.problems.len()), (7, 0));
        let found = run("doctor --limits.connections=0 --log.level=debug").expect("told by the doctor");
        assert_eq!(found.command, Command::Doctor { json: false });
        assert_eq!(found.problems.len(), 1);
        let expect = Config {
            log: config::Log {
                level: LogLevel::Debug,
                ..Config::default().log
            },
            ..Config::default()
        };
        assert_eq!(found.config, expect, "the default instead of what was refused");
        assert_eq!(run("--json").expect_err("of doctor alone").code, 2);
        assert!(run("doctor --help").expect_err("help").text.contains("Exit code: 0"));
    }

    #[test]
    fn repeatable_flags_gather_and_others_do_not() {
        let found = run("--web.listen-address :1 --web.listen-address=[::1]:2 --export stdout --export stdout");
        let config = found.expect("valid").config;
        let addresses: Vec<_> = config.web.listen.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, [":1", "[::1]:2"], "the default is replaced");
        assert_eq!(config.export, [Export::Stdout]);
        let exit = run("--log.level info --log.level debug").expect_err("given twice");
        assert!(
            exit.code == 2 && exit.text.contains("cannot be used multiple times"),
            "{exit}"
        );
    }

    #[test]
    fn mistakes_exit_with_2_and_say_how_to_mend() {
        for (line, expect) in [
            ("--web.listen-adress :1", "--web.listen-address"),
            ("runn", "run"),
            (
                "--limits.connections 0",
                "--limits.connections: \"0\" is not a whole number from 1 to 1048576",
            ),
            (
                "--limits.connections -1",
                "--limits.connections: \"-1\" is not a whole number",
            ),
            ("--log.level inf", "--log.level: \"inf\" is not a choice"),
            ("--log.level inf", "did you mean info?"),
            ("--limits.ring-bytes 3MiB", "the next that fits is 4MiB"),
            (
                "--config.file /nowhere/at/all.yml",
                "--config.file: cannot read \"/nowhere/at/all.yml\"",
            ),
            ("--export", "a value is required"),
        ] {
            let exit = run(line).expect_err(line);
            assert!(exit.code == 2 && exit.text.contains(expect), "{line}: {exit}");
        }
        let exit = run("--log.level loud --series.ttl never").expect_err("two mistakes");
        assert!(
            exit.text.contains("--log.level") && exit.text.contains("--series.ttl"),
            "all in one go: {exit}"
        );
    }

    #[test]
    fn arguments_that_are_no_text_are_refused() {
        use std::os::unix::ffi::OsStringExt;
        let args = ["onlooker".into(), "--log.level".into(), OsString::from_vec(vec![0xff])];
        let exit = parse(args, &|_| None, BUILD).expect_err("not UTF-8");
        assert_eq!(exit.code, 2, "{exit}");
    }

    #[test]
    fn help_names_every_option_with_default_and_variable() {
        let exit = run("--help").expect_err("help");
        assert_eq!(exit.code, 0);
        for option in OPTIONS.iter().filter(|option| !option.hidden) {
            let value = if option.switch {
                format!("[=<{}>]", option.value)
            } else {
                format!(" <{}>", option.value)
            };
            assert!(
                exit.text.contains(&format!("--{}{value}", option.name)),
                "{}",
                option.name
            );
        }
        let text = exit.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("[default: 127.0.0.1:9100]") && text.contains("[env: OTEL_TRACES_SAMPLER]"));
        assert!(!text.contains("gomaxprocs"), "taken, not told");
    }

    #[test]
    fn version_says_what_this_is() {
        let exit = run("--version").expect_err("version");
        assert_eq!(exit.code, 0);
        let start = concat!("onlooker ", env!("CARGO_PKG_VERSION"), " (");
        assert!(
            exit.text.starts_with(start) && exit.text.contains("kernel side of 49 KiB"),
            "{exit}"
        );
        let bare =
            parse(["onlooker".into(), "-V".into()], &|_| None, Build { kernel_side: None }).expect_err("version");
        assert!(bare.text.contains("without kernel side"), "{bare}");
    }

    #[test]
    fn report_shows_values_and_their_origin() {
        let settings = run("--limits.series 7").expect("valid").settings;
        let text = report(&settings);
        assert!(text.contains("  limits.series = 7 (flag)\n"), "{text}");
        assert!(text.contains("  web.telemetry-path = /metrics (default)\n"), "{text}");
        assert!(text.contains("  export = none (default)\n"), "{text}");
        assert!(
            settings
                .iter()
                .any(|s| s.name == "export" && s.values.is_empty() && s.origin == Origin::Default)
        );
    }
}
