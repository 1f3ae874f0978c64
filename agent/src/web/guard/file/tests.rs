//! Texts of the format, right and wrong.

use super::*;

/// One at the least cost.
fn hash() -> String {
    bcrypt::hash("secret", 4).expect("a hash")
}

fn read(text: &str) -> WebFile {
    parse(Path::new("folder/web.yml"), text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

/// The mistakes of a text, without its path.
fn mistakes(text: &str) -> Vec<String> {
    let problems = parse(Path::new("web.yml"), text).expect_err(text);
    let told = problems
        .iter()
        .map(|problem| problem.to_string().replace("web.yml:", ""));
    told.collect()
}

#[test]
fn a_file_with_everything() {
    let file = read(&format!(
        "tls_server_config:
  cert_file: server.crt
  key_file: /etc/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example, 10.0.0.1]
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_AES_128_GCM_SHA256
  curve_preferences: [CurveP256]
  prefer_server_cipher_suites: false
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    X-XSS-Protection:
    Strict-Transport-Security: max-age=60
basic_auth_users:
  alice: {}
rate_limit:
  interval: 500ms
  burst: 20
",
        hash()
    ));
    let tls = file.tls.expect("TLS");
    assert!(matches!(&tls.cert, Pem::File(path) if path == Path::new("folder/server.crt")));
    assert!(matches!(&tls.key, Pem::File(path) if path == Path::new("/etc/server.key")));
    assert!(tls.client.asked && tls.client.required && tls.client.verified);
    assert_eq!(tls.client_names, ["prometheus.example", "10.0.0.1"]);
    assert!(tls.tls12 && tls.tls13 && !tls.own_order);
    let old: Vec<_> = tls.suites.iter().filter(|suite| suite.tls13().is_none()).collect();
    assert_eq!((old.len(), tls.suites.len(), tls.groups.len()), (1, 4, 1));
    let headers: Vec<_> = file.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["x-frame-options", "strict-transport-security"]);
    assert_eq!((file.users.len(), &*file.users[0].name), (1, "alice"));
    let interval = Duration::from_millis(500);
    assert_eq!(file.rate, Some(Rate { interval, burst: 20 }));
    assert!(file.notes.is_empty());
}

#[test]
fn nothing_is_needed() {
    for text in [
        "",
        "# none\n",
        "{}",
        "tls_server_config:\nbasic_auth_users: {}\n",
        "rate_limit: {interval: 0}",
    ] {
        let file = read(text);
        assert!(
            file.tls.is_none() && file.users.is_empty() && file.rate.is_none(),
            "{text}"
        );
    }
    let file = read("tls_server_config: {cert: x, key: y, min_version: TLS10}");
    let tls = file.tls.expect("TLS");
    assert!(matches!(&tls.cert, Pem::Inline(text) if text == "x"));
    assert!(tls.own_order && tls.tls12 && tls.tls13 && !tls.client.asked);
    assert_eq!(
        (tls.suites.len(), file.notes.len()),
        (9, 1),
        "the versions that are not served are told"
    );
    let tls = read("tls_server_config: {cert: x, key: y, min_version: TLS13}")
        .tls
        .expect("TLS");
    assert!(!tls.tls12 && tls.tls13);
}

