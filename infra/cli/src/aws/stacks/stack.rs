//! A stack as CloudFormation describes it, and what can be done with it.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Stack as Described, Tag};

use super::VERSION_TAG;
use crate::trouble::Trouble;

/// What can be done with a stack as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be created: there is none, or only an empty shell for a change set.
    Absent,
    /// It can be updated.
    Steady,
    /// CloudFormation is at work on it.
    Busy,
    /// It can only be deleted: its creation failed.
    Doomed,
    /// Its update failed, and so did taking it back.
    Stuck,
}

impl Standing {
    /// Source: CloudFormation's "Stack status codes".
    pub fn of(status: &str) -> Self {
        match status {
            "REVIEW_IN_PROGRESS" | "DELETE_COMPLETE" => Self::Absent,
            "CREATE_FAILED" | "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "DELETE_FAILED" => Self::Doomed,
            "UPDATE_ROLLBACK_FAILED" => Self::Stuck,
            _ if status.ends_with("_IN_PROGRESS") => Self::Busy,
            _ => Self::Steady,
        }
    }
}

/// A stack as CloudFormation describes it.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Its id, which outlives it.
    pub id: String,
    /// Its status in CloudFormation's words.
    pub status: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The version that made it what it is.
    pub version: Option<String>,
}

impl Stack {
    /// What can be done with it.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.status)
    }

    /// An output that this version's template has.
    pub fn output(&self, name: &str) -> Result<String, Trouble> {
        self.outputs.get(name).cloned().ok_or_else(|| {
            Trouble::failed(format!("the stack has no output {name}"), "run `jitgate upgrade`, or check --stack")
        })
    }
}

pub(super) fn read(stack: &Described) -> Stack {
    let pairs = |name: Option<&str>, value: Option<&str>| Some((name?.to_owned(), value?.to_owned()));
    Stack {
        id: stack.stack_id().or(stack.stack_name()).unwrap_or_default().to_owned(),
        status: stack.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        outputs: stack.outputs().iter().filter_map(|each| pairs(each.output_key(), each.output_value())).collect(),
        parameters: stack
            .parameters()
            .iter()
            .filter_map(|each| pairs(each.parameter_key(), each.parameter_value()))
            .collect(),
        version: stack.tags().iter().find(|tag| tag.key() == Some(VERSION_TAG)).and_then(Tag::value).map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_can_be_done() {
        for (status, standing) in [
            ("REVIEW_IN_PROGRESS", Standing::Absent),
            ("CREATE_IN_PROGRESS", Standing::Busy),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Standing::Busy),
            ("ROLLBACK_COMPLETE", Standing::Doomed),
            ("DELETE_FAILED", Standing::Doomed),
            ("UPDATE_ROLLBACK_COMPLETE", Standing::Steady),
            ("UPDATE_ROLLBACK_FAILED", Standing::Stuck),
            ("CREATE_COMPLETE", Standing::Steady),
            ("IMPORT_ROLLBACK_COMPLETE", Standing::Steady),
        ] {
            assert_eq!(Standing::of(status), standing, "{status}");
        }
    }
}
