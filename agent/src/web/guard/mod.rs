//! Who may ask the server, and how: the file of `--web.config.file` with TLS, certificates of clients, names and passwords,
//! headers and a limit of the rate.
//!
//! The file and what it names are looked at (their times, sizes and inodes) for every connection and every request, and read
//! again when something is new. A change that is broken, or that would open what is closed, is not taken: the log says so, and
//! what was before goes on.

mod file;
mod limit;
mod login;
mod peers;
mod reader;
mod tls;
mod yaml;

use crate::config::Problem;
use crate::config::file::read_text;
use file::{Client, Pem, WebFile};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use limit::Limiter;
use login::{Login, Logins, Users};
use ring::digest::{Context, Digest, SHA256};
use rustls::ServerConfig;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tls::Pems;

/// A file that was written so short a while before it was read may have been written again without new times.
const SETTLED: Duration = Duration::from_secs(2);

/// What is wrong with a web configuration file and with the certificates that it names.
pub(crate) fn problems(path: &Path) -> Vec<Problem> {
    match load(path).1 {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    }
}

/// Keeps the door.
#[derive(Debug)]
pub(super) struct Guard {
    path: Option<PathBuf>,
    kept: Mutex<Kept>,
    logins: Logins,
}

#[derive(Debug)]
struct Kept {
    policy: Arc<Policy>,
    stamps: Vec<Stamp>,
    /// What was last said of a change that was not taken.
    told: Option<String>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has no name and password that belong together.
    Login,
    /// Too many logins are being checked.
    Busy,
    /// There are more requests than `rate_limit` allows.
    Rate,
}

/// What holds for a connection or a request.
#[derive(Debug, Default)]
pub(super) struct Policy {
    /// What handshakes are made with; `None`: there are none.
    pub(super) tls: Option<Arc<ServerConfig>>,
    client: Client,
    /// The names of clients are limited.
    named: bool,
    users: Users,
    limiter: Option<Limiter>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is taken and does not do what somebody may expect.
    notes: Vec<String>,
    /// Of all that was read.
    digest: Option<Digest>,
}

impl Guard {
    /// Without a file everybody is let in.
    ///
    /// # Errors
    /// See [`problems`].
    pub(super) fn new(path: Option<&Path>) -> Result<Guard, Vec<Problem>> {
        let (stamps, policy) = match path {
            Some(path) => {
                let (stamps, loaded) = load(path);
                let policy = loaded?;
                policy.tell_notes(path);
                (stamps, policy)
            }
            None => (Vec::new(), Policy::default()),
        };
        Ok(Guard {
            path: path.map(Path::to_owned),
            kept: Mutex::new(Kept {
                policy: Arc::new(policy),
                stamps,
                told: None,
            }),
            logins: Logins::default(),
        })
    }

    /// What holds now.
    pub(super) fn policy(&self) -> Arc<Policy> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path
            && !kept.stamps.iter().all(Stamp::holds)
        {
            kept.renew(path);
        }
        kept.policy.clone()
    }

    /// Lets a request in, or says why not. Must run on a tokio runtime.
    pub(super) async fn admit(&self, policy: &Policy, headers: &HeaderMap) -> Result<(), Refusal> {
        let now = Instant::now();
        if policy.limiter.as_ref().is_some_and(|limiter| !limiter.take(now)) {
            return Err(Refusal::Rate);
        }
        if policy.users.is_empty() {
            return Ok(());
        }
        match self.logins.check(&policy.users, headers.get(AUTHORIZATION)).await {
            Login::Right => Ok(()),
            Login::Wrong => Err(Refusal::Login),
            Login::Busy => Err(Refusal::Busy),
        }
    }
}

impl Kept {
    fn renew(&mut self, path: &Path) {
        let (stamps, loaded) = load(path);
        self.stamps = stamps;
        let loaded = loaded.map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
            problems.join("; ")
        });
        let taken = loaded.and_then(|policy| match self.policy.opened_by(&policy) {
            Some(what) => Err(format!("it would take away {what}, which takes a restart")),
            None => Ok(policy),
        });
        match taken {
            Ok(policy) => {
                self.told = None;
                if !self.policy.is_of(&policy) {
                    tracing::info!(file = %path.display(), "the web configuration was read again");
                    policy.tell_notes(path);
                    self.policy = Arc::new(policy);
                }
            }
            Err(what) if self.told.as_ref() != Some(&what) => {
                tracing::warn!(file = %path.display(), what, "a change of the web configuration is not taken");
                self.told = Some(what);
            }
            Err(_) => {}
        }
    }
}

