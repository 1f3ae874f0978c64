//! Any bytes as a file of the textfile collector. Input: one byte (bit 0: strict), then the texts of two files, separated by a
//! zero.
#![no_main]

#[path = "../host.rs"]
mod host;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&how, bytes)) = data.split_first() else {
        return;
    };
    let folder = host::folder().join("files");
    let mut texts = bytes.splitn(2, |byte| *byte == 0);
    for file in ["a.prom", "b.prom"] {
        host::put(&folder.join(file), texts.next().unwrap_or_default());
    }
    let flags = [
        ("collector.textfile.directory", folder.to_str().expect("UTF-8")),
        ("collector.textfile.strict", if how & 1 == 0 { "false" } else { "true" }),
    ];
    host::collect("textfile", &folder, &flags, bytes.len());
});
