//! The cleaner mends what failed half-way: registrations, tasks, jobs and deliveries.
//!
//! The schedule invokes it every five minutes for a pass over everything (`clean`). ECS's event about a stopped task
//! invokes it at once for that task's job (`heal`). A pass looks first, then plans, then acts. The plans are pure functions
//! of what was seen and the time ([`plan`]).
//!
//! | seen | meaning | done |
//! |---|---|---|
//! | a registration is offline, its name is more than 10 min old, and no live task runs it | its launch died, or its task was killed | The registration is deleted. |
//! | a runner has been online and idle for `idle_minutes` | its job was taken by another runner, or cancelled | The registration is deleted; if GitHub agrees, the task is stopped. |
//! | a task lives, and its runner has not connected for 20 min | the runner cannot reach GitHub, or its image never arrives | the same |
//! | a task lives, and its registration has been gone for 4 min | the container hangs, or the runner listens for ever | The task is stopped. |
//! | a task is older than its class's `lifetime_minutes` | a runaway job | The task is stopped, busy or not. |
//! | a class has fewer idle runners than it keeps ready | its hours have begun, or a runner was taken, got old or was lost | The worker is asked for the missing ones. |
//! | a warm runner is 12 h old | its image and version get old; GitHub removes unused registrations after a day | It is retired as an idle one is, and replaced. |
//! | a task has stopped, and its job is still queued | image pull failure, Spot reclaim, bad network, or its runner did another job | The job is launched again as the next attempt, when `jitgate::relaunch` says. |
//! | two of a job's runners have got no job, and it is still queued | its runner group may not admit the repository | GitHub is asked, and its answer is logged and put on the job's message. |
//! | a task's runner is busy, and its job is still queued | the runners were swapped: this one has another job with the same labels | The job is launched again. The other job is logged if its repository was looked at. |
//! | a task lives, its registration is gone, and its job is still queued | GitHub dropped the registration before a job came | The job is launched again. |
//! | GitHub lists a job as queued, and no task of it is known | no delivery announced it, not even a failed one | It is launched as if a delivery had announced it. |
//! | a job is queued, and its run has ended | GitHub's own inconsistency | It is left alone, and counted. |
//! | a delivery failed, and no attempt of its GUID succeeded | the webhook was down | GitHub is asked to repeat it, up to five times in about 13 hours. |
//! | a runner's version ends within 14 days, or is at the configured floor | the image is old | A warning and a metric. |
//!
//! # What it never does
//!
//! - It stops no busy runner, except for a class's `lifetime_minutes`. `busy` lags by up to a minute, and was seen false in
//!   the middle of jobs. So it looks twice; before it retires a runner, it asks GitHub for the registration and for the job
//!   that the runner was launched for; and it deletes the registration first, which GitHub refuses for a busy runner.
//! - It stops no task because a list lacks its registration: a list read page by page may skip one, so it asks for that one.
//! - It touches no name that it could not have made, no registration younger than 10 minutes, and nothing in a place whose
//!   registrations could not be listed.
//! - It never makes two runners for one launch: whatever two passes, or a pass and an event, do at the same time, the launch
//!   token makes one launch of it.

mod act;
mod admission;
mod clean;
mod cleaner;
mod context;
mod ended;
mod event;
mod heal;
mod look;
pub mod plan;
mod reconcile;
mod redeliver;
mod repair;
mod repositories;
mod tally;
mod versions;
mod warm;

pub use cleaner::Cleaner;
pub use ended::Ended;
pub use event::Event;
pub use tally::CleanError;
