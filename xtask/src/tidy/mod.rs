//! `cargo xtask tidy`: checks that no compiler makes, of what the architecture promises to be absent.

mod rules;
mod source;

use std::fs;

use anyhow::{Result, bail};

use crate::shell::{Run, root, say};
use rules::Finding;

/// Checks every file that git tracks or would track; an error after all findings were printed.
pub(crate) fn run() -> Result<()> {
    let list = Run::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .read()?;
    let mut files: Vec<(&str, String)> = Vec::new();
    for path in list.lines() {
        // A file deleted but not committed yet is listed and cannot be read; binary files hold no text to check.
        if let Ok(text) = fs::read_to_string(root().join(path)) {
            files.push((path, text));
        }
    }
    let findings = check(&files);
    for Finding { path, line, what } in &findings {
        println!("{path}:{line}: {what}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} found", findings.len());
    }
    say(format!("tidy: {} files, nothing found", files.len()));
    Ok(())
}

/// All findings in files given as path below the root and text.
fn check(files: &[(&str, String)]) -> Vec<Finding> {
    let mut findings = rules::of_the_tree(&files.iter().map(|(path, _)| *path).collect::<Vec<_>>());
    for (path, text) in files {
        findings.extend(rules::of_text(path, text));
        if path.ends_with(".rs") {
            findings.extend(rules::of_source(path, text));
        }
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_all_kinds_come_sorted() {
        let bad = "fn f() {\n    unsafe { g() }\n    crate::probes::h()\n}\n".to_owned();
        let files = [("docs/decisions/why.md", String::new()), ("agent/src/export/x.rs", bad)];
        let found = check(&files);
        let places: Vec<(&str, usize)> = found
            .iter()
            .map(|finding| (finding.path.as_str(), finding.line))
            .collect();
        let expect = ["CHANGELOG.md", "LICENSE", "README.md"].map(|path| (path, 1));
        assert_eq!(places[..3], [expect[0], expect[1], expect[2]]);
        assert_eq!(
            places[3..],
            [
                ("agent/src/export/x.rs", 2),
                ("agent/src/export/x.rs", 3),
                ("docs/decisions/why.md", 1)
            ]
        );
    }
}
