//! What one segment of a path says: a word of the program's, or a value somebody put there. Decided by its looks alone.
//!
//! | Placeholder | For |
//! |---|---|
//! | `{id}` | numbers, ULIDs, short mixes of letters and four or more digits (`order-12345`), and whatever varies too much |
//! | `{uuid}` | UUIDs |
//! | `{hash}` | 8 or more hexadecimal digits, a decimal digit among them, or 16 or more of any kind |
//! | `{date}` | `2024-01-31`, also with a time |
//! | `{email}` | anything with `@` (or `%40`) |
//! | `{token}` | long mixes (base64 and the like), anything percent-encoded, outside of ASCII, or longer than 48 bytes |
//! | `{file}` | names of static files where too many differ |
//! | `{rest}` | everything below the deepest segment that is kept |

use std::borrow::Cow;

/// A segment longer than this is no word.
const LONGEST_WORD: usize = 48;

/// Extensions whose files are served as they are: their stem is looked at apart, the extension is kept.
const STATIC: &[&str] = &[
    "avif",
    "bmp",
    "br",
    "css",
    "eot",
    "gif",
    "gz",
    "htm",
    "html",
    "ico",
    "jpeg",
    "jpg",
    "js",
    "json",
    "map",
    "mjs",
    "mp3",
    "mp4",
    "ogg",
    "otf",
    "pdf",
    "png",
    "svg",
    "tar",
    "tgz",
    "ttf",
    "txt",
    "wasm",
    "wav",
    "webm",
    "webmanifest",
    "webp",
    "woff",
    "woff2",
    "xml",
    "zip",
];

/// The segment itself, or what stands for it.
pub(crate) fn segment(text: &str) -> Cow<'_, str> {
    // Matrix parameters (`;jsessionid=…`) are no part of a route, and may be secret.
    let text = text.split_once(';').map_or(text, |(before, _)| before);
    if let Some((stem, extension)) = file_extension(text) {
        return file(text, stem, extension);
    }
    match placeholder(text) {
        Some(placeholder) => placeholder.into(),
        None => text.into(),
    }
}

/// Stem and extension of a static file's name.
pub(crate) fn file_extension(text: &str) -> Option<(&str, &str)> {
    let (stem, extension) = text.rsplit_once('.')?;
    let known = !stem.is_empty() && STATIC.iter().any(|known| known.eq_ignore_ascii_case(extension));
    known.then_some((stem, extension))
}

/// `app.3f2a9c81.js` -> `app.{hash}.js`, `main-3f2a9c81.css` -> `main-{hash}.css`.
fn file<'a>(text: &'a str, stem: &str, extension: &str) -> Cow<'a, str> {
    let mut out = String::new();
    let mut changed = false;
    // Numbers stay here: they are versions (`jquery-3.7.1.min.js`) as often as they count something.
    let value = |text| placeholder(text).filter(|placeholder| *placeholder != "{id}");
    for (index, part) in stem.split('.').enumerate() {
        if index > 0 {
            out.push('.');
        }
        if let Some(placeholder) = value(part) {
            out.push_str(placeholder);
            changed = true;
        } else if let Some((name, placeholder)) =
            part.rsplit_once('-').and_then(|(name, end)| Some((name, value(end)?)))
        {
            out.push_str(name);
            out.push('-');
            out.push_str(placeholder);
            changed = true;
        } else {
            out.push_str(part);
        }
    }
    if !changed {
        return match placeholder(stem).filter(|placeholder| *placeholder != "{id}" || !stem.contains('.')) {
            Some(placeholder) => format!("{placeholder}.{extension}").into(),
            None => text.into(),
        };
    }
    out.push('.');
    out.push_str(extension);
    out.into()
}

/// What stands for the text, if it is a value.
fn placeholder(text: &str) -> Option<&'static str> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    if bytes.contains(&b'@') || text.contains("%40") {
        return Some("{email}");
    }
    // Braces would pass for placeholders of ours.
    if bytes
        .iter()
        .any(|&b| b == b'%' || !b.is_ascii_graphic() || matches!(b, b'{' | b'}' | b'"' | b'\\'))
    {
        return Some("{token}");
    }
    if is_uuid(bytes) {
        return Some("{uuid}");
    }
    if is_date(bytes) {
        return Some("{date}");
    }
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    if digits > 0 && letters == 0 && bytes.iter().all(|b| b.is_ascii_digit() || b"+-.,:_".contains(b)) {
        return Some("{id}");
    }
    let hex = digits + bytes.iter().filter(|b| matches!(b, b'a'..=b'f' | b'A'..=b'F')).count() == bytes.len();
    if hex && ((bytes.len() >= 8 && digits > 0) || bytes.len() >= 16) {
        return Some("{hash}");
    }
    if is_ulid(bytes) {
        return Some("{id}");
    }
    if bytes.len() > LONGEST_WORD || is_token(bytes, digits, letters) {
        return Some("{token}");
    }
    if letters > 0 && (digits >= 4 || (digits >= 2 && !bytes.contains(&b'.') && digit_runs(bytes) >= 3)) {
        return Some("{id}");
    }
    None
}

