//! Prints the manual page: `cargo run --package jitgate --example manual > jitgate.1`.

use std::io;

use clap::CommandFactory as _;
use jitgate_cli::args::CommandLine;

fn main() -> io::Result<()> {
    clap_mangen::Man::new(CommandLine::command()).render(&mut io::stdout())
}
