//! The role with which ECS manages network interfaces. AWS has one for each account.

use super::{Aws, Query};
use crate::trouble::Trouble;

/// Whether the account has ECS's service-linked role.
pub async fn has_ecs_role(aws: &Aws) -> Result<bool, Trouble> {
    let path = format!("/aws-service-role/ecs.{}/", aws.domain());
    let text = Query::IAM.call(aws, "ListRoles", &[("PathPrefix", &path)]).await.map_err(|(_, trouble)| trouble)?;
    Ok(text.contains("<RoleName>"))
}

/// Creates the role, unless it is there.
pub async fn ensure_ecs_role(aws: &Aws) -> Result<(), Trouble> {
    let service = format!("ecs.{}", aws.domain());
    match Query::IAM.call(aws, "CreateServiceLinkedRole", &[("AWSServiceName", &service)]).await {
        Ok(_) => Ok(()),
        // "Service role name AWSServiceRoleForECS has been taken in this account"
        Err((code, trouble)) if code == "InvalidInput" && trouble.what.contains("has been taken") => Ok(()),
        Err((_, trouble)) => Err(trouble),
    }
}

impl Aws {
    /// Whether ECS's tasks may take a role, by its name or ARN; `None` if there is no such role.
    pub async fn is_for_tasks(&self, role: &str) -> Result<Option<bool>, Trouble> {
        let name = role.rsplit('/').next().unwrap_or(role);
        match Query::IAM.call(self, "GetRole", &[("RoleName", name)]).await {
            Ok(text) => Ok(Some(trusts_tasks(&text))),
            Err((code, _)) if code == "NoSuchEntity" => Ok(None),
            Err((_, trouble)) => Err(trouble),
        }
    }
}

/// Whether a role's trust policy, which is encoded as in an address, names ECS's tasks.
fn trusts_tasks(text: &str) -> bool {
    let decoded: String =
        url::form_urlencoded::parse(text.as_bytes()).flat_map(|(name, value)| [name, value]).collect();
    decoded.contains("ecs-tasks.amazonaws.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the API reference of `GetRole`, "Sample Response".
    #[test]
    fn a_role_says_whom_it_trusts() {
        let of = |service: &str| {
            format!(
                "<AssumeRolePolicyDocument>%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22\
                 Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22{service}.amazonaws.com%22%7D%2C%22Action%22%3A%22\
                 sts%3AAssumeRole%22%7D%5D%7D</AssumeRolePolicyDocument>"
            )
        };
        assert!(trusts_tasks(&of("ecs-tasks")) && !trusts_tasks(&of("lambda")));
    }
}
