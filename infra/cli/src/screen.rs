//! What the user sees and is asked. All of it goes to standard error; standard output is for the result alone.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use cliclack::ProgressBar;

use crate::answer::width;
use crate::args::Common;
use crate::trouble::Trouble;

/// The user's terminal, or what stands in for it in a script.
pub struct Screen {
    is_terminal: bool,
    assumes_yes: bool,
    is_verbose: bool,
}

/// Something that takes a while. Whoever drops it unfinished leaves its last words on the screen.
pub struct Waiting {
    bar: Option<ProgressBar>,
    last: String,
}

impl Screen {
    /// The terminal of this process. Questions need one for input as well as for output.
    pub fn of_process(common: &Common) -> Self {
        Self {
            is_terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
            assumes_yes: common.yes,
            is_verbose: common.verbose,
        }
    }

    /// Whether somebody can answer questions.
    pub fn is_interactive(&self) -> bool {
        self.is_terminal && !self.assumes_yes
    }

    /// Whether a line can be replaced by the next, or all are wanted.
    pub fn is_live(&self) -> bool {
        self.is_terminal || self.is_verbose
    }

    /// Begins the talk of a command.
    pub fn begin(&self, title: impl Display) {
        if self.is_terminal {
            let _ = cliclack::intro(title);
        } else {
            line(title);
        }
    }

    /// Ends it.
    pub fn end(&self, text: impl Display) {
        if self.is_terminal {
            let _ = cliclack::outro(fitted(text, ORNAMENT));
        } else {
            line(text);
        }
    }

    /// A block of text with a heading.
    pub fn note(&self, heading: impl Display, text: impl Display) {
        if self.is_terminal {
            let _ = cliclack::note(heading, text);
        } else {
            line(format!("{heading}\n{text}"));
        }
    }

    /// Opens a page in the user's browser, or says which to open. The address stands on a line of its own, which nothing
    /// breaks, so that it can be copied from a narrow terminal as well.
    pub fn open(&self, page: &str, may_open: bool) {
        let is_remote = env::var_os("SSH_CONNECTION").is_some();
        let opened = may_open && !is_remote && webbrowser::open(page).is_ok();
        let words = if opened { "Your browser shows" } else { "Open in a browser" };
        if self.is_terminal {
            let _ = cliclack::log::info(format!("{words}:"));
        }
        line(if self.is_terminal { page.to_owned() } else { format!("{words} {page}") });
    }

    /// Something that is done, or was found as it should be.
    pub fn done(&self, text: impl Display) {
        if self.is_terminal {
            let _ = cliclack::log::success(fitted(text, ""));
        } else {
            line(format!("ok: {text}"));
        }
    }

    /// Something that deserves attention, though it goes on.
    pub fn warn(&self, text: impl Display) {
        if self.is_terminal {
            let _ = cliclack::log::warning(fitted(text, ""));
        } else {
            line(format!("warning: {text}"));
        }
    }

    /// Something that the user may want to know.
    pub fn say(&self, text: impl Display) {
        if self.is_terminal {
            let _ = cliclack::log::info(fitted(text, ""));
        } else {
            line(text);
        }
    }

    /// Shows why a command ends early.
    pub fn trouble(&self, trouble: &Trouble) {
        if self.is_terminal {
            let _ = cliclack::log::error(fitted(trouble, ""));
        } else {
            line(format!("error: {trouble}"));
        }
    }

    /// Begins something that takes a while.
    pub fn wait(&self, text: impl Display) -> Waiting {
        let last = text.to_string();
        if self.is_terminal {
            let bar = cliclack::spinner();
            bar.start(&last);
            return Waiting { bar: Some(bar), last };
        }
        line(format!("{last} …"));
        Waiting { bar: None, last }
    }

