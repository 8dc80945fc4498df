//! Tags in requests.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::refusal::{Refusal, invalid_parameter};

/// The most tags of a task, and the longest key and value in characters. Source: `RunTask`, `tags`.
const MOST_TAGS: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

pub(super) fn check_tags(tags: &[Tag]) -> Result<(), Refusal> {
    let generally_allowed = |text: &str| {
        text.chars().all(|letter| letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter))
    };
    let fits = |tag: &Tag| {
        (1..=LONGEST_KEY).contains(&tag.key.chars().count())
            && tag.value.chars().count() <= LONGEST_VALUE
            && generally_allowed(&tag.key)
            && generally_allowed(&tag.value)
            && !tag.key.to_lowercase().starts_with("aws:")
    };
    let keys: HashSet<_> = tags.iter().map(|tag| &tag.key).collect();
    if tags.len() <= MOST_TAGS && keys.len() == tags.len() && tags.iter().all(fits) {
        Ok(())
    } else {
        Err(invalid_parameter("Tags can not have invalid characters, be too long, too many, or twice the same."))
    }
}

/// The tags of a `TagResource` request, if ECS accepts them.
pub(super) fn checked_tags(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Refusal> {
    check_tags(&tags)?;
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}
