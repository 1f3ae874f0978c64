//! Settings of the kernel that are asked for: `proc/sys` (`kernel/sysctl.c`, sysctl(8)).

use super::files::First;
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "sysctl",
    about: "settings of the kernel that are asked for",
    default: false,
    flags: &[&INCLUDE, &INCLUDE_INFO],
    make: |setup| Ok(Box::new(Sysctl::new(setup))),
};

static INCLUDE: Flag = Flag {
    name: "collector.sysctl.include",
    form: Form::Text,
    help: "A setting whose numbers to tell, NAME or NAME:KEY,KEY with a name for each number.",
    repeatable: true,
    ..Flag::BASE
};
static INCLUDE_INFO: Flag = Flag {
    name: "collector.sysctl.include-info",
    form: Form::Text,
    help: "A setting whose words to tell, in labels.",
    repeatable: true,
    ..Flag::BASE
};

static INFO: Family = Family::new(
    "node_sysctl_info",
    "",
    "A word of a setting of the kernel, in labels.",
    Kind::Gauge,
);

struct Sysctl {
    numbers: Vec<Setting>,
    words: Vec<Setting>,
}

/// A setting that is asked for.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    name: String,
    keys: Vec<String>,
    path: PathBuf,
}

/// A family, and the values of its series: by their index, where there is more than one.
type Row = (Family, Vec<(Option<usize>, i64)>);

impl Sysctl {
    fn new(setup: &Setup<'_>) -> Sysctl {
        let folder = setup.host.proc.join("sys");
        let settings = |flag| {
            let mut settings: Vec<Setting> = Vec::new();
            for text in setup.texts(flag) {
                let setting = Setting::new(&folder, &text);
                if !settings.contains(&setting) {
                    settings.push(setting);
                }
            }
            settings
        };
        Sysctl {
            numbers: settings(&INCLUDE),
            words: settings(&INCLUDE_INFO),
        }
    }
}

impl Setting {
    fn new(folder: &Path, text: &str) -> Setting {
        let (name, keys) = match text.split_once(':') {
            Some((name, keys)) => (name, keys.split(',').map(str::to_owned).collect()),
            None => (text, Vec::new()),
        };
        Setting {
            name: name.to_owned(),
            keys,
            path: folder.join(name.replace('.', "/").trim_start_matches('/')),
        }
    }

    fn numbers(&self) -> Result<Vec<Row>, CollectError> {
        let text = files::text(&self.path)?;
        let numbers: Vec<i64> = text
            .split_ascii_whitespace()
            .map(|word| {
                number(word).ok_or_else(|| CollectError::malformed(&self.path, format!("{word:?} is no number")))
            })
            .collect::<Result<_, _>>()?;
        if numbers.is_empty() || (!self.keys.is_empty() && self.keys.len() != numbers.len()) {
            let what = format!("it has {} numbers, and {} were named", numbers.len(), self.keys.len());
            return Err(CollectError::malformed(&self.path, what));
        }
        if let [number] = *numbers
            && self.keys.is_empty()
        {
            return Ok(vec![(self.family(None), vec![(None, number)])]);
        }
        if self.keys.is_empty() {
            let series = numbers
                .into_iter()
                .enumerate()
                .map(|(index, number)| (Some(index), number));
            return Ok(vec![(self.family(None), series.collect())]);
        }
        let named = self.keys.iter().zip(numbers);
        Ok(named
            .map(|(key, number)| (self.family(Some(key)), vec![(None, number)]))
            .collect())
    }

    fn family(&self, key: Option<&str>) -> Family {
        let name = [Some("node_sysctl"), Some(&self.name), key];
        let name = name.into_iter().flatten().collect::<Vec<_>>().join("_");
        Family {
            name: name
                .replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_")
                .into(),
            unit: "".into(),
            help: format!("Setting {} of the kernel.", self.name).into(),
            kind: Kind::Unknown,
        }
    }
}

/// Decimal, or hexadecimal as bits are written.
fn number(word: &str) -> Option<i64> {
    match word.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

impl Collect for Sysctl {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut first = First::default();
        for setting in &self.numbers {
            if let Some(rows) = first.ok(setting.numbers()) {
                rows.iter().for_each(|row| tell(row, out));
            }
        }
        let words = self.words.iter();
        let found: Vec<_> = words
            .filter_map(|setting| Some((setting, first.ok(files::text(&setting.path))?)))
            .collect();
        if !found.is_empty() {
            out.family(&INFO);
        }
        for (setting, text) in &found {
            for (index, word) in text.split_ascii_whitespace().enumerate() {
                out.number(
                    &[("name", &setting.name), ("value", word), ("index", &index.to_string())],
                    1.0,
                );
            }
        }
        first.result()
    }
}

fn tell((family, series): &Row, out: &mut dyn Encoder) {
    out.family(family);
    for (index, value) in series {
        match index {
            Some(index) => out.number(&[("index", &index.to_string())], *value as f64),
            None => out.number(&[], *value as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    fn host() -> Fixture {
        Fixture::new(&[
            ("proc/sys/fs/file-nr", "1024\t0\t-1\n"),
            ("proc/sys/kernel/threads-max", "7801\n"),
            ("proc/sys/kernel/seccomp/actions_avail", "trap errno\n"),
            ("proc/sys/kernel/empty", "\n"),
        ])
    }

    #[test]
    fn numbers_by_index_by_key_and_alone() {
        let fixture = [
            "fs.file-nr",
            "fs.file-nr:total,current,max",
            "kernel.threads-max",
            "kernel.threads-max",
        ]
        .into_iter()
        .fold(host(), |host, name| host.set(INCLUDE.name, name));
        let expect = "fs_file_nr{index=\"0\"} 1024\nfs_file_nr{index=\"1\"} 0\nfs_file_nr{index=\"2\"} -1\n\
            fs_file_nr_total 1024\nfs_file_nr_current 0\nfs_file_nr_max -1\nkernel_threads_max 7801\n";
        assert_eq!(fixture.text(&COLLECTOR).replace("node_sysctl_", ""), expect);
    }

    #[test]
    fn words_become_labels() {
        let text = host()
            .set(INCLUDE_INFO.name, "kernel.seccomp.actions_avail")
            .text(&COLLECTOR);
        let expect = "{name=\"kernel.seccomp.actions_avail\",value=\"trap\",index=\"0\"} 1\n\
            {name=\"kernel.seccomp.actions_avail\",value=\"errno\",index=\"1\"} 1\n";
        assert_eq!(text.replace("node_sysctl_info", ""), expect);
    }

    #[test]
    fn one_that_is_wrong_costs_itself_alone() {
        let error = |name| {
            let (text, error) = host()
                .set(INCLUDE.name, name)
                .set(INCLUDE.name, "kernel.threads-max")
                .collect(&COLLECTOR);
            assert_eq!(text, "node_sysctl_kernel_threads_max 7801\n");
            error.unwrap_err().to_string()
        };
        assert!(error("kernel.seccomp.actions_avail").contains("\"trap\" is no number"));
        assert!(error("fs.file-nr:one").contains("it has 3 numbers, and 1 were named"));
        assert!(error("kernel.empty").contains("it has 0 numbers"));
        assert!(error("/../../etc.passwd").contains("there is nothing of the kind here"));
        assert_eq!(
            (number("0x1f"), number("-5"), number("1,2")),
            (Some(31), Some(-5), None)
        );
    }
}
