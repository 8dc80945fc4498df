//! The checks of GitHub's side that need an installation's token: registering, runner groups, the budget of calls, and how
//! long the runner's version lasts.

use std::collections::{BTreeMap, BTreeSet};

use jitgate::classes::{RunnerClasses, RunnerGroup};
use jitgate::github::RunnerVersion;
use reqwest::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::finding::{Look, Wrong};
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::github::{GitHubTrouble, Installation, SignedIn, Uses};
use crate::trouble::Trouble;
use crate::why::cause::words_of;

/// The alarm `github-budget-low` goes off below this many calls.
const FEW_CALLS: u64 = 500;

/// The most repositories that are asked about, the latest first. Each costs a call.
const MOST_REPOSITORIES: usize = 20;

/// How long before its end a version is worth a word. The cleaner warns as early: GitHub wants a runner updated within 30
/// days of a release.
const WARNED_BEFORE: Duration = Duration::days(14);

/// An installation, with a token that may do there what registering needs.
pub(super) struct Signed<'a> {
    pub(super) installation: &'a Installation,
    pub(super) token: Result<SecretString, GitHubTrouble>,
    /// How many repositories it has.
    pub(super) repositories: Option<u64>,
}

/// Signs in at each installation that is active.
pub(super) async fn sign_in<'a>(app: &SignedIn, fleet: &Deployed, all: &'a [Installation]) -> Vec<Signed<'a>> {
    // Registering does not depend on reports.
    let needed = Uses { reports: false, ..fleet.uses() }.permissions();
    let wanted: BTreeMap<_, _> = needed.into_iter().map(|(name, level)| (name.to_owned(), level.to_owned())).collect();
    let wanted = &wanted;
    let active = all.iter().filter(|each| each.suspended_at.is_none());
    let signed = active.map(|installation| async move {
        let token = app.token(installation.id, wanted).await;
        let repositories = match &token {
            Ok(token) if installation.repository_selection == "selected" => {
                let page: Result<Value, _> = app.read(Some(token), "installation/repositories?per_page=1").await;
                page.ok().and_then(|page| page["total_count"].as_u64())
            }
            _ => None,
        };
        Signed { installation, token, repositories }
    });
    futures::future::join_all(signed).await
}

