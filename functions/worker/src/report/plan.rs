//! Whether there is something to tell, and to which check run.

use jitgate::ids::CheckRunId;
use jitgate::job::{Message, Purpose};
use jitgate::report::News;
use time::{Duration, OffsetDateTime};

/// A job that gets its runner sooner costs no call.
pub(super) const WORTH_TELLING: Duration = Duration::minutes(10);

/// A job whose reasons alternate tells no more often than this: at most 288 writes in the 24 hours that it can wait.
pub(super) const BETWEEN_CHANGES: Duration = Duration::minutes(5);

/// Which check run is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The one of this id. If it is not known, one is looked for.
    pub(super) known: Option<CheckRunId>,
    /// Where none is found, one is made.
    pub(super) may_create: bool,
}

/// What to write; `None` for nothing.
pub(super) fn plan(message: &Message, news: News, now: OffsetDateTime) -> Option<Plan> {
    let Message { job, progress, .. } = message;
    let told = progress.wait.and_then(|wait| wait.told);
    if told.is_some_and(|told| told.news == news) {
        return None;
    }
    let known = told.map(|told| told.check);
    let has_waited = match message.purpose {
        // It exists because there was something to tell.
        Purpose::Report => true,
        // It begins with the job's end.
        Purpose::Release => now - job.created_at >= WORTH_TELLING,
        Purpose::Launch | Purpose::Warm => now - job.queued_at >= WORTH_TELLING,
    };
    match news {
        News::Refused | News::GivenUp | News::Expired => Some(Plan { known, may_create: true }),
        // Only a job that had something to tell may have an open check run. That earlier runners did not come up is news.
        News::Started | News::Ended => {
            let may_create = has_waited && news == News::Started && progress.failed_starts > 0;
            (known.is_some() || has_waited).then_some(Plan { known, may_create })
        }
        _ => {
            let is_soon = told.is_some_and(|told| now - told.at < BETWEEN_CHANGES);
            (has_waited && !is_soon).then_some(Plan { known, may_create: true })
        }
    }
}
