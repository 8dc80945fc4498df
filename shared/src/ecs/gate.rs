//! What the gate on the runner compares a job with, in the words of `infra/terraform/gate.sh`.

use crate::classes::Fit;
use crate::github::Scope;
use crate::job::{Message, Purpose};

/// Says what the runner was made for. The script refuses every job while this is absent.
pub const GATE_VARIABLE: &str = "JITGATE_GATE";

/// Names the script that the runner executes before a job's first step. The task definition sets it to the gate, so a
/// class must not, unless it does without the gate. Source: `actions/runner`.
pub const HOOK_VARIABLE: &str = "ACTIONS_RUNNER_HOOK_JOB_STARTED";

/// Names the script that the runner executes after a job's last step. Source: `actions/runner`.
pub const COMPLETED_HOOK_VARIABLE: &str = "ACTIONS_RUNNER_HOOK_JOB_COMPLETED";

/// The value of [`GATE_VARIABLE`] for the runner of a message.
pub(super) fn gate(message: &Message, fit: &Fit<'_>, scope: &Scope) -> String {
    let class = fit.class;
    if !class.gate {
        return "off".to_owned();
    }
    let mut words = vec!["on".to_owned()];
    // An enterprise's runner may be used by several owners: its groups say which.
    if !matches!(scope, Scope::Enterprise(_)) {
        words.push(format!("owner={}", message.job.owner.to_lowercase()));
    }
    if message.purpose == Purpose::Launch {
        if !message.job.is_public {
            words.push(format!("for={}", message.job.full_name().to_lowercase()));
        }
        if fit.demand.is_bound {
            words.push(format!("run={}", message.job.run_id));
        }
    }
    words.extend(class.repositories.iter().flatten().map(|glob| format!("repository={glob}")));
    words.extend(class.public_repositories.then(|| "public".to_owned()));
    words.extend(class.fork_pull_requests.then(|| "forks".to_owned()));
    words.join(" ")
}
