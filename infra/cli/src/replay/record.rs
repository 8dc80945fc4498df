//! `--record`: from the App's delivery log to a file.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;

use futures::StreamExt as _;
use reqwest::StatusCode;
use serde_json::Value;
use time::OffsetDateTime;

use super::delivery::Recorded;
use crate::github::{Delivery, GitHubTrouble, SignedIn};
use crate::screen::Screen;
use crate::trouble::Trouble;

/// Deliveries that are opened at once. GitHub allows a hundred requests at once, from everybody with this App's key.
const AT_ONCE: usize = 10;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) jobs: Vec<Recorded>,
    /// Deliveries whose payload the webhook would not take either.
    pub(super) unreadable: usize,
    /// Deliveries that could not be opened, and why the last one could not.
    pub(super) unopened: usize,
    pub(super) why: Option<String>,
}

/// Reads the deliveries of `workflow_job` since a moment that announce a queued job, each once, oldest first.
pub(super) async fn read(app: &SignedIn, since: OffsetDateTime, screen: &Screen) -> Result<Recording, Trouble> {
    let wait = screen.wait("reading the App's delivery log");
    let wanted = log(app, since).await?;
    wait.done(format!("{} deliveries announce a queued job", wanted.len()));
    let mut wait = screen.wait("opening them");
    let open = |delivery: Delivery| async move {
        let whole: Result<Value, GitHubTrouble> = app.read(None, &format!("app/hook/deliveries/{}", delivery.id)).await;
        (delivery, whole)
    };
    let total = wanted.len();
    let mut opened = futures::stream::iter(wanted.into_iter().map(open)).buffer_unordered(AT_ONCE);
    let mut recording = Recording::default();
    let mut done = 0;
    while let Some((delivery, whole)) = opened.next().await {
        done += 1;
        match whole {
            Ok(whole) => {
                let at = delivery.delivered_at.unwrap_or(since);
                match Recorded::of(&delivery.guid, at, &whole) {
                    Some(recorded) => recording.jobs.push(recorded),
                    None => recording.unreadable += 1,
                }
            }
            Err(trouble) => {
                // Going on while GitHub limits the App would make it worse, also for the functions, which share its key.
                let is_limit =
                    matches!(trouble.status, Some(StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) | None);
                recording.unopened += 1;
                recording.why = Some(Trouble::from(trouble).what);
                if is_limit {
                    recording.unopened += total - done;
                    break;
                }
            }
        }
        if done % 100 == 0 {
            wait.tell(format!("opening them: {done} of {total}"));
        }
    }
    wait.done(format!("{} of them are opened", recording.jobs.len()));
    recording.jobs.sort_by_key(|job| (job.delivered_at, job.payload.workflow_job.id));
    Ok(recording)
}

/// The first attempt of each delivery in question.
async fn log(app: &SignedIn, since: OffsetDateTime) -> Result<Vec<Delivery>, Trouble> {
    let mut wanted = Vec::new();
    let mut seen = HashSet::new();
    let mut cursor = None;
    loop {
        let (page, next) = app.deliveries_from(cursor.as_deref()).await?;
        let is_old = |delivery: &Delivery| delivery.delivered_at.is_some_and(|at| at < since);
        let reaches_back = page.last().is_none_or(is_old);
        let of_page = page.into_iter().filter(|delivery| {
            delivery.event == "workflow_job" && delivery.action.as_deref() == Some("queued") && !is_old(delivery)
        });
        // Attempts of one delivery have one payload.
        wanted.extend(of_page.filter(|delivery| seen.insert(delivery.guid.clone())));
        match next {
            Some(next) if !reaches_back => cursor = Some(next),
            _ => return Ok(wanted),
        }
    }
}

/// Writes the file, for its user alone; it is there whole or not at all, and replaces none.
pub(super) fn write(path: &Path, recording: &Recording) -> Result<(), Trouble> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Trouble::file(path, error),
    };
    // Its mode is 0600. Source: the crate's documentation, "Security".
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    for job in &recording.jobs {
        file.write_all(job.line().as_bytes()).map_err(|error| failed(&error))?;
    }
    file.persist_noclobber(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// A file that is there is left as it is.
pub(super) fn exists(path: &Path) -> Trouble {
    Trouble::usage(format!("{} is there already", path.display()), "name another file, or remove that one")
}
