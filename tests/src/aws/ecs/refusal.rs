//! Why a call is refused.

use crate::aws::answers;
use crate::wire::Answer;

/// Code and message of an error; for a conflict also the ARNs of the tasks it names.
#[derive(Debug)]
pub(super) struct Refusal {
    code: &'static str,
    message: String,
    tasks: Option<Vec<String>>,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), tasks: None }
    }

    pub(super) fn conflict(tasks: Vec<String>) -> Self {
        Self { code: "ConflictException", message: String::new(), tasks: Some(tasks) }
    }

    pub(super) fn to_answer(&self) -> Answer {
        match &self.tasks {
            Some(tasks) => answers::conflict(tasks),
            None => answers::error(400, self.code, &self.message),
        }
    }
}

/// The most frequent refusal.
pub(super) fn invalid_parameter(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterException", message)
}
