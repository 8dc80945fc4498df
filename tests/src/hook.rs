//! How the runner executes the hooks before a job's first step and after its last.
//!
//! Source: `actions/runner` at 258d6c8. `JobHookProvider` gives a hook the variables of the contexts `github` and
//! `runner`, and none of the workflow's own `env`; `ScriptHandler` starts `bash -e PATH`, or `sh` where there is no bash,
//! as a child of the worker, which executes the steps. A hook that fails, or whose file is missing, fails the job, and does
//! not stop steps with `if: always()`. `JobExtension` adds both hooks before the job's first step, and executes the second
//! whatever became of the steps.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use jitgate::job::RunId;
use serde_json::Value;

/// What the runner knows of its job before the first step.
#[derive(Clone, Debug)]
pub struct JobEvent {
    /// `owner/name`
    pub repository: String,
    /// The job's run.
    pub run_id: RunId,
    /// The event that triggered the run.
    pub name: String,
    /// The event's payload.
    pub payload: Value,
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hooked {
    /// It succeeded.
    Proceeds,
    /// The hook ended the worker: no step runs, and the worker's last output is the job's error.
    Refused(String),
    /// The hook failed, and so does the job. Steps with `if: always()` run nevertheless.
    Failed(String),
}

/// A path for a file of this test alone.
pub fn temporary(name: &str) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("jitgate-{}-{number}-{name}", std::process::id()))
}

/// Plays the worker: its child is the hook, and the listener reads its output.
const WORKER: &str = r#"shell=$1 script=$2; (exec $shell -e "$script" >/dev/null); exit $((100 + $?))"#;

/// Executes a hook with a shell, which may have arguments. It has `environment`, and the variables of the job.
pub fn execute(shell: &str, script: &Path, environment: &BTreeMap<String, String>, job: &JobEvent) -> Hooked {
    if !script.exists() {
        return Hooked::Failed("File doesn't exist".to_owned());
    }
    let payload = temporary("event.json");
    // As the runner writes it: one member a line, two spaces for each level.
    std::fs::write(&payload, format!("{:#}", job.payload)).expect("room on the disk");
    let path = std::env::var("PATH").unwrap_or_default();
    let done = Command::new("/bin/sh")
        .args(["-c", WORKER, "worker", shell])
        .arg(script)
        .env_clear()
        .env("PATH", path)
        .envs(environment)
        .env("GITHUB_REPOSITORY", &job.repository)
        .env("GITHUB_RUN_ID", job.run_id.to_string())
        .env("GITHUB_EVENT_NAME", &job.name)
        .env("GITHUB_EVENT_PATH", &payload)
        .output()
        .expect("a shell");
    std::fs::remove_file(&payload).expect("written above");
    let words = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    match done.status.code() {
        Some(100) => Hooked::Proceeds,
        None if done.status.signal() == Some(9) => Hooked::Refused(words),
        _ => Hooked::Failed(format!("{words}{}", String::from_utf8_lossy(&done.stderr))),
    }
}
