//! A warning before GitHub stops serving the runners' version.

use std::collections::BTreeMap;

use jitgate::github::{GitHubError, Place, RunnerVersion};
use time::Duration;

use crate::context::Pass;
use crate::plan::SeenPlace;
use crate::tally::Done;

/// How long before the end the warnings begin: GitHub wants a runner updated within 30 days of a release.
const WARNED_BEFORE: Duration = Duration::days(14);

/// Asks about each version once, in one of the places where it was seen.
pub(crate) async fn look_at_versions(pass: Pass<'_>, places: &[SeenPlace]) -> Vec<Done> {
    let mut steps = Vec::new();
    for (version, place) in versions(places) {
        if pass.is_over() {
            steps.push(Done::Left);
            continue;
        }
        let is_at_floor = pass.config.runner_version_floor.is_some_and(|floor| version <= floor);
        let days_left = match pass.github.at(place).end_of_life(version).await {
            Ok(Some(end)) => match end.first().map(|at| at - pass.clock.now()) {
                Some(left) if left < WARNED_BEFORE => Some(left.whole_days()),
                _ => continue,
            },
            // GitHub does not say, or not yet. The floor holds in any case.
            Ok(None) | Err(GitHubError::Denied { .. } | GitHubError::TokenTooNew { .. }) if is_at_floor => None,
            Ok(None) | Err(GitHubError::Denied { .. } | GitHubError::TokenTooNew { .. }) => continue,
            Err(error) => {
                tracing::error!(runner.version = %version, error = %error, "end of the version not asked for");
                steps.push(Done::Failed);
                continue;
            }
        };
        tracing::warn!(
            runner.version = %version,
            days_left,
            "GitHub will soon turn this version of the runner away: raise the image"
        );
        steps.push(Done::VersionEnds);
    }
    steps
}

fn versions(places: &[SeenPlace]) -> BTreeMap<RunnerVersion, &Place> {
    let mut versions = BTreeMap::new();
    for listed in places {
        for runner in &listed.runners {
            if let Some(version) = runner.version.as_deref().and_then(|version| version.parse().ok()) {
                versions.entry(version).or_insert(&listed.place);
            }
        }
    }
    versions
}
