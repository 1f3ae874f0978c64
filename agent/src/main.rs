//! `onlooker`: see `--help`.
fn main() {}
