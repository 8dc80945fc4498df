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
