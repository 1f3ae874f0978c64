//! Offsets on kernels of every series, from their own type information: a part of each kernel's BTF is kept in
//! `agent/tests/data/btf`, with the members that are read and nothing else.
//!
//! To add a kernel, or a member: take the section `.BTF` of its `vmlinux` (on a running kernel `/sys/kernel/btf/vmlinux`), then
//! `BTF=FILE KERNEL=7.2 cargo test -p onlooker keep_a_kernel -- --ignored`, and look at what changed in the table.

use super::{Btf, kind};
use crate::kernel::kfuncs::Kfuncs;
use crate::kernel::layout::Layout;
use crate::kernel::loader::lacks;
use crate::probes::REGISTRY;
use onlooker_common::layout::{FIELDS, FILE_PRIVATE, NAMES, TASK_FILES};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The oldest first, each with two offsets that another reader found: `task_struct.files` and `file.private_data`, and
/// whether it has `bpf_rdonly_cast` (functions are not kept).
const KERNELS: [(&str, [u32; 2], bool); 5] = [
    ("5.10", [2808, 200], false),
    ("6.1", [3048, 200], false),
    ("6.12", [3048, 32], true),
    ("6.18", [1824, 24], true),
    ("7.2", [3416, 24], true),
];

fn file(kernel: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/btf/{kernel}.btf"))
}

#[test]
fn offsets_on_every_kernel() {
    let mut table = String::from("member");
    let mut layouts = Vec::new();
    for (kernel, [files, private], casts) in KERNELS {
        let btf = Btf::read(&file(kernel)).unwrap();
        let layout = Layout::resolve(&btf);
        // The socket tracepoints came after the oldest two, casts too.
        let lacks = |(_, fault): &(usize, String)| fault.starts_with("trace_event_raw_sock_msg_length.");
        let lengths = layout.faults.iter().filter(|fault| lacks(fault)).count();
        // A request's disk is found in one of two ways, and so is a task's state.
        let pairs = [
            ["request.rq_disk:", "request_queue.disk:"],
            ["task_struct.__state:", "task_struct.state:"],
        ];
        for pair in pairs {
            let one = |(_, fault): &&(usize, String)| pair.iter().any(|name| fault.starts_with(name));
            assert_eq!(layout.faults.iter().filter(one).count(), 1, "{kernel}: {pair:?}");
        }
        assert_eq!(
            (lengths, layout.faults.len() - pairs.len()),
            if casts { (0, 0) } else { (3, 3) },
            "{kernel}"
        );
        assert_eq!(
            [layout.offsets[TASK_FILES], layout.offsets[FILE_PRIVATE]],
            [files, private],
            "{kernel}"
        );
        let mut tracepoints = btf.tracepoints();
        tracepoints.sort_unstable();
        layouts.push((layout, Kfuncs::assumed(casts), tracepoints));
        let _ = write!(table, " {kernel}");
    }
    for (index, name) in NAMES.iter().enumerate() {
        let _ = write!(table, "\n{name}");
        for (layout, ..) in &layouts {
            let _ = write!(table, " {}", layout.offsets[index]);
        }
    }
    // What the type information says of the alternatives; the verifier may still refuse one.
    for probe in REGISTRY {
        for alternative in probe.alternatives {
            let _ = write!(table, "\n{} {}", probe.name, alternative.name);
            for (layout, kfuncs, tracepoints) in &layouts {
                let word = lacks(alternative, layout, *kfuncs, tracepoints);
                let _ = write!(table, "; {}", word.as_deref().unwrap_or("possible"));
            }
        }
    }
    insta::with_settings!({snapshot_path => "../../../tests/data/btf", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("offsets", table);
    });
}

/// Not a test: keeps the part that is needed of the kernel named by `KERNEL`, whose BTF is the file `BTF`.
#[test]
#[ignore = "writes test data"]
fn keep_a_kernel() {
    let (from, kernel) = (std::env::var("BTF").unwrap(), std::env::var("KERNEL").unwrap());
    let whole = Btf::read(Path::new(&from)).unwrap();
    let part = Keeper::keep(&whole);
    std::fs::write(file(&kernel), &part).unwrap();
    let (part, whole) = (Btf::parse(part).unwrap(), Layout::resolve(&whole));
    assert_eq!(Layout::resolve(&part).offsets, whole.offsets);
}

