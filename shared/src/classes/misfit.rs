//! Why a job gets no class, in words for the log, for the answer to the delivery and for `explain`.

use super::labels::{LONGEST_LABEL, LONGEST_LABELS, MOST_LABELS};

/// Why a job gets none of the classes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// `runs-on: {group: …}` without labels: a delivery does not say the group, so no class can be chosen.
    #[error("the job has no labels")]
    NoLabels,
    /// More than GitHub would register, or than the queue's message has room for.
    #[error(
        "a job may have {MOST_LABELS} labels of {LONGEST_LABEL} characters at most, {LONGEST_LABELS} characters together"
    )]
    TooMany,
    /// Each class lacks at least one of the labels: the job is for another fleet.
    #[error("no runner class has all labels of [{}]", .0.join(", "))]
    NoClass(Vec<String>),
    /// The job means at least one class, and each such class objects. With the names of these classes.
    #[error("{}", list(.0))]
    Refused(Vec<(String, Objection)>),
}

/// Classes with the same objection share it.
fn list(objections: &[(String, Objection)]) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (class, objection) in objections {
        let reason = objection.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, classes)) => classes.push(class),
            None => reasons.push((reason, vec![class])),
        }
    }
    let each = reasons.iter().map(|(reason, classes)| {
        let word = if classes.len() == 1 { "class" } else { "classes" };
        format!("{word} {}: {reason}", classes.join(", "))
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Why a job does not fit one class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// A label that the class does not have.
    #[error("{0} is not one of its labels")]
    Unknown(String),
    /// A piece of a combined label that the class does not have; the label's first piece is one of its labels.
    #[error("{piece:?} in {label} is not one of its labels")]
    UnknownPiece {
        /// The piece.
        piece: String,
        /// The whole label.
        label: String,
    },
    /// A key that other fleets know and Fargate cannot honour.
    #[error("{0} is not available on Fargate, and is not among the class's ignored_labels")]
    Foreign(String),
    /// A size label that the class does not let jobs choose.
    #[error("{label} cannot be chosen by jobs; sizes permits {permitted}")]
    NotPermitted {
        /// The label.
        label: String,
        /// What the class lets jobs choose.
        permitted: String,
    },
    /// A size label whose value cannot be parsed.
    #[error("{label} is malformed: {expected}")]
    Malformed {
        /// The label.
        label: String,
        /// What its value must be.
        expected: &'static str,
    },
    /// Two labels with different values for one key.
    #[error("{one} and {other} contradict each other")]
    Contradictory {
        /// The first label.
        one: String,
        /// The second label.
        other: String,
    },
    /// More than the class permits, or than Fargate has.
    #[error("{asked} is too large: {most} at most")]
    TooLarge {
        /// The labels, with the size that they would take.
        asked: String,
        /// The maximum.
        most: String,
    },
    /// The class has no task definition for the architecture.
    #[error("{asked} is not available: task_definition has {has}")]
    NoArchitecture {
        /// The label.
        asked: String,
        /// The architectures that the class has.
        has: String,
    },
    /// All labels are ignored ones, which do not say which fleet the job is for.
    #[error("all labels are among the ignored_labels")]
    OnlyIgnored,
    /// The class is for other repositories.
    #[error("it is not for repository {0}")]
    Repository(String),
}

impl Objection {
    /// Whether the job may have meant this class.
    pub fn is_near(&self) -> bool {
        !matches!(self, Self::Unknown(_) | Self::OnlyIgnored)
    }
}
