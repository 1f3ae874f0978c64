//! Whose writes become lines.

use crate::attribute::service::{Facts, Service};
use crate::host::Host;
use crate::logs::sources::Glob;
use crate::signal::{Behind, ProcessKey, Stream};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A pattern of services: `*`, `?` and `[abc]`. With a slash it is one of `NAMESPACE/NAME`, else of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(glob::Pattern);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("names no service: use a name or a pattern such as shop-*".to_owned());
        }
        let pattern = glob::Pattern::new(text).map_err(|error| format!("is no pattern: {}", error.msg))?;
        Ok(Pattern(pattern))
    }
}

impl Pattern {
    fn matches(&self, service: &Service) -> bool {
        match (&service.namespace, self.0.as_str().contains('/')) {
            (Some(namespace), true) => self.0.matches(&format!("{namespace}/{}", service.name)),
            (None, true) => false,
            (_, false) => self.0.matches(&service.name),
        }
    }
}

/// What is wanted of the writes of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// They become lines.
    Lines,
    /// Their lines are read from the log of a container: for which requests they were written is wanted alone.
    Ids,
    /// Nothing.
    Nothing,
}

/// Decides whose writes become lines.
#[derive(Clone, Debug)]
pub struct Judge {
    services: Vec<Pattern>,
    host: Host,
    /// The agent's process id.
    own: u32,
    /// Logs of containers are read from files.
    containers: bool,
    /// The journal is read.
    journal: bool,
}

/// Paths as the logs of containers have them, one of each kind that is known.
const CONTAINERS: [&str; 3] = [
    "/var/log/pods/n_p_0/c/0.log",
    "/var/log/containers/p_n_c-0.log",
    "/var/lib/docker/containers/0/0-json.log",
];

/// Bytes of `/proc/PID/environ` that are read.
const ENVIRON: u64 = 256 << 10;

impl Judge {
    /// `containers` and `include`: what is read of files; `journal`: the journal is read. What comes by those is not observed too.
    pub fn new(services: Vec<Pattern>, host: Host, containers: bool, include: &[Glob], journal: bool) -> Judge {
        let read = |glob: &Glob| CONTAINERS.iter().any(|path| glob.matches(Path::new(path)));
        Judge {
            services,
            own: host.own_pid(),
            host,
            containers: containers || include.iter().any(read),
            journal,
        }
    }

    /// What is wanted of a process' writes.
    pub fn wants(&self, process: ProcessKey, service: &Service, facts: &Facts) -> Wanted {
        let chosen = self.services.iter().any(|pattern| pattern.matches(service));
        // What the agent itself started (journalctl) writes to it.
        if !chosen || self.parent(process) == Some(self.own) {
            Wanted::Nothing
        } else if self.containers && has_a_log(facts) {
            Wanted::Ids
        } else {
            Wanted::Lines
        }
    }

    /// Whether those to one of its streams do.
    pub fn wants_stream(&self, process: ProcessKey, stream: Stream, behind: Behind) -> bool {
        !(self.journal && behind == Behind::Socket && self.is_journal(process, stream))
    }

    /// Whether a process is one of a runtime that moves tasks between threads all the time: a Go program, by the note that its linker
    /// leaves at the beginning of the file.
    pub fn moves_requests(&self, process: ProcessKey) -> bool {
        let mut head = Vec::new();
        let read = File::open(self.path(process, "exe")).and_then(|file| file.take(4096).read_to_end(&mut head));
        read.is_ok() && is_go(&head)
    }

    fn path(&self, process: ProcessKey, file: &str) -> PathBuf {
        self.host.proc.join(process.pid.to_string()).join(file)
    }

    fn parent(&self, process: ProcessKey) -> Option<u32> {
        let stat = std::fs::read(self.path(process, "stat")).ok()?;
        // The name may have brackets and blanks in it.
        let (_, rest) = stat.split_at_checked(memchr::memrchr(b')', &stat)? + 2)?;
        let parent = rest.split(|byte| *byte == b' ').nth(1)?;
        std::str::from_utf8(parent).ok()?.parse().ok()
    }

