//! What ends a command early: the exit code, what happened, and what to do about it.

use std::fmt;
use std::process::ExitCode;

/// How a command ends. The numbers are documented and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Good = 0,
    /// Something failed, or something is left.
    Failed = 1,
    /// The command line is wrong, or a question has no answer without a terminal.
    Usage = 2,
    /// It could not be determined: a service does not answer, or something may not be looked at.
    Unknown = 3,
    /// There are no credentials, or they have expired.
    SignIn = 4,
    /// The user interrupted it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error for the user. It contains no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How the command ends.
    pub exit: Exit,
    /// What happened, in one sentence.
    pub what: String,
    /// What the user can do about it.
    pub remedy: String,
}

impl Trouble {
    /// Something failed.
    pub fn failed(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, what: what.into(), remedy: remedy.into() }
    }

    /// The command line is wrong or incomplete.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), remedy: remedy.into() }
    }

    /// Nobody can tell at this moment.
    pub fn unknown(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit: Exit::Unknown, what: what.into(), remedy: remedy.into() }
    }

    /// What cannot happen has happened.
    pub fn bug(what: &impl fmt::Display) -> Self {
        Self::failed(what.to_string(), "report this: it is an error in jitgate")
    }

    /// The user said no, or pressed Ctrl-C.
    pub fn interrupted() -> Self {
        Self {
            exit: Exit::Interrupted,
            what: "interrupted".to_owned(),
            remedy: "run the same command again; it goes on where it stopped".to_owned(),
        }
    }

    /// A file or folder of this machine.
    pub fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            _ => "make the path readable and writable for you",
        };
        Self::failed(format!("{}: {error}", path.display()), remedy)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}\nTo do: {}", self.what, self.remedy)
    }
}
