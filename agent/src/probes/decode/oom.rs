//! The path of a victim's memory cgroup, of the names that the kernel side found on the way up.

use super::DecodeError;
use onlooker_common::record::{OomRecord, cgroup, kind};

pub(super) fn path(record: &OomRecord) -> Result<Option<String>, DecodeError> {
    let undefined = DecodeError::Value(kind::OOM);
    let names = record.names.get(..record.levels as usize).ok_or(undefined)?;
    let mut path = match record.known {
        cgroup::NOT => return Ok(None),
        cgroup::WHOLE if names.is_empty() => "/".to_owned(),
        cgroup::WHOLE => String::new(),
        cgroup::LOWER => "…".to_owned(),
        _ => return Err(undefined),
    };
    for name in names.iter().rev() {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        path.push('/');
        path.push_str(&String::from_utf8_lossy(name));
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use onlooker_common::limits::{CGROUP_LEVELS, CGROUP_NAME};
    use onlooker_common::record::{Actor, Header};

    fn record(known: u32, names: &[&str]) -> OomRecord {
        let mut record = OomRecord {
            head: Header::default(),
            actor: Actor::default(),
            known,
            levels: names.len() as u32,
            // What was there before.
            names: [[b'x'; CGROUP_NAME]; CGROUP_LEVELS],
        };
        for (slot, name) in record.names.iter_mut().zip(names) {
            slot[..name.len()].copy_from_slice(name.as_bytes());
            slot[name.len()] = 0;
        }
        record
    }

    #[test]
    fn names_from_the_lowest_up() {
        let path = |known, names: &[&str]| path(&record(known, names)).unwrap();
        assert_eq!(
            path(cgroup::WHOLE, &["b.scope", "a.slice"]).as_deref(),
            Some("/a.slice/b.scope")
        );
        assert_eq!(path(cgroup::WHOLE, &[]).as_deref(), Some("/"));
        assert_eq!(
            path(cgroup::LOWER, &["b"; CGROUP_LEVELS]).unwrap().len(),
            "…".len() + 2 * CGROUP_LEVELS
        );
        assert_eq!(path(cgroup::NOT, &["b"]), None);
    }

    #[test]
    fn what_is_not_defined() {
        let undefined = Err(DecodeError::Value(kind::OOM));
        assert_eq!(path(&record(7, &[])), undefined);
        let mut record = record(cgroup::WHOLE, &[]);
        record.levels = CGROUP_LEVELS as u32 + 1;
        assert_eq!(path(&record), undefined);
    }
}
