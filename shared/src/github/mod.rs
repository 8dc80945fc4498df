//! GitHub's REST API, as far as jitgate needs it.
//!
//! [`GitHub`] is the client of a process, [`GitHub::at`] that of a place where runners are registered, and
//! [`GitHub::in_repository`] that of a repository's runs and jobs. Each call, and each page of a list, is repeated where
//! that is likely to succeed within a second; nothing waits longer. Every other refusal comes back as a [`GitHubError`]
//! that says what follows from it: waiting inside a function is billed, waiting in the queue is not.

mod accounts;
mod app;
mod call;
mod checks;
mod client;
mod deliveries;
mod error;
mod fetched;
mod groups;
mod jobs;
mod names;
mod pace;
mod pages;
mod pauses;
mod place;
mod registrations;
mod repeat;
mod sign_in;
mod transport;
mod versions;

pub use accounts::{Covered, CoveredPage, REPOSITORIES_A_PAGE, Registers};
pub use app::AppSigner;
pub use checks::{CheckRun, CheckSubject, CheckText};
pub use client::GitHub;
pub use deliveries::{Attempts, DeliveryAttempt, Hook, Log};
pub use error::GitHubError;
pub use jobs::{HeadRepository, InRepository, Job, JobLook, JobState, Run, RunOwner, RunRepository};
pub use names::{is_login, is_repository};
pub use pauses::DENIED_PAUSE;
pub use place::{Account, Place, Scope};
pub use registrations::{AtPlace, Deletion, JitConfig, JitRequest, Registered, Registration, Runner, RunnerStatus};
pub use versions::EndOfLife;

pub use crate::runner_version::RunnerVersion;
