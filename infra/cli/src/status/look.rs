//! Looks at everything at once.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::Value;
use time::OffsetDateTime;

use super::runners::State;
use super::{Left, Picture, runners, waits};
use crate::aws::{Aws, RunnerTask};
use crate::doctor::groups::budget;
use crate::fleet::Deployed;
use crate::github::{GitHubTrouble, Installation, SignedIn, registers};
use crate::trouble::Trouble;

/// How often GitHub is asked which runners are busy: a call for a hundred runners, of the 5,000 or more that the installation
/// has an hour, so 120 an hour.
const ASK_GITHUB_EVERY: Duration = Duration::from_secs(30);

/// An installation's token is good for an hour.
const TOKENS_LAST: Duration = Duration::from_mins(50);

/// What the registrations do, and what is left of the calls.
#[derive(Clone, Default)]
struct Hub {
    states: HashMap<String, State>,
    left: BTreeMap<String, Left>,
}

/// Whoever looks, again and again.
pub(super) struct Observer<'a> {
    aws: &'a Aws,
    fleet: &'a Deployed,
    /// The App; nothing if the secret holds a token.
    app: Result<Option<SignedIn>, Trouble>,
    tokens: Option<(Instant, Vec<(Installation, SecretString)>)>,
    hub: Option<(Instant, Hub)>,
}

impl<'a> Observer<'a> {
    pub(super) async fn new(aws: &'a Aws, fleet: &'a Deployed) -> Self {
        Self { aws, fleet, app: fleet.app(aws).await, tokens: None, hub: None }
    }

    pub(super) async fn look(&mut self) -> Picture {
        let (aws, fleet) = (self.aws, self.fleet);
        let queue = fleet.setting("JOB_QUEUE_URL");
        let jobs = async { aws.queue_numbers(queue.as_ref().map_err(Trouble::clone)?).await };
        let oldest = async { aws.oldest_message(queue.as_ref().map_err(Trouble::clone)?).await };
        let dead = async { aws.queue_numbers(&fleet.setting("DEAD_LETTER_QUEUE_URL")?).await };
        // Which repositories' runners GitHub is asked about, the tasks say.
        let runners = async {
            let tasks = match fleet.setting("ECS_CLUSTER") {
                Ok(cluster) => aws.runner_tasks(&cluster).await,
                Err(trouble) => Err(trouble),
            };
            let hub = self.hub(tasks.as_deref().unwrap_or_default()).await;
            (tasks, hub)
        };
        let (jobs, oldest, dead, (tasks, hub), lines, alarms) =
            tokio::join!(jobs, oldest, dead, runners, lines(aws, fleet), aws.alarms(&fleet.stack));
        let mut unseen = Vec::new();
        let jobs = note(jobs, &mut unseen);
        let number = |name: &str| jobs.as_ref().and_then(|numbers| numbers.get(name).copied());
        let dead = note(dead, &mut unseen);
        let tasks = note(tasks, &mut unseen);
        let hub = note(hub, &mut unseen).flatten();
        let lines = note(lines, &mut unseen);
        let now = OffsetDateTime::now_utc();
        Picture {
            stack: fleet.stack.clone(),
            version: fleet.version.clone(),
            waiting: number("ApproximateNumberOfMessages"),
            oldest_seconds: note(oldest, &mut unseen).flatten(),
            deferred: number("ApproximateNumberOfMessagesDelayed"),
            next_deferred_seconds: lines.as_ref().and_then(|(_, deferred)| waits::next_deferred(deferred, now)),
            in_work: number("ApproximateNumberOfMessagesNotVisible"),
            dead_letters: dead.and_then(|numbers| numbers.get("ApproximateNumberOfMessages").copied()),
            runners: tasks.map(|tasks| runners::count(&tasks, hub.as_ref().map(|hub| &hub.states), &fleet.prefix())),
            limit: fleet.setting("MAX_RUNNERS").ok().and_then(|limit| limit.parse().ok()),
            launches: lines.map(|(launched, deferred)| waits::summary(&launched, deferred.iter().map(|(_, it)| it))),
            alarms: note(alarms, &mut unseen),
            github: hub.map(|hub| hub.left),
            not_looked_at: unseen,
        }
    }