    /// Whether a stream goes to the journal: systemd tells a service the device and inode of that socket in `JOURNAL_STREAM`
    /// (systemd.exec(5)), and its children inherit both. Where it cannot be told, because the process is gone, it is taken for the
    /// journal's: that has the line.
    fn is_journal(&self, process: ProcessKey, stream: Stream) -> bool {
        let fd = match stream {
            Stream::Stdout => "fd/1",
            Stream::Stderr => "fd/2",
        };
        let mut environ = Vec::new();
        let read =
            File::open(self.path(process, "environ")).and_then(|file| file.take(ENVIRON).read_to_end(&mut environ));
        let (Ok(_), Ok(socket)) = (read, std::fs::metadata(self.path(process, fd))) else {
            return true;
        };
        let mut variables = environ.split(|byte| *byte == 0);
        let told = variables.find_map(|variable| variable.strip_prefix(b"JOURNAL_STREAM="));
        told.is_some_and(|told| told == format!("{}:{}", socket.dev(), socket.ino()).as_bytes())
    }
}

/// Whether what a process writes is in one of the files that `--logs.containers` reads.
fn has_a_log(facts: &Facts) -> bool {
    facts.place.as_deref().is_some_and(|place| {
        let docker =
            |container: &crate::attribute::container::Container| matches!(container.runtime, Some("docker") | None);
        place.cgroup.pod.is_some() || place.cgroup.container.as_ref().is_some_and(docker)
    })
}