#[test]
fn mistakes_name_their_line_and_say_what_would_be_right() {
    for (text, expect) in [
        (
            "tls_config: {}",
            "1: tls_config: is no known key: did you mean tls_server_config?",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  cert_fil: c",
            "4: tls_server_config.cert_fil: is no known key: did you mean cert_file?",
        ),
        (
            "tls_server_config:\n  cert_file: a",
            "1: tls_server_config: needs a certificate",
        ),
        ("tls_server_config: [a]", "1: tls_server_config: must hold keys"),
        (
            "tls_server_config: {cert: [a], key: b}",
            "1: tls_server_config.cert: must hold a single value",
        ),
        (
            "tls_server_config: {cert: a, cert_file: b, key: c}",
            "has both cert and cert_file",
        ),
        (
            "tls_server_config:\n  cert: a\n  key: b\n  client_auth_type: Maybe",
            "4: tls_server_config.client_auth_type: \"Maybe\" is not offered: use one of NoClientCert, Request",
        ),
        (
            "tls_server_config: {cert: a, key: b, client_auth_type: RequireAndVerifyClientCert}",
            "no client_ca_file",
        ),
        (
            "tls_server_config: {cert: a, key: b, client_ca: c}",
            "set client_auth_type",
        ),
        (
            "tls_server_config: {cert: a, key: b, client_allowed_sans: [c]}",
            "client_allowed_sans: needs client_auth_type",
        ),
        (
            "tls_server_config: {cert: a, key: b, client_auth_type: RequireAnyClientCert, client_allowed_sans: []}",
            "nobody would be let in",
        ),
        (
            "tls_server_config: {cert: a, key: b, max_version: TLS11}",
            "no version of TLS that is served",
        ),
        (
            "tls_server_config: {cert: a, key: b, min_version: TLS13, max_version: TLS12}",
            "no version of TLS",
        ),
        (
            "tls_server_config: {cert: a, key: b, min_version: SSL3}",
            "\"SSL3\" is not offered: use one of TLS10",
        ),
        (
            "tls_server_config:\n  cert: a\n  key: b\n  cipher_suites:\n  - TLS_RSA_WITH_AES_128_CBC_SHA",
            "5: tls_server_config.cipher_suites: \"TLS_RSA_WITH_AES_128_CBC_SHA\" is not offered: use one of TLS_AES_256",
        ),
        (
            "tls_server_config: {cert: a, key: b, curve_preferences: [CurveP521]}",
            "use one of X25519, CurveP256",
        ),
        (
            "http_server_config: {http2: maybe}",
            "1: http_server_config.http2: \"maybe\" is neither true nor false",
        ),
        (
            "http_server_config:\n  headers:\n    X-Powered-By: x",
            "3: http_server_config.headers.X-Powered-By: cannot be set: use one of Content-Security-Policy",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: maybe}}",
            "use deny or sameorigin",
        ),
        (
            "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}",
            "holds what a header cannot",
        ),
        (
            "basic_auth_users:\n  bob: hunter2",
            "2: basic_auth_users.bob: is no hash of bcrypt",
        ),
        (
            "basic_auth_users:\n  bob:",
            "2: basic_auth_users.bob: is no hash of bcrypt",
        ),
        (
            "rate_limit: {interval: 5}",
            "1: rate_limit.interval: \"5\" is not a duration",
        ),
        ("rate_limit: {interval: 5s}", "no burst"),
        (
            "rate_limit: {interval: 5s, burst: -1}",
            "rate_limit.burst: \"-1\" is not a whole number",
        ),
        ("a: [", "is no YAML"),
        ("text", "1: must hold keys"),
    ] {
        let told = mistakes(text);
        assert!(told.iter().any(|told| told.contains(expect)), "{text}: {told:?}");
    }
    let dear = hash().replace("$04$", "$19$");
    assert!(mistakes(&format!("basic_auth_users: {{a: {dear}}}"))[0].contains("cost 19: use one from 4 to 18"));
    let told = mistakes("basic_auth_users: {bob: hunter2}\nhttp_server_config: {http3: true}");
    assert_eq!(told.len(), 2, "all in one go");
    assert!(!told.concat().contains("hunter2"), "a password is not repeated");
}

#[test]
fn garbage_never_panics() {
    use proptest::prelude::*;
    let words = prop::sample::select(vec![
        "tls_server_config",
        "basic_auth_users",
        "rate_limit",
        "headers",
        "http_server_config",
        "cipher_suites",
        "client_allowed_sans",
        "burst",
        ":",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "? ",
        "&a ",
        "*a",
        "!!str ",
        "'",
        "|\n",
        "---\n",
        "x",
        ", ",
    ]);
    let text = prop::collection::vec(words, 0..24).prop_map(|words| words.concat());
    proptest!(|(text in text)| { let _ = parse(Path::new("x"), &text); });
}
