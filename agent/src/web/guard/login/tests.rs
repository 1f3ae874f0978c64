//! Logins without a server around them.

use super::*;
use base64::engine::general_purpose::STANDARD;
use std::task::Poll;

const COST: u32 = 4;

fn user(name: &str, password: &str) -> User {
    User {
        name: name.to_owned(),
        hash: bcrypt::hash(password, COST).expect("a hash"),
    }
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a header")
}

fn basic(login: &str) -> HeaderValue {
    header(&format!("Basic {}", STANDARD.encode(login)))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    // Pauses take no time of their own; checks take what they take.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn right_and_wrong() {
    let users = Users::new(vec![user("alice", "secret:1"), user("bob", "")]);
    let logins = Logins::default();
    block_on(async {
        for _ in 0..2 {
            for (given, expect) in [
                (basic("alice:secret:1"), Login::Right),
                (basic("bob:"), Login::Right),
                (header(&format!("bASIC {}", STANDARD.encode("bob:"))), Login::Right),
                (basic("alice:secret"), Login::Wrong),
                (basic("bob:secret:1"), Login::Wrong),
                (basic("carol:secret:1"), Login::Wrong),
                (basic("carol:"), Login::Wrong),
                (basic(":"), Login::Wrong),
                (basic("alice"), Login::Wrong),
                (header("Basic !"), Login::Wrong),
                (header("Bearer x"), Login::Wrong),
            ] {
                assert_eq!(logins.check(&users, Some(&given)).await, expect, "{given:?}");
            }
            assert_eq!(logins.check(&users, None).await, Login::Wrong);
        }
    });
    let known = lock(&logins.known);
    assert_eq!((known.right.len(), known.wrong.len()), (2, 5), "each was checked once");
}

/// A hash under another name, or another hash under the name, is another login.
#[test]
fn what_is_known_is_of_name_and_hash() {
    let logins = Logins::default();
    let alice = user("alice", "secret");
    let heir = User {
        name: "bob".to_owned(),
        ..alice.clone()
    };
    let alone = Users::new(vec![alice.clone()]);
    let both = Users::new(vec![alice, heir]);
    let renewed = Users::new(vec![user("alice", "other")]);
    block_on(async {
        assert_eq!(logins.check(&alone, Some(&basic("bob:secret"))).await, Login::Wrong);
        assert_eq!(logins.check(&both, Some(&basic("bob:secret"))).await, Login::Right);
        assert_eq!(logins.check(&alone, Some(&basic("alice:secret"))).await, Login::Right);
        assert_eq!(logins.check(&renewed, Some(&basic("alice:secret"))).await, Login::Wrong);
    });
}

#[test]
fn few_wait_and_those_with_the_same_password_share_a_check() {
    let users = Arc::new(Users::new(vec![user("alice", "secret")]));
    let logins = Arc::new(Logins::default());
    block_on(async {
        // Somebody has the turn.
        let turn = logins.turn.clone().acquire_owned().await.expect("open");
        let check = |login: String| {
            let (logins, users) = (logins.clone(), users.clone());
            tokio::spawn(async move { logins.check(&users, Some(&basic(&login))).await })
        };
        let waiting: Vec<_> = (0..WAITING).map(|_| check("alice:secret".to_owned())).collect();
        tokio::task::yield_now().await;
        assert_eq!(check("alice:guess".to_owned()).await.expect("no panic"), Login::Busy);
        drop(turn);
        for one in waiting {
            assert_eq!(one.await.expect("no panic"), Login::Right);
        }
        assert_eq!(lock(&logins.known).right.len(), 1);
    });
}

#[test]
fn after_some_wrong_ones_there_is_a_pause_even_when_nobody_waits_for_the_answer() {
    let users = Users::new(vec![user("alice", "secret")]);
    let logins = Logins::default();
    block_on(async {
        for index in 0..PATIENCE.burst {
            let given = basic(&format!("alice:{index}"));
            assert_eq!(logins.check(&users, Some(&given)).await, Login::Wrong);
            assert_eq!(logins.turn.available_permits(), 1, "a few are nothing");
        }
        lock(&logins.known).wrong.clear();
        {
            let given = basic("alice:guess");
            let check = logins.check(&users, Some(&given));
            tokio::pin!(check);
            // Begun, then the client hangs up.
            let begun = std::future::poll_fn(|cx| Poll::Ready(check.as_mut().poll(cx))).await;
            assert!(begun.is_pending());
        }
        while lock(&logins.known).wrong.is_empty() {
            assert_eq!(logins.turn.available_permits(), 0, "nobody else checks");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        assert_eq!(logins.turn.available_permits(), 0, "it rests");
        let turn = logins.turn.acquire().await.expect("open");
        drop(turn);
    });
}

#[test]
fn wrong_ones_push_out_wrong_ones_alone() {
    let mut known = Known::default();
    known.put([1; 32], true);
    for index in 0..2 * KNOWN {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&index.to_le_bytes());
        known.put(digest, false);
    }
    assert_eq!((known.right.len(), known.wrong.len()), (1, KNOWN));
    assert_eq!(known.get(&[1; 32]), Some(Login::Right));
}