/// Whether a token may do in each installation what registering needs.
pub(super) fn registering(signed: &[Signed<'_>]) -> Look {
    for each in signed {
        match &each.token {
            Ok(_) => {}
            Err(trouble) if trouble.status.is_some_and(|status| status.is_client_error()) => {
                let what = Trouble::from(trouble.clone()).what;
                return Ok(Err(Wrong::new(what, "grant the permission, and accept it where the App is installed")));
            }
            Err(trouble) => return Err(trouble.clone().into()),
        }
    }
    Ok(Ok(String::new()))
}

/// A repository whose job was queued lately, and the classes of its jobs.
pub(super) type Asked = (String, BTreeSet<String>);

/// The repositories whose jobs were queued in the last hour, the latest first.
pub(super) async fn asked_lately(aws: &Aws, fleet: &Deployed) -> Result<Vec<Asked>, Trouble> {
    let since = OffsetDateTime::now_utc() - Duration::HOUR;
    let lines = aws.log_lines(&fleet.webhook.log_group, "job queued", since).await?;
    Ok(of_lines(lines.iter().filter_map(|(_, line)| serde_json::from_str(line).ok())))
}

fn of_lines(lines: impl DoubleEndedIterator<Item = Value>) -> Vec<Asked> {
    let mut found: Vec<Asked> = Vec::new();
    for line in lines.rev() {
        let (Some(repository), Some(class)) = (line["repository"].as_str(), line["class"].as_str()) else { continue };
        match found.iter_mut().find(|(name, _)| name == repository) {
            Some((_, classes)) => {
                classes.insert(class.to_owned());
            }
            None => found.push((repository.to_owned(), BTreeSet::from([class.to_owned()]))),
        }
    }
    found
}

/// A runner group as GitHub lists it.
#[derive(Clone, Debug, Deserialize)]
struct Group {
    id: u64,
    name: String,
}

impl Group {
    fn is(&self, wanted: &RunnerGroup) -> bool {
        match wanted {
            RunnerGroup::Id(id) => *id == self.id,
            RunnerGroup::Name(name) => name.eq_ignore_ascii_case(&self.name),
        }
    }
}

/// Whether the classes' runner groups exist, and admit the repositories that asked lately.
pub(super) async fn groups(app: &SignedIn, fleet: &Deployed, signed: &[Signed<'_>], asked: &[Asked]) -> Look {
    if fleet.in_repositories() {
        return Ok(Ok("runners of repositories are in none".to_owned()));
    }
    let classes = fleet.classes()?;
    let mut admitted = 0;
    for each in signed.iter().filter(|each| each.installation.account.kind == "Organization") {
        let (Ok(token), login) = (&each.token, &each.installation.account.login) else { continue };
        // Free plans have the default group alone, and no list of groups.
        let Some(there) = list(app, token, login, "").await? else { continue };
        if let Some(wrong) = missing(&classes, login, &there) {
            return Ok(Err(wrong));
        }
        let own = asked.iter().filter_map(|(repository, classes)| {
            let (owner, name) = repository.split_once('/')?;
            owner.eq_ignore_ascii_case(login).then_some((name, classes))
        });
        for (name, used) in own.take(MOST_REPOSITORIES) {
            let visible = list(app, token, login, &format!("&visible_to_repository={name}")).await?.unwrap_or_default();
            if let Some(wrong) = closed(&classes, used, &format!("{login}/{name}"), &visible) {
                return Ok(Err(wrong));
            }
            admitted += 1;
        }
    }
    Ok(Ok(format!("{admitted} repositories of the last hour are admitted")))
}

async fn list(
    app: &SignedIn,
    token: &SecretString,
    login: &str,
    more: &str,
) -> Result<Option<Vec<Group>>, GitHubTrouble> {
    #[derive(Deserialize)]
    struct Page {
        runner_groups: Vec<Group>,
    }
    let path = format!("orgs/{login}/actions/runner-groups?per_page=100{more}");
    match app.read(Some(token), &path).await {
        Ok(Page { runner_groups }) => Ok(Some(runner_groups)),
        Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

fn missing(classes: &RunnerClasses, login: &str, there: &[Group]) -> Option<Wrong> {
    let class = classes.iter().find(|class| !there.iter().any(|group| group.is(&class.runner_group)))?;
    Some(Wrong::new(
        format!("{login} has no {}, which class {} names", words_of_group(&class.runner_group), class.name),
        "make it in the organisation's settings, or correct runner_group in the class",
    ))
}

fn closed(classes: &RunnerClasses, used: &BTreeSet<String>, repository: &str, visible: &[Group]) -> Option<Wrong> {
    let mut used = classes.iter().filter(|class| used.contains(&class.name));
    let class = used.find(|class| !visible.iter().any(|group| group.is(&class.runner_group)))?;
    let group = words_of_group(&class.runner_group);
    Some(Wrong::new(
        format!("{group}, of class {}, does not admit {repository}, whose job was queued", class.name),
        "in the group's settings, select the repository, or allow public repositories; or give the class another runner_group",
    ))
}

fn words_of_group(group: &RunnerGroup) -> String {
    match group {
        RunnerGroup::Id(id) => format!("runner group {id}"),
        RunnerGroup::Name(name) => format!("runner group {name:?}"),
    }
}

/// What is left of an installation's calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Budget {
    /// Calls an hour.
    pub limit: u64,
    /// Calls that are left.
    pub remaining: u64,
    /// When the hour ends, in seconds since 1970.
    pub reset: i64,
}

/// What is left of the hour; `None` where GitHub limits nothing. Asking costs nothing. Source: GitHub's "REST API endpoints
/// for rate limits".
pub async fn budget(app: &SignedIn, token: &SecretString) -> Result<Option<Budget>, GitHubTrouble> {
    #[derive(Deserialize)]
    struct Answer {
        resources: Resources,
    }
    #[derive(Deserialize)]
    struct Resources {
        core: Budget,
    }
    match app.read::<Answer>(Some(token), "rate_limit").await {
        Ok(Answer { resources }) => Ok(Some(resources.core)),
        // An Enterprise Server without limits has no such page.
        Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Whether calls are left of the hour in each installation.
pub(super) async fn budgets(app: &SignedIn, signed: &[Signed<'_>]) -> Look {
    let mut told = Vec::new();
    for each in signed {
        let Ok(token) = &each.token else { continue };
        let login = &each.installation.account.login;
        match budget(app, token).await? {
            None => told.push(format!("{login} has no limit")),
            Some(budget) => match of_budget(login, &budget, OffsetDateTime::now_utc()) {
                Ok(words) => told.push(words),
                wrong => return Ok(wrong),
            },
        }
    }
    Ok(Ok(told.join(", ")))
}

fn of_budget(login: &str, budget: &Budget, now: OffsetDateTime) -> Result<String, Wrong> {
    let told = format!("{} of {} for {login}", budget.remaining, budget.limit);
    if budget.remaining >= FEW_CALLS {
        return Ok(told);
    }
    let left = Duration::seconds(budget.reset.saturating_sub(now.unix_timestamp()));
    Err(Wrong::new(
        format!("{told}, until they are renewed in {}", words_of(left)),
        "see who else uses this installation's calls; launches wait until then, and no job is lost",
    ))
}

/// How long GitHub takes the versions that the images' tags name.
pub(super) async fn versions(
    app: &SignedIn,
    fleet: &Deployed,
    signed: &[Signed<'_>],
    asked: &[Asked],
    versions: &BTreeSet<RunnerVersion>,
) -> Result<BTreeMap<RunnerVersion, OffsetDateTime>, Trouble> {
    let mut ends = BTreeMap::new();
    let organisation = signed.iter().find(|each| each.installation.account.kind == "Organization");
    let place = if fleet.in_repositories() {
        asked.first().map(|(repository, _)| format!("repos/{repository}"))
    } else {
        organisation.map(|each| format!("orgs/{}", each.installation.account.login))
    };
    let Some(place) = place else { return Ok(ends) };
    let owner = place.split('/').nth(1).unwrap_or_default();
    let of_owner = signed.iter().find(|each| each.installation.account.login.eq_ignore_ascii_case(owner));
    let Some(token) = of_owner.and_then(|each| each.token.as_ref().ok()) else { return Ok(ends) };
    for version in versions {
        let path = format!("{place}/actions/runners/deprecations/{version}");
        match app.read::<jitgate::github::EndOfLife>(Some(token), &path).await {
            Ok(end) => ends.extend(end.first().map(|end| (*version, end))),
            // Not every GitHub offers the question.
            Err(trouble) if trouble.status.is_some_and(|status| status.is_client_error()) => {}
            Err(trouble) => return Err(trouble.into()),
        }
    }
    Ok(ends)
}

/// Whether GitHub will soon turn a version of the runner away: by what it says of the images' tags, and by the cleaner's last
/// warning, which is about the runners that it saw.
pub(super) fn of_versions(
    named: &BTreeSet<RunnerVersion>,
    ends: &BTreeMap<RunnerVersion, OffsetDateTime>,
    warning: Option<&Value>,
    now: OffsetDateTime,
) -> Result<String, Wrong> {
    let todo = "use a newer image: `jitgate upgrade --image IMAGE`";
    for (version, end) in ends {
        if *end - now < WARNED_BEFORE {
            let when = if *end <= now { "ended".to_owned() } else { format!("ends in {}", words_of(*end - now)) };
            return Err(Wrong::new(format!("version {version} {when}"), todo));
        }
    }
    if let Some(line) = warning {
        let version = line["runner.version"].as_str().unwrap_or("?");
        let when = line["days_left"]
            .as_i64()
            .map_or_else(|| "is at RunnerVersionFloor or below".to_owned(), |days| format!("ends in {days} days"));
        return Err(Wrong::new(format!("version {version} {when}"), todo));
    }
    let told: Vec<String> = named
        .iter()
        .map(|version| match ends.get(version) {
            Some(end) => format!("{version}, until {}", end.date()),
            None => format!("{version}, of which GitHub names no end"),
        })
        .collect();
    Ok(if told.is_empty() { "no tag names it, and the cleaner does not warn".to_owned() } else { told.join(", ") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classes() -> RunnerClasses {
        let class = |name: &str, group: &str| {
            format!(r#"{{"name":"{name}","labels":["{name}"],"task_definition":"r","subnets":["s"]{group}}}"#)
        };
        let json = format!("[{},{}]", class("default", ""), class("big", r#","runner_group":"large""#));
        RunnerClasses::parse(&json).unwrap()
    }

    fn group(id: u64, name: &str) -> Group {
        Group { id, name: name.to_owned() }
    }

    #[test]
    fn a_group_exists_and_admits_the_repositories_of_its_class() {
        let both = [group(1, "Default"), group(7, "Large")];
        assert!(missing(&classes(), "o", &both).is_none(), "names have no case");
        let without = format!("{:?}", missing(&classes(), "o", &both[..1]));
        assert!(without.contains("large") && without.contains("class big"), "{without}");
        let used = BTreeSet::from(["big".to_owned()]);
        assert!(closed(&classes(), &used, "o/r", &both).is_none());
        let wrong = format!("{:?}", closed(&classes(), &used, "o/r", &both[..1]));
        assert!(wrong.contains("does not admit o/r"), "{wrong}");
        let other = BTreeSet::from(["default".to_owned()]);
        assert!(closed(&classes(), &other, "o/r", &both[..1]).is_none(), "its jobs need the other group");
    }

    #[test]
    fn the_repositories_that_asked_last_come_first() {
        let line = |repository: &str, class: &str| json!({ "repository": repository, "class": class });
        let lines = [line("o/a", "x"), line("o/b", "x"), line("o/a", "y"), json!({})];
        let found = of_lines(lines.into_iter());
        assert_eq!(found[0], ("o/a".to_owned(), BTreeSet::from(["x".to_owned(), "y".to_owned()])));
        assert_eq!(found[1].0, "o/b");
    }

    #[test]
    fn few_calls_are_told_with_when_there_are_more() {
        let now = OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap();
        let of = |remaining| of_budget("o", &Budget { limit: 5000, remaining, reset: 1_793_535_000 }, now);
        assert_eq!(of(4999), Ok("4999 of 5000 for o".to_owned()));
        assert!(format!("{:?}", of(499)).contains("renewed in 10 minutes"));
    }

    #[test]
    fn a_version_ends_when_github_says_so_or_the_cleaner_warns() {
        let now = OffsetDateTime::from_unix_timestamp(1_793_534_400).unwrap();
        let version: RunnerVersion = "2.335.0".parse().unwrap();
        let named = BTreeSet::from([version]);
        let in_days = |days| BTreeMap::from([(version, now + Duration::days(days))]);
        assert_eq!(of_versions(&named, &in_days(30), None, now), Ok("2.335.0, until 2026-12-01".to_owned()));
        assert!(of_versions(&named, &in_days(13), None, now).is_err());
        assert!(of_versions(&named, &in_days(-1), None, now).is_err());
        assert!(of_versions(&named, &BTreeMap::new(), None, now).is_ok());
        let warning = json!({ "runner.version": "2.334.0", "days_left": 3 });
        let wrong = format!("{:?}", of_versions(&BTreeSet::new(), &BTreeMap::new(), Some(&warning), now));
        assert!(wrong.contains("2.334.0 ends in 3 days"), "{wrong}");
    }
}
