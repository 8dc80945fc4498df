//! What the three jitgate functions have in common: configuration, the job and its names, GitHub, ECS and SQS.

pub mod admission;
pub mod aws;
pub mod classes;
pub mod clock;
pub mod config;
pub mod ecs;
pub mod fleet;
pub mod github;
pub mod globs;
pub mod ids;
pub mod job;
pub mod metrics;
pub mod names;
pub mod prices;
pub mod provenance;
pub mod queue;
pub mod relaunch;
pub mod report;
pub mod runner_version;
pub mod secret;
pub mod telemetry;
