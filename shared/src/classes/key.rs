//! The keys of size labels.

use std::fmt;

/// A size label's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Cpu,
    Memory,
    Disk,
    Arch,
    Spot,
    Run,
}

impl Key {
    /// Reads a key in lower case, without its `=`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "disk" => Self::Disk,
            "arch" => Self::Arch,
            "spot" => Self::Spot,
            "run" => Self::Run,
            _ => return None,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Arch => "arch",
            Self::Spot => "spot",
            Self::Run => "run",
        })
    }
}
