//! What the three jitgate functions have in common: configuration, the job and its names, GitHub, ECS and SQS.

pub mod classes;
pub mod clock;
pub mod config;
pub mod job;
pub mod names;
