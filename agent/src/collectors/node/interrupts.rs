//! Interrupts of each CPU by line and device: `proc/interrupts` (`kernel/irq/proc.c`, `arch/x86/kernel/irq.c`).

use super::cpus;
use super::files::Kept;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "interrupts",
    about: "interrupts of each CPU by line and device",
    default: false,
    flags: &[&INCLUDE, &EXCLUDE, &ZEROS],
    make: |setup| Ok(Box::new(Interrupts::new(setup)?)),
};

static INCLUDE: Flag = Flag {
    name: "collector.interrupts.name-include",
    form: Form::Regex,
    help: "Interrupts to tell, by type;info;devices; not along with name-exclude.",
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.interrupts.name-exclude",
    form: Form::Regex,
    help: "Interrupts not to tell, by type;info;devices; not along with name-include.",
    ..Flag::BASE
};
static ZEROS: Flag = Flag {
    name: "collector.interrupts.include-zeros",
    form: Form::Switch,
    help: "Tell interrupts that a CPU never had too.",
    default: &["true"],
    ..Flag::BASE
};

static TOTAL: Family = Family::new(
    "node_interrupts_total",
    "",
    "Interrupts that a CPU served.",
    Kind::Counter,
);

struct Interrupts {
    file: Kept,
    filter: Filter,
    zeros: bool,
}

impl Interrupts {
    fn new(setup: &Setup<'_>) -> Result<Interrupts, String> {
        Ok(Interrupts {
            file: Kept::new(setup.host.proc.join("interrupts")),
            filter: setup.filter(&INCLUDE, &EXCLUDE)?,
            zeros: setup.is_on(&ZEROS),
        })
    }
}

/// A line of the file.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    name: &'a str,
    counts: Vec<u64>,
    info: String,
    devices: String,
}

impl Collect for Interrupts {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        let text = self.file.text()?;
        let wrong = |what: String| CollectError::malformed(&path, what);
        let mut lines = text.lines();
        // Columns are CPUs that are online.
        let cpus = cpus::columns(lines.next()).map_err(wrong)?;
        out.family(&TOTAL);
        for (line, text) in lines.enumerate() {
            let Some(line) = parse(text, cpus.len()).map_err(|what| wrong(format!("line {}: {what}", line + 2)))?
            else {
                continue;
            };
            if !self
                .filter
                .takes(&format!("{};{};{}", line.name, line.info, line.devices))
            {
                continue;
            }
            for (cpu, count) in cpus
                .iter()
                .zip(line.counts)
                .filter(|(_, count)| self.zeros || *count > 0)
            {
                let labels = [
                    ("cpu", *cpu),
                    ("type", line.name),
                    ("info", &line.info),
                    ("devices", &line.devices),
                ];
                out.number(&labels, count as f64);
            }
        }
        Ok(())
    }
}

/// `9: 398553 2320 IR-IO-APIC-fasteoi acpi`, `NMI: 47 5031 Non-maskable interrupts`. `None`: one without a count a CPU, or without
/// words behind them (`ERR`, `MIS`).
fn parse(text: &str, cpus: usize) -> Result<Option<Line<'_>>, String> {
    let Some((name, rest)) = text.split_once(':') else {
        return Ok(None);
    };
    let name = name.trim_start();
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (Some(counts), Some(words @ [first, more @ ..])) = (words.get(..cpus), words.get(cpus..)) else {
        return Ok(None);
    };
    let count = |word: &&str| word.parse::<u64>().map_err(|error| format!("{word:?}: {error}"));
    let numbered = name.bytes().all(|byte| byte.is_ascii_digit());
    Ok(Some(Line {
        name,
        counts: counts.iter().map(count).collect::<Result<_, _>>()?,
        info: if numbered { (*first).to_owned() } else { words.join(" ") },
        devices: if numbered { more.join(" ") } else { String::new() },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::flags::Settings;
    use crate::collectors::node::testing::Fixture;

    const TEXT: &str = "           CPU0       CPU2       \n  9:     398553          0  IR-IO-APIC   9-fasteoi   acpi, x\n\
        NMI:         47       5031   Non-maskable interrupts\nERR:          0\n";

    fn samples(fixture: &Fixture) -> String {
        fixture.text(&COLLECTOR).replace("node_interrupts_total", "")
    }

    #[test]
    fn lines_of_devices_and_of_cpus() {
        let expect = "{cpu=\"0\",type=\"9\",info=\"IR-IO-APIC\",devices=\"9-fasteoi acpi, x\"} 398553\n\
            {cpu=\"2\",type=\"9\",info=\"IR-IO-APIC\",devices=\"9-fasteoi acpi, x\"} 0\n\
            {cpu=\"0\",type=\"NMI\",info=\"Non-maskable interrupts\",devices=\"\"} 47\n\
            {cpu=\"2\",type=\"NMI\",info=\"Non-maskable interrupts\",devices=\"\"} 5031\n";
        assert_eq!(samples(&Fixture::new(&[("proc/interrupts", TEXT)])), expect);
    }

    #[test]
    fn filters() {
        let host = || Fixture::new(&[("proc/interrupts", TEXT)]);
        assert_eq!(samples(&host().set(ZEROS.name, "false")).lines().count(), 3);
        assert_eq!(samples(&host().set(INCLUDE.name, ";.*acpi")).lines().count(), 2);
        assert_eq!(samples(&host().set(EXCLUDE.name, "^NMI;Non")).lines().count(), 2);
        let host = host().host();
        let settings = Settings {
            given: [
                (INCLUDE.name, vec!["a".to_owned()]),
                (EXCLUDE.name, vec!["b".to_owned()]),
            ]
            .into(),
            ..Settings::default()
        };
        let made = Interrupts::new(&Setup {
            host: &host,
            settings: &settings,
        });
        assert!(made.err().unwrap().contains("exclude each other"));
    }

    #[test]
    fn garbage_is_told() {
        let error = |text| Fixture::new(&[("proc/interrupts", text)]).error(&COLLECTOR);
        assert!(error("\n").ends_with("interrupts: line 1 names no CPU"));
        assert!(error("CPU0\n 1: many timer\n").contains("line 2: \"many\": invalid digit"));
    }
}
