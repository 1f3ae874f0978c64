//! Lines of `proc/PID/mountinfo` (`fs/proc_namespace.c`, proc_pid_mountinfo(5)).

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A mount, as its line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Number of the device, `MAJOR:MINOR`.
    pub device: (u32, u32),
    /// Where it is mounted, escaped.
    pub mount_point: &'a [u8],
    /// Options of the mount.
    pub options: &'a [u8],
    /// Type of the file system.
    pub fs_type: &'a [u8],
    /// What is mounted, escaped.
    pub source: &'a [u8],
    /// Options of the file system.
    pub super_options: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line; `None`: it is none.
    pub fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let mut words = line.split(|byte| *byte == b' ');
        let device = std::str::from_utf8(words.nth(2)?).ok()?.split_once(':')?;
        let mount_point = words.nth(1)?;
        let options = words.next()?;
        // Optional fields, as many as there are.
        words.find(|word| *word == b"-")?;
        Some(Line {
            device: (device.0.parse().ok()?, device.1.parse().ok()?),
            mount_point,
            options,
            fs_type: words.next()?,
            source: words.next()?,
            super_options: words.next()?,
        })
    }

    /// Can nothing be written to it: mounted so, made so, or by an error that stopped the file system?
    pub fn is_read_only(&self) -> bool {
        let has = |options: &[u8], what: &[u8]| options.split(|byte| *byte == b',').any(|option| option == what);
        has(self.options, b"ro") || has(self.super_options, b"ro") || has(self.super_options, b"emergency_ro")
    }

    /// The value of an option of the file system, `NAME=VALUE`.
    pub fn super_option(&self, name: &str) -> Option<&'a [u8]> {
        let mut options = self.super_options.split(|byte| *byte == b',');
        options.find_map(|option| option.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

/// Text in which the kernel wrote white space and backslashes as `\040`.
pub fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return text.into();
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        match octal(rest) {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain.into()
}

fn octal(text: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = text.get(..4)? else {
        return None;
    };
    digits.iter().try_fold(0u8, |byte, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        byte.checked_mul(8)?.checked_add(digit)
    })
}

/// A place as the host has it: without the folder under which the host's root is mounted here.
pub fn under<'a>(root: &Path, place: &'a [u8]) -> &'a [u8] {
    let root = root.as_os_str().as_bytes();
    let root = root.strip_suffix(b"/").unwrap_or(root);
    match place.strip_prefix(root) {
        Some(b"") => b"/",
        Some(rest) if rest.starts_with(b"/") => rest,
        _ => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_optional_fields() {
        let line = Line::parse(
            b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:9 - ext3 /dev/root rw,errors=remount-ro",
        )
        .unwrap();
        assert_eq!(
            (line.device, line.fs_type, line.source),
            ((98, 0), &b"ext3"[..], &b"/dev/root"[..])
        );
        assert_eq!(&*unescaped(line.mount_point), b"/mnt 2");
        assert!(!line.is_read_only());
        assert_eq!(line.super_option("errors"), Some(&b"remount-ro"[..]));
        assert_eq!(line.super_option("error"), None);
        let line = Line::parse(b"1 1 0:5 / / ro - tmpfs  rw").unwrap();
        assert_eq!((line.source, line.is_read_only()), (&b""[..], true));
        for ro in ["rw - ext4 a ro", "rw - ext4 a rw,emergency_ro"] {
            assert!(
                Line::parse(format!("1 1 0:5 / / {ro}").as_bytes())
                    .unwrap()
                    .is_read_only()
            );
        }
    }

    #[test]
    fn other_lines_are_none() {
        for bad in [
            "",
            "1 1 0:5 / /",
            "1 1 0:5 / / rw shared:1 ext4 a rw",
            "1 1 05 / / rw - ext4 a rw",
            "1 1 x:5 / / rw - ext4 a rw",
        ] {
            assert_eq!(Line::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn escapes_are_read_and_others_stay() {
        assert_eq!(&*unescaped(b"a\\040b\\011\\012\\134"), b"a b\t\n\\");
        assert_eq!(&*unescaped(b"a\\04"), b"a\\04");
        assert_eq!(&*unescaped(b"\\999\\777\\"), b"\\999\\777\\");
        assert_eq!(&*unescaped(b"\\\\040"), b"\\ ");
    }

    #[test]
    fn the_root_of_the_host_is_left_out() {
        let under = |root: &str, place: &str| {
            String::from_utf8(super::under(Path::new(root), place.as_bytes()).to_vec()).unwrap()
        };
        assert_eq!(under("/", "/home"), "/home");
        assert_eq!(under("/host", "/host"), "/");
        assert_eq!(under("/host/", "/host/home"), "/home");
        assert_eq!(under("/host", "/hostile"), "/hostile");
        assert_eq!(under("/host", "/home"), "/home");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_a_panic(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = Line::parse(&line).map(|line| line.is_read_only());
            let _ = unescaped(&line);
        }
    }
}
