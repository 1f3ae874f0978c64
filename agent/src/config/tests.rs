//! Tests of precedence, of the table itself, and of the files in `tests/valid_configs` and `tests/invalid_configs`.

mod document;
mod otlp;

use super::*;
use std::fs;

fn no_env(_: &str) -> Option<String> {
    None
}

fn file_flag(path: &Path) -> Flags {
    vec![(options::CONFIG_FILE, path.display().to_string())]
}

fn folder(name: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let mut files: Vec<_> = fs::read_dir(&path)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(files.len() > 2, "{} is almost empty", path.display());
    files
}

#[test]
fn every_default_is_valid_and_meets_the_shared_limits() {
    for option in OPTIONS.iter() {
        for value in option.default {
            let mut config = Config::blank();
            assert_eq!(option.set(&mut config, value), Ok(()), "default of {}", option.name);
        }
        assert!(
            option.repeatable || option.default.len() <= 1 || option.is_of_collector(),
            "{} has more than one default",
            option.name
        );
        assert!(
            !option.help.is_empty() && !option.value.is_empty(),
            "{} needs help",
            option.name
        );
    }
    let config = Config::default();
    assert_eq!(config.limits.ring_bytes, onlooker_common::limits::RING_BYTES);
    assert_eq!(config.limits.connections, onlooker_common::limits::SOCKETS);
    assert_eq!(config.series_ttl, Duration::from_secs(300));
    assert_eq!(config.host, Host::default());
    let listen: Vec<String> = config.web.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:9100"], "nothing is served beyond this host unasked");
}

#[test]
fn names_are_unique_and_no_name_is_the_group_of_another() {
    for (index, a) in OPTIONS.iter().enumerate() {
        for b in &OPTIONS[index + 1..] {
            assert!(a.name != b.name, "{} twice", a.name);
            for (x, y) in [(a.key(), b.key()), (b.key(), a.key())] {
                assert!(
                    !y.strip_prefix(x).is_some_and(|rest| rest.starts_with('.')),
                    "{x} is a group of {y}"
                );
            }
        }
    }
}

#[test]
fn the_readme_names_every_flag_and_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(path).expect("a README");
    for option in OPTIONS
        .iter()
        .filter(|option| !option.is_of_collector() && !option.hidden)
        // One sentence tells of those of a single signal.
        .filter(|option| {
            !["otlp.traces.", "otlp.metrics.", "otlp.logs."]
                .iter()
                .any(|of| option.name.starts_with(of))
        })
    {
        let flag = format!("`--{}`", option.name);
        let line = readme
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&flag));
        let line = line.unwrap_or_else(|| panic!("{flag} is not in the table"));
        for value in option.default.iter().chain(option.env.iter()) {
            assert!(line.contains(&format!("`{value}`")), "{flag}: {value} is not told");
        }
    }
}

#[test]
fn mistakes_of_the_web_configuration_are_found_with_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.yml");
    fs::write(&path, "http_server_config: {http2: false}\nnonsense: 1\n").expect("written");
    let flags = vec![
        ("web.config.file", path.display().to_string()),
        ("limits.series", "0".to_owned()),
    ];
    let error = load(&flags, &no_env).expect_err("two mistakes");
    assert_eq!(error.0.len(), 2, "{error}");
    let expect = format!("{}:2: nonsense: is no known key", path.display());
    assert!(error.to_string().contains(&expect), "{error}");
    let (config, settings) = load(&vec![("web.config.file", String::new())], &no_env).expect("none");
    assert_eq!(config.web.config_file, None);
    assert!(
        settings.iter().all(|setting| setting.name != "runtime.gomaxprocs"),
        "told nowhere"
    );
}

#[test]
fn a_command_line_of_node_exporter_is_taken() {
    let flags = ["web.systemd-socket", "web.disable-exporter-metrics"].map(|name| (name, "true".to_owned()));
    let flags = flags
        .into_iter()
        .chain([("runtime.gomaxprocs", "1".to_owned())])
        .collect();
    let config = load(&flags, &no_env).expect("valid").0;
    assert!(config.web.systemd_socket && config.web.disable_exporter_metrics);
}

