//! Removes what was left behind.

fn main() {}
