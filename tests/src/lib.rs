//! Stand-ins for GitHub, its runners, AWS and Lambda, a browser, and the harness that drives the functions against them.

pub mod aws;
pub mod browser;
pub mod chaos;
pub mod fleet;
pub mod github;
pub mod hook;
pub mod lambda;
pub mod logs;
pub mod openapi;
pub mod payloads;
pub mod runner;
pub mod tls;
pub mod wire;
pub mod world;
