//! onlooker's own commands.
fn main() {}
