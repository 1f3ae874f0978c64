//! The full text of the licences of everything that is in the program or built it, from the sources that were compiled. A text that
//! several crates share stands once, with their names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::crates::{Crate, Role};
use super::sbom::expression;
use super::{Artifact, Release};
use crate::shell::Run;

pub(super) const ARTIFACT: Artifact = Artifact {
    name: |release| format!("{}.licenses.txt", release.stem()),
    make: |release, to| fs::write(to, &release.licences).with_context(|| format!("cannot write {}", to.display())),
};

/// How files are called that hold a licence or what it asks to be told, in small letters.
const BEGINNINGS: [&str; 6] = ["license", "licence", "copying", "notice", "unlicense", "copyright"];

/// Endings of files that only look so by their names.
const NO_TEXT: [&str; 7] = ["rs", "py", "sh", "toml", "json", "yml", "yaml"];

/// How deep below a crate's folder they are looked for: code of others keeps its own beside it.
const DEPTH: usize = 3;

const RULE: &str = "================================================================================";

/// What Rust links from musl.
const MUSL: &str = "musl as a whole is under the MIT licence. Copyright (c) 2005-2020 Rich Felker, et al.\n\n";

/// The whole file.
pub(super) fn text(release: &Release) -> Result<String> {
    let rust = Standard::read()?;
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut list = String::new();
    for krate in release.crates.all.iter().filter(|krate| !is_own(krate)) {
        let licence = expression(krate.licence.as_deref().unwrap_or("its own licence"));
        let role = match krate.role {
            Role::Linked => "in the program",
            Role::Build => "built it",
        };
        let name = format!("{} {}", krate.name, krate.version);
        list += &format!("{name:<40} {role:<16} {licence}\n");
        for text in texts_of(krate, &rust)? {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    for (name, text) in rust.runtime(&release.crates.rust)? {
        list += &format!("{name:<40} {:<16}\n", "in the program");
        texts.entry(text).or_default().insert(name);
    }
    // By the first crate that has it, so that the order is that of the list.
    let mut parts: Vec<(Vec<String>, String)> = texts
        .into_iter()
        .map(|(text, names)| (names.into_iter().collect(), text))
        .collect();
    parts.sort();
    let mut all = format!(
        "Licences of what is in onlooker {} for {} and of what built it. onlooker itself: Apache-2.0; its kernel\n\
         side: MIT or GPL-2.0.\n\n{list}",
        release.version, release.arch.target
    );
    for (names, text) in parts {
        all += &format!("\n{RULE}\n{}\n{RULE}\n\n{text}\n", names.join("\n"));
    }
    Ok(all)
}

fn is_own(krate: &Crate) -> bool {
    krate.sha256.is_none()
}

/// All texts of a crate; the standard ones of the licences it names, with its authors, when its sources have none.
fn texts_of(krate: &Crate, rust: &Standard) -> Result<BTreeSet<String>> {
    let mut files = Vec::new();
    find(&krate.folder, DEPTH, &mut files)?;
    let mut texts = BTreeSet::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let text = tidy(&String::from_utf8_lossy(&bytes));
        // Some archives hold what was a symbolic link: the name of another file.
        if text.lines().count() > 1 {
            texts.insert(text);
        }
    }
    if !texts.is_empty() {
        return Ok(texts);
    }
    let licence = krate.licence.as_deref().unwrap_or_default();
    let authors = krate.authors.join(", ");
    let whose = if authors.is_empty() {
        format!("the authors of {}", krate.name)
    } else {
        authors
    };
    for name in expression(licence).split([' ', '(', ')']) {
        if let Some(standard) = rust.text(name)? {
            texts.insert(format!(
                "{name}, as {} names it without a text of its own. Copyright: {whose}\n\n{standard}",
                krate.name
            ));
        }
    }
    if texts.is_empty() {
        bail!(
            "{} {} has no text of its licence ({licence:?}) in its sources",
            krate.name,
            krate.version
        );
    }
    Ok(texts)
}

/// Files that hold licences, sorted.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let all_of_it = folder
            .file_name()
            .is_some_and(|name| is_licence(&name.to_string_lossy().to_lowercase()));
        if path.is_dir() {
            if depth > 1 && name != "target" && !name.starts_with('.') {
                find(&path, depth - 1, found)?;
            }
        } else if is_licence(&name) || (all_of_it && name.ends_with(".txt")) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_licence(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) && !NO_TEXT.contains(&ending)
}

/// The text without differences that nobody reads: ends of lines, empty lines around it.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned() + "\n"
}

/// Standard texts, and those of the standard library, which come with Rust.
struct Standard {
    folder: PathBuf,
}

impl Standard {
    fn read() -> Result<Standard> {
        let sysroot = Run::new("rustc").args(["--print", "sysroot"]).read()?;
        Ok(Standard {
            folder: Path::new(sysroot.trim()).join("share/doc/rust"),
        })
    }