#[test]
fn every_word_of_a_choice_is_taken() {
    for option in OPTIONS.iter() {
        for word in option.words {
            assert_eq!(option.set(&mut Config::blank(), word), Ok(()), "{} {word}", option.name);
        }
    }
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("onlooker.yml");
    fs::write(&path, "traces:\n  sampler: always_off\nlimits: {series: 5}\n").expect("written");
    let env = |name: &str| (name == "OTEL_TRACES_SAMPLER").then(|| "traceidratio".to_string());
    let check = |flags: &Flags, env: &dyn Fn(&str) -> Option<String>, kind: SamplerKind, origin: Origin| {
        let (config, settings) = load(flags, env).expect("valid");
        let setting = settings
            .iter()
            .find(|setting| setting.name == "traces.sampler")
            .expect("settled");
        assert_eq!((config.sampler.kind, &setting.origin), (kind, &origin));
    };
    let mut flags = Flags::new();
    check(&flags, &no_env, SamplerKind::ParentAlwaysOn, Origin::Default);
    flags.extend(file_flag(&path));
    check(&flags, &no_env, SamplerKind::AlwaysOff, Origin::File(path.clone(), 2));
    check(
        &flags,
        &|_| Some(String::new()),
        SamplerKind::AlwaysOff,
        Origin::File(path.clone(), 2),
    );
    check(
        &flags,
        &env,
        SamplerKind::Ratio,
        Origin::Environment("OTEL_TRACES_SAMPLER"),
    );
    flags.push(("traces.sampler", "always_on".to_string()));
    check(&flags, &env, SamplerKind::AlwaysOn, Origin::Flag);
    assert_eq!(
        load(&flags, &env).expect("valid").0.limits.series,
        5,
        "other keys of the file still hold"
    );
}

#[test]
fn a_bad_variable_is_named() {
    let env = |name: &str| (name == "OTEL_TRACES_SAMPLER_ARG").then(|| "2".to_string());
    let error = load(&Flags::new(), &env).expect_err("2 is no ratio");
    assert_eq!(
        error.to_string(),
        "OTEL_TRACES_SAMPLER_ARG: \"2\" is not a number from 0 to 1, e.g. 0.25"
    );
}

#[test]
fn samplers_mean_what_their_names_say() {
    for (kind, parent_based, ratio) in [
        (SamplerKind::AlwaysOn, false, 1.0),
        (SamplerKind::AlwaysOff, false, 0.0),
        (SamplerKind::Ratio, false, 0.25),
        (SamplerKind::ParentAlwaysOn, true, 1.0),
        (SamplerKind::ParentAlwaysOff, true, 0.0),
        (SamplerKind::ParentRatio, true, 0.25),
    ] {
        let sampler = Sampler { kind, arg: 0.25 };
        assert_eq!(
            (sampler.parent_based(), sampler.ratio()),
            (parent_based, ratio),
            "{kind:?}"
        );
    }
}

#[test]
fn the_summary_needs_a_terminal_of_its_own() {
    let with = |summary, export: &[Export]| Config {
        summary,
        export: export.to_vec(),
        ..Config::default()
    };
    assert!(with(Summary::Auto, &[]).shows_summary(true));
    assert!(!with(Summary::Auto, &[]).shows_summary(false));
    assert!(!with(Summary::Auto, &[Export::Stdout]).shows_summary(true));
    assert!(with(Summary::Always, &[Export::Stdout]).shows_summary(false));
    assert!(!with(Summary::Never, &[]).shows_summary(true));
}

#[test]
fn valid_files_are_taken() {
    for path in folder("valid_configs") {
        let flags = file_flag(&path);
        let (config, _) = load(&flags, &no_env).unwrap_or_else(|error| panic!("{}:\n{error}", path.display()));
        // All but the empty ones must change something.
        let text = fs::read_to_string(&path).expect("readable");
        let empty = text
            .lines()
            .all(|line| line.trim().is_empty() || line.starts_with(['#', '-']));
        assert_eq!(config == Config::default(), empty, "{}", path.display());
    }
}

/// The first lines of an invalid file that begin with `#` are the messages it must give, in order, without its path.
#[test]
fn invalid_files_are_refused_with_their_message() {
    for path in folder("invalid_configs") {
        let text = fs::read_to_string(&path).expect("readable");
        let expect: Vec<_> = text.lines().map_while(|line| line.strip_prefix("# ")).collect();
        assert!(!expect.is_empty(), "{} says no message", path.display());
        let error = load(&file_flag(&path), &no_env).expect_err(&path.display().to_string());
        let got: Vec<_> = error
            .0
            .iter()
            .map(|p| p.to_string().replace(&format!("{}:", path.display()), ""))
            .collect();
        assert_eq!(got, expect, "{}", path.display());
    }
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.yml");
    fs::write(&path, "#".repeat(file::FILE_MAX as usize + 1)).expect("written");
    let error = load(&file_flag(&path), &no_env).expect_err("too large").to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[test]
fn garbage_never_panics() {
    use proptest::prelude::*;
    let words = prop::sample::select(vec![
        "web",
        "limits",
        "export",
        "listen-address",
        "series",
        "ttl",
        ":",
        ": ",
        "\n",
        "\n  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "? ",
        "&a ",
        "*a",
        "!!str ",
        "'",
        "\"",
        "|\n",
        "---\n",
        "x",
        ", ",
        "#",
        "\t",
    ]);
    let text = prop::collection::vec(words, 0..24).prop_map(|words| words.concat());
    proptest!(|(text in text)| { let _ = file::parse(Path::new("x"), &text); });
}
