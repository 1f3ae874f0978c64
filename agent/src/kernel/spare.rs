//! Memory that the start needed and nothing needs any longer.

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

/// Gives it back to the kernel.
pub(super) fn give_back() {
    heap();
    pages();
}

/// The kernel's types and the object were some megabytes, in many small pieces, needed once.
fn heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no arguments that matter; glibc locks its own heap.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Code and constants of the program and its libraries that were read to start, and are in the page cache: those that are used again are
/// mapped again at their next use, without a read of the disk as long as the cache has them.
fn pages() {
    let Ok(maps) = Process::myself().and_then(|own| own.smaps()) else {
        return;
    };
    for map in maps.into_iter().filter(is_the_files) {
        let (start, end) = map.address;
        // SAFETY: a private mapping of a file, which nobody may write and of which no page differs from the file: what is read there
        // afterwards is the same. An error leaves all as it is.
        unsafe { libc::madvise(start as *mut libc::c_void, (end - start) as usize, libc::MADV_DONTNEED) };
    }
}

/// Whether everything in a mapping is as in its file. It is not where the linker has put addresses, although nobody may write there
/// (`.data.rel.ro`), which makes such pages anonymous; and for what is shared with the kernel (maps) there is no file.
fn is_the_files(map: &MemoryMap) -> bool {
    let none = |name: &str| map.extension.map.get(name) == Some(&0);
    matches!(&map.pathname, MMapPath::Path(path) if path.is_absolute())
        && map.perms.contains(MMPermissions::PRIVATE)
        && !map.perms.contains(MMPermissions::WRITE)
        && none("Anonymous")
        && none("Swap")
}

#[cfg(test)]
mod tests {
    use super::*;

    static CONSTANTS: [&str; 3] = ["these", "have", "addresses"];

    #[test]
    fn code_is_given_back_and_goes_on() {
        let resident = || -> u64 {
            let maps = Process::myself().unwrap().smaps().unwrap();
            let ours = maps.into_iter().filter(is_the_files);
            ours.map(|map| map.extension.map.get("Rss").copied().unwrap_or_default())
                .sum()
        };
        let before = resident();
        assert!(before > 0);
        pages();
        assert!(resident() < before);
        assert_eq!(std::hint::black_box(CONSTANTS).concat(), "thesehaveaddresses");
    }

    #[test]
    fn what_differs_from_the_file_stays() {
        let maps = Process::myself().unwrap().smaps().unwrap();
        let own = std::env::current_exe().unwrap();
        let of_program: Vec<_> = maps
            .into_iter()
            .filter(|map| matches!(&map.pathname, MMapPath::Path(path) if *path == own))
            .collect();
        let at = CONSTANTS.as_ptr() as u64;
        let holds = |map: &&MemoryMap| (map.address.0..map.address.1).contains(&at);
        let constants = of_program.iter().find(holds).unwrap();
        assert!(!is_the_files(constants), "{constants:?}");
        assert!(of_program.iter().any(is_the_files));
    }
}
