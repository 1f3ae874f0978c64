//! Any text as a configuration file: entries of known options, or messages that name a line of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::config::file::{FileError, parse};
use std::path::Path;

fuzz_target!(|text: &str| {
    match parse(Path::new("agent.yaml"), text) {
        Ok(entries) => {
            let lines = text.lines().count().max(1);
            assert!(entries.iter().all(|entry| (1..=lines).contains(&entry.line)));
        }
        Err(FileError::Malformed(problems)) => assert!(!problems.is_empty()),
        Err(FileError::Unreadable(error)) => panic!("{error}"),
    }
});
