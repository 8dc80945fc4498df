//! What the commands that only look answer with: a text for people, or one JSON object.

use std::io::{self, Write as _};

use serde_json::Value;

use crate::args::Common;
use crate::trouble::Exit;

/// An answer, in both forms.
#[derive(Clone, Debug)]
pub struct Answer {
    /// For people, with a line break at the end.
    pub text: String,
    /// For programs.
    pub json: Value,
    /// How the command ends.
    pub exit: Exit,
}

impl Answer {
    /// Prints the form that the user wants on standard output.
    pub fn print(&self, common: &Common) -> Exit {
        // Whoever reads it may have gone away.
        let _ =
            if common.json { writeln!(io::stdout(), "{:#}", self.json) } else { write!(io::stdout(), "{}", self.text) };
        self.exit
    }
}

/// The columns of a terminal that nobody asked.
const ORDINARY_WIDTH: usize = 100;

/// The columns that a text may have: those of the terminal, and as many as are easy to read where there is none.
pub fn width() -> usize {
    let (width, _) = terminal_size::terminal_size().unzip();
    width.map_or(ORDINARY_WIDTH, |width| usize::from(width.0).min(ORDINARY_WIDTH))
}

/// Appends a paragraph, wrapped to a width. Line breaks in its words would leave the column, and become blanks.
pub fn fill(text: &mut String, head: &str, indent: &str, words: &str, width: usize) {
    let options = textwrap::Options::new(width)
        .initial_indent(head)
        .subsequent_indent(indent)
        // Names and addresses can be copied only in one piece.
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    text.push_str(textwrap::fill(&words, options).trim_end());
    text.push('\n');
}