    /// The text of a licence by SPDX's name; none when Rust does not bring it, as for words such as `OR`.
    fn text(&self, name: &str) -> Result<Option<String>> {
        let path = self.folder.join("licenses").join(format!("{name}.txt"));
        match name.is_empty() || !path.exists() {
            true => Ok(None),
            false => Ok(Some(tidy(&fs::read_to_string(&path)?))),
        }
    }

    fn wanted(&self, name: &str) -> Result<String> {
        let missing = || {
            format!(
                "{} has no text of {name}: install Rust by rustup",
                self.folder.display()
            )
        };
        self.text(name)?.with_context(missing)
    }

    /// Names and texts of what is linked and is no crate.
    fn runtime(&self, version: &str) -> Result<[(String, String); 3]> {
        let path = self.folder.join("COPYRIGHT-library.html");
        let library = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}, the licences of Rust's library", path.display()))?;
        let llvm = self.wanted("Apache-2.0")? + "\n" + &self.wanted("LLVM-exception")?;
        Ok([
            (format!("libunwind of Rust {version}"), llvm),
            (
                format!("musl of Rust {version}"),
                MUSL.to_owned() + &self.wanted("MIT")?,
            ),
            (format!("rust-std {version}"), plain(&library)),
        ])
    }
}

/// The text of a page of HTML, without more than one empty line in a row.
fn plain(html: &str) -> String {
    let body = html.split_once("<body>").map_or(html, |(_, body)| body);
    let mut text = String::new();
    let mut parts = body.split('<');
    text += parts.next().unwrap_or_default();
    for part in parts {
        text += part.split_once('>').map_or("", |(_, after)| after);
    }
    // The sign of escapes itself comes last, or it would make escapes of its own.
    let escapes = [
        ("&amp;", "&#38;"),
        ("&#60;", "<"),
        ("&lt;", "<"),
        ("&#62;", ">"),
        ("&gt;", ">"),
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ];
    for (escape, sign) in escapes {
        text = text.replace(escape, sign);
    }
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.dedup_by(|one, before| one.is_empty() && before.is_empty());
    lines.join("\n").trim_matches('\n').to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::tests::release;
    use super::*;

    #[test]
    fn texts_stand_once_with_all_who_share_them() {
        let (folder, release) = release();
        fs::write(folder.path().join("LICENSE-MIT"), "Permission\r\nis granted \r\n\r\n").unwrap();
        fs::create_dir_all(folder.path().join("third_party/fiat")).unwrap();
        fs::write(folder.path().join("third_party/fiat/COPYING"), "Of somebody\nelse\n").unwrap();
        fs::write(folder.path().join("license.rs"), "fn no() {}\nfn text() {}\n").unwrap();
        fs::write(folder.path().join("LICENSE"), "LICENSE-MIT").unwrap();
        let text = text(&release).unwrap();
        assert_eq!(text.matches("Permission\nis granted\n").count(), 1);
        assert!(
            text.contains(&format!(
                "{RULE}\nlinked 1.2.3\nmaker 1.2.3\n{RULE}\n\nOf somebody\nelse\n"
            )),
            "{text}"
        );
        assert!(!text.contains("fn no()") && !text.contains("\r"));
        let of = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(of("linked 1.2.3").ends_with("in the program   MIT OR Apache-2.0"));
        assert!(of("maker 1.2.3").contains("built it"));
        for name in [
            "musl of Rust 1.95.0",
            "rust-std 1.95.0",
            "libunwind of Rust 1.95.0",
            "Rich Felker",
            "Unicode-3.0",
        ] {
            assert!(text.contains(name), "{name}");
        }
    }

    #[test]
    fn a_crate_without_a_text_gets_the_standard_ones_or_is_refused() {
        let (_folder, mut release) = release();
        let rust = Standard::read().unwrap();
        let texts = texts_of(&release.crates.all[0], &rust).unwrap();
        assert_eq!(texts.len(), 2);
        let mit = texts.iter().find(|text| text.starts_with("MIT, as linked")).unwrap();
        assert!(
            mit.contains("Copyright: A. Author\n") && mit.contains("Permission is hereby granted"),
            "{mit}"
        );
        release.crates.all[0].licence = Some("LicenseRef-unheard-of".to_owned());
        let error = texts_of(&release.crates.all[0], &rust).unwrap_err().to_string();
        assert!(error.contains("linked 1.2.3 has no text"), "{error}");
    }

    #[test]
    fn pages_become_text() {
        let html = "<html><head><title>x</title></head><body>\n<h1>A &#60;b&#62; &#38;amp; &#34;c&#34;</h1>\n\n\n  \n<pre>text\n</pre></body>";
        assert_eq!(plain(html), "A <b> &amp; \"c\"\n\ntext\n");
    }
}
