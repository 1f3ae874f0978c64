//! Every program that listens, under the name that the agent gives it, and what can be seen of it.

use super::sockets::{self, Listener, Place};
use super::tls::Finder;
use super::{Patient, proc};
use crate::attribute::process::reader::Reader;
use crate::attribute::process::{Processes, ProcessesConfig};
use crate::config::{Hooks, Roles};
use crate::signal::ProcessKey;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What listens on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Services {
    /// By name.
    pub services: Vec<Service>,
    /// Processes whose sockets this user may not see.
    pub hidden_processes: usize,
    /// Listening sockets of this network namespace whose process is not known.
    pub unnamed_sockets: Vec<String>,
}

/// A service that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// `service.name`, with the namespace before it where there is one.
    pub name: String,
    /// Its processes that listen.
    pub pids: Vec<u32>,
    /// Where: `127.0.0.1:80`, `[::]:443`, `unix:/run/app.sock`.
    pub listens: Vec<String>,
    /// What the agent sees of it.
    pub sights: Vec<Sight>,
}

/// One thing that a service may speak, and whether it is seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Sight {
    /// E.g. `plaintext HTTP/1.x`, `TLS by OpenSSL 3`.
    pub what: String,
    /// File of the library.
    pub path: Option<String>,
    /// `yes`, `no`, `not yet` or `not known`, and why.
    pub seen: String,
}

impl Sight {
    fn new(what: impl Into<String>, seen: impl Into<String>) -> Sight {
        Sight {
            what: what.into(),
            path: None,
            seen: seen.into(),
        }
    }
}

#[derive(Default)]
struct Gathered {
    pids: Vec<u32>,
    listens: BTreeSet<Place>,
    sights: BTreeSet<Sight>,
}

/// Looks at every process.
pub(super) fn look(patient: &Patient<'_>) -> Services {
    let host = patient.host;
    let mut processes = Processes::new(
        host.clone(),
        ProcessesConfig {
            limit: patient.config.limits.processes,
            host_name: host.name(),
            ..ProcessesConfig::default()
        },
    );
    let mut reader = Reader::default();
    let mut finder = Finder::default();
    let mut listeners = Listeners::default();
    let mut named: HashSet<u64> = HashSet::new();
    let mut by_name: BTreeMap<String, Gathered> = BTreeMap::new();
    let mut hidden_processes = 0;
    let own = listeners.of_own(patient);
    for pid in sockets::pids(host).into_iter().filter(|pid| *pid != std::process::id()) {
        let Some(inodes) = sockets::inodes(host, pid) else {
            // A kernel thread has no command line, and no sockets.
            let line = proc::text(host.proc.join(pid.to_string()).join("cmdline"));
            hidden_processes += usize::from(line.is_some_and(|line| !line.is_empty()));
            continue;
        };
        if inodes.is_empty() {
            continue;
        }
        let places = listeners.among(patient, pid, &inodes);
        if places.is_empty() {
            continue;
        }
        named.extend(&inodes);
        let name = match reader.key(host, pid) {
            Some(key) => name(&mut processes, key),
            None => continue,
        };
        let gathered = by_name.entry(name).or_default();
        gathered.pids.push(pid);
        gathered.listens.extend(places);
        gathered.sights.extend(tls(&mut finder, patient, pid));
    }
    let plaintext = plaintext(patient);
    let services = by_name.into_iter().map(|(name, gathered)| Service {
        name,
        pids: gathered.pids,
        listens: gathered.listens.iter().map(Place::to_string).collect(),
        sights: std::iter::once(plaintext.clone()).chain(gathered.sights).collect(),
    });
    let unnamed = own.into_iter().filter(|listener| !named.contains(&listener.inode));
    let unnamed: BTreeSet<Place> = unnamed.map(|listener| listener.at).collect();
    Services {
        services: services.collect(),
        hidden_processes,
        unnamed_sockets: unnamed.iter().map(Place::to_string).collect(),
    }
}

fn name(processes: &mut Processes, key: ProcessKey) -> String {
    let service = processes.service(key);
    match &service.namespace {
        Some(namespace) => format!("{namespace}/{}", service.name),
        None => service.name.to_string(),
    }
}

/// The same for all: the agent looks at sockets, whoever has them.
fn plaintext(patient: &Patient<'_>) -> Sight {
    let seen = match patient.config.roles {
        _ if patient.config.hooks == Hooks::Off => "no: --capture.hooks=off",
        _ if !patient.captures() => "no: no probe that sees requests attaches, see above",
        Roles::Client => "no: --capture.roles=client leaves servers' ends out",
        Roles::All | Roles::Server => "yes",
    };
    Sight::new("plaintext HTTP/1.x", seen)
}

fn tls(finder: &mut Finder, patient: &Patient<'_>, pid: u32) -> Vec<Sight> {
    let Some(found) = finder.look(patient.host, pid) else {
        return vec![Sight::new(
            "TLS",
            "not known: this user may not look at what the process has mapped",
        )];
    };
    if found.none {
        return vec![Sight::new("TLS", "none: a Go program without crypto/tls")];
    }
    if found.libraries.is_empty() {
        return vec![Sight::new(
            "TLS",
            "not known: no library was found, one may be linked into the program",
        )];
    }
    let sight = |library: super::tls::Library| Sight {
        what: format!("TLS by {}", library.name),
        path: Some(library.path),
        seen: "not yet".to_owned(),
    };
    found.libraries.into_iter().map(sight).collect()
}

/// Listening sockets by inode, table by table of the network namespaces that processes are in.
#[derive(Default)]
struct Listeners {
    by_inode: HashMap<u64, Place>,
    spaces: HashSet<String>,
}

impl Listeners {
    /// Those of this process' own namespace.
    fn of_own(&mut self, patient: &Patient<'_>) -> Vec<Listener> {
        let proc = &patient.host.proc;
        self.spaces.extend(proc::link(proc.join("self/ns/net")));
        let found = read(&proc.join("net"));
        self.add(&found);
        found
    }

    /// Where a process with these sockets listens.
    fn among(&mut self, patient: &Patient<'_>, pid: u32, inodes: &[u64]) -> Vec<Place> {
        let dir = patient.host.proc.join(pid.to_string());
        if let Some(space) = proc::link(dir.join("ns/net"))
            && self.spaces.insert(space)
        {
            self.add(&read(&dir.join("net")));
        }
        inodes
            .iter()
            .filter_map(|inode| self.by_inode.get(inode).cloned())
            .collect()
    }

    fn add(&mut self, listeners: &[Listener]) {
        let all = listeners.iter().map(|listener| (listener.inode, listener.at.clone()));
        self.by_inode.extend(all);
    }
}

fn read(net: &std::path::Path) -> Vec<Listener> {
    let mut listeners = sockets::tcp(net);
    listeners.extend(sockets::unix(net));
    listeners
}
