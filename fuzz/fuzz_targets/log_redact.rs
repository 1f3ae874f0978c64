//! Any text to the redactor: no panic, redacting twice changes nothing more, what comes out is bounded.
//!
//! Input: UTF-8; bytes that are none become U+FFFD.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::logs::redact::{Kind, Kinds, Redactor};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data).into_owned();
    let mut redactor = Redactor::new(Kinds::default().with(Kind::Email));
    let mut once = text.clone();
    let found = redactor.text(&mut once);
    assert_eq!(found, once != text, "a secret is never its replacement");
    assert!(once.len() <= (text.len() + 1) * 27);
    let mut twice = once.clone();
    redactor.text(&mut twice);
    assert_eq!(once, twice);
    // One kind alone is not confused by what the others would have found.
    for kind in Kind::ALL {
        let mut one = text.clone();
        Redactor::new(Kinds::NONE.with(kind)).text(&mut one);
    }
});
