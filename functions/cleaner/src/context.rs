//! What every step uses: the configuration, the clients, the clock, and the time that is left.

use std::ops::Deref;

use futures::{StreamExt, stream};
use jitgate::fleet::Fleet;
use jitgate::github::GitHubError;
use time::{Duration, OffsetDateTime};

use crate::plan::{Settings, rotate};

/// Calls at the same time. GitHub allows 100 for each installation, ECS 20 a second.
const AT_ONCE: usize = 8;

/// A pass begins nothing this long before its invocation ends. Between two looks at the clock, a step makes three calls to
/// GitHub and one to AWS at most, as retiring a runner does. A call to GitHub takes 12 seconds at most: its last repeat begins within 6, and may go unanswered
/// for 6. The call to ECS takes 14 at most (`Patience::FLEET`).
const MARGIN: Duration = Duration::seconds(3 * 12 + 14);

/// The context for one invocation.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    fleet: &'a Fleet,
    /// When the invocation ends.
    until: Option<OffsetDateTime>,
}

impl Deref for Pass<'_> {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        self.fleet
    }
}

impl<'a> Pass<'a> {
    pub(crate) fn new(fleet: &'a Fleet, until: Option<OffsetDateTime>) -> Self {
        Self { fleet, until }
    }

    /// Whether nothing may begin any more. The next pass does what is left.
    pub(crate) fn is_over(self) -> bool {
        self.is_over_at(self.clock.now())
    }

    /// The same at another moment.
    pub(crate) fn is_over_at(self, moment: OffsetDateTime) -> bool {
        self.until.is_some_and(|until| moment + MARGIN >= until)
    }

    /// Waits, unless this pass would be over by then. Whether it has waited.
    pub(crate) async fn waits_until(self, moment: OffsetDateTime) -> bool {
        let before = self.clock.now();
        if self.is_over_at(moment) {
            return false;
        }
        self.clock.sleep((moment - before).try_into().unwrap_or_default()).await;
        self.clock.now() > before
    }

    /// Makes a call, and makes it again while a refusal may only mean that the token is new. So what GitHub does not show is
    /// gone, also in the first pass of a process.
    pub(crate) async fn patiently<T>(
        self,
        mut call: impl AsyncFnMut() -> Result<T, GitHubError>,
    ) -> Result<T, GitHubError> {
        loop {
            match call().await {
                Err(GitHubError::TokenTooNew { until }) if self.waits_until(until).await => {}
                outcome => return outcome,
            }
        }
    }

    pub(crate) fn settings(self) -> Settings<'a> {
        let config = &self.fleet.config;
        Settings { prefix: &config.name_prefix, classes: &config.classes }
    }

    /// Lets each pass begin elsewhere in a list.
    pub(crate) fn rotate<T>(self, list: &mut [T]) {
        rotate(self.clock.now(), list);
    }
}

/// Runs steps, [`AT_ONCE`] at the same time. Their outcomes come in no particular order.
pub(crate) async fn all<F: Future>(steps: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    stream::iter(steps).buffer_unordered(AT_ONCE).collect().await
}