    /// What GitHub says, or said a moment ago; nothing if the secret holds no App's key.
    async fn hub(&mut self, tasks: &[RunnerTask]) -> Result<Option<Hub>, Trouble> {
        let app = match &self.app {
            Ok(Some(app)) => app,
            Ok(None) => return Ok(None),
            Err(trouble) => return Err(trouble.clone()),
        };
        if let Some((asked, hub)) = &self.hub
            && asked.elapsed() < ASK_GITHUB_EVERY
        {
            return Ok(Some(hub.clone()));
        }
        let is_fresh = self.tokens.as_ref().is_some_and(|(since, _)| since.elapsed() < TOKENS_LAST);
        if !is_fresh {
            self.tokens = Some((Instant::now(), sign_in(app, self.fleet.in_repositories()).await?));
        }
        let tokens = self.tokens.as_ref().map_or(&[][..], |(_, tokens)| tokens);
        let in_repositories = self.fleet.in_repositories();
        let asked = tokens.iter().map(|(installation, token)| ask(app, installation, token, in_repositories, tasks));
        let mut hub = Hub::default();
        for (states, left) in futures::future::try_join_all(asked).await? {
            hub.states.extend(states);
            hub.left.extend(left);
        }
        self.hub = Some((Instant::now(), hub.clone()));
        Ok(Some(hub))
    }
}

async fn sign_in(app: &SignedIn, in_repositories: bool) -> Result<Vec<(Installation, SecretString)>, GitHubTrouble> {
    let all = app.installations().await?;
    let active = all.into_iter().filter(|each| each.suspended_at.is_none());
    let signed = active.map(|installation| async move {
        let wanted = [(registers(in_repositories).to_owned(), "read".to_owned())].into();
        let token = app.token(installation.id, &wanted).await?;
        Ok((installation, token))
    });
    futures::future::try_join_all(signed).await
}

type Told = (Vec<(String, State)>, Option<(String, Left)>);

/// Asks about the runners of an installation that tasks were started for.
async fn ask(
    app: &SignedIn,
    installation: &Installation,
    token: &SecretString,
    in_repositories: bool,
    tasks: &[RunnerTask],
) -> Result<Told, GitHubTrouble> {
    let login = &installation.account.login;
    let mut places: Vec<String> = tasks
        .iter()
        .filter_map(|task| {
            let repository = task.repository.as_deref();
            if !in_repositories {
                return Some(format!("orgs/{login}"));
            }
            repository
                .filter(|it| it.split('/').next().is_some_and(|owner| owner.eq_ignore_ascii_case(login)))
                .map(|repository| format!("repos/{repository}"))
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    let lists = futures::future::try_join_all(places.iter().map(|place| app.runners(token, place)));
    let (lists, left) = futures::future::try_join(lists, budget(app, token)).await?;
    let states = lists.into_iter().flatten().map(|runner| {
        let state = match (runner.busy, runner.status.as_str()) {
            (true, _) => State::Busy,
            (false, "online") => State::Idle,
            (false, _) => State::Offline,
        };
        (runner.name, state)
    });
    let left = left.map(|budget| {
        let until = budget.reset - OffsetDateTime::now_utc().unix_timestamp();
        let left = Left {
            calls: budget.remaining,
            of: budget.limit,
            renewed_in_seconds: u64::try_from(until).unwrap_or_default(),
        };
        (login.clone(), left)
    });
    Ok((states.collect(), left))
}

type Lines = (Vec<Value>, Vec<(OffsetDateTime, Value)>);

/// The worker's lines of the last hour: launches and deferrals.
async fn lines(aws: &Aws, fleet: &Deployed) -> Result<Lines, Trouble> {
    let since = OffsetDateTime::now_utc() - time::Duration::HOUR;
    let of = |text| aws.log_lines(&fleet.worker.log_group, text, since);
    let (launched, deferred) = tokio::try_join!(of("runner launched"), of("job deferred"))?;
    let parsed = |lines: Vec<(OffsetDateTime, String)>| {
        lines.into_iter().filter_map(|(at, line)| Some((at, serde_json::from_str::<Value>(&line).ok()?)))
    };
    Ok((parsed(launched).map(|(_, line)| line).collect(), parsed(deferred).collect()))
}

fn note<T>(outcome: Result<T, Trouble>, unseen: &mut Vec<String>) -> Option<T> {
    outcome.map_err(|trouble| unseen.push(trouble.what)).ok()
}
