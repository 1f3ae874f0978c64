use super::*;
use proptest::prelude::*;

fn clean(text: &str) -> String {
    let mut text = text.to_owned();
    Redactor::default().text(&mut text);
    text
}

/// Tokens are put together here, so that no file holds one that scanners of repositories would take for a real one.
fn token(prefix: &str, length: usize) -> String {
    prefix.to_owned() + &"a1B2c3D4e5".repeat(10)[..length]
}

#[test]
fn secrets_are_found() {
    let jwt = format!(
        "{}.{}.{}",
        token("eyJhbGciOi", 20),
        token("eyJzdWIiOi", 30),
        token("", 43)
    );
    let cases = [
        (
            "Authorization: Bearer abc123def456 next",
            "Authorization: [redacted:authorization] next",
        ),
        (
            "\"authorization\":\"Basic YWxpY2U6c2VjcmV0\",\"a\":1",
            "\"authorization\":\"[redacted:authorization]\",\"a\":1",
        ),
        (
            "sent bearer 0123456789abcdef ok",
            "sent bearer [redacted:authorization] ok",
        ),
        ("Proxy Basic YWxpY2U6c2VjcmV0", "Proxy Basic [redacted:authorization]"),
        (
            "postgres://app:hunter2@db.example.com/shop",
            "postgres://app:[redacted:url-password]@db.example.com/shop",
        ),
        (
            "https://u:p@ss@example.com/",
            "https://u:[redacted:url-password]@example.com/",
        ),
        ("password=hunter2&user=alice", "password=[redacted:secret]&user=alice"),
        ("db_password = hunter2", "db_password = [redacted:secret]"),
        ("Password: hunter", "Password: [redacted:secret]"),
        (
            "{\"client_secret\":\"a b\",\"x\":1}",
            "{\"client_secret\":\"[redacted:secret]\",\"x\":1}",
        ),
        (
            "{\\\"apiKey\\\":\\\"abc\\\"}",
            "{\\\"apiKey\\\":\\\"[redacted:secret]\\\"}",
        ),
        ("X-Api-Key: 0123abc", "X-Api-Key: [redacted:secret]"),
        ("?access_token=ab&b=c", "?access_token=[redacted:secret]&b=c"),
        ("{:secret=>\"x\"}", "{:secret=>\"[redacted:secret]\"}"),
        ("Cookie: a=b; c=d", "Cookie: [redacted:cookie]"),
        ("set-cookie=a=b x", "set-cookie=[redacted:cookie] x"),
        ("card 4111 1111 1111 1111.", "card [redacted:card]."),
        ("card=5500005555555559,", "card=[redacted:card],"),
        (
            "378282246310005 and 3782-822463-10005",
            "[redacted:card] and [redacted:card]",
        ),
        ("6011111111111117", "[redacted:card]"),
    ];
    for (text, expect) in cases {
        assert_eq!(clean(text), expect);
    }
    let shapes = [
        (token("ghp_", 36), "token"),
        (token("github_pat_", 40), "token"),
        (token("glpat-", 20), "token"),
        (token("xoxb-", 30), "token"),
        (token("sk_live_", 24), "token"),
        (format!("AKIA{}", "A1B2C3D4E5F6G7H8"), "aws-key"),
        (jwt, "jwt"),
    ];
    for (secret, kind) in shapes {
        assert_eq!(
            clean(&format!("with {secret}, ok")),
            format!("with [redacted:{kind}], ok")
        );
    }
    let hook = format!("https://hooks.slack.com/services/{}", token("T0/B0/", 24));
    assert_eq!(clean(&hook), "https://hooks.slack.com/services/[redacted:token]");
    let key = "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b";
    assert_eq!(clean(key), "a [redacted:private-key] b");
    assert_eq!(clean("-----BEGIN PRIVATE KEY-----\nMIIE"), "[redacted:private-key]");
}

#[test]
fn what_only_looks_so_stays() {
    for text in [
        "id 6f1e4111-1111-4111-8111-111111111111",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "1767323045123456789",
        "2026-01-02T03:04:05.123456789Z",
        "order 4111111111111112",
        "order A4111111111111111",
        "41111111111111111111111",
        "0.4111111111111111",
        "4111111111111111/x",
        "4111 1111 1111 1111 1111 1111",
        "tel 0800 1111 1111 1111",
        "basic authentication failed",
        "bearer authentication failed",
        "Bearer realm=\"x\"",
        "invalid token: expected identifier",
        "tokens=1234",
        "max_tokens: 4096",
        "next_page_token=abc",
        "token_type=bearer",
        "password is wrong",
        "the secret of success",
        "secretName=tls",
        "http://example.com:8080/a@b",
        "https://alice@example.com/",
        "passed: 12345",
        "password=",
        "password=null",
        "token=[redacted:secret]",
        "-----BEGIN CERTIFICATE-----\nMIIE",
        "alice@example.com",
        "eyJ.eyJ.x",
        "author: bob123",
        "cookies enabled: 1",
        "0000000000000000",
        "4444444444444444444444",
        "AKIAAAAAAAAAAAAAAAAAAAAAAAAA",
        "trace_id=5500005555555559ab",
        "compass=north1234",
        "12345678901234567890",
        "10.0.0.1:5432",
        "authenticated user 17",
    ] {
        assert_eq!(clean(text), text);
    }
}

