//! What test binaries print, read line by line from a machine's console.

/// Results of the test binaries of one machine.
#[derive(Debug, Default)]
pub(super) struct Results {
    binaries: Vec<Binary>,
    status: i32,
    /// A filter was given that some binaries hold no test for.
    filtered: bool,
}

/// Results of one binary.
#[derive(Debug, Default)]
struct Binary {
    name: String,
    /// libtest's last line.
    total: Option<String>,
    passed: u32,
    failed: Vec<String>,
    /// Those that passed when they were run once more, see `guest.rs`.
    second: u32,
    /// Its exit status, once it has ended.
    status: Option<i32>,
}

impl Results {
    /// None so far. `filtered`: a binary may hold no test that was asked for.
    pub(super) fn new(filtered: bool) -> Results {
        Results {
            filtered,
            ..Results::default()
        }
    }

    /// A line of the console.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("onlooker-vm: binary ") {
            self.binaries.push(Binary {
                name: name.to_owned(),
                ..Binary::default()
            });
            return;
        }
        let Some(binary) = self.binaries.last_mut() else {
            return;
        };
        if line == "onlooker-vm: once more" {
            binary.second = binary.failed.drain(..).len() as u32;
        } else if let Some(status) = line.strip_prefix("onlooker-vm: status ") {
            binary.status = status.trim().parse().ok();
        } else if line.starts_with("test result: ") {
            binary.total = Some(line.to_owned());
            binary.passed += number_before(line, " passed").unwrap_or(0);
        } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
            && verdict.starts_with("FAILED")
        {
            binary.failed.push(name.to_owned());
        }
    }

    /// Exit status of all.
    pub(super) fn end(&mut self, status: i32) {
        self.status = status;
    }

    /// libtest's lines with totals.
    pub(super) fn totals(&self) -> Vec<&str> {
        self.binaries
            .iter()
            .filter_map(|binary| binary.total.as_deref())
            .collect()
    }

    /// Each binary's name, and what became of its tests in a few words.
    pub(super) fn binaries(&self) -> impl Iterator<Item = (&str, String)> {
        self.binaries.iter().map(|binary| {
            let told = match binary.status {
                Some(0) => binary.passed.to_string(),
                Some(124) => format!("{}, NOT THROUGH", binary.passed),
                _ if binary.failed.is_empty() => format!("{}, ENDED EARLY", binary.passed),
                _ => format!("{}, FAILED: {}", binary.passed, binary.failed.join(", ")),
            };
            (binary.name.as_str(), told)
        })
    }

    /// Which binary was running, for a machine that ended early.
    pub(super) fn unfinished(&self) -> String {
        let last = self.binaries.last().filter(|binary| binary.status.is_none());
        last.map(|binary| format!(", during {}", binary.name))
            .unwrap_or_default()
    }

    /// What failed, in words.
    pub(super) fn failure(&self) -> Option<String> {
        let bad: Vec<String> = self
            .binaries
            .iter()
            .filter(|binary| binary.status != Some(0) || (binary.passed == 0 && !self.filtered))
            .map(|binary| match (&binary.total, binary.status) {
                (Some(_), _) if !binary.failed.is_empty() => format!("{}: {}", binary.name, binary.failed.join(", ")),
                (_, Some(0)) => format!("{} ran no test", binary.name),
                (_, Some(124)) => format!("{} was not through in its time", binary.name),
                (_, status) => format!("{} ended with status {}", binary.name, status.unwrap_or(-1)),
            })
            .collect();
        if bad.is_empty() {
            return (self.status != 0).then(|| format!("ended with status {}", self.status));
        }
        Some(bad.join("; "))
    }

    /// In words, when nothing failed.
    pub(super) fn summary(&self) -> String {
        let second: u32 = self.binaries.iter().map(|binary| binary.second).sum();
        match second {
            0 => format!("{} tests passed", self.passed()),
            _ => format!(
                "{} tests passed, {second} of them when run once more (the kernel had skipped programs)",
                self.passed()
            ),
        }
    }

    /// Tests that passed.
    pub(super) fn passed(&self) -> u32 {
        self.binaries.iter().map(|binary| binary.passed).sum()
    }
}

fn number_before(line: &str, word: &str) -> Option<u32> {
    line[..line.find(word)?].rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, status: i32) -> Results {
        let mut results = Results::default();
        text.lines().for_each(|line| results.read(line));
        results.end(status);
        results
    }

    const GOOD: &str = "onlooker-vm: binary wire\n\nrunning 2 tests\ntest a ... ok\ntest b ... ok\n\n\
                        test result: ok. 2 passed; 0 failed; 0 ignored\nonlooker-vm: status 0\n";

    #[test]
    fn totals_are_added() {
        let results = read(&GOOD.repeat(2), 0);
        assert_eq!(results.failure(), None);
        assert_eq!(results.passed(), 4);
        assert_eq!(results.totals().len(), 2);
        assert!(results.binaries().all(|binary| binary == ("wire", "2".to_owned())));
    }

    #[test]
    fn failures_are_named() {
        let bad = GOOD
            .replace("b ... ok", "b ... FAILED")
            .replace("status 0", "status 101");
        assert_eq!(read(&bad, 1).failure().as_deref(), Some("wire: b"));
        assert_eq!(
            read(&bad, 1).binaries().next(),
            Some(("wire", "2, FAILED: b".to_owned()))
        );
        let crashed = "onlooker-vm: binary wire\nrunning 2 tests\nonlooker-vm: status 139\n";
        assert!(read(crashed, 1).failure().is_some_and(|text| text.contains("139")));
        let late = crashed.replace("139", "124");
        assert!(
            read(&late, 1)
                .failure()
                .is_some_and(|text| text.contains("not through"))
        );
        assert!(read("", 7).failure().is_some_and(|text| text.contains('7')));
    }

    #[test]
    fn tests_that_pass_when_run_once_more_are_told() {
        let first = GOOD.replace("b ... ok", "b ... FAILED").replace("2 passed", "1 passed");
        let first = first.replace("onlooker-vm: status 0\n", "onlooker-vm: once more\n");
        let good = first.clone() + "test b ... ok\ntest result: ok. 1 passed; 0 failed\nonlooker-vm: status 0\n";
        let good = read(&good, 0);
        assert_eq!((good.failure(), good.passed()), (None, 2));
        assert!(good.summary().starts_with("2 tests passed, 1 of them"));
        let bad = first + "test b ... FAILED\ntest result: FAILED. 0 passed\nonlooker-vm: status 101\n";
        assert_eq!(read(&bad, 1).failure().as_deref(), Some("wire: b"));
    }

    #[test]
    fn a_binary_that_runs_no_test_is_a_failure() {
        let empty = GOOD.replace("2 passed", "0 passed");
        assert_eq!(read(&empty, 0).failure().as_deref(), Some("wire ran no test"));
    }

    #[test]
    fn a_binary_without_an_end_is_a_failure() {
        let cut = "onlooker-vm: binary wire\nrunning 2 tests\n";
        assert!(read(cut, 0).failure().is_some());
        assert_eq!(read(cut, 0).unfinished(), ", during wire");
    }
}
