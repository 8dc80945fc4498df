//! What the unit tests begin with.

use jitgate::job::{Attempt, Job, JobId, Message, OwnerId, Purpose, RunId};
use time::OffsetDateTime;
use time::macros::datetime;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

/// The first message of a job that came in at [`NOW`].
pub(crate) fn message() -> Message {
    let job = Job {
        id: JobId(4711),
        run_id: RunId(815),
        run_attempt: 1,
        owner: "octo-org".to_owned(),
        owner_id: OwnerId(1),
        repository: "octo-repo".to_owned(),
        organization: None,
        is_public: false,
        is_from_fork: None,
        installation_id: None,
        labels: vec!["fargate".to_owned()],
        class: "default".to_owned(),
        created_at: NOW,
        html_url: None,
        workflow: None,
        commit: None,
        delivery_id: "d".to_owned(),
        queued_at: NOW,
    };
    Message::new(Purpose::Launch, job, Attempt::FIRST, NOW)
}