    /// Asks yes or no. Without a terminal, `--yes` is the answer.
    pub fn confirm(&self, question: &str) -> Result<(), Trouble> {
        if self.assumes_yes {
            return Ok(());
        }
        self.needs_terminal(question, "--yes")?;
        match cliclack::confirm(question).interact() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Trouble::interrupted()),
            Err(error) => Err(unanswered(&error)),
        }
    }

    /// Asks for one of several; the first is the default. `flag` answers it without a terminal.
    pub fn choose<T: Clone + Eq>(&self, question: &str, flag: &str, choices: &[(T, String)]) -> Result<T, Trouble> {
        match choices {
            [] => return Err(Trouble::usage(format!("{question} There is nothing to choose from."), flag)),
            [(only, _)] => return Ok(only.clone()),
            [(first, _), ..] if self.assumes_yes => return Ok(first.clone()),
            _ => self.needs_terminal(question, flag)?,
        }
        let mut select = cliclack::select(question);
        for (value, label) in choices {
            select = select.item(value.clone(), shortened(label, width()), "");
        }
        select.interact().map_err(|error| unanswered(&error))
    }

    /// Asks for several of several; all are chosen at first.
    pub fn choose_some<T: Clone + Eq>(
        &self,
        question: &str,
        flag: &str,
        choices: &[(T, String)],
    ) -> Result<Vec<T>, Trouble> {
        let all: Vec<T> = choices.iter().map(|(value, _)| value.clone()).collect();
        if self.assumes_yes || all.len() < 2 {
            return Ok(all);
        }
        self.needs_terminal(question, flag)?;
        let mut select = cliclack::multiselect(question).initial_values(all);
        for (value, label) in choices {
            select = select.item(value.clone(), shortened(label, width()), "");
        }
        select.interact().map_err(|error| unanswered(&error))
    }

    /// Asks for a text. `flag` answers it without a terminal.
    pub fn ask(&self, question: &str, flag: &str) -> Result<String, Trouble> {
        self.needs_terminal(question, flag)?;
        cliclack::input(question).interact().map_err(|error| unanswered(&error))
    }

    /// Asks for a word to be typed, before something that cannot be undone.
    pub fn ask_for_word(&self, question: &str, word: &str) -> Result<(), Trouble> {
        if self.assumes_yes {
            return Ok(());
        }
        self.needs_terminal(question, "--yes")?;
        let typed: String = cliclack::input(question).interact().map_err(|error| unanswered(&error))?;
        if typed == word { Ok(()) } else { Err(Trouble::interrupted()) }
    }

    fn needs_terminal(&self, question: &str, flag: &str) -> Result<(), Trouble> {
        if self.is_interactive() {
            return Ok(());
        }
        Err(Trouble::usage(format!("no terminal to ask: {question}"), format!("answer with {flag}")))
    }
}

impl Waiting {
    /// Changes what it says.
    pub fn tell(&mut self, text: impl Display) {
        let text = text.to_string();
        if text == self.last {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_message(&text),
            None => line(format!("  {text}")),
        }
        self.last = text;
    }

    /// It has ended well.
    pub fn done(mut self, text: impl Display) {
        match self.bar.take() {
            Some(bar) => bar.stop(text),
            None => line(format!("ok: {text}")),
        }
    }

    /// Others speak now.
    pub fn clear(mut self) {
        if let Some(bar) = self.bar.take() {
            bar.clear();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.error(&self.last);
        }
    }
}

/// What stands before the continued lines of a text that is not in a column of its own.
const ORNAMENT: &str = "   ";

/// The columns of a line's ornament, and one that stays free: a terminal begins a new line after the last.
const ORNAMENT_WIDTH: usize = 4;

/// The columns of a choice's ornament, and one that stays free.
const CHOICE_WIDTH: usize = 6;

/// Breaks a text between words where the terminal would break it anywhere.
fn fitted(text: impl Display, indent: &str) -> String {
    wrapped(&text.to_string(), indent, width())
}

fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let options = textwrap::Options::new(width.saturating_sub(ORNAMENT_WIDTH).max(1))
        .subsequent_indent(indent)
        // Names and addresses can be copied only in one piece.
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    text.lines().map(|line| textwrap::fill(line, &options)).collect::<Vec<_>>().join("\n")
}

/// A choice has one line: a longer one could not be drawn anew when the cursor moves.
fn shortened(label: &str, width: usize) -> String {
    let room = width.saturating_sub(CHOICE_WIDTH);
    if label.chars().count() <= room {
        return label.to_owned();
    }
    label.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

fn line(text: impl Display) {
    // A reader that went away is no reason to stop half-way.
    let _ = writeln!(io::stderr(), "{text}");
}

fn unanswered(error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::Interrupted {
        Trouble::interrupted()
    } else {
        Trouble::failed(format!("the terminal cannot be used: {error}"), "answer by flags; see --help")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_breaks_between_words_and_an_address_never() {
        let text = "the App delivers to http://127.0.0.1:4566/a-long-way-to-go, not here\nTo do: correct it";
        insta::assert_snapshot!(wrapped(text, "", 40), @"
        the App delivers to
        http://127.0.0.1:4566/a-long-way-to-go,
        not here
        To do: correct it
        ");
    }

    #[test]
    fn a_choice_fits_a_line() {
        assert_eq!(shortened("subnet-1: us-east-1a", 40), "subnet-1: us-east-1a");
        assert_eq!(shortened("subnet-1: us-east-1a", 20), "subnet-1: us-…");
    }
}
