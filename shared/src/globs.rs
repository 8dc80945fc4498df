//! Patterns for repositories.

use std::fmt;
use std::str::FromStr;

/// `owner/name`, in which each `*` stands for any characters. Like GitHub, it ignores case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryGlob {
    owner: String,
    name: String,
}

impl RepositoryGlob {
    /// Whether a repository matches.
    pub fn matches(&self, owner: &str, name: &str) -> bool {
        self.matches_owner(owner) && fits(&self.name, &name.to_lowercase())
    }

    /// Whether a repository of that owner may match.
    pub fn matches_owner(&self, owner: &str) -> bool {
        fits(&self.owner, &owner.to_lowercase())
    }

    /// The name of the only repository of an owner that can match, if there is no star in it: GitHub need not list them
    /// then.
    pub fn only_name(&self) -> Option<&str> {
        (!self.name.contains('*')).then_some(self.name.as_str())
    }
}

impl fmt::Display for RepositoryGlob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepositoryGlob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            !part.is_empty()
                && part.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '*'))
        };
        match text.trim().split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => {
                Ok(Self { owner: owner.to_lowercase(), name: name.to_lowercase() })
            }
            _ => Err("owner/name, separated by commas; * stands for any characters".to_owned()),
        }
    }
}

/// Between two stars, the first place where a piece matches is as good as any later one.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = text.split_once(piece) else { return false };
        text = after;
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, owner, name, fits) in [
            ("octo-org/octo-repo", "Octo-Org", "octo-Repo", true),
            ("octo-org/octo-repo", "octo-org", "octo-repo2", false),
            ("octo-org/*", "octo-org", "anything", true),
            ("octo-org/*", "octo-org2", "anything", false),
            ("*/build-*-ci", "a", "build-x-ci", true),
            ("*/build-*-ci", "a", "build-ci", false),
            ("*/a*a", "o", "a", false),
            ("*/a*b*c", "o", "a-b-b-c", true),
            ("*/*", "o", "r", true),
        ] {
            let glob: RepositoryGlob = pattern.parse().unwrap();
            assert_eq!(glob.matches(owner, name), fits, "{pattern} {owner}/{name}");
        }
        assert_eq!("o/r".parse::<RepositoryGlob>().unwrap().only_name(), Some("r"));
        assert_eq!("o/*".parse::<RepositoryGlob>().unwrap().only_name(), None);
        for malformed in ["", "octo-org", "/x", "x/", "a b/c", "a/b/c"] {
            assert!(malformed.parse::<RepositoryGlob>().is_err(), "{malformed}");
        }
    }
}
