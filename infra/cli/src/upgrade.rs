//! `jitgate upgrade`: code, template and parameters of an existing stack. Going back is an older binary.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::args::{Common, Upgrade};
use crate::aws::{Aws, Change};
use crate::deploy::Fleet;
use crate::screen::Screen;
use crate::trouble::Trouble;

/// What `upgrade --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The stack's name.
    pub stack: String,
    /// The version before; absent if the stack was not made by this command.
    pub from: Option<String>,
    /// This version.
    pub to: &'static str,
    /// What changed, or would change.
    pub changes: Vec<Change>,
    /// Whether it was carried out.
    pub is_done: bool,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Upgrade, screen: &Screen) -> Result<Report, Trouble> {
    screen.begin(format!("jitgate {} upgrade", env!("CARGO_PKG_VERSION")));
    let aws = Aws::sign_in(common).await?;
    let fleet = Fleet::new(&aws, screen, common);
    let before = fleet.existing().await?;
    let mut parameters: BTreeMap<String, String> = options.parameters.iter().cloned().collect();
    if let Some(image) = &options.image {
        parameters.insert("RunnerImage".to_owned(), image.clone());
    }
    let report = |changes, is_done| Report {
        stack: common.stack.clone(),
        from: before.version.clone(),
        to: env!("CARGO_PKG_VERSION"),
        changes,
        is_done,
    };
    let Some(prepared) = fleet.prepare(&options.code, &parameters).await? else {
        screen.end("Nothing changes: the stack is as it should be.");
        return Ok(report(Vec::new(), false));
    };
    let changes = prepared.changes().to_vec();
    screen.note("What changes", list(&changes));
    if options.plan {
        fleet.forget(&prepared).await?;
        screen.end("Nothing was changed.");
        return Ok(report(changes, false));
    }
    if let Err(trouble) = screen.confirm("Go on?") {
        fleet.forget(&prepared).await?;
        return Err(trouble);
    }
    fleet.carry_out(&prepared, &options.code).await?;
    screen.end(format!("Stack {} is at version {}.", common.stack, env!("CARGO_PKG_VERSION")));
    Ok(report(changes, true))
}

/// One line a resource.
fn list(changes: &[Change]) -> String {
    let line = |change: &Change| {
        let anew = if change.replaces { ", made anew" } else { "" };
        format!("{} {} ({}{anew})", change.action.to_lowercase(), change.resource, change.kind)
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_makes_a_resource_anew_says_so() {
        let change = |replaces| Change {
            action: "Modify".to_owned(),
            resource: "Cluster".to_owned(),
            kind: "AWS::ECS::Cluster".to_owned(),
            replaces,
        };
        insta::assert_snapshot!(list(&[change(false), change(true)]), @"
        modify Cluster (AWS::ECS::Cluster)
        modify Cluster (AWS::ECS::Cluster, made anew)
        ");
    }
}
