//! Who asks, and whom: settings, tokens, certificates.

use super::*;
use crate::web::tests::pki::Pki;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn tls(pki: &Pki) -> rustls::ServerConfig {
    pki.server("localhost");
    let chain = CertificateDer::from_pem_file(pki.path("server.crt")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(pki.path("server.key")).expect("PEM");
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a key")
}

#[tokio::test]
async fn token_and_certificates_are_those_of_now() {
    let dir = tempfile::tempdir().expect("a folder");
    let pki = Pki::new(dir.path());
    // Two answers, so that the second request is made after the first was dealt with.
    let answers = vec![
        Answer::whole(list(&[pod("a", 3)], 7, "")),
        Answer::stream([bookmark(8)], End::Whole),
        Answer::stream([bookmark(9)], End::Whole),
    ];
    let server = Server::start(Some(tls(&pki)), answers).await;
    // First another authority, of the same name.
    let other = tempfile::tempdir().expect("a folder");
    Pki::new(other.path());
    let (ca, token) = (dir.path().join("now.crt"), dir.path().join("token"));
    fs::copy(other.path().join("ca.crt"), &ca).expect("copied");
    fs::write(&token, "first\n").expect("written");
    let mut settings = settings(&format!("https://localhost:{}", server.address.port()));
    settings.token_file = Some(token.clone());
    settings.ca_file = Some(ca.clone());
    let watched = Watched::of(server, settings, 10);
    watched
        .until("distrust", |watched| watched.errors(Reason::Connect) > 0)
        .await;
    assert_eq!(watched.server.calls().len(), 0, "the token was shown to nobody");
    fs::write(&token, "second").expect("written");
    fs::rename(pki.path("ca.crt"), &ca).expect("renamed");
    let calls = watched.calls(4).await;
    assert_eq!(watched.names(), ["a"]);
    assert_eq!(calls[0].authorization.as_deref(), Some("Bearer second"));
    assert_eq!(watched.errors(Reason::File), 0);
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let token = dir.path().join("token");
    let path = token.clone();
    let watched = Watched::with(vec![Answer::whole(list(&[], 7, ""))], 10, |settings| {
        settings.token_file = Some(path);
        settings.server.set_path("/clusters/one/");
    })
    .await;
    watched
        .until("no file", |watched| watched.errors(Reason::File) > 0)
        .await;
    fs::write(&token, "late").expect("written");
    let calls = watched.calls(2).await;
    assert_eq!(calls[0].authorization.as_deref(), Some("Bearer late"));
    assert_eq!(calls[0].path, "/clusters/one/api/v1/pods");
}

#[tokio::test]
async fn the_token_is_not_carried_where_an_answer_points() {
    let dir = tempfile::tempdir().expect("a folder");
    let token = dir.path().join("token");
    fs::write(&token, "mine").expect("written");
    let other = Server::start(None, vec![Answer::whole(list(&[pod("theirs", 3)], 7, ""))]).await;
    let there = format!("http://{}/api/v1/pods", other.address);
    let answers = vec![
        Answer::error(307, "elsewhere").header("location", there.leak()),
        Answer::whole(list(&[pod("ours", 3)], 7, "")),
    ];
    let watched = Watched::with(answers, 10, |settings| settings.token_file = Some(token)).await;
    watched.until("the pods", |watched| watched.names() == ["ours"]).await;
    assert_eq!(watched.server.calls()[0].authorization.as_deref(), Some("Bearer mine"));
    assert_eq!(other.calls().len(), 0);
}

/// What is settled of an account's folder with these files.
fn settle(api: &str, node: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Option<Settings>, String> {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("written");
    }
    let asked = Asked {
        api: &Api::from_text(api)?,
        node,
        token_file: Path::new(""),
        ca_file: Path::new(""),
        account: dir.path(),
        host: Some("Node-1.example.com"),
        labels: true,
    };
    let env = |name: &str| {
        let found = env.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Settings::settle(&asked, &env).map_err(|error| error.to_string())
}

#[test]
fn what_kubernetes_gives_a_pod_is_enough() {
    let env = [
        ("KUBERNETES_SERVICE_HOST", "2001:db8::1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
    ];
    let settled = settle("auto", "", &[("token", "t")], &env)
        .expect("settled")
        .expect("in a cluster");
    assert_eq!(settled.server.as_str(), "https://[2001:db8::1]/");
    assert_eq!((&*settled.node, settled.labels), ("node-1.example.com", true));
    assert!(settled.token_file.is_some() && settled.ca_file.is_none());
    for (api, files, env) in [
        ("off", &[("token", "t")][..], &env[..]),
        ("auto", &[], &env),
        ("auto", &[("token", "t")], &[]),
        (
            "auto",
            &[("token", "t")],
            &[
                ("KUBERNETES_SERVICE_HOST", "192.0.2.1"),
                ("KUBERNETES_SERVICE_PORT", "x"),
            ],
        ),
    ] {
        assert_eq!(settle(api, "", files, env), Ok(None), "{api} {files:?} {env:?}");
    }
}

#[test]
fn a_proxy_on_this_host_is_shown_no_token_unasked() {
    let settled = settle("http://127.0.0.1:8001", "n", &[("token", "t"), ("ca.crt", "x")], &[]);
    let settled = settled.expect("settled").expect("a URL");
    assert_eq!((settled.token_file, settled.ca_file, &*settled.node), (None, None, "n"));
}

#[test]
fn mistakes_are_one_sentence() {
    let check = |api: &str, files: &[(&str, &str)], expect: &str| {
        let error = settle(api, "n", files, &[]).expect_err("a mistake");
        assert!(error.contains(expect), "{error}");
    };
    check("on", &[], "use auto, off or a URL");
    check("ftp://192.0.2.1", &[], "use https://");
    check("http://192.0.2.1:6443", &[], "without encryption");
    check("https://u:p@192.0.2.1", &[], "--kubernetes.token-file");
    check("https://192.0.2.1?a=b", &[], "--kubernetes.token-file");
    check(
        "https://192.0.2.1",
        &[("token", " \n")],
        "--kubernetes.token-file: cannot use",
    );
    check("https://192.0.2.1", &[("token", "a b")], "it holds no token");
    check(
        "https://192.0.2.1",
        &[("ca.crt", "no PEM")],
        "--kubernetes.ca-file: cannot use",
    );
    check(
        "https://192.0.2.1",
        &[("token", &"x".repeat(70_000))],
        "more than 65536 bytes",
    );
    let none = Asked {
        api: &Api::from_text("http://localhost:1").expect("a URL"),
        node: "",
        token_file: Path::new(""),
        ca_file: Path::new(""),
        account: Path::new("/nonexistent"),
        host: Some("under_score"),
        labels: false,
    };
    let error = Settings::settle(&none, &|_| None).expect_err("no name");
    assert!(error.to_string().contains("--kubernetes.node is not given"), "{error}");
    let missing = Asked {
        node: "n",
        token_file: Path::new("/nonexistent/token"),
        ..none
    };
    let error = Settings::settle(&missing, &|_| None).expect_err("no file");
    assert!(error.to_string().contains("/nonexistent/token"), "{error}");
    for wrong in ["Node", "a b", "-a", "a.", "built-in node", &"x".repeat(254)] {
        let error = settle("http://localhost:1", wrong, &[], &[]).expect_err("no name");
        assert!(error.starts_with("--kubernetes.node (NODE_NAME): "), "{error}");
        assert_eq!(
            settle("auto", wrong, &[], &[]),
            Ok(None),
            "whose variable it is nobody knows"
        );
    }
    let settled = settle("http://localhost:1", "ip-192-0-2-1.example.com", &[], &[]).expect("a name");
    assert_eq!(
        settled.map(|settings| settings.node).as_deref(),
        Some("ip-192-0-2-1.example.com")
    );
}