/// Copies types as they are, without members that no path of the table goes through, and with pointers to nothing.
struct Keeper<'b> {
    from: &'b Btf,
    /// Members to keep, by struct or union.
    members: BTreeMap<u32, BTreeSet<usize>>,
    /// Ids there of ids here.
    ids: BTreeMap<u32, u32>,
    types: Vec<Vec<u32>>,
    strings: Vec<u8>,
}

impl Keeper<'_> {
    fn keep(from: &Btf) -> Vec<u8> {
        let mut keeper = Keeper {
            from,
            members: BTreeMap::new(),
            ids: BTreeMap::from([(0, 0)]),
            types: vec![],
            strings: vec![0],
        };
        let structs = from.structs(FIELDS.iter().map(|field| field.of));
        for field in FIELDS {
            for path in field.paths {
                let mut at = structs.get(field.of).copied();
                for name in path.split('.') {
                    at = at.and_then(|id| keeper.want(from.resolve(id), name.as_bytes()));
                }
            }
        }
        for id in structs.into_values().collect::<BTreeSet<_>>() {
            keeper.copy(id);
        }
        let hooks = REGISTRY.iter().flat_map(|probe| probe.alternatives);
        let hooks: BTreeSet<&str> = hooks
            .flat_map(|alternative| alternative.programs)
            .map(|program| program.hook.point())
            .collect();
        for id in 1..from.types.len() as u32 {
            let name = from.name(id).strip_prefix(b"btf_trace_").unwrap_or_default();
            if from.kind(id) == kind::TYPEDEF && hooks.iter().any(|hook| hook.as_bytes() == name) {
                keeper.copy(id);
            }
        }
        keeper.bytes()
    }

    /// Notes the members on the way to this one, unnamed ones too, and gives its type.
    fn want(&mut self, id: u32, name: &[u8]) -> Option<u32> {
        if !matches!(self.from.kind(id), kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..(self.from.info(id) & 0xffff) as usize {
            let [text, of, _] = self.member(id, index);
            let found = match text {
                0 => self.want(self.from.resolve(of), name),
                _ => (self.from.text(text) == name).then_some(of),
            };
            if found.is_some() {
                self.members.entry(id).or_default().insert(index);
                return found;
            }
        }
        None
    }

    fn member(&self, id: u32, index: usize) -> [u32; 3] {
        let at = self.from.at(id) + 12 + index * 12;
        [0, 4, 8].map(|offset| self.from.word(at + offset))
    }

    /// Copies a type and what it consists of; gives its id there.
    fn copy(&mut self, id: u32) -> u32 {
        if let Some(copied) = self.ids.get(&id) {
            return *copied;
        }
        let (at, info, kind) = (self.from.at(id), self.from.info(id), self.from.kind(id));
        let third = self.from.word(at + 8);
        let empty = info & !0xffff;
        let name = self.text(self.from.word(at));
        let words = match kind {
            kind::STRUCT | kind::UNION => {
                let kept = self.members.get(&id).cloned().unwrap_or_default();
                let mut words = vec![name, empty | kept.len() as u32, third];
                for index in kept {
                    let [text, of, offset] = self.member(id, index);
                    words.extend([self.text(text), self.copy(of), offset]);
                }
                words
            }
            kind::ARRAY => {
                let [element, index, count] = [12, 16, 20].map(|offset| self.from.word(at + offset));
                vec![name, info, 0, self.copy(element), self.copy(index), count]
            }
            kind::INT => vec![name, info, third, self.from.word(at + 12)],
            kind::ENUM | kind::ENUM64 => vec![name, empty, third],
            kind::PTR => vec![0, info, 0],
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                vec![name, info, self.copy(third)]
            }
            kind::FWD | kind::FLOAT => vec![name, info, third],
            other => unreachable!("a member of kind {other}"),
        };
        self.types.push(words);
        let copied = self.types.len() as u32;
        self.ids.insert(id, copied);
        copied
    }

    fn text(&mut self, offset: u32) -> u32 {
        if offset == 0 {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(self.from.text(offset));
        self.strings.push(0);
        at
    }

    fn bytes(self) -> Vec<u8> {
        let types: Vec<u32> = self.types.into_iter().flatten().collect();
        let (length, strings) = (types.len() as u32 * 4, self.strings.len() as u32);
        let header = [u32::from(super::MAGIC) | 1 << 16, 24, 0, length, length, strings];
        let words = header.into_iter().chain(types).flat_map(u32::to_le_bytes);
        words.chain(self.strings).collect()
    }
}
