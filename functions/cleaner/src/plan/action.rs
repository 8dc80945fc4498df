//! What a plan asks to be done about registrations and tasks.

use jitgate::ecs::{IDLE, NEVER_CONNECTED, TaskArn};
use jitgate::github::{Runner, RunnerStatus};
use jitgate::job::RunnerId;
use time::OffsetDateTime;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Delete a registration that no runner will use any more.
    DeleteRegistration {
        /// Index of its place.
        place: usize,
        /// Its id.
        id: RunnerId,
        /// Its name.
        name: String,
    },
    /// Note on a task since when something is so, or remove the note.
    Note {
        /// The task.
        task: TaskArn,
        /// The tag.
        key: &'static str,
        /// Since when; `None` removes the note.
        moment: Option<OffsetDateTime>,
    },
    /// Delete a registration, and if GitHub agrees, stop its task.
    Retire {
        /// Index of the registration's place.
        place: usize,
        /// Its id.
        id: RunnerId,
        /// The task.
        task: TaskArn,
        /// Why.
        because: Useless,
    },
    /// Keep an idle runner while its job waits, and retire it otherwise.
    Probe {
        /// Index of the registration's place.
        place: usize,
        /// Its id.
        id: RunnerId,
        /// The task.
        task: TaskArn,
    },
    /// Stop a task whose registration is gone, if it still is.
    StopUnregistered {
        /// Index of the place where it was registered.
        place: usize,
        /// The registration's id.
        id: RunnerId,
        /// The task.
        task: TaskArn,
    },
    /// Stop a task, whatever its runner does.
    Stop {
        /// The task.
        task: TaskArn,
        /// Why.
        reason: &'static str,
    },
}

/// Why a runner is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Useless {
    /// It has not connected for so long that it never will.
    NeverConnected,
    /// It has had no job for as long as its class permits.
    Idle,
    /// It has connected, and has been offline since then.
    Hangs,
}

impl Useless {
    /// In words, for ECS and the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverConnected => NEVER_CONNECTED,
            Self::Idle => IDLE,
            Self::Hangs => "jitgate: its runner lost its connection",
        }
    }

    /// Whether it still holds for the registration as it is now; `None` if that is gone.
    pub fn holds(self, runner: Option<&Runner>) -> bool {
        runner.is_none_or(|runner| match self {
            Self::NeverConnected => runner.never_connected(),
            Self::Idle => !runner.busy,
            Self::Hangs => !runner.busy && runner.status == RunnerStatus::Offline,
        })
    }
}
