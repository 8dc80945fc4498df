//! `jitgate why`: one job's way, and what holds it up.
//!
//! `gather` asks everybody, `timeline` merges what they say, `cause` finds what explains it. Only `gather` makes calls.

pub mod cause;
pub mod gather;
pub mod redact;
mod show;
pub mod sources;
pub mod target;
#[cfg(test)]
mod tests;
pub mod timeline;
pub mod words;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use jitgate::clock::Clock;
use serde_json::json;

use self::gather::Witnesses;
use self::target::Target;
use crate::answer::{Answer, width};
use crate::args::Common;
use crate::aws::Aws;
use crate::fleet::Deployed;
use crate::trouble::{Exit, Trouble};

/// Options of `why`.
#[derive(Args, Debug)]
pub struct Why {
    /// The address of a job or of a run, or a job's id
    #[arg(value_name = "JOB_URL|RUN_URL|JOB_ID")]
    pub job: Target,
    /// Write all that was found into a file, without secrets, for a bug report
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// The most jobs of a run that are explained.
const MOST_JOBS: usize = 10;

/// Runs the command.
pub async fn run(common: &Common, options: &Why) -> Result<Answer, Trouble> {
    let aws = Aws::sign_in(common).await?;
    let fleet = Deployed::find(&aws, &common.stack).await?;
    let app = match fleet.app(&aws).await {
        Ok(Some(app)) => Ok(app),
        Ok(None) => Err("the secret holds no App's key".to_owned()),
        Err(trouble) => Err(trouble.what),
    };
    let witnesses = Witnesses { aws: &aws, fleet: &fleet, app, clock: Clock::system() };
    let (repository, jobs, access) = match &options.job {
        Target::Job { id, repository } => {
            let repository = match repository {
                Some(repository) => Some(repository.clone()),
                None => witnesses.repository_of(*id).await,
            };
            let access = witnesses.access(repository.as_deref()).await;
            (repository, vec![*id], access)
        }
        Target::Run { id, repository } => {
            let access = witnesses.access(Some(repository)).await;
            let jobs = witnesses.jobs_of_run(&access, repository, *id).await?;
            (Some(repository.clone()), jobs, access)
        }
    };
    let left_out = jobs.len().saturating_sub(MOST_JOBS);
    let asked = jobs.iter().take(MOST_JOBS).map(|job| witnesses.ask(&access, *job, repository.as_deref()));
    let found = futures::future::join_all(asked).await;
    let mut text = Vec::new();
    let mut all = Vec::new();
    let mut is_known = true;
    for sources in &found {
        let timeline = timeline::merge(sources);
        let cause = cause::find(sources);
        is_known &= cause.kind != "unknown";
        text.push(show::text(sources, &timeline, &cause, width()));
        all.push(show::json(sources, &timeline, &cause));
    }
    if let Some(path) = &options.bundle {
        let bundle = json!({ "version": env!("CARGO_PKG_VERSION"), "answers": all, "sources": found });
        std::fs::write(path, format!("{bundle:#}\n")).map_err(|error| Trouble::file(path, &error))?;
    }
    let mut text = text.join("\n");
    if left_out > 0 {
        let _ = writeln!(text, "\n{left_out} more jobs of the run are left out.");
    }
    let exit = if is_known { Exit::Good } else { Exit::Unknown };
    Ok(Answer { text, json: json!({ "jobs": all, "left_out": left_out }), exit })
}
