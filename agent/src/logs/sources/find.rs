//! Which files there are: patterns walked folder by folder, as far as a pattern reaches, and what rotation left beside a file.

use super::globs::{Globs, Part};
use std::collections::HashSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// Names of one folder that are looked at.
const NAMES: usize = 65_536;
/// Folders that `**` goes down.
const DEPTH: usize = 16;
/// Links that are followed by hand.
const LINKS: usize = 8;

/// A file that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The matching file beside it whose rotated or copied lines it may hold. `None`: it matches by itself.
    pub(super) of: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that match, then those beside them.
    pub(super) files: Vec<Candidate>,
    /// Folders in which something can appear that matches.
    pub(super) folders: Vec<PathBuf>,
    /// Names and folders beyond the limits.
    pub(super) refused: u64,
}

/// Walks all patterns below `root`.
pub(super) fn find(root: &Path, globs: &Globs, limit: usize) -> Found {
    let mut walk = Walk {
        root,
        globs,
        limit,
        seen: HashSet::new(),
        folders: HashSet::new(),
        beside: Vec::new(),
        found: Found::default(),
    };
    for parts in globs.include() {
        walk.folder(root.to_owned(), parts, 0);
    }
    // Beside one pattern's files may stand those of another.
    for candidate in std::mem::take(&mut walk.beside) {
        walk.add(candidate);
    }
    walk.found
}

struct Walk<'a> {
    root: &'a Path,
    globs: &'a Globs,
    limit: usize,
    seen: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
    beside: Vec<Candidate>,
    found: Found,
}

impl Walk<'_> {
    fn folder(&mut self, folder: PathBuf, parts: &[Part], depth: usize) {
        let Some((first, rest)) = parts.split_first() else {
            return;
        };
        if self.folders.len() >= self.limit {
            self.found.refused += 1;
            return;
        }
        if self.folders.insert(folder.clone()) {
            self.found.folders.push(folder.clone());
        }
        match first {
            Part::Literal(name) if !rest.is_empty() => {
                let next = folder.join(name);
                if is_folder(self.root, &next) {
                    self.folder(next, rest, depth);
                }
            }
            Part::Deep => {
                self.folder(folder.clone(), rest, depth);
                if depth < DEPTH {
                    for entry in self.names(&folder) {
                        // A link could lead back.
                        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                            self.folder(entry.path(), parts, depth + 1);
                        }
                    }
                }
            }
            part if rest.is_empty() => self.files(&folder, part),
            part => {
                for entry in self.names(&folder) {
                    let matches = entry.file_name().to_str().is_some_and(|name| part.matches(name));
                    let kind = entry.file_type();
                    let descends = || match kind {
                        Ok(kind) if kind.is_symlink() => is_folder(self.root, &entry.path()),
                        Ok(kind) => kind.is_dir(),
                        Err(_) => false,
                    };
                    if matches && descends() {
                        self.folder(entry.path(), rest, depth);
                    }
                }
            }
        }
    }

    fn files(&mut self, folder: &Path, part: &Part) {
        let names = self.names(folder).into_iter().filter(|entry| {
            let kind = entry.file_type();
            kind.is_ok_and(|kind| kind.is_file() || kind.is_symlink())
        });
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let (matching, others): (Vec<_>, Vec<_>) = names.partition(|name| part.matches(name));
        for name in &matching {
            let path = folder.join(name);
            self.add(Candidate { path, of: None });
        }
        for name in &others {
            // Between the two steps of a rotation the file itself may be absent.
            if let Some(origin) = origins(name).find(|origin| part.matches(origin)) {
                self.beside.push(Candidate {
                    path: folder.join(name),
                    of: Some(folder.join(origin)),
                });
            }
        }
    }

    fn add(&mut self, candidate: Candidate) {
        let host = candidate.path.strip_prefix(self.root).unwrap_or(&candidate.path);
        if self.seen.contains(&candidate.path) || self.globs.excludes(&Path::new("/").join(host)) {
            return;
        }
        // Paths that are no text cannot be written down.
        if self.found.files.len() >= self.limit || candidate.path.to_str().is_none() {
            self.found.refused += 1;
            return;
        }
        self.seen.insert(candidate.path.clone());
        self.found.files.push(candidate);
    }

    fn names(&mut self, folder: &Path) -> Vec<DirEntry> {
        let Ok(entries) = std::fs::read_dir(resolve(self.root, folder)) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries.take(NAMES + 1).filter_map(Result::ok).collect();
        if names.len() > NAMES {
            names.truncate(NAMES);
            self.found.refused += 1;
        }
        names
    }
}

/// Names that a rotated or copied file may have had: `app.log` of `app.log.1`, `app.log-20260102`, `app-2026-01-02.log`,
/// `app.1.log`. None of compressed files, which are not read.
pub(super) fn origins(name: &str) -> impl Iterator<Item = String> {
    const PACKED: [&str; 8] = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".tmp", ".swp"];
    let read = !PACKED.iter().any(|end| name.ends_with(end));
    let extension = name.rfind('.').filter(|at| *at > 0).map_or("", |at| &name[at..]);
    let cuts = name
        .char_indices()
        .skip(1)
        .filter(move |(_, c)| read && matches!(c, '.' | '-' | '_'));
    // The longest first: it says most.
    let cuts: Vec<usize> = cuts.map(|(at, _)| at).collect();
    cuts.into_iter().rev().flat_map(move |at| {
        let (head, tail) = (&name[..at], &name[at..]);
        let with = (!extension.is_empty() && tail != extension).then(|| format!("{head}{extension}"));
        [Some(head.to_owned()), with].into_iter().flatten()
    })
}

