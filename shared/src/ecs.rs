//! Fargate tasks: starting exactly one for a launch, and finding it again.
//!
//! `clientToken` makes a launch happen once: ECS accepts one task for it and tells everyone who comes later which one that
//! was. `startedBy` holds the same text, because it outlives the task's stop and tags do not.

mod gate;
mod run;
mod run_error;
mod task;
mod tasks;

pub use gate::{COMPLETED_HOOK_VARIABLE, GATE_VARIABLE, HOOK_VARIABLE};
pub use run::{JIT_CONFIG_VARIABLE, Launch, Started, VERSION_VARIABLE};
pub use run_error::{LONGEST_OVERRIDES, RunError};
pub use task::{
    CONTAINER_EXITED, IDLE, JOB_VARIABLE, NEVER_CONNECTED, TaskArn, TaskView, VERSION_REFUSED, ended_by_itself, tag,
    words_of_stop,
};
pub use tasks::{EcsError, Tasks};
