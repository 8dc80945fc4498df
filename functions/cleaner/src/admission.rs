//! Why GitHub gives a job's runners no job, as far as GitHub says.
//!
//! A runner that comes up and gets no job may be one of many, while GitHub is out of order, or one whose runner group does
//! not admit the repository, which no further runner would change. One that got none may have been an accident. After the
//! second, GitHub is asked, and its answer goes with the job's message, to stand on its dead letter.

use jitgate::github::GitHubError;
use jitgate::job::Message;

use crate::context::Pass;

/// The number of runners without a job from which on GitHub is asked.
const ENOUGH: u32 = 2;

/// Asks whether the runner group of the job's runners admits its repository, and notes the answer in the message.
/// Returns whether the group is closed to it.
pub(crate) async fn ask_about_group(pass: Pass<'_>, message: &mut Message) -> bool {
    // The question comes last, so its calls begin only if a step would.
    if message.progress.unused < ENOUGH || pass.is_over() {
        return false;
    }
    match admits(pass, message).await {
        Ok(None) => false,
        Ok(Some(true)) => {
            let answer = "GitHub gave its runners no job, although their runner group admits the repository";
            message.progress.trouble = Some(answer.to_owned());
            tracing::warn!(class = message.job.class, unused = message.progress.unused, "{answer}");
            false
        }
        Ok(Some(false)) => {
            let answer = "GitHub gives its runners no job: their runner group does not admit the repository";
            message.progress.trouble = Some(answer.to_owned());
            tracing::error!(class = message.job.class, unused = message.progress.unused, "{answer}");
            true
        }
        Err(error) => {
            tracing::warn!(error = %error, "runner group not asked about");
            false
        }
    }
}

async fn admits(pass: Pass<'_>, message: &Message) -> Result<Option<bool>, GitHubError> {
    let Some(class) = pass.config.classes.named(&message.job.class) else { return Ok(None) };
    let place = pass.github.place_of(&message.job);
    pass.github.at(&place).admits(&class.runner_group, &message.job.repository).await
}
