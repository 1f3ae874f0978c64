//! Changes of the file while the server runs.

use super::*;
use crate::web::tests::pki::Pki;
use std::fs;

/// A guard over a file in a folder of its own.
struct Guarded {
    folder: tempfile::TempDir,
    guard: Guard,
}

impl Guarded {
    fn new(text: &str) -> Guarded {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web.yml");
        fs::write(&path, text).expect("written");
        let guard = Guard::new(Some(&path)).expect("valid");
        Guarded { folder, guard }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    /// Why the last change was not taken.
    fn told(&self) -> String {
        self.guard
            .kept
            .lock()
            .expect("not poisoned")
            .told
            .clone()
            .unwrap_or_default()
    }

    fn headers(&self) -> usize {
        self.guard.policy().headers.len()
    }
}

const ONE: &str = "http_server_config: {headers: {X-Frame-Options: deny}}\n";

fn users(names: &[&str]) -> String {
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    let lines: Vec<String> = names.iter().map(|name| format!("  {name}: {hash}\n")).collect();
    format!("basic_auth_users:\n{}", lines.concat())
}

#[test]
fn without_a_file_everybody_is_let_in() {
    let guard = Guard::new(None).expect("valid");
    let policy = guard.policy();
    assert!(policy.tls.is_none() && policy.users.is_empty() && policy.limiter.is_none());
}

#[test]
fn a_change_is_taken_and_a_broken_one_is_not() {
    let guarded = Guarded::new(ONE);
    assert_eq!(guarded.headers(), 1);
    let before = guarded.guard.policy();
    guarded.write("web.yml", ONE);
    assert!(
        Arc::ptr_eq(&before, &guarded.guard.policy()),
        "the same text is the same policy"
    );
    guarded.write(
        "web.yml",
        "http_server_config: {headers: {X-Frame-Options: sometimes}}\n",
    );
    assert_eq!(guarded.headers(), 1);
    assert!(
        guarded
            .told()
            .contains("web.yml:1: http_server_config.headers.X-Frame-Options")
    );
    guarded.write("web.yml", "http_server_config: {}\n");
    assert_eq!((guarded.headers(), guarded.told()), (0, String::new()));
    fs::remove_file(guarded.folder.path().join("web.yml")).expect("removed");
    assert_eq!(guarded.headers(), 0);
    assert!(guarded.told().contains("cannot read"));
    // Moved into its place, as careful editors do.
    guarded.write("new.yml", ONE);
    fs::rename(
        guarded.folder.path().join("new.yml"),
        guarded.folder.path().join("web.yml"),
    )
    .expect("moved");
    assert_eq!((guarded.headers(), guarded.told()), (1, String::new()));
}

#[test]
fn once_files_have_settled_they_are_not_read_again() {
    let guarded = Guarded::new(ONE);
    let path = guarded.folder.path().join("web.yml");
    let old = SystemTime::now() - Duration::from_secs(60);
    let file = fs::File::options().write(true).open(&path).expect("open");
    file.set_modified(old).expect("set");
    assert_eq!(guarded.headers(), 1);
    let kept = guarded.guard.kept.lock().expect("not poisoned");
    assert!(kept.stamps.iter().all(Stamp::holds));
}

#[test]
fn a_change_opens_nothing() {
    let guarded = Guarded::new(&users(&["alice", "bob"]));
    guarded.write("web.yml", &users(&["alice"]));
    assert!(!guarded.guard.policy().users.is_empty());
    assert_eq!(guarded.told(), "", "fewer users are a change as any");
    // As it is seen between being emptied and being written.
    guarded.write("web.yml", "");
    assert!(!guarded.guard.policy().users.is_empty());
    assert_eq!(
        guarded.told(),
        "it would take away all passwords, which takes a restart"
    );

    let pki = Pki::new(guarded.folder.path());
    pki.server("localhost");
    let tls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    let verify = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    let names = "  client_allowed_sans: [localhost]\n";
    let guarded = Guarded {
        guard: {
            guarded.write("web.yml", &format!("{tls}{verify}{names}"));
            Guard::new(Some(&guarded.folder.path().join("web.yml"))).expect("valid")
        },
        folder: guarded.folder,
    };
    for (text, what) in [
        (String::new(), "TLS"),
        (tls.to_owned(), "that clients need a certificate"),
        (
            format!("{tls}  client_auth_type: RequireAnyClientCert\n"),
            "that certificates of clients are verified",
        ),
        (format!("{tls}{verify}"), "client_allowed_sans"),
    ] {
        guarded.write("web.yml", &text);
        let policy = guarded.guard.policy();
        assert!(policy.tls.is_some() && policy.client.verified && policy.named);
        assert_eq!(
            guarded.told(),
            format!("it would take away {what}, which takes a restart")
        );
    }
}

#[test]
fn certificates_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.yml");
    let told = |text: &str| {
        fs::write(&path, text).expect("written");
        let problems: Vec<String> = problems(&path).iter().map(Problem::to_string).collect();
        problems.join("\n")
    };
    let tls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    let text = told(tls);
    assert!(
        text.contains("web.yml: cannot read ") && text.contains("server.crt"),
        "{text}"
    );
    let pki = Pki::new(folder.path());
    pki.server("localhost");
    assert_eq!(told(tls), "");
    let ca = "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ";
    assert_eq!(told(&format!("{tls}{ca}ca.crt\n")), "");
    assert!(told(&format!("{tls}{ca}server.key\n")).contains("client_ca_file (or client_ca) holds no certificate"));
    // Of another certificate.
    pki.client("other");
    fs::copy(folder.path().join("other.key"), folder.path().join("server.key")).expect("copied");
    assert!(told(tls).contains("certificate and key do not do"), "{}", told(tls));
    fs::write(folder.path().join("server.key"), "none").expect("written");
    assert!(told(tls).contains("holds no private key in PEM"));
    fs::write(folder.path().join("server.crt"), "none").expect("written");
    assert!(told(tls).contains("holds no certificate in PEM"));
    let missing = problems(Path::new("/nowhere/web.yml"));
    assert!(
        missing[0]
            .to_string()
            .starts_with("--web.config.file: cannot read /nowhere/web.yml")
    );
}
