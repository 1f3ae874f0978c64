//! What CPUs are: `proc/cpuinfo`, in the words of each architecture (`arch/*/kernel`, `show_cpuinfo`).

/// A CPU of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Info<'a> {
    pub(super) cpu: &'a str,
    pub(super) package: &'a str,
    pub(super) core: &'a str,
    pub(super) vendor: &'a str,
    pub(super) family: &'a str,
    pub(super) model: &'a str,
    pub(super) model_name: &'a str,
    pub(super) microcode: &'a str,
    pub(super) stepping: &'a str,
    pub(super) cache: &'a str,
    pub(super) mhz: Option<f64>,
    pub(super) flags: &'a str,
    pub(super) bugs: &'a str,
}

/// The CPUs of the file. A block of lines that begins with `processor` is a CPU; what stands before the first one is of all.
/// s390 lists its CPUs in lines, and has blocks that begin with `cpu number` after them.
///
/// # Errors
/// There is no CPU in it, or a CPU has no number.
pub(super) fn parse(text: &str) -> Result<Vec<Info<'_>>, String> {
    let mut shared = Info::default();
    let mut cpus: Vec<Info<'_>> = Vec::new();
    let mut current = None;
    for (line, text) in text.lines().enumerate() {
        if text.trim().is_empty() {
            current = None;
        }
        let Some((key, value)) = text.split_once(':') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        let listed = key.strip_prefix("processor ");
        if key == "processor" || listed.is_some() {
            let cpu = listed.unwrap_or(value).trim();
            if cpu.parse::<u32>().is_err() {
                return Err(format!("line {}: {cpu:?} is no number of a CPU", line + 1));
            }
            current = Some(cpus.len());
            cpus.push(Info { cpu, ..shared.clone() });
        } else if key == "cpu number" {
            current = cpus.iter().position(|info| info.cpu == value);
        } else {
            let info = current.and_then(|at| cpus.get_mut(at)).unwrap_or(&mut shared);
            info.set(key, value);
        }
    }
    if cpus.is_empty() {
        return Err("no line begins with `processor`".to_owned());
    }
    Ok(cpus)
}

impl<'a> Info<'a> {
    fn set(&mut self, key: &str, value: &'a str) {
        match key {
            "vendor_id" | "vendor" | "system type" | "cpu" => self.vendor = value,
            "cpu family" | "CPU Family" => self.family = value,
            "model" => self.model = value,
            "model name" | "Model Name" | "cpu model" | "isa" => self.model_name = value,
            "stepping" => self.stepping = value,
            "microcode" => self.microcode = value,
            "cache size" => self.cache = value,
            "physical id" => self.package = value,
            "core id" | "hart" => self.core = value,
            "cpu MHz" | "CPU MHz" | "cpu MHz dynamic" | "clock" => self.mhz = megahertz(value),
            "flags" | "Features" | "features" => self.flags = value,
            "bugs" => self.bugs = value,
            _ => {}
        }
    }
}

/// `799.998`, and `3000.000000MHz` as PowerPC has it.
fn megahertz(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x86() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: EPYC: new\n\
            stepping\t: 1\nmicrocode\t: 0xa0011d5\ncpu MHz\t\t: 2445.432\ncache size\t: 512 KB\nphysical id\t: 1\ncore id\t\t: 7\n\
            flags\t\t: fpu aes\nbugs\t\t: mds\npower management: ts ttp\n\nprocessor\t: 12\nphysical id\t: 0\npower management:\n\n";
        let cpus = parse(text).unwrap();
        assert_eq!(cpus.len(), 2);
        let first = Info {
            cpu: "0",
            package: "1",
            core: "7",
            vendor: "AuthenticAMD",
            family: "25",
            model: "1",
            model_name: "EPYC: new",
            microcode: "0xa0011d5",
            stepping: "1",
            cache: "512 KB",
            mhz: Some(2445.432),
            flags: "fpu aes",
            bugs: "mds",
        };
        assert_eq!(cpus[0], first);
        assert_eq!((cpus[1].cpu, cpus[1].package, cpus[1].mhz), ("12", "0", None));
    }

    #[test]
    fn other_architectures() {
        let arm =
            parse("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n\nHardware\t: x\nmodel\t: y\n").unwrap();
        assert_eq!((arm[0].flags, arm[0].model), ("fp asimd", ""));
        let power = parse("processor\t: 8\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 2300.000000MHz\n").unwrap();
        assert_eq!(
            (power[0].vendor, power[0].mhz),
            ("POWER9, altivec supported", Some(2300.0))
        );
        let risc = parse("processor\t: 0\nhart\t\t: 4\nisa\t\t: rv64imafdc\n").unwrap();
        assert_eq!((risc[0].core, risc[0].model_name), ("4", "rv64imafdc"));
        let s390 = "vendor_id       : IBM/S390\nfeatures\t: esan3 zarch\nprocessor 0: version = FF,  machine = 2964\n\
            processor 1: version = FF,  machine = 2964\n\ncpu number      : 1\nphysical id     : 2\ncpu MHz dynamic : 5000\n";
        let s390 = parse(s390).unwrap();
        assert_eq!(
            (s390[0].vendor, s390[0].package, s390[0].flags),
            ("IBM/S390", "", "esan3 zarch")
        );
        assert_eq!((s390[1].cpu, s390[1].package, s390[1].mhz), ("1", "2", Some(5000.0)));
    }

    #[test]
    fn garbage_is_told() {
        assert_eq!(parse("").unwrap_err(), "no line begins with `processor`");
        assert_eq!(
            parse("\nprocessor\t: one\n").unwrap_err(),
            "line 2: \"one\" is no number of a CPU"
        );
    }
}
