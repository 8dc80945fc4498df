//! The part of the control API that makes GitHub refuse, lag or stop: runner groups, limits, suspensions, outages.

use std::collections::BTreeMap;

use jitgate::job::InstallationId;
use jitgate_tests::github::{EndOfLife, GitHub, ORGANIZATION, Scope, Secondary, answers};
use jitgate_tests::wire::{self, Answer, Request};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::control::read;

/// A runner group of the organisation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
    /// The only repositories that it admits, by name; all if absent.
    #[serde(default)]
    selected: Option<Vec<String>>,
}

/// What changes about GitHub; the rest stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Calls an hour, from now on.
    #[serde(default)]
    calls_an_hour: Option<u64>,
    /// Points a minute, from now on.
    #[serde(default)]
    points_a_minute: Option<u64>,
    /// Whether idle runners get jobs.
    #[serde(default)]
    dispatches: Option<bool>,
    /// Whether runners are turned away when they connect.
    #[serde(default)]
    turns_runners_away: Option<bool>,
    /// When versions of the runner end, in RFC 3339; replaces what there was.
    #[serde(default)]
    ends: Option<BTreeMap<String, String>>,
}

/// Answers what is about these; `None` for anything else.
pub(crate) fn control(github: &GitHub, what: &str, request: &Request) -> Option<Result<Answer, String>> {
    let scope = Scope::org(ORGANIZATION);
    let done = || wire::json(200, &json!({}));
    Some(match (request.method().as_str(), what.split_once('/').unwrap_or((what, ""))) {
        ("POST", ("groups", "")) => read(request).map(|new: NewGroup| {
            let selected = new.selected.as_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
            let id = github.add_runner_group(&scope, &new.name, selected.as_deref());
            wire::json(201, &json!({ "id": id }))
        }),
        ("DELETE", ("groups", id)) => Ok(id.parse().map_or_else(
            |_| answers::not_found(),
            |id| {
                github.remove_runner_group(&scope, id);
                done()
            },
        )),
        ("PATCH", ("behaviour", "")) => read(request).and_then(|change: Change| {
            change_behaviour(github, change)?;
            Ok(done())
        }),
        (method @ ("PUT" | "DELETE"), ("suspensions", id)) => Ok(id.parse().map_or_else(
            |_| answers::not_found(),
            |id| {
                let id = InstallationId(id);
                if method == "PUT" {
                    github.suspend(id);
                } else {
                    github.unsuspend(id);
                }
                done()
            },
        )),
        _ => return None,
    })
}

fn change_behaviour(github: &GitHub, change: Change) -> Result<(), String> {
    let moment = |text: &str| OffsetDateTime::parse(text, &Rfc3339).map_err(|error| format!("{text}: {error}"));
    let ends = change.ends.map(|ends| {
        let ends = ends
            .into_iter()
            .map(|(version, at)| Ok((version, EndOfLife { registration: None, runtime: Some(moment(&at)?) })));
        ends.collect::<Result<BTreeMap<_, _>, String>>()
    });
    let ends = ends.transpose()?;
    if let Some(calls) = change.calls_an_hour {
        github.limit(|limits| limits.primary = calls);
        github.begin_hour();
    }
    if let Some(points) = change.points_a_minute {
        github.limit(|limits| limits.secondary = Some(Secondary { points, ..Secondary::default() }));
    }
    github.behave(|behaviour| {
        behaviour.dispatches = change.dispatches.unwrap_or(behaviour.dispatches);
        behaviour.turns_runners_away = change.turns_runners_away.unwrap_or(behaviour.turns_runners_away);
        if let Some(ends) = ends {
            behaviour.end_of_life = ends;
        }
    });
    Ok(())
}
