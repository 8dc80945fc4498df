//! Labels as classes list them, and how long labels may be.

use std::fmt;

use crate::globs;

/// Longest label, in characters. Source: GitHub's limit on runner labels.
pub const LONGEST_LABEL: usize = 256;

/// Most labels that a registration may carry. Source: GitHub's OpenAPI description of `generate-jitconfig`.
pub const MOST_LABELS: usize = 100;

/// Most characters that all labels of one job may have together: they travel in the queue's message, which stays at
/// about 1 KB, and in the task's tags.
pub const LONGEST_LABELS: usize = 300;

/// A label of a class, in which each `*` stands for any characters except `/`. Like GitHub, it ignores case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPattern {
    text: String,
    lowercase: String,
}

impl LabelPattern {
    /// Takes 1 to [`LONGEST_LABEL`] characters without commas and without spaces around them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_label =
            !text.is_empty() && text.chars().count() <= LONGEST_LABEL && text.trim() == text && !text.contains(',');
        if is_label {
            Ok(Self { text: text.to_owned(), lowercase: text.to_lowercase() })
        } else {
            Err(format!("label {text:?} must be 1 to {LONGEST_LABEL} characters without commas or spaces around"))
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches one label only, itself.
    pub fn is_literal(&self) -> bool {
        !self.text.contains('*')
    }

    /// Whether a label matches, ignoring case. A star does not match `/`, which separates the pieces of a combined
    /// label.
    pub fn matches(&self, label: &str) -> bool {
        self.matches_lowercase(&label.to_lowercase())
    }

    /// As [`matches`](Self::matches), for a label in lower case.
    pub(super) fn matches_lowercase(&self, label: &str) -> bool {
        if self.is_literal() {
            return label == self.lowercase;
        }
        label.matches('/').count() == self.lowercase.matches('/').count()
            && label.split('/').zip(self.lowercase.split('/')).all(|(part, pattern)| globs::fits(pattern, part))
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
