//! A host whose files are the fuzzer's: collectors run on it as they do in the agent, and what they say must be an exposition of
//! a size in proportion.

use onlooker::collectors::node::flags::{Settings, Setup};
use onlooker::collectors::node::named;
use onlooker::export::prometheus::{Format, PrometheusEncoder};
use onlooker::host::Host;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A collector, and files it reads.
pub struct Case {
    /// Its name.
    pub collector: &'static str,
    /// Paths below the host's folder, `proc/…` or `sys/…`; each gets a part of the input.
    pub files: &'static [&'static str],
}

/// Flags that let collectors read files, and tell all they can.
const FLAGS: &[(&str, &str)] = &[
    ("collector.arp.netlink", "false"),
    ("collector.netdev.netlink", "false"),
    ("collector.netclass.netlink", "false"),
    ("collector.bcache.priorityStats", "true"),
    ("collector.cpu.info", "true"),
    ("collector.cpu.info.flags-include", "."),
    ("collector.netdev.label-ifalias", "true"),
    ("collector.stat.softirq", "true"),
];

/// Bytes that are told of an empty host at most, and of each byte of its files.
const TOLD: (usize, usize) = (256 << 10, 4 << 10);

/// Input: one byte that chooses a case, then the texts of its files, separated by zeros; a file without a text is not there.
pub fn run(cases: &[Case], data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else {
        return;
    };
    let number = usize::from(which) % cases.len();
    let case = &cases[number];
    let folder = folder().join(case.collector);
    let mut texts = bytes.split(|byte| *byte == 0);
    for file in case.files {
        let path = folder.join(file);
        match texts.next() {
            Some(text) => put(&path, text),
            None => drop(fs::remove_file(&path)),
        }
    }
    collect(case.collector, &folder, FLAGS, bytes.len());
}

/// Writes a file, and makes its folder the first time.
pub fn put(path: &Path, text: &[u8]) {
    if fs::write(path, text).is_err() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }
}

/// The folder of this target, in memory where that is at hand. The next run finds it again: one target is run once at a time.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let target = std::env::current_exe().expect("a program has a name");
        let target = target
            .file_name()
            .expect("a program has a name")
            .to_string_lossy()
            .into_owned();
        parent.join(format!("onlooker-fuzz-{target}"))
    })
}

/// Runs a collector twice, as scrapes do, and looks at what it says.
pub fn collect(collector: &str, folder: &Path, flags: &[(&'static str, &str)], bytes: usize) {
    let collector = named(collector).expect("a collector");
    let host = Host {
        proc: folder.join("proc"),
        sys: folder.join("sys"),
        root: folder.join("root"),
        udev: folder.join("udev"),
        own_sys: folder.join("sys"),
    };
    let given = flags.iter().map(|(flag, value)| (*flag, vec![(*value).to_owned()]));
    let settings = Settings {
        given: given.collect(),
        ..Settings::default()
    };
    let setup = Setup {
        host: &host,
        settings: &settings,
    };
    let mut made = (collector.make)(&setup).expect("the flags are good");
    for _ in 0..2 {
        let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
        if let Err(error) = made.collect(&mut encoder) {
            assert!(!error.to_string().is_empty());
        }
        let text = String::from_utf8(encoder.finish().expect("memory takes all")).expect("UTF-8");
        assert!(
            text.len() <= TOLD.0 + TOLD.1 * bytes,
            "{} bytes are told of {bytes}",
            text.len()
        );
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let name = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
            let value = line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
            assert!(name && value.is_some(), "{line:?}");
        }
    }
}
