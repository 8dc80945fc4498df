//! Labels as classes list them.

use std::fmt;

use crate::globs;

/// Longest label, in characters. Source: GitHub's limit on runner labels.
pub const LONGEST_LABEL: usize = 256;

/// A label of a class, in which each `*` stands for any characters but `/`; whatever the case, as GitHub has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPattern {
    text: String,
    lowercase: String,
}

impl LabelPattern {
    /// 1 to [`LONGEST_LABEL`] characters, without commas and without spaces around.
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

    /// Whether it stands for one label only: itself.
    pub fn is_literal(&self) -> bool {
        !self.text.contains('*')
    }

    /// Whether a label is, but for the case, this one or one that it stands for. A star stands for no `/`, which is what
    /// parts the pieces of a combined label.
    pub fn matches(&self, label: &str) -> bool {
        let label = label.to_lowercase();
        label.matches('/').count() == self.lowercase.matches('/').count()
            && label.split('/').zip(self.lowercase.split('/')).all(|(part, pattern)| globs::fits(pattern, part))
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