/// `8-4-4-4-12` hexadecimal digits.
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `YYYY-MM-DD`, then nothing or a time.
fn is_date(bytes: &[u8]) -> bool {
    let day = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    day && bytes[10..]
        .first()
        .is_none_or(|byte| matches!(byte, b'T' | b't' | b'_'))
}

/// 26 characters of Crockford's base 32, a digit from 0 to 7 first.
fn is_ulid(bytes: &[u8]) -> bool {
    bytes.len() == 26
        && matches!(bytes[0], b'0'..=b'7')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() && !b"ILOUilou".contains(byte))
}

/// Long, without a dot, and of letters and digits as no word is.
fn is_token(bytes: &[u8], digits: usize, letters: usize) -> bool {
    if bytes.len() < 16 || bytes.contains(&b'.') || letters == 0 {
        return false;
    }
    if bytes.iter().any(|b| b"=+~".contains(b)) {
        return true;
    }
    let upper = bytes.iter().any(u8::is_ascii_uppercase);
    let lower = bytes.iter().any(u8::is_ascii_lowercase);
    (digits >= 2 && upper && lower && digit_runs(bytes) >= 2) || (digits * 5 >= bytes.len() && digit_runs(bytes) >= 2)
}

/// How many groups of digits there are.
fn digit_runs(bytes: &[u8]) -> usize {
    let mut before = false;
    let mut runs = 0;
    for byte in bytes {
        let digit = byte.is_ascii_digit();
        runs += usize::from(digit && !before);
        before = digit;
    }
    runs
}

#[cfg(test)]
mod tests {
    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(super::segment(text), expect, "{text}");
    }

    #[test]
    fn words_stay() {
        for word in [
            "",
            "users",
            "api",
            "v1",
            "v2.1",
            "v1beta1",
            "oauth2",
            "s3",
            "ipv4",
            "sha256",
            "utf8",
            "log4j2",
            "python3.11",
            "health-check",
            "user_profiles",
            ".well-known",
            "index.php",
            "favicon.ico",
            "robots.txt",
            "en-US",
            "search",
            "getUserInformationByEmail",
            "a",
            "decade",
            "facade",
            "feedback",
            "wp-admin",
            "*",
            "$metadata",
            "top-10",
            "jquery-3.7.1.min.js",
        ] {
            check(word, word);
        }
    }

    #[test]
    fn values_go() {
        check("42", "{id}");
        check("-7", "{id}");
        check("3.14", "{id}");
        check("12,13,14", "{id}");
        check("20240131", "{id}");
        check("550e8400-e29b-41d4-a716-446655440000", "{uuid}");
        check("550E8400-E29B-41D4-A716-446655440000", "{uuid}");
        check("2024-01-31", "{date}");
        check("2024-01-31T10:00:00Z", "{date}");
        check("deadbee5", "{hash}");
        check("3f2a9c81", "{hash}");
        check("d41d8cd98f00b204e9800998ecf8427e", "{hash}");
        check("abcdefabcdefabcd", "{hash}");
        check("01ARZ3NDEKTSV4RRFFQ69G5FAV", "{id}");
        check("01arz3ndektsv4rrffq69g5fav", "{id}");
        check("joe@example.org", "{email}");
        check("joe%40example.org", "{email}");
        check("eyJhbGciOiJIUzI1NiIsInR5cCI6", "{token}");
        check("dGhpcyBpcyBhIHRva2Vu==", "{token}");
        check("cus_9s6XKzkNRiz8i3", "{token}");
        check("order-12345", "{id}");
        check("INV-0031", "{id}");
        check("a1b2c3", "{id}");
        check("%00%ff", "{token}");
        check("caf\u{e9}", "{token}");
        check("two words", "{token}");
        check("{id}", "{token}");
        check("a-slug-that-somebody-wrote-into-the-address-of-a-page", "{token}");
    }

    #[test]
    fn parameters_of_a_segment_go() {
        check("cart;jsessionid=1A2B3C", "cart");
        check("42;v=1", "{id}");
    }

    #[test]
    fn static_files_keep_their_extension() {
        check("app.js", "app.js");
        check("style.min.css", "style.min.css");
        check("app.3f2a9c81.js", "app.{hash}.js");
        check("main-3f2a9c81.css", "main-{hash}.css");
        check("550e8400-e29b-41d4-a716-446655440000.png", "{uuid}.png");
        check("1234.jpg", "{id}.jpg");
        check("2024-01-31.json", "{date}.json");
    }
}
