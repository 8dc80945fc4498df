//! Where a job's code comes from.

/// What is known of the origin of a job's code: of its repository and its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Whether anybody may see the repository, and so fork it.
    pub is_public: bool,
    /// Whether the run's code comes from another repository; `None` until GitHub was asked.
    pub is_from_fork: Option<bool>,
}
