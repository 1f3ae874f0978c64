//! Names and passwords: HTTP's basic authentication against hashes of bcrypt, which are dear to check on purpose.
//!
//! So that nobody burns the host's CPU with wrong passwords: what was checked once is known, one check runs at a time, few
//! may wait for it, and after more than a few wrong ones there is a pause. A name that nobody has costs what a name costs that somebody has.

use super::file::{Rate, User};
use super::limit::Limiter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use ring::hmac;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Outcomes that are known at a time, of either kind.
const KNOWN: usize = 256;
/// Checks that may run or wait at a time.
const WAITING: usize = 8;
/// So many wrong ones have no pause, and one more now and then.
const PATIENCE: Rate = Rate {
    interval: Duration::from_secs(10),
    burst: 5,
};
/// The pause after any other, in times of what it took: about a tenth of one CPU goes into wrong passwords.
const PAUSE: u32 = 9;

/// Whether somebody may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Name and password belong together.
    Right,
    /// They do not.
    Wrong,
    /// Too many wait for a check.
    Busy,
}

/// Who may ask.
#[derive(Debug, Default)]
pub(super) struct Users(Vec<User>);

impl Users {
    pub(super) fn new(users: Vec<User>) -> Users {
        Users(users)
    }

    /// Nobody is asked for a password.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks logins and remembers what came of it.
#[derive(Debug)]
pub(super) struct Logins {
    /// Of this process alone: what is remembered tells nothing of passwords.
    key: hmac::Key,
    known: Arc<Mutex<Known>>,
    places: Semaphore,
    turn: Arc<Semaphore>,
    patience: Arc<Limiter>,
}

/// What logins came to, by their digest. Wrong ones cannot push out right ones.
#[derive(Debug, Default)]
struct Known {
    right: HashSet<Digest>,
    wrong: HashSet<Digest>,
}

type Digest = [u8; 32];

impl Known {
    fn get(&self, digest: &Digest) -> Option<Login> {
        match (self.right.contains(digest), self.wrong.contains(digest)) {
            (true, _) => Some(Login::Right),
            (_, true) => Some(Login::Wrong),
            _ => None,
        }
    }

    fn put(&mut self, digest: Digest, right: bool) {
        let set = if right { &mut self.right } else { &mut self.wrong };
        if set.len() >= KNOWN {
            // Which one goes is chance: the order of the set has a key of its own.
            let one = set.iter().next().copied();
            one.map(|one| set.remove(&one));
        }
        set.insert(digest);
    }
}

impl Default for Logins {
    fn default() -> Logins {
        Logins {
            key: hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()),
            known: Arc::default(),
            places: Semaphore::new(WAITING),
            turn: Arc::new(Semaphore::new(1)),
            patience: Arc::new(Limiter::new(PATIENCE, Instant::now())),
        }
    }
}

impl Logins {
    /// Checks what a request says of itself. Must run on a tokio runtime.
    pub(super) async fn check(&self, users: &Users, header: Option<&HeaderValue>) -> Login {
        let Some((name, password)) = header.and_then(credentials) else {
            return Login::Wrong;
        };
        let Some((user, exists)) = self.user(users, &name) else {
            return Login::Wrong;
        };
        let digest = self.digest(&[&name, &[u8::from(exists)], user.hash.as_bytes(), &password]);
        if let Some(known) = lock(&self.known).get(&digest) {
            return known;
        }
        let Ok(_place) = self.places.try_acquire() else {
            return Login::Busy;
        };
        let Ok(turn) = self.turn.clone().acquire_owned().await else {
            return Login::Busy;
        };
        // Others with the same password may have been before.
        if let Some(known) = lock(&self.known).get(&digest) {
            return known;
        }
        let check = Check {
            hash: user.hash.clone(),
            exists,
            password,
            digest,
            known: self.known.clone(),
            patience: self.patience.clone(),
        };
        // On its own: a client that hangs up must not make room for the next check.
        let checked = tokio::spawn(check.run(turn)).await;
        checked.unwrap_or(Login::Wrong)
    }

    /// The user of that name. For a name that nobody has one of the users stands in, always the same.
    fn user<'u>(&self, users: &'u Users, name: &[u8]) -> Option<(&'u User, bool)> {
        if let Some(user) = users.0.iter().find(|user| user.name.as_bytes() == name) {
            return Some((user, true));
        }
        let [first, ..] = self.digest(&[name]);
        let index = usize::from(first) % users.0.len().max(1);
        users.0.get(index).map(|user| (user, false))
    }

    fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let tag = context.sign();
        let mut digest = Digest::default();
        digest.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        digest
    }
}

/// One check.
struct Check {
    hash: String,
    exists: bool,
    password: Vec<u8>,
    digest: Digest,
    known: Arc<Mutex<Known>>,
    patience: Arc<Limiter>,
}

impl Check {
    async fn run(self, turn: OwnedSemaphorePermit) -> Login {
        let start = Instant::now();
        let (hash, password) = (self.hash, self.password);
        let matches = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash));
        let matches = matches.await.is_ok_and(|result| result.unwrap_or(false));
        let right = matches && self.exists;
        lock(&self.known).put(self.digest, right);
        if right {
            return Login::Right;
        }
        if !self.patience.take(Instant::now()) {
            tokio::spawn(rest(turn, start.elapsed() * PAUSE));
        }
        Login::Wrong
    }
}

/// Keeps the turn for a while.
async fn rest(turn: OwnedSemaphorePermit, pause: Duration) {
    tokio::time::sleep(pause).await;
    drop(turn);
}

/// Name and password of `Authorization: Basic …`.
fn credentials(header: &HeaderValue) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded.get(..colon)?.to_vec(), decoded.get(colon + 1..)?.to_vec()))
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