impl Policy {
    /// Adds what every answer has.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// What keeps others out.
    fn closed(&self) -> [(bool, &'static str); 5] {
        [
            (self.tls.is_some(), "TLS"),
            (!self.users.is_empty(), "all passwords"),
            (self.client.required, "that clients need a certificate"),
            (self.client.verified, "that certificates of clients are verified"),
            (self.named, "client_allowed_sans"),
        ]
    }

    /// What another policy would leave open that is closed now: a file that is seen half written must open nothing.
    fn opened_by(&self, new: &Policy) -> Option<&'static str> {
        let mut pairs = self.closed().into_iter().zip(new.closed());
        pairs
            .find(|((was, _), (is, _))| *was && !*is)
            .map(|((_, what), _)| what)
    }

    /// Were they read from the same?
    fn is_of(&self, other: &Policy) -> bool {
        self.digest.as_ref().map(Digest::as_ref) == other.digest.as_ref().map(Digest::as_ref)
    }

    fn tell_notes(&self, path: &Path) {
        for note in &self.notes {
            tracing::warn!(file = %path.display(), note, "web configuration");
        }
    }
}

/// How a file was when it was read.
#[derive(Debug)]
struct Stamp {
    path: PathBuf,
    state: State,
    /// It may change without its state telling.
    young: bool,
}

/// Times, size and place of a file; nothing where there is none.
type State = Option<(i64, i64, i64, i64, u64, u64, u64)>;

impl Stamp {
    fn of(path: &Path) -> Stamp {
        let found = std::fs::metadata(path).ok();
        let changed = found.as_ref().and_then(|found| found.modified().ok());
        let age = changed.and_then(|at| SystemTime::now().duration_since(at).ok());
        Stamp {
            path: path.to_owned(),
            young: age.is_some_and(|age| age < SETTLED),
            state: found.as_ref().map(state),
        }
    }

    /// The file is as it was.
    fn holds(&self) -> bool {
        !self.young && std::fs::metadata(&self.path).ok().as_ref().map(state) == self.state
    }
}

fn state(file: &Metadata) -> (i64, i64, i64, i64, u64, u64, u64) {
    let (modified, changed) = ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
    (
        modified.0,
        modified.1,
        changed.0,
        changed.1,
        file.len(),
        file.ino(),
        file.dev(),
    )
}

/// Reads a file and what it names. Stamps are made before: what changes meanwhile is seen the next time.
fn load(path: &Path) -> (Vec<Stamp>, Result<Policy, Vec<Problem>>) {
    let mut stamps = vec![Stamp::of(path)];
    let loaded = load_with(path, &mut stamps);
    (stamps, loaded)
}

fn load_with(path: &Path, stamps: &mut Vec<Stamp>) -> Result<Policy, Vec<Problem>> {
    let problem = |what: String| Problem {
        place: path.display().to_string(),
        what,
    };
    let mut digest = Context::new(&SHA256);
    let text = read_text(path).map_err(|error| {
        vec![Problem {
            place: "--web.config.file".to_owned(),
            what: format!("cannot read {}: {error}", path.display()),
        }]
    })?;
    digest.update(text.as_bytes());
    let WebFile {
        tls,
        headers,
        users,
        rate,
        notes,
    } = file::parse(path, &text)?;
    let mut policy = Policy {
        headers,
        users: Users::new(users),
        limiter: rate.map(|rate| Limiter::new(rate, Instant::now())),
        notes,
        ..Policy::default()
    };
    if let Some(tls) = tls {
        let mut read = |pem: &Pem| -> Result<Vec<u8>, Vec<Problem>> {
            let bytes = match pem {
                Pem::Inline(text) => text.clone().into_bytes(),
                Pem::File(file) => {
                    stamps.push(Stamp::of(file));
                    let text = read_text(file);
                    let text = text.map_err(|error| vec![problem(format!("cannot read {}: {error}", file.display()))]);
                    text?.into_bytes()
                }
            };
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(&bytes);
            Ok(bytes)
        };
        let pems = Pems {
            cert: read(&tls.cert)?,
            key: read(&tls.key)?,
            client_ca: tls.client_ca.as_ref().map(&mut read).transpose()?.unwrap_or_default(),
        };
        policy.tls = Some(tls::config(&tls, &pems).map_err(|what| vec![problem(what)])?);
        policy.client = tls.client;
        policy.named = !tls.client_names.is_empty();
    }
    policy.digest = Some(digest.finish());
    Ok(policy)
}

#[cfg(test)]
mod tests;
