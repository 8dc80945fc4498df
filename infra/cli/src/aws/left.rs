//! What is left of a fleet, by name and by tag.

use serde_json::json;

use super::Aws;
use super::json::Json;
use crate::trouble::Trouble;

const LOG_GROUPS: Json =
    Json { service: "logs", target: "Logs_20140328", operation: "DescribeLogGroups", version: "1.1" };

const DELETE_LOG_GROUP: Json =
    Json { service: "logs", target: "Logs_20140328", operation: "DeleteLogGroup", version: "1.1" };

const TAGGED: Json =
    Json { service: "tagging", target: "ResourceGroupsTaggingAPI_20170126", operation: "GetResources", version: "1.1" };

impl Aws {
    /// The names of the log groups with this prefix.
    pub async fn log_groups(&self, prefix: &str) -> Result<Vec<String>, Trouble> {
        let groups = self.pages(&LOG_GROUPS, json!({ "logGroupNamePrefix": prefix }), "nextToken", "logGroups").await?;
        Ok(groups.iter().filter_map(|group| Some(group["logGroupName"].as_str()?.to_owned())).collect())
    }

    /// Deletes a log group with all its lines.
    pub async fn delete_log_group(&self, name: &str) -> Result<(), Trouble> {
        self.json(&DELETE_LOG_GROUP, &json!({ "logGroupName": name })).await.map(|_| ())
    }

    /// The ARNs of the resources that CloudFormation has tagged as a stack's.
    pub async fn resources_of(&self, stack: &str) -> Result<Vec<String>, Trouble> {
        let filter = json!({ "TagFilters": [{ "Key": "aws:cloudformation:stack-name", "Values": [stack] }] });
        let found = self.pages(&TAGGED, filter, "PaginationToken", "ResourceTagMappingList").await?;
        Ok(found.iter().filter_map(|resource| Some(resource["ResourceARN"].as_str()?.to_owned())).collect())
    }
}
