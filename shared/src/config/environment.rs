//! Where settings come from, and the error for one that is missing or malformed.

use std::collections::HashMap;
use std::fmt::{self, Display};

/// What is wrong with one variable.
#[derive(thiserror::Error, PartialEq, Eq)]
#[error("{variable}: found {found}, expected {expected}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// What was found, shortened.
    pub found: String,
    /// What would have been right.
    pub expected: String,
}

impl fmt::Debug for ConfigError {
    /// As [`Display`]: Rust prints an error that ends `main` by its `Debug`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

impl ConfigError {
    pub(crate) fn malformed(variable: &'static str, found: &str, expected: impl Display) -> Self {
        const SHOWN: usize = 80;
        let expected = expected.to_string();
        // People put credentials into a URL's user and query.
        if found.contains("://") && found.contains(['@', '?']) {
            return Self { variable, found: "a URL with a user or a query (not shown)".to_owned(), expected };
        }
        let mut shown: String = found.chars().take(SHOWN).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self { variable, found: format!("{shown:?}"), expected }
    }
}

/// The environment that a function reads its settings from.
#[derive(Clone, Debug, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The process's own environment.
    pub fn of_process() -> Self {
        Self(std::env::vars().collect())
    }

    /// The variable's value; an empty one counts as absent, since deployment tools cannot leave a variable out.
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, variable: &'static str, expected: &str) -> Result<String, ConfigError> {
        self.get(variable).map(str::to_owned).ok_or_else(|| ConfigError {
            variable,
            found: "nothing".to_owned(),
            expected: expected.to_owned(),
        })
    }

    /// Parses the variable's value, where there is one. The parser's error is what was expected.
    pub(crate) fn parsed<T>(
        &self,
        variable: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        match self.get(variable) {
            None => Ok(default),
            Some(value) => parse(value).map_err(|expected| ConfigError::malformed(variable, value, expected)),
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
