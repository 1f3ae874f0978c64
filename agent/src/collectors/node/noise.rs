//! Texts for the tests of parsers, which must take whatever a file holds.

use proptest::prelude::*;

/// Bytes of all sorts, and lines put together from words that the parser knows, numbers and odd signs.
pub(crate) fn noise(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    let bytes = bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let number = prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        "[-+0-9.a-zA-Z%/]{0,6}"
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(words).prop_map(str::to_owned),
        2 => number,
        2 => proptest::sample::select(vec![" ", "  ", "\t", "\n", "\n ", ""]).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ];
    let lines = proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    prop_oneof![bytes, lines]
}
