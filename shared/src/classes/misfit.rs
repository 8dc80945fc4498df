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
    #[error("{}", nearest(.0))]
    Refused(Vec<(String, Vec<Objection>)>),
}

/// The class with the fewest objections, all of them, and what would make the job fit.
fn nearest(objections: &[(String, Vec<Objection>)]) -> String {
    let Some((class, objections)) = objections.iter().min_by_key(|(_, objections)| objections.len()) else {
        return String::new();
    };
    let each: Vec<_> = objections.iter().map(Objection::to_string).collect();
    let changes: Vec<_> = objections.iter().filter_map(Objection::change).collect();
    let change = if changes.is_empty() { String::new() } else { format!(". To fit: {}", changes.join(", ")) };
    format!("class {class}: {}{change}", each.join("; "))
}

/// A list may contradict itself.
fn contradiction(one: &str, other: &str) -> String {
    if one == other { format!("{one} contradicts itself") } else { format!("{one} and {other} contradict each other") }
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
        /// The key of `sizes` that would permit it.
        key: String,
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
    #[error("{}", contradiction(one, other))]
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
        /// What would make it fit, if Fargate has as much.
        change: Option<String>,
    },
    /// The class has no task definition for the architecture.
    #[error("{asked} is not available: task_definition has {has}")]
    NoArchitecture {
        /// The label.
        asked: String,
        /// The architectures that the class has.
        has: String,
        /// The one that the label means.
        wanted: String,
    },
    /// A label of another system that cannot be had.
    #[error("{label} cannot be had: {reason} ({table})")]
    Impossible {
        /// The label.
        label: String,
        /// Why it cannot be had.
        reason: String,
        /// The table that says so: one of `compatible`, or `translate`.
        table: String,
    },
    /// A label that the class excludes.
    #[error("{0} is among the excluded_labels")]
    Excluded(String),
    /// A label that the class requires.
    #[error("it requires {0}")]
    Missing(String),
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
        !matches!(self, Self::Unknown(_) | Self::OnlyIgnored | Self::Excluded(_) | Self::Missing(_))
    }

    /// What would make the job fit; `None` where nothing would, or where the message says it already.
    pub fn change(&self) -> Option<String> {
        match self {
            Self::Unknown(piece) | Self::UnknownPiece { piece, .. } => {
                Some(format!("add {piece} to labels, translate or ignored_labels"))
            }
            Self::NotPermitted { key, .. } => Some(format!("set {key} in sizes")),
            Self::Contradictory { one, other } => (one != other).then(|| format!("leave out {other}")),
            Self::TooLarge { change, .. } => change.clone(),
            Self::NoArchitecture { wanted, .. } => Some(format!("give task_definition one for {wanted}")),
            Self::Excluded(label) => Some(format!("take {label} out of excluded_labels")),
            Self::Missing(label) => Some(format!("add {label} to runs-on")),
            Self::Repository(repository) => Some(format!("add {repository} to repositories")),
            Self::Foreign(_) | Self::Malformed { .. } | Self::Impossible { .. } | Self::OnlyIgnored => None,
        }
    }
}
