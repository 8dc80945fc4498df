//! A check and what it found.

use std::fmt::Write as _;

use serde::Serialize;

use crate::answer::fill;
use crate::aws::{Caller, Door};
use crate::trouble::{Exit, Trouble};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// As it should be.
    Good,
    /// Something is wrong.
    Bad,
    /// It could not be looked at.
    Unknown,
}

/// What is wrong, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    what: String,
    todo: String,
    fix: Option<Fix>,
}

impl Wrong {
    /// Something that the user has to mend.
    pub(super) fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what: what.into(), todo: todo.into(), fix: None }
    }

    /// The same, but `--fix` can do it.
    #[must_use]
    pub(super) fn with(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }

    /// The same, with what led to it.
    #[must_use]
    pub(super) fn because(self, words: &str) -> Self {
        Self { what: format!("{}: {words}", self.what), ..self }
    }

    #[cfg(test)]
    pub(super) fn fix(&self) -> Option<&Fix> {
        self.fix.as_ref()
    }
}

/// What `--fix` can do. Each can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fix {
    /// Enable the worker's event source, by its id.
    EnableEventSource(String),
    /// Have the App deliver to the fleet's webhook.
    PointHook,
    /// Switch on what calls the cleaner.
    Enable(Caller),
    /// Let everybody call the webhook's Function URL.
    OpenDoors(Vec<Door>),
}

/// What a look came to: all is well, with a word about it, or what is wrong; or it could not be looked at.
pub(super) type Look = Result<Result<String, Wrong>, Trouble>;

/// A check and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub what: String,
    /// What to do about it; nothing if all is well.
    pub todo: String,
    #[serde(skip)]
    pub(super) fix: Option<Fix>,
}

impl Finding {
    /// From a look.
    pub(super) fn of(check: &'static str, look: Look) -> Self {
        match look {
            Ok(Ok(what)) => Self { check, outcome: Outcome::Good, what, todo: String::new(), fix: None },
            Ok(Err(Wrong { what, todo, fix })) => Self { check, outcome: Outcome::Bad, what, todo, fix },
            Err(trouble) => {
                Self { check, outcome: Outcome::Unknown, what: trouble.what, todo: trouble.remedy, fix: None }
            }
        }
    }
}

/// How the command ends: something is wrong, or else something could not be looked at.
pub(super) fn exit(findings: &[Finding]) -> Exit {
    let any = |outcome| findings.iter().any(|finding| finding.outcome == outcome);
    if any(Outcome::Bad) {
        Exit::Failed
    } else if any(Outcome::Unknown) {
        Exit::Unknown
    } else {
        Exit::Good
    }
}

/// The list for people.
pub(super) fn text(findings: &[Finding], width: usize) -> String {
    let mut text = String::new();
    for Finding { check, outcome, what, todo, .. } in findings {
        let mark = match outcome {
            Outcome::Good => "✓",
            Outcome::Bad => "✗",
            Outcome::Unknown => "?",
        };
        let what = if what.is_empty() { (*check).to_owned() } else { format!("{check}: {what}") };
        fill(&mut text, &format!("{mark} "), "  ", &what, width);
        if !todo.is_empty() {
            fill(&mut text, "  Do: ", "      ", todo, width);
        }
    }
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    let (good, bad, unknown) = (count(Outcome::Good), count(Outcome::Bad), count(Outcome::Unknown));
    let _ = writeln!(text, "\n{good} right, {bad} wrong, {unknown} not looked at");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::of("the webhook refuses unsigned deliveries", Ok(Ok(String::new()))),
            Finding::of("dead letters", Ok(Err(Wrong::new("3", "see `jitgate dead-letters`")))),
            Finding::of(
                "alarms",
                Err(Trouble::unknown("monitoring:DescribeAlarms: AccessDenied", "let yourself call it")),
            ),
        ]
    }

    #[test]
    fn each_check_has_its_mark_and_mend() {
        insta::assert_snapshot!(text(&findings(), 60));
    }

    #[test]
    fn what_is_wrong_counts_more_than_what_is_not_known() {
        let all = findings();
        assert_eq!((exit(&all[..1]), exit(&all[..2]), exit(&all)), (Exit::Good, Exit::Failed, Exit::Failed));
        assert_eq!(exit(&all[2..]), Exit::Unknown);
    }
}
