//! Small hosts for the tests of collectors.

use super::flags::{Settings, Setup};
use super::{CollectError, Collector};
use crate::export::prometheus::{Format, PrometheusEncoder};
use crate::host::Host;
use std::fs;

/// A host made of a few files.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    settings: Settings,
}

impl Fixture {
    /// Files by their path (`proc/…`, `sys/…`, `root/…`). A text that begins with `-> ` is a link to what follows; a path that
    /// ends with `/` is a folder.
    pub(crate) fn new(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture {
            dir: tempfile::tempdir().unwrap(),
            settings: Settings::default(),
        };
        fixture.put(files);
        fixture
    }

    /// Writes more files, or others in their place.
    pub(crate) fn put(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
                fs::create_dir_all(path).unwrap();
            } else if let Some(to) = text.strip_prefix("-> ") {
                std::os::unix::fs::symlink(to, path).unwrap();
            } else {
                fs::write(path, text).unwrap();
            }
        }
    }

    /// Sets a flag.
    pub(crate) fn set(mut self, flag: &'static str, value: &str) -> Fixture {
        self.settings.given.entry(flag).or_default().push(value.to_owned());
        self
    }

    pub(crate) fn host(&self) -> Host {
        Host {
            proc: self.dir.path().join("proc"),
            sys: self.dir.path().join("sys"),
            root: self.dir.path().join("root"),
            udev: self.dir.path().join("udev"),
            own_sys: self.dir.path().join("sys"),
        }
    }

    /// What a collector says, and its error; lines of samples alone.
    pub(crate) fn collect(&self, collector: &Collector) -> (String, Result<(), CollectError>) {
        let host = self.host();
        let setup = Setup {
            host: &host,
            settings: &self.settings,
        };
        let mut made = (collector.make)(&setup).unwrap();
        let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
        let result = made.collect(&mut encoder);
        assert_eq!(encoder.refused(), Default::default(), "series twice, or families");
        let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        (samples.map(|line| format!("{line}\n")).collect(), result)
    }

    /// What a collector says that must not fail.
    pub(crate) fn text(&self, collector: &Collector) -> String {
        let (text, result) = self.collect(collector);
        result.unwrap();
        text
    }

    /// The error of one that must fail.
    pub(crate) fn error(&self, collector: &Collector) -> String {
        self.collect(collector).1.unwrap_err().to_string()
    }
}
