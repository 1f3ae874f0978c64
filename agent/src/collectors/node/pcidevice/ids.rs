//! Names of PCI's vendors, devices and classes: a file `pci.ids` (<https://pci-ids.ucw.cz>).
//!
//! The file has some 40,000 lines, and a host a few dozen devices: names of these are kept, not the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

/// Where the file is, when nobody says.
const PATHS: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

/// Names of the devices that were seen.
#[derive(Debug, Default)]
pub(super) struct Ids {
    paths: Vec<PathBuf>,
    /// By [`keys`]; `None` when the file has none.
    known: HashMap<String, Option<String>>,
}

impl Ids {
    /// Nothing is read yet. An empty path: the usual ones.
    pub(super) fn new(path: &str) -> Ids {
        let paths = match path {
            "" => PATHS.iter().map(PathBuf::from).collect(),
            path => vec![path.into()],
        };
        Ids {
            paths,
            known: HashMap::new(),
        }
    }

    /// Finds the names of devices that are new.
    pub(super) fn learn<'a>(&mut self, identities: impl Iterator<Item = &'a [String; 6]>) {
        let mut new = false;
        for key in identities.flat_map(keys).filter(|key| !key.is_empty()) {
            self.known.entry(key).or_insert_with(|| {
                new = true;
                None
            });
        }
        if new && let Some(bytes) = self.paths.iter().find_map(|path| fs::read(path).ok()) {
            walk(&String::from_utf8_lossy(&bytes), |key, name| {
                if let Some(known) = self.known.get_mut(key) {
                    *known = Some(name.to_owned());
                }
            });
        }
    }

    /// Labels of a device, as node_exporter names what has no name.
    pub(super) fn labels<'a>(&'a self, identity: &'a [String; 6]) -> [(&'static str, Cow<'a, str>); 5] {
        let [class, vendor, device, owner, subsystem, _] = identity;
        let keys = keys(identity);
        let name = |key: &str| self.known.get(key).and_then(Option::as_deref);
        let [
            of_interface,
            of_subclass,
            of_class,
            of_vendor,
            of_device,
            of_owner,
            of_subsystem,
        ] = keys.each_ref().map(|key| name(key));
        let class = match of_interface.or(of_subclass).or(of_class) {
            Some(name) => name.into(),
            None => format!("Unknown class ({})", bare(class)).into(),
        };
        let or_id = |name: Option<&'a str>, id: &'a str| name.unwrap_or_else(|| bare(id)).into();
        [
            ("vendor_name", or_id(of_vendor, vendor)),
            ("device_name", or_id(of_device, device)),
            ("subsystem_vendor_name", or_id(of_owner, owner)),
            ("subsystem_device_name", or_id(of_subsystem, subsystem)),
            ("class_name", class),
        ]
    }
}

/// An id without its `0x`.
fn bare(id: &str) -> &str {
    id.strip_prefix("0x").unwrap_or(id)
}

/// What names of a device are found by: three of its class, the narrowest first, then vendor, device, the subsystem's vendor and
/// the subsystem.
fn keys(identity: &[String; 6]) -> [String; 7] {
    let [class, vendor, device, owner, subsystem, _] = identity.each_ref().map(|id| bare(id));
    let class = |digits: usize| {
        class
            .get(..digits)
            .map_or_else(String::new, |class| format!("C {class}"))
    };
    [
        class(6),
        class(4),
        class(2),
        vendor.to_owned(),
        format!("{vendor} {device}"),
        owner.to_owned(),
        format!("{vendor} {device} {owner} {subsystem}"),
    ]
}

/// Calls for every line with a name: its key and its name. Lines with one tab belong to the line without, those with two to the
/// line with one.
fn walk(text: &str, mut each: impl FnMut(&str, &str)) {
    let mut key = String::new();
    // Ends of the keys of the lines that this one may belong to.
    let mut ends = [0; 2];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let depth = line.bytes().take_while(|byte| *byte == b'\t').count();
        let Some((id, name)) = line.trim_start_matches('\t').split_once("  ") else {
            continue;
        };
        let class = key.starts_with("C ");
        match depth {
            0 => key.clear(),
            1 => key.truncate(ends[0]),
            2 => key.truncate(ends[1]),
            _ => continue,
        }
        if depth > 0 && !class {
            key.push(' ');
        }
        key.push_str(id);
        if let Some(end) = ends.get_mut(depth) {
            *end = key.len();
        }
        each(&key, name.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_key_of_what_they_belong_to() {
        let text = "# a comment\n1af4  Red Hat, Inc.\n\t1041  Virtio network device\n\t\t1af4 1100  QEMU\n\t1042  Virtio block\n\
                    \nC 01  Mass storage\n\t08  Non-Volatile memory\n\t\t02  NVM Express\n\tno name\n\t\t\tdeep  er\n";
        let mut found = vec![];
        walk(text, |key, name| found.push(format!("{key}={name}")));
        let told = [
            "1af4=Red Hat, Inc.",
            "1af4 1041=Virtio network device",
            "1af4 1041 1af4 1100=QEMU",
            "1af4 1042=Virtio block",
            "C 01=Mass storage",
            "C 0108=Non-Volatile memory",
            "C 010802=NVM Express",
        ];
        assert_eq!(found, told);
    }
}
