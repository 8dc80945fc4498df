//! A warning before GitHub stops serving the runners' version.

use std::collections::BTreeMap;

use jitgate::github::{GitHubError, Place, RunnerVersion};
use time::{Duration, OffsetDateTime};

use crate::clean::{Cleaner, Pass, Steps};
use crate::plan::SeenPlace;
use crate::tally::Done;

/// How long before the end there is a warning: GitHub wants a runner updated within 30 days of a release.
const WARNED_BEFORE: Duration = Duration::days(14);

/// What is known of a version's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    At(OffsetDateTime),
    /// It is the floor or older, as configured.
    AtFloor,
    Unknown,
}

impl Cleaner {
    /// Each version is asked about once, in one of the places where it was seen.
    pub(crate) async fn look_at_versions(&self, pass: Pass, places: &[SeenPlace]) -> Steps {
        let mut steps = Vec::new();
        for (version, place) in versions(places) {
            if pass.is_over(self.clock.now()) {
                steps.push(Done::Left);
                continue;
            }
            let end = match self.github.at(place).end_of_life(version).await {
                Ok(Some(end)) => end.first().map_or(End::Unknown, End::At),
                Ok(None) | Err(GitHubError::Denied { .. }) => self.by_floor(version),
                Err(error) => {
                    tracing::error!(runner.version = %version, error = %error, "end of the version not asked for");
                    steps.push(Done::Failed);
                    continue;
                }
            };
            if is_near(end, self.clock.now()) {
                let days = match end {
                    End::At(at) => Some((at - self.clock.now()).whole_days()),
                    End::AtFloor | End::Unknown => None,
                };
                tracing::warn!(
                    runner.version = %version,
                    days_left = days,
                    "GitHub will soon turn this version of the runner away: raise the image"
                );
                steps.push(Done::VersionEnds);
            }
        }
        steps
    }

    fn by_floor(&self, version: RunnerVersion) -> End {
        match self.config.runner_version_floor {
            Some(floor) if version <= floor => End::AtFloor,
            _ => End::Unknown,
        }
    }
}

fn versions(places: &[SeenPlace]) -> BTreeMap<RunnerVersion, &Place> {
    let mut versions = BTreeMap::new();
    for seen in places {
        for runner in &seen.runners {
            if let Some(version) = runner.version.as_deref().and_then(|version| version.parse().ok()) {
                versions.entry(version).or_insert(&seen.place);
            }
        }
    }
    versions
}

fn is_near(end: End, now: OffsetDateTime) -> bool {
    match end {
        End::At(at) => at - now < WARNED_BEFORE,
        End::AtFloor => true,
        End::Unknown => false,
    }
}
