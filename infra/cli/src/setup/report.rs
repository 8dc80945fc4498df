//! What `setup --json` prints.

use serde::Serialize;

use super::plan::Step;
use crate::verify::Check;

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The stack's name.
    pub stack: String,
    /// The account's number.
    pub account: String,
    /// The region.
    pub region: String,
    /// The version that is deployed.
    pub version: &'static str,
    /// Where GitHub delivers to.
    pub webhook_url: String,
    /// The App's name in addresses; absent where a token is used.
    pub app: Option<String>,
    /// The accounts on which the App is installed.
    pub installations: Vec<String>,
    /// What was done.
    pub steps: Vec<Step>,
    /// What was verified.
    pub checks: Vec<Check>,
}
