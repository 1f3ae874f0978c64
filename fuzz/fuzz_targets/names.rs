//! Any bytes as what a process says of itself: its environment, its arguments, its cgroup. No panic; names stay bounded and
//! printable.
//!
//! Input: one byte for what it is, then its bytes; of a program the executable's path up to the first line end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::attribute::container::Cgroup;
use onlooker::attribute::service::declared::{ATTRIBUTES_MAX, Declared};
use onlooker::attribute::service::program::Program;
use onlooker::attribute::service::text::{NAME_MAX, clean};

fuzz_target!(|data: &[u8]| {
    let Some((&what, bytes)) = data.split_first() else {
        return;
    };
    match what % 4 {
        0 => {
            if let Some(declared) = Declared::parse(bytes) {
                let pairs = declared.attributes.iter().flat_map(|(key, value)| [key, value]);
                declared
                    .name
                    .iter()
                    .chain(&declared.namespace)
                    .chain(pairs)
                    .for_each(|name| check(name));
                assert!(declared.attributes.len() <= ATTRIBUTES_MAX);
            }
        }
        1 => {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
            let (exe, args) = bytes.split_at(end);
            let program = Program::new(exe, args.get(1..).unwrap_or_default(), || Some(b"/srv/shop".to_vec()));
            let names = [program.exe_name, program.command, program.script];
            names.iter().flatten().for_each(|name| check(name));
        }
        2 => {
            let text = String::from_utf8_lossy(bytes);
            let cgroup = Cgroup::parse(&text);
            assert!(
                cgroup
                    .unit
                    .is_none_or(|unit| !unit.is_empty() && unit.len() <= text.len())
            );
        }
        _ => {
            if let Some(name) = clean(bytes) {
                check(&name);
            }
        }
    }
});

fn check(name: &str) {
    assert!(!name.is_empty() && name.len() <= NAME_MAX, "{name:?}");
    assert!(!name.contains(char::is_control), "{name:?}");
}
