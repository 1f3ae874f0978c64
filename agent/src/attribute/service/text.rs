//! Names that may stand in a label: bounded, valid UTF-8, no control characters.

/// Longest name, bytes.
pub const NAME_MAX: usize = 128;

/// A name from bytes of any kind: invalid UTF-8 becomes U+FFFD, control characters become `_`, spaces around it go, and it
/// is cut at [`NAME_MAX`] bytes. `None` when nothing is left.
pub fn clean(raw: &[u8]) -> Option<String> {
    // Three bytes of U+FFFD may come of one byte, so more than this is never needed.
    let raw = raw.trim_ascii();
    let text = String::from_utf8_lossy(&raw[..raw.len().min(NAME_MAX * 4)]);
    let mut name = String::with_capacity(text.len().min(NAME_MAX));
    for c in text.trim().chars() {
        let c = if c.is_control() { '_' } else { c };
        if name.len() + c.len_utf8() > NAME_MAX {
            break;
        }
        name.push(c);
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(clean(b" shop ").as_deref(), Some("shop"));
        assert_eq!(clean(b"a\x00b\x1b[1m").as_deref(), Some("a_b_[1m"));
        assert_eq!(clean(b"caf\xc3\xa9").as_deref(), Some("caf\u{e9}"));
        assert_eq!(clean(b"\xff").as_deref(), Some("\u{fffd}"));
        assert_eq!(clean(b" \t "), None);
        assert_eq!(clean(b""), None);
        assert_eq!(clean(&[b'x'; 500]).map(|name| name.len()), Some(NAME_MAX));
        assert_eq!(
            clean("\u{20ac}".repeat(100).as_bytes()).map(|name| name.len()),
            Some(126)
        );
    }
}
