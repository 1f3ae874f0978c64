//! Files of certificates and keys that are of no use.

use super::*;
use crate::web::tests::pki::Pki;

const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const KEY: &str = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY";

#[test]
fn files_that_are_of_no_use_are_told_by_variable_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    pki.client("agent");
    pki.client("other");
    pki.write("text", "no PEM");
    pki.write(
        "broken",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    );
    pki.write("cut", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    pki.write("empty", "");
    pki.write("der", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    pki.write("large", &"x".repeat((1 << 20) + 1));
    let path = |name: &str| pki.path(name).display().to_string();
    let check = |vars: &[(&str, &str)], name: &str, expect: &str| {
        let paths: Vec<_> = vars.iter().map(|(name, file)| (*name, path(file))).collect();
        let mut vars: Vec<_> = paths.iter().map(|(name, path)| (*name, path.as_str())).collect();
        vars.push(BASE);
        let error = from(&vars).unwrap_err();
        assert!(error.name == name && error.what.contains(expect), "{error}");
        assert!(!error.to_string().contains('\n'), "one sentence: {error}");
        error.what
    };
    for (file, expect) in [
        ("missing", "No such file"),
        ("text", "holds no certificate in PEM: no section CERTIFICATE is in it"),
        ("empty", "holds no certificate in PEM"),
        ("broken", "holds no certificate in PEM"),
        ("cut", "holds no certificate in PEM"),
        ("agent.key", "no section CERTIFICATE is in it"),
        ("large", "it has more than 1048576 bytes"),
        (".", "cannot read"),
    ] {
        let what = check(&[(CERTIFICATE, file)], CERTIFICATE, expect);
        assert!(what.contains(&format!("{:?}", path(file))), "names the file: {what}");
        check(&[(CLIENT, file), (KEY, "agent.key")], CLIENT, expect);
    }
    check(
        &[(CERTIFICATE, "der")],
        CERTIFICATE,
        "holds a certificate that cannot be trusted",
    );
    check(&[(CLIENT, "agent.crt")], CLIENT, "needs a key beside it");
    check(&[(KEY, "agent.key")], KEY, "needs a certificate beside it");
    for (file, expect) in [
        ("missing", "No such file"),
        ("text", "holds no private key in PEM"),
        ("agent.crt", "holds no private key in PEM"),
        ("other.key", "does not fit the certificate of"),
    ] {
        let what = check(&[(CLIENT, "agent.crt"), (KEY, file)], KEY, expect);
        assert!(what.contains(&format!("{:?}", path(file))), "names the file: {what}");
    }
}

#[test]
fn files_that_are_of_use_are_held_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    pki.client("agent");
    let path = |name: &str| pki.path(name).display().to_string();
    let (ca, certificate, key) = (path("ca.crt"), path("agent.crt"), path("agent.key"));
    let config = from(&[(CERTIFICATE, &ca), (CLIENT, &certificate), (KEY, &key), BASE])
        .unwrap()
        .unwrap();
    let text = |pem: &Option<Pem>| String::from_utf8(pem.as_ref().unwrap().bytes().to_vec()).unwrap();
    assert!(text(&config.tls.roots).contains("BEGIN CERTIFICATE"));
    let identity = text(&config.tls.identity);
    assert!(identity.contains("BEGIN CERTIFICATE") && identity.contains("PRIVATE KEY"));
    assert!(!format!("{config:?}").contains("PRIVATE"), "{config:?}");
}