/// The head of an ELF note of Go: the length of its name, any length, its type (4: build id), its name.
fn is_go(head: &[u8]) -> bool {
    memchr::memmem::find_iter(head, b"\x04\0\0\0Go\0\0").any(|at| {
        let begin = at.checked_sub(8).and_then(|begin| head.get(begin..at));
        begin.is_some_and(|begin| begin.starts_with(&[4, 0, 0, 0]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::container::place::Place;
    use crate::attribute::container::{Cgroup, Container, PodUid};
    use std::sync::Arc;

    fn service(namespace: Option<&str>, name: &str) -> Service {
        Service {
            name: name.into(),
            namespace: namespace.map(Into::into),
            resource: Arc::default(),
        }
    }

    /// A `/proc` with one process, 7, whose parent is 5 and whose standard error is a file of this tree.
    fn proc(environ: &dyn Fn(&std::fs::Metadata) -> String) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().expect("a folder");
        let of = dir.path().join("7");
        std::fs::create_dir_all(of.join("fd")).expect("folders");
        std::fs::create_dir(dir.path().join("5")).expect("a folder");
        std::fs::write(of.join("stat"), "7 (a) b) S 5 7 7 0").expect("a file");
        std::fs::write(of.join("fd/2"), "").expect("a file");
        let socket = std::fs::metadata(of.join("fd/2")).expect("a file");
        std::fs::write(of.join("environ"), environ(&socket)).expect("a file");
        let host = Host {
            proc: dir.path().to_owned(),
            ..Host::default()
        };
        (dir, host)
    }

    const SEVEN: ProcessKey = ProcessKey { pid: 7, start: 1 };

    fn wants(pattern: &str, service: &Service) -> bool {
        let (_dir, host) = proc(&|_| String::new());
        let judge = Judge::new(vec![pattern.parse().expect("a pattern")], host, false, &[], false);
        judge.wants(SEVEN, service, &Facts::default()) == Wanted::Lines
    }

    #[test]
    fn services_are_chosen_by_pattern() {
        let (plain, spaced) = (service(None, "shop-web"), service(Some("eu"), "shop-web"));
        for pattern in ["shop-web", "shop-*", "*", "s?op-web"] {
            assert!(wants(pattern, &plain) && wants(pattern, &spaced), "{pattern}");
        }
        assert!(wants("eu/*", &spaced) && !wants("eu/*", &plain));
        assert!(!wants("us/*", &spaced) && !wants("shop", &plain));
        for text in ["", "[a"] {
            text.parse::<Pattern>().expect_err(text);
        }
    }

    #[test]
    fn what_files_have_is_not_observed_too() {
        let (_dir, host) = proc(&|_| String::new());
        let judge = |containers, include: &[Glob]| {
            Judge::new(
                vec!["*".parse().expect("a pattern")],
                host.clone(),
                containers,
                include,
                false,
            )
        };
        let place = |pod: bool, runtime| Facts {
            place: Some(Arc::new(Place {
                cgroup: Cgroup {
                    container: Some(Container {
                        id: "0".to_owned(),
                        runtime,
                    }),
                    pod: pod.then(|| PodUid {
                        uid: "0".to_owned(),
                        qos: "burstable",
                    }),
                    unit: None,
                },
                ..Place::default()
            })),
            ..Facts::default()
        };
        let its = service(None, "shop");
        let globs: Vec<Glob> = vec!["/var/log/pods/*/*/*.log".parse().expect("a pattern")];
        for (facts, has_log) in [
            (place(true, Some("containerd")), true),
            (place(false, Some("docker")), true),
            (place(false, Some("podman")), false),
            (place(false, Some("lxc")), false),
            (Facts::default(), false),
        ] {
            assert_eq!(
                judge(false, &[]).wants(SEVEN, &its, &facts),
                Wanted::Lines,
                "no file is read"
            );
            let expect = if has_log { Wanted::Ids } else { Wanted::Lines };
            assert_eq!(judge(true, &[]).wants(SEVEN, &its, &facts), expect, "{facts:?}");
            assert_eq!(judge(false, &globs).wants(SEVEN, &its, &facts), expect, "{facts:?}");
        }
    }

    #[test]
    fn what_the_journal_has_is_not_observed_too() {
        let (dir, host) = proc(&|socket| format!("A=1\0JOURNAL_STREAM={}:{}\0B=2\0", socket.dev(), socket.ino()));
        let judge = |journal| Judge::new(Vec::new(), host.clone(), false, &[], journal);
        assert!(!judge(true).wants_stream(SEVEN, Stream::Stderr, Behind::Socket));
        assert!(judge(true).wants_stream(SEVEN, Stream::Stderr, Behind::Pipe));
        assert!(judge(false).wants_stream(SEVEN, Stream::Stderr, Behind::Socket));
        // Gone.
        assert!(!judge(true).wants_stream(SEVEN, Stream::Stdout, Behind::Socket));
        for other in ["A=1\0", "JOURNAL_STREAM=1:1\0", ""] {
            std::fs::write(dir.path().join("7/environ"), other).expect("a file");
            assert!(
                judge(true).wants_stream(SEVEN, Stream::Stderr, Behind::Socket),
                "{other:?}"
            );
        }
    }

    #[test]
    fn what_the_agent_started_is_not_observed() {
        let (dir, host) = proc(&|_| String::new());
        let judge = || Judge::new(vec!["*".parse().expect("a pattern")], host.clone(), false, &[], false);
        let its = service(None, "journalctl");
        assert_eq!(judge().wants(SEVEN, &its, &Facts::default()), Wanted::Lines);
        std::os::unix::fs::symlink("5", dir.path().join("self")).expect("a link");
        assert_eq!(judge().wants(SEVEN, &its, &Facts::default()), Wanted::Nothing);
    }

    #[test]
    fn programs_of_go_are_known_by_their_note() {
        let note = [
            &b"\x7fELF...."[..],
            &[4, 0, 0, 0, 83, 0, 0, 0, 4, 0, 0, 0],
            b"Go\0\0abc",
        ]
        .concat();
        assert!(is_go(&note));
        assert!(!is_go(b"Go\0\0") && !is_go(b"\x04\0\0\0Go\0\0") && !is_go(b""));
        let gnu = [&[4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0][..], b"GNU\0"].concat();
        assert!(!is_go(&gnu));
    }
}
