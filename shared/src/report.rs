//! What a job's message carries so that its commit can be told why it waits. Without reports it carries none of this.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::ids::CheckRunId;

/// The longest name of a job that a message carries, in characters. GitHub shows about 60 of a check run's name.
pub const LONGEST_JOB_NAME: usize = 100;

/// The commit that a job's run is of, and the job's name, which its check run carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCommit {
    /// The job's name: one line, and cut.
    pub job_name: String,
    /// The commit.
    pub sha: String,
}

impl OnCommit {
    /// `None` if the second is no commit's hash: nothing else may become part of a path.
    pub fn of(job_name: &str, sha: &str) -> Option<Self> {
        // SHA-1 and SHA-256.
        let is_hash = matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Self { job_name: one_line(job_name, LONGEST_JOB_NAME), sha: sha.to_owned() })
    }
}

/// What there is to say about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// It waits: AWS has no capacity.
    NoCapacity,
    /// It waits: a runner limit is reached.
    LimitReached,
    /// It waits: GitHub limits how fast runners are registered.
    Limited,
    /// It waits: GitHub does not answer, or not as it should.
    GitHubFails,
    /// It waits: AWS does not answer, or not as it should.
    AwsFails,
    /// It waits: a person must correct something.
    NeedsMending,
    /// It waits: its runners, or all of its class, fail to start.
    FailedStarts,
    /// It waits: GitHub gives its class's runners no jobs.
    Unassigned,
    /// No class takes it.
    Refused,
    /// It is given up.
    GivenUp,
    /// It has waited as long as GitHub lets it.
    Expired,
    /// Its runner was started.
    Started,
    /// It needs no runner any more.
    Ended,
}

impl News {
    /// Whether the job still waits.
    pub fn is_wait(self) -> bool {
        !matches!(self, Self::Refused | Self::GivenUp | Self::Expired | Self::Started | Self::Ended)
    }
}

/// Why a job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The latest reason; in a message that only reports, what there is to say.
    #[serde(rename = "why")]
    pub news: News,
    /// Since when it has been this reason.
    #[serde(with = "time::serde::timestamp")]
    pub since: OffsetDateTime,
    /// What its commit says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

impl Wait {
    /// What is known after a try that met this reason. One that stays keeps its beginning.
    #[must_use]
    pub fn noted(before: Option<Self>, news: News, now: OffsetDateTime) -> Self {
        match before {
            Some(before) if before.news == news => before,
            before => Self { news, since: now, told: before.and_then(|before| before.told) },
        }
    }
}

/// A check run about the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its id.
    #[serde(rename = "id")]
    pub check: CheckRunId,
    /// What it says.
    pub news: News,
    /// When that was written.
    #[serde(with = "time::serde::timestamp")]
    pub at: OffsetDateTime,
}

/// Text by strangers as one line: without control characters, without marks that hide or turn text around, and cut.
pub fn one_line(text: &str, most: usize) -> String {
    let is_hidden = |letter: char| matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let visible: String =
        text.chars().map(|letter| if letter.is_control() || is_hidden(letter) { ' ' } else { letter }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some(_) => line.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);
    const SHA: &str = "3484a3fb816e0859fd6e1cea078d76385ff50625";

    #[test]
    fn a_commit_is_a_hash_and_a_name_one_short_line() {
        let name = |name: &str| OnCommit::of(name, SHA).expect("a commit").job_name;
        assert_eq!(name("test (ubuntu, 3.12)"), "test (ubuntu, 3.12)");
        assert_eq!(name("a\n## b\u{202e}c\0"), "a ## b c");
        assert_eq!(name(&"ü".repeat(500)).chars().count(), LONGEST_JOB_NAME);
        for sha in ["", "main", "../../../orgs/o", &SHA[1..], &format!("{SHA}0")] {
            assert_eq!(OnCommit::of("test", sha), None, "{sha}");
        }
    }

    #[test]
    fn a_reason_that_stays_keeps_its_beginning_and_what_was_told_is_never_forgotten() {
        let first = Wait::noted(None, News::NoCapacity, NOW);
        let told = Some(Told { check: CheckRunId(1), news: News::NoCapacity, at: NOW });
        let later = NOW + time::Duration::minutes(3);
        assert_eq!(Wait::noted(Some(Wait { told, ..first }), News::NoCapacity, later), Wait { told, ..first });
        let other = Wait::noted(Some(Wait { told, ..first }), News::LimitReached, later);
        assert_eq!(other, Wait { news: News::LimitReached, since: later, told });
    }
}
