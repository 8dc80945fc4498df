//! Client tokens, which prevent starting a task twice.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use super::task::Task;
use super::{STOPPED_VISIBLE, in_millis};

/// The longest time for which ECS remembers a token. Source: "Ensuring idempotency".
const LONGEST_LIFE: i64 = 24 * 60 * 60 * 1000;

/// Longest token, in characters.
const LONGEST: usize = 64;

/// The use of a token.
#[derive(Debug)]
struct Use {
    fingerprint: u64,
    at: i64,
    tasks: Vec<usize>,
}

/// What a token means for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was never used, or is forgotten.
    Fresh,
    /// The same request started these tasks before.
    Repeat(Vec<usize>),
    /// Another request started these tasks before.
    Conflict(Vec<usize>),
}

/// All tokens, by cluster: clusters have separate tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<(String, String), Use>);

impl Tokens {
    pub(super) fn judge(&self, cluster: &str, token: &str, fingerprint: u64, now: i64, tasks: &[Task]) -> Verdict {
        match self.0.get(&(cluster.to_owned(), token.to_owned())) {
            Some(earlier) if now < earlier.ends_at(tasks) => {
                if earlier.fingerprint == fingerprint {
                    Verdict::Repeat(earlier.tasks.clone())
                } else {
                    Verdict::Conflict(earlier.tasks.clone())
                }
            }
            _ => Verdict::Fresh,
        }
    }

    pub(super) fn remember(&mut self, cluster: &str, token: &str, fingerprint: u64, now: i64, tasks: Vec<usize>) {
        self.0.insert((cluster.to_owned(), token.to_owned()), Use { fingerprint, at: now, tasks });
    }
}

impl Use {
    /// A token lasts for 24 hours, or until an hour after its last task if that is less.
    fn ends_at(&self, tasks: &[Task]) -> i64 {
        let last_stop = self.tasks.iter().map(|index| tasks[*index].stopped_at.unwrap_or(i64::MAX)).max();
        let by_task = last_stop.unwrap_or(i64::MAX).saturating_add(in_millis(STOPPED_VISIBLE));
        by_task.min(self.at + LONGEST_LIFE)
    }
}

/// Whether a token consists of visible ASCII characters and is short enough.
pub(super) fn is_valid(token: &str) -> bool {
    (1..=LONGEST).contains(&token.len()) && token.bytes().all(|byte| (33..=126).contains(&byte))
}

/// Identifies the parameters of a request: the SDK writes the same parameters as the same bytes.
pub(super) fn fingerprint(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}
