//! Check runs, by which a commit shows why its job waits. Launches do not depend on them, so they have a token of their own,
//! which asks for nothing else: an App without the permission registers runners as before.
//!
//! No call is repeated, and none is made unless points are left over: see `Pace::Spare`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::error::GitHubError;
use super::jobs::InRepository;
use crate::ids::CheckRunId;

const CHECKS_WRITE: &str = "the App's repository permission \"Checks: Read and write\"";

/// The most check runs of one name on one commit that are looked at. Source: the page size in GitHub's OpenAPI description.
const PAGE: usize = 100;

/// What a check run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSubject<'a> {
    /// The commit.
    pub sha: &'a str,
    /// The check run's name.
    pub name: &'a str,
    /// Our own id, by which it is found again.
    pub external_id: &'a str,
    /// Where "Details" leads.
    pub details_url: Option<&'a str>,
}

/// What a check run says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckText {
    /// Whether nothing follows. GitHub shows an open one as queued.
    pub is_final: bool,
    /// One line.
    pub title: String,
    /// In Markdown.
    pub summary: String,
}

impl CheckText {
    fn to_json(&self) -> Value {
        let output = json!({ "title": self.title, "summary": self.summary });
        if self.is_final {
            // It explains and does not judge: the job's own state does. Whoever waits for all checks is held up by nothing else.
            json!({ "status": "completed", "conclusion": "neutral", "output": output })
        } else {
            json!({ "status": "queued", "output": output })
        }
    }
}

/// A check run, as GitHub shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CheckRun {
    /// Its id.
    pub id: CheckRunId,
    /// `completed`, or a state before that.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    output: OutputJson,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct OutputJson {
    #[serde(default)]
    title: Option<String>,
}

impl CheckRun {
    /// Whether it says so already.
    pub fn says(&self, text: &CheckText) -> bool {
        self.output.title.as_ref() == Some(&text.title) && self.is_final() == text.is_final
    }

    /// Whether nothing follows.
    pub fn is_final(&self) -> bool {
        self.status.as_deref() == Some("completed")
    }
}

#[derive(Deserialize)]
struct CheckRunsJson {
    check_runs: Vec<CheckRun>,
}

impl InRepository<'_> {
    /// The check run of that external id, if there is one; the latest of several.
    pub async fn check_run(self, subject: CheckSubject<'_>) -> Result<Option<CheckRun>, GitHubError> {
        let path = vec!["repos", self.owner, self.name, "commits", subject.sha, "check-runs"];
        let mut call = Call::get(path, CHECKS_WRITE).about_checks(self.owner);
        call.query =
            vec![("check_name", subject.name.to_owned()), ("filter", "all".to_owned()), ("per_page", PAGE.to_string())];
        let found: CheckRunsJson = self.github.call_once(self.account, &call).await?.body;
        let ours = found.check_runs.into_iter().filter(|run| run.external_id.as_deref() == Some(subject.external_id));
        Ok(ours.max_by_key(|run| run.id))
    }

    /// Makes a check run.
    pub async fn create_check_run(
        self,
        subject: CheckSubject<'_>,
        text: &CheckText,
    ) -> Result<CheckRunId, GitHubError> {
        let mut body = text.to_json();
        body["name"] = subject.name.into();
        body["head_sha"] = subject.sha.into();
        body["external_id"] = subject.external_id.into();
        if let Some(url) = subject.details_url {
            body["details_url"] = url.into();
        }
        let path = vec!["repos", self.owner, self.name, "check-runs"];
        let call = Call::post(path, CHECKS_WRITE, &body).about_checks(self.owner);
        let made: CheckRun = self.github.call_once(self.account, &call).await?.body;
        Ok(made.id)
    }

    /// Makes a check run say something else. A final one can become open again. Source: GitHub's "Rerequest a check run", whose
    /// Apps reset a check run by updating it.
    pub async fn update_check_run(self, id: CheckRunId, text: &CheckText) -> Result<(), GitHubError> {
        let id = id.to_string();
        let path = vec!["repos", self.owner, self.name, "check-runs", &id];
        let call = Call::patch(path, CHECKS_WRITE, &text.to_json()).about_checks(self.owner);
        let CheckRun { .. } = self.github.call_once(self.account, &call).await?.body;
        Ok(())
    }
}