#[test]
fn kinds_are_switched() {
    let mut text = "alice@example.com password=x1".to_owned();
    let mut redactor = Redactor::new(Kinds::NONE.with(Kind::Email));
    assert!(redactor.text(&mut text));
    assert_eq!(text, "[redacted:email] password=x1");
    assert_eq!(redactor.counts().map(|(_, count)| count).sum::<u64>(), 1);
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.name()), Some(kind));
        assert_eq!(kind.replacement(), format!("[redacted:{}]", kind.name()));
        assert_eq!(Kinds::default().has(kind), kind != Kind::Email);
        assert!(!Kinds::default().without(kind).has(kind));
    }
}

#[test]
fn attributes_are_judged_by_name_and_text() {
    let text = |text: &str| AttributeValue::Text(text.to_owned().into());
    let cases = [
        ("db.password", text("hunter"), Some("secret")),
        ("pin.password", AttributeValue::Int(1234), Some("secret")),
        (
            "http.request.header.authorization",
            AttributeValue::Texts(vec!["x".into()]),
            Some("authorization"),
        ),
        ("http.request.header.cookie", text("a=b"), Some("cookie")),
        ("user.pass", text("x"), Some("secret")),
        ("card", AttributeValue::Int(4_111_111_111_111_111), Some("card")),
        ("password", text(""), None),
        ("password", text("[redacted:secret]"), None),
        ("has_password", AttributeValue::Bool(true), None),
        ("tokens", AttributeValue::Int(17), None),
        ("order", AttributeValue::Int(4_111_111_111_111_112), None),
        ("key", text("value"), None),
    ];
    for (name, value, expect) in cases {
        let mut redacted = value.clone();
        Redactor::default().value(name, &mut redacted);
        match expect {
            Some(kind) => assert_eq!(redacted, text(&format!("[redacted:{kind}]")), "{name}"),
            None => assert_eq!(redacted, value, "{name}"),
        }
    }
    let mut attributes = [("url.full".into(), text("http://a:b@example.com"))];
    let mut body = "password=x1".to_owned();
    Redactor::default().record(&mut body, &mut attributes);
    assert_eq!(
        (body.as_str(), &attributes[0].1),
        (
            "password=[redacted:secret]",
            &text("http://a:[redacted:url-password]@example.com")
        )
    );
}

/// Texts with much in them that secrets are made of.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "password",
        "=",
        ":",
        " ",
        "\"",
        "'",
        "\\",
        "token",
        "Authorization",
        "Bearer ",
        "Basic ",
        "cookie",
        "://",
        "@",
        "a",
        "1",
        "é",
        "eyJh",
        ".",
        "-",
        "4111111111111111",
        "4111 ",
        "1111",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "[redacted:",
        "[redacted:token]",
        "]",
        "\n",
        ",",
        "AKIAABCDEFGHIJKLMNOP",
        "ghp_",
        "0123456789abcdefghijABCDEFGHIJ0123456789",
        "secret",
        "pwd=",
        "alice@example.com",
        "YWxpY2U6c2VjcmV0",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat()),
        ".{0,80}",
    ]
}

proptest! {
    #[test]
    fn twice_changes_nothing_more(text in texts()) {
        let mut redactor = Redactor::new(Kinds::default().with(Kind::Email));
        let mut once = text.clone();
        redactor.text(&mut once);
        prop_assert!(once.len() <= text.len() * 27 + 27);
        let mut twice = once.clone();
        redactor.text(&mut twice);
        prop_assert_eq!(once, twice, "{:?}", text);
    }

    #[test]
    fn numbers_with_a_check_digit_are_found_anywhere(digits in prop::array::uniform14(0u8..10), before in "[a-z ,=]{0,9}", after in "[a-z ,]{0,9}") {
        let mut number = vec![4u8];
        number.extend(digits);
        let sum: u32 = number.iter().rev().enumerate().map(|(at, digit)| {
            let digit = u32::from(*digit) << (1 - (at & 1));
            if digit > 9 { digit - 9 } else { digit }
        }).sum();
        number.push(((10 - sum % 10) % 10) as u8);
        let number: String = number.iter().map(|digit| char::from(digit + b'0')).collect();
        let text = format!("{before} {number} {after}");
        prop_assert_eq!(clean(&text), format!("{before} [redacted:card] {after}"));
    }
}
