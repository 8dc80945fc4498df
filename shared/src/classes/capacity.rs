//! What ECS runs tasks on.

use std::fmt;

use serde::Deserialize;

/// A capacity provider of Fargate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    /// `FARGATE`
    OnDemand,
    /// `FARGATE_SPOT`: 50 to 70 % cheaper, and reclaimed with two minutes' notice. The cluster must have that capacity
    /// provider.
    Spot,
}

impl fmt::Display for Capacity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        })
    }
}
