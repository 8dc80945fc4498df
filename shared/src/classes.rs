//! Runner classes: which jobs we take, and what their runners are made of.
//!
//! | question | file |
//! |---|---|
//! | What is a class? | `class`, `capacity` (also: what a provider cannot give) |
//! | What may `RUNNER_CLASSES` say? | `json` (its form), `check`, `check_size` (each key), `parse` (all classes together) |
//! | Which class does a job get? | `choose` |
//! | What does a label mean to a class? | `grammar`, `key` (of size labels), `labels` (patterns) |
//! | What do labels of other systems mean? | `translate`, `template` (patterns), `compatible/*.json` (a table a system) |
//! | Which size does a job get? | `choices` (what its labels say), `demand` (what it gets), `size` (which there are) |
//! | Why does a job get no class? | `misfit` |
//! | What does a launch try, and in which order? | `placement` |
//! | Which runners are kept ready? | `warm` |
//! | Which scripts run before and after a job? | `hooks` |

mod capacity;
mod check;
mod check_size;
mod choices;
mod choose;
mod class;
mod demand;
mod grammar;
mod hooks;
mod json;
mod key;
mod labels;
mod misfit;
mod nearest;
mod parse;
mod placement;
mod size;
mod template;
mod translate;
mod warm;

pub use capacity::{Capacity, ProviderName};
pub use choose::Fit;
pub use class::{RunnerClass, RunnerClasses, RunnerGroup, Sizes, TaskDefinitions};
pub use demand::{Asked, Demand};
pub use hooks::Hooks;
pub use labels::{LONGEST_LABEL, LONGEST_LABELS, LabelPattern, MOST_LABELS};
pub use misfit::{Misfit, Objection};
pub use placement::Placement;
pub use size::{Architecture, Cpu, Disk, Memory, Sizing, TaskSize};
pub use translate::systems;
pub use warm::{Day, Hours, MOST_WARM, Warm};
