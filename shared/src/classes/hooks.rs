//! A class's own scripts, which its runners execute before and after a job.

use std::collections::BTreeMap;

use crate::ecs::{COMPLETED_HOOK_VARIABLE, HOOK_VARIABLE};

/// What a variable of a task's overrides takes besides its name and its value: `{"name":"","value":""},`.
const JSON_AROUND: usize = 23;

/// Scripts for a POSIX shell, or for bash where the image has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Executed before a job's first step, once the gate has let the job in.
    pub job_started: Option<String>,
    /// Executed after a job's last step.
    pub job_completed: Option<String>,
}

impl Hooks {
    /// The scripts, unless one is empty, or the class names another for the same moment. The runner executes one.
    pub(super) fn checked(
        job_started: Option<String>,
        job_completed: Option<String>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        for (key, script, variable) in
            [("job_started", &job_started, HOOK_VARIABLE), ("job_completed", &job_completed, COMPLETED_HOOK_VARIABLE)]
        {
            let Some(script) = script else { continue };
            if script.trim().is_empty() || script.contains('\0') {
                return Err(format!("{key} must be a script, without null characters"));
            }
            if environment.contains_key(variable) {
                return Err(format!("{key} and environment's {variable} name the script twice: give one of them"));
            }
        }
        Ok(Self { job_started, job_completed })
    }

    /// The variables with which a task gets the scripts.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let started = self.job_started.as_deref().map(|script| ("JITGATE_JOB_STARTED", script));
        let completed = self.job_completed.as_deref();
        let path = completed.map(|_| (COMPLETED_HOOK_VARIABLE, "/tmp/jitgate-completed.sh"));
        started.into_iter().chain(completed.map(|script| ("JITGATE_JOB_COMPLETED", script))).chain(path)
    }

    /// How many characters they take of a task's overrides, as the JSON that ECS counts.
    pub(super) fn length(&self) -> usize {
        let json = |text| serde_json::to_string(text).expect("strings always become JSON").chars().count() - 2;
        self.variables().map(|(name, value)| JSON_AROUND + name.len() + json(value)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_json() {
        let hooks = Hooks { job_started: Some("echo \"a\"\n".to_owned()), job_completed: Some("exit 0".to_owned()) };
        let json: Vec<_> =
            hooks.variables().map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
        assert_eq!(hooks.length(), serde_json::to_string(&json).unwrap().len() - 1, "without a bracket");
        assert_eq!(Hooks::default().length(), 0);
    }
}