/// Whether one of the two names can be a rotation or a copy of the other.
pub(super) fn related(one: &Path, other: &Path) -> bool {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    match (name(one), name(other)) {
        (Some(a), Some(b)) => {
            let shares = || {
                let theirs: HashSet<String> = origins(&b).collect();
                origins(&a).any(|origin| theirs.contains(&origin))
            };
            one.parent() == other.parent()
                && (a == b
                    || origins(&a).any(|origin| origin == b)
                    || origins(&b).any(|origin| origin == a)
                    || shares())
        }
        _ => false,
    }
}

fn is_folder(root: &Path, path: &Path) -> bool {
    resolve(root, path).is_dir()
}

/// Follows absolute links below the root that the host's file systems are mounted at; the kernel would follow them below our own.
pub(super) fn resolve(root: &Path, path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    if root == Path::new("/") {
        return path;
    }
    for _ in 0..LINKS {
        match std::fs::read_link(&path) {
            Ok(to) if to.is_absolute() => path = root.join(to.strip_prefix("/").unwrap_or(&to)),
            Ok(to) => path = path.parent().unwrap_or(root).join(to),
            Err(_) => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, name).expect("a file");
        }
        dir
    }

    fn found(dir: &Path, include: &[&str], exclude: &[&str]) -> Vec<(String, Option<String>)> {
        let globs = Globs::new(
            include.iter().map(|text| text.parse().expect("a pattern")),
            exclude.iter().map(|text| text.parse().expect("a pattern")),
        );
        let rest = |path: &Path| {
            path.strip_prefix(dir)
                .expect("below")
                .to_str()
                .expect("text")
                .to_owned()
        };
        let mut all: Vec<_> = find(dir, &globs, 1000)
            .files
            .iter()
            .map(|file| (rest(&file.path), file.of.as_deref().map(rest)))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn patterns_are_walked() {
        let dir = tree(&[
            "a/x.log",
            "a/y.txt",
            "a/b/x.log",
            "a/b/c/z.log",
            "d/x.log",
            "d/x.log.1",
            "d/x.log.2.gz",
        ]);
        let alone = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), None)).collect::<Vec<_>>();
        assert_eq!(found(dir.path(), &["/a/*.log"], &[]), alone(&["a/x.log"]));
        assert_eq!(
            found(dir.path(), &["/a/**/*.log"], &[]),
            alone(&["a/b/c/z.log", "a/b/x.log", "a/x.log"])
        );
        assert_eq!(
            found(dir.path(), &["/*/x.log", "/a/b/x.log"], &["/d/**", "/a/b/*"]),
            alone(&["a/x.log"])
        );
        let with = [
            ("d/x.log".to_owned(), None),
            ("d/x.log.1".to_owned(), Some("d/x.log".to_owned())),
        ];
        assert_eq!(found(dir.path(), &["/d/*.log"], &[]), with);
        assert_eq!(found(dir.path(), &["/d/x.log"], &[]), with);
        assert_eq!(
            found(dir.path(), &["/d/x.log", "/d/x*.1"], &[]),
            alone(&["d/x.log", "d/x.log.1"])
        );
        fs::remove_file(dir.path().join("d/x.log")).expect("removed");
        assert_eq!(found(dir.path(), &["/d/x.log"], &[]), with[1..]);
    }

    #[test]
    fn links_are_followed_below_the_root() {
        let dir = tree(&["var/log/pods/ns_pod_uid/c/0.log"]);
        fs::create_dir_all(dir.path().join("var/log/containers")).expect("folders");
        symlink(
            "/var/log/pods/ns_pod_uid/c/0.log",
            dir.path().join("var/log/containers/x.log"),
        )
        .expect("a link");
        symlink("/var/log/pods", dir.path().join("var/log/there")).expect("a link");
        let all = found(
            dir.path(),
            &["/var/log/containers/*.log", "/var/log/there/*/*/*.log"],
            &[],
        );
        assert_eq!(all.len(), 2, "{all:?}");
        let path = resolve(dir.path(), &dir.path().join("var/log/containers/x.log"));
        assert_eq!(path, dir.path().join("var/log/pods/ns_pod_uid/c/0.log"));
    }

    #[test]
    fn rotated_names_have_origins() {
        for (name, origin) in [
            ("app.log.1", "app.log"),
            ("app.log-20260102", "app.log"),
            ("app-2026-01-02.log", "app.log"),
            ("app.1.log", "app.log"),
            ("0.log.20260102-150405", "0.log"),
            ("messages-20260102", "messages"),
        ] {
            assert!(origins(name).any(|found| found == origin), "{name}");
        }
        assert_eq!(origins("app.log.1.gz").count(), 0);
        assert!(related(Path::new("/x/app.log.1"), Path::new("/x/app.log.2")));
        assert!(!related(Path::new("/x/app.log"), Path::new("/y/app.log.1")));
        assert!(!related(Path::new("/x/app"), Path::new("/x/web")));
    }

    #[test]
    fn the_limit_is_reached() {
        let names: Vec<String> = (0..30).map(|n| format!("{n}.log")).collect();
        let dir = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let globs = Globs::new(["/*.log".parse().expect("a pattern")], []);
        let all = find(dir.path(), &globs, 20);
        assert_eq!((all.files.len(), all.refused), (20, 10));
    }
}
