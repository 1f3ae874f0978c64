//! Resolves the table of `onlooker_common::layout` against a kernel's type information.

use super::btf::Btf;
use onlooker_common::layout::{ABSENT, COUNT, FIELDS, NAMES, TYPES};

/// Byte offsets in the order of the table; [`ABSENT`] where the kernel has no such member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The offsets.
    pub offsets: [u32; COUNT],
    /// BTF ids in the order of [`TYPES`]; 0 where the kernel has no such struct.
    pub types: [u32; TYPES.len()],
    /// What is wrong with the absent ones, one sentence each, by index.
    pub faults: Vec<(usize, String)>,
}

impl Layout {
    /// Resolves every member.
    pub fn resolve(btf: &Btf) -> Layout {
        let ids = btf.structs(FIELDS.iter().map(|field| field.of).chain(TYPES.iter().copied()));
        let mut layout = Layout {
            offsets: [ABSENT; COUNT],
            types: std::array::from_fn(|index| ids.get(TYPES[index]).copied().unwrap_or_default()),
            faults: vec![],
        };
        for (index, field) in FIELDS.iter().enumerate() {
            let found = ids
                .get(field.of)
                .ok_or("the kernel has no such struct".to_owned())
                .and_then(|id| {
                    let member = field
                        .paths
                        .iter()
                        .find_map(|path| btf.member(*id, path))
                        .ok_or("the kernel has no such member".to_owned())?;
                    if member.bit_field || field.size != 0 && member.size != field.size {
                        return Err(format!("it has {} bytes, {} are expected", member.size, field.size));
                    }
                    Ok(member.offset)
                });
            match found {
                Ok(offset) => layout.offsets[index] = offset,
                Err(fault) => layout.faults.push((index, format!("{}: {fault}", NAMES[index]))),
            }
        }
        layout
    }

    /// Why a probe that needs these members cannot work here; `None` when all are there.
    pub fn missing(&self, needs: &[&[usize]]) -> Option<String> {
        let faults: Vec<&str> = self
            .faults
            .iter()
            .filter(|(index, _)| needs.iter().any(|list| list.contains(index)))
            .map(|(_, fault)| fault.as_str())
            .collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_running_kernel_has_every_member() {
        let path = Path::new("/sys/kernel/btf/vmlinux");
        if !path.exists() {
            assert!(std::env::var_os("CI").is_none(), "no BTF on this machine");
            eprintln!("skipped: no {}", path.display());
            return;
        }
        let layout = Layout::resolve(&Btf::read(path).unwrap());
        // A request's disk is found in one of two ways, and so is a task's state.
        use onlooker_common::layout::{QUEUE_DISK, REQUEST_DISK, TASK_STATE, TASK_STATE_LONG};
        let mut faults = layout.faults.clone();
        faults.retain(|(index, _)| ![REQUEST_DISK, QUEUE_DISK, TASK_STATE, TASK_STATE_LONG].contains(index));
        assert_eq!((faults, layout.faults.len()), (vec![], 2));
        // Facts of the C ABI that no kernel changes.
        assert_eq!(layout.offsets[onlooker_common::layout::FDT_MAX], 0);
        assert_eq!(
            layout.offsets[onlooker_common::layout::SK_NUM],
            layout.offsets[onlooker_common::layout::SK_DPORT] + 2
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let layout = Layout {
            offsets: [0; COUNT],
            types: [0; TYPES.len()],
            faults: vec![(2, "task_struct.pid: gone".into())],
        };
        assert_eq!(layout.missing(&[&[1], &[2]]), Some("task_struct.pid: gone".into()));
        assert_eq!(layout.missing(&[&[1, 3]]), None);
    }
}
