//! What a delivery asks of us, read from its payload.

use jitgate::admission::{Provenance, Unwelcome};
use jitgate::classes::{Asked, Misfit};
use jitgate::config::WebhookConfig;
use jitgate::github::{is_login, is_repository};
use jitgate::job::{
    Attempt, InstallationId, Job, JobId, LONGEST_HTML_URL, Message, OwnerId, Purpose, RunId, workflow_name,
};
use jitgate::report::{News, OnCommit};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use time::OffsetDateTime;

/// Longest delivery id that is carried along; GitHub's are GUIDs of 36 characters.
const LONGEST_DELIVERY_ID: usize = 64;

/// What a delivery asks of us.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// GitHub tests whether deliveries arrive.
    Ping,
    /// A job needs one of our runners, or no longer needs it.
    Job(Box<Message>),
    /// A job means one of our classes, and asks for more than any of them permits.
    Refused {
        /// The job.
        job_id: JobId,
        /// `owner/name`
        repository: String,
        /// What is wrong, and what the class permits.
        reason: String,
        /// Has the worker say so on the job's commit, where the commit may be told.
        report: Option<Box<Message>>,
    },
    /// There is nothing to do.
    Ignored {
        /// The job that it is about and its repository, `owner/name`, where they could be read.
        job: Option<(JobId, String)>,
        /// Why there is nothing to do.
        reason: String,
        /// Has the worker say so on the job's commit, where the commit may be told.
        report: Option<Box<Message>>,
    },
}

/// A payload with a missing or wrong field; says which.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

#[derive(Deserialize)]
struct ActionJson {
    action: String,
}

/// Everything that is needed of a payload, so that its kilobytes are parsed once.
#[derive(Deserialize)]
struct JobEventJson<'a> {
    action: String,
    #[serde(borrow)]
    workflow_job: WorkflowJobJson<'a>,
    repository: RepositoryJson,
    organization: Option<LoginJson>,
    installation: Option<InstallationJson>,
}

#[derive(Deserialize)]
struct WorkflowJobJson<'a> {
    id: JobId,
    run_id: RunId,
    /// Old enterprise servers do not send it.
    #[serde(default = "first_attempt")]
    run_attempt: u32,
    labels: Vec<String>,
    /// Old enterprise servers do not send it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    created_at: Option<OffsetDateTime>,
    html_url: Option<String>,
    /// The next three are for reading only: a malformed value must not lose the job. Null if the workflow has no name that can
    /// be read, and absent from old enterprise servers.
    #[serde(borrow)]
    workflow_name: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    head_sha: Option<&'a RawValue>,
    /// Parsed only once the job has ended: before, a malformed value must not lose the job.
    #[serde(borrow)]
    conclusion: Option<&'a RawValue>,
    #[serde(borrow)]
    runner_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RepositoryJson {
    name: String,
    owner: OwnerJson,
    private: Option<bool>,
    /// An `internal` repository is private, too.
    visibility: Option<String>,
}

impl RepositoryJson {
    fn is_public(&self) -> bool {
        Provenance::is_public(self.visibility.as_deref(), self.private)
    }
}

#[derive(Deserialize)]
struct OwnerJson {
    id: OwnerId,
    login: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct LoginJson {
    login: String,
}

#[derive(Deserialize)]
struct InstallationJson {
    id: InstallationId,
}

#[derive(Deserialize)]
struct CompletedJson<'a> {
    #[serde(borrow)]
    workflow_job: EndedJobJson<'a>,
}

#[derive(Deserialize)]
struct EndedJobJson<'a> {
    #[serde(borrow)]
    conclusion: Option<&'a RawValue>,
    #[serde(borrow)]
    runner_id: Option<&'a RawValue>,
}

