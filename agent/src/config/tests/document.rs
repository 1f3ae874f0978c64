//! The reference of options for people is the table of options.

use super::*;
use crate::config::options::Opt;
use std::fmt::Write as _;

/// Of code in a table: a bar would end its cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn row(option: &Opt) -> String {
    let value = if option.switch { "" } else { option.value };
    let flag = format!("--{} {value}", option.name);
    let default: Vec<String> = option.default.iter().map(|value| code(value)).collect();
    let mut help = option.help.replace('|', "\\|");
    if !option.words.is_empty() {
        let words: Vec<String> = option.words.iter().map(|word| code(word)).collect();
        let _ = write!(help, " One of {}.", words.join(", "));
    }
    format!(
        "| {} | {} | {} | {} | {help} |\n",
        code(flag.trim_end()),
        code(option.key()),
        default.join(", "),
        option.env.map(code).unwrap_or_default()
    )
}

#[test]
fn the_document_is_the_table_of_options() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    let head = "| Flag | Key of the file | Default | Variable | What it does |\n|---|---|---|---|---|\n";
    let begin = "## Of the agent\n\n";
    let (collectors, own): (Vec<&Opt>, Vec<&Opt>) = OPTIONS
        .iter()
        .filter(|option| !option.hidden)
        .partition(|option| option.is_of_collector());
    let rows = |options: &[&Opt]| -> String { options.iter().map(|option| row(option)).collect() };
    let all = format!(
        "{begin}{head}{}\n## Of collectors\n\n{head}{}",
        rows(&own),
        rows(&collectors)
    );
    let document = fs::read_to_string(file).unwrap_or_default();
    if std::env::var_os("ONLOOKER_WRITE_DOCS").is_some() {
        let before = document.split_once(begin).map_or(&*document, |(before, _)| before);
        fs::write(file, format!("{before}{all}")).unwrap();
    } else {
        assert!(
            document.ends_with(&all),
            "docs/options.md is stale: ONLOOKER_WRITE_DOCS=1 writes it anew"
        );
    }
}