/// How a job ended, as far as its runner is concerned.
enum Ending {
    /// The job ended before a runner took it, so a runner may have been started in vain.
    WithoutRunner,
    /// No runner was started in vain; says why.
    Other(&'static str),
}

fn ending(conclusion: Option<&RawValue>, runner_id: Option<&RawValue>) -> Result<Ending, Malformed> {
    let runner_id: Option<u64> = parsed("runner_id", runner_id)?;
    let conclusion: Option<String> = parsed("conclusion", conclusion)?;
    Ok(match (runner_id, conclusion.as_deref()) {
        // GitHub writes 0 as well as null.
        (Some(1..), _) => Ending::Other("the job had its runner, which ends with it"),
        (_, Some("skipped")) => Ending::Other("a skipped job was never queued"),
        _ => Ending::WithoutRunner,
    })
}

fn parsed<T: DeserializeOwned>(field: &str, value: Option<&RawValue>) -> Result<Option<T>, Malformed> {
    let value = value.map(|value| serde_json::from_str(value.get())).transpose();
    value.map_err(|error| Malformed(format!("workflow_job.{field}: {error}")))
}

fn first_attempt() -> u32 {
    1
}

/// What a job's event asks for. The inner error says why it asks for nothing.
fn purpose(
    action: &str,
    ending: impl FnOnce() -> Result<Ending, Malformed>,
) -> Result<Result<Purpose, String>, Malformed> {
    Ok(match action {
        "queued" => Ok(Purpose::Launch),
        "completed" => match ending()? {
            Ending::WithoutRunner => Ok(Purpose::Release),
            Ending::Other(reason) => Err(reason.to_owned()),
        },
        other => Err(format!("action {other:?} needs no runner")),
    })
}

/// A malformed payload is ignored if its event asks for nothing anyway.
fn ignored_despite(body: &[u8], malformed: Malformed) -> Result<Meaning, Malformed> {
    let ActionJson { action } = parse(body)?;
    let ending = || {
        let CompletedJson { workflow_job: job } = parse(body)?;
        ending(job.conclusion, job.runner_id)
    };
    purpose(&action, ending)?.map_or_else(|reason| Ok(ignored(None, reason)), |_| Err(malformed))
}

fn ignored(job: Option<(JobId, String)>, reason: String) -> Meaning {
    Meaning::Ignored { job, reason, report: None }
}

/// Reads a delivery whose signature is verified. `event` and `delivery_id` are the values of its headers.
pub fn read(
    event: &str,
    delivery_id: &str,
    body: &[u8],
    config: &WebhookConfig,
    now: OffsetDateTime,
) -> Result<Meaning, Malformed> {
    match event {
        "ping" => return Ok(Meaning::Ping),
        "workflow_job" => {}
        other => return Ok(ignored(None, format!("event {other:?} is not handled"))),
    }
    let event = match parse::<JobEventJson<'_>>(body) {
        Ok(event) => event,
        Err(malformed) => return ignored_despite(body, malformed),
    };
    let JobEventJson { action, workflow_job: job, repository, organization, installation } = event;
    let full_name = format!("{}/{}", repository.owner.login, repository.name);
    let is_named = is_login(&repository.owner.login) && is_repository(&repository.name);
    let ignored = |reason| ignored(is_named.then(|| (job.id, full_name.clone())), reason);
    let purpose = match purpose(&action, || ending(job.conclusion, job.runner_id))? {
        Ok(purpose) => purpose,
        Err(reason) => return Ok(ignored(reason)),
    };
    let organization = match organization {
        Some(organization) => Some(organization.login),
        None => (repository.owner.kind.as_deref() == Some("Organization")).then(|| repository.owner.login.clone()),
    };
    for (field, is_name) in [
        ("repository.name", is_repository(&repository.name)),
        ("repository.owner.login", is_login(&repository.owner.login)),
        ("organization.login", organization.as_deref().is_none_or(is_login)),
    ] {
        if !is_name {
            return Err(Malformed(format!("{field}: is no name that GitHub gives")));
        }
    }
    let installation_id = installation.map(|installation| installation.id);
    if !config.allowed.includes(&repository.owner.login, installation_id) {
        return Ok(ignored(Unwelcome::Account(repository.owner.login).to_string()));
    }
    let commit = config.reports.then(|| commit(job.name, job.head_sha)).flatten();
    let mut job = Job {
        id: job.id,
        run_id: job.run_id,
        run_attempt: job.run_attempt,
        is_public: repository.is_public(),
        owner: repository.owner.login,
        owner_id: repository.owner.id,
        repository: repository.name,
        organization,
        is_from_fork: None,
        installation_id,
        labels: job.labels,
        class: String::new(),
        created_at: job.created_at.unwrap_or(now),
        html_url: job.html_url.filter(|url| url.len() <= LONGEST_HTML_URL),
        workflow: text(job.workflow_name).as_deref().map(workflow_name),
        commit,
        delivery_id: delivery_id.chars().take(LONGEST_DELIVERY_ID).collect(),
        queued_at: now,
    };
    let asked = Asked::from(&job);
    let is_reported = purpose == Purpose::Launch && job.commit.is_some();
    let (reason, may_tell, is_refused) = match config.classes.fit(&asked) {
        Ok(fit) => match job.provenance().check(fit.class) {
            Ok(()) => {
                job.class.clone_from(&fit.class.name);
                return Ok(Meaning::Job(Box::new(Message::new(purpose, job, Attempt::FIRST, now))));
            }
            Err(unwelcome) => (unwelcome.to_string(), is_reported, false),
        },
        // Some `completed` events have no labels, and a release needs only the job's id.
        Err(Misfit::NoLabels) if purpose == Purpose::Release => {
            return Ok(Meaning::Job(Box::new(Message::new(purpose, job, Attempt::FIRST, now))));
        }
        Err(misfit) => {
            let is_refused = matches!(misfit, Misfit::Refused(_)) && purpose == Purpose::Launch;
            (misfit.to_string(), is_reported && config.classes.refusal(&asked, &misfit).is_some(), is_refused)
        }
    };
    let job_id = job.id;
    let report =
        may_tell.then(|| Box::new(Message::new(Purpose::Report, job, Attempt::FIRST, now).saying(News::Refused, now)));
    Ok(if is_refused {
        Meaning::Refused { job_id, repository: full_name, reason, report }
    } else {
        Meaning::Ignored { job: Some((job_id, full_name)), reason, report }
    })
}

/// Where reports about the job go.
fn commit(name: Option<&RawValue>, sha: Option<&RawValue>) -> Option<OnCommit> {
    OnCommit::of(&text(name)?, &text(sha)?)
}

fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

/// Parses a second time, which finds the field's path, only if the first time fails.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    // serde would also read a struct from a list of its fields.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed("the body is not a JSON object".to_owned()));
    }
    // Checked all at once: string by string costs more.
    let body = str::from_utf8(body).map_err(|error| Malformed(format!("the body is not UTF-8: {error}")))?;
    serde_json::from_str(body).map_err(|error| {
        if error.is_syntax() || error.is_eof() {
            return Malformed(format!("the body is not JSON: {error}"));
        }
        let mut json = serde_json::Deserializer::from_str(body);
        match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Err(error) => Malformed(match error.path().to_string().as_str() {
                "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            }),
            Ok(_) => Malformed(error.to_string()),
        }
    })
}
