//! Whether the tasks' images can be pulled.

use std::collections::BTreeMap;

use jitgate::classes::Architecture;

use super::finding::{Look, Wrong};
use super::tasks::Origin;
use crate::aws::{Aws, Registry};
use crate::registry::{Found, Image, Told, architectures};
use crate::trouble::Trouble;

/// The images of the runners' containers, each with what needs it.
pub(super) fn images(origins: &[Origin]) -> BTreeMap<(&str, Architecture), &Origin> {
    let own = |origin: &Origin, name: &str| origin.class.container == name;
    origins
        .iter()
        .filter_map(|origin| {
            let containers = &origin.definition.as_ref()?.containers;
            let (_, image, _) = containers.iter().find(|(name, ..)| own(origin, name))?;
            Some(((image.as_str(), origin.architecture), origin))
        })
        .collect()
}

/// The first image that cannot be pulled; or else the first that could not be looked at.
pub(super) async fn can_be_pulled(aws: &Aws, origins: &[Origin]) -> Look {
    let images = images(origins);
    let looks = images.iter().map(|((image, architecture), origin)| look(aws, image, *architecture, origin));
    let looks: Vec<Look> = futures::future::join_all(looks).await;
    let mut unseen = None;
    for look in looks {
        match look {
            Ok(Ok(_)) => {}
            Ok(wrong) => return Ok(wrong),
            Err(trouble) => unseen = unseen.or(Some(trouble)),
        }
    }
    let names: Vec<&str> = images.keys().map(|(image, _)| *image).collect();
    unseen.map_or_else(|| Ok(Ok(names.join(", "))), Err)
}

async fn look(aws: &Aws, name: &str, architecture: Architecture, origin: &Origin) -> Look {
    let image = Image::parse(name);
    if let Some(registry) = Registry::of(&image.registry) {
        return in_ecr(aws, name, &image, &registry, architecture, origin).await;
    }
    let containers = origin.definition.iter().flat_map(|definition| &definition.containers);
    let signs_in = containers.into_iter().any(|(_, other, signs_in)| other == name && *signs_in);
    of_told(name, architecture, signs_in, image.look_up().await?)
}

fn of_told(name: &str, architecture: Architecture, signs_in: bool, told: Told) -> Look {
    Ok(match told {
        Told::Missing => Err(missing(name)),
        Told::For(found) => fits(name, architecture, &found),
        Told::Denied if signs_in => {
            let todo = "see that the secret in its repositoryCredentials is still valid";
            return Err(Trouble::unknown(format!("{name} is for those who sign in, as the tasks do"), todo));
        }
        Told::Denied => Err(Wrong::new(
            format!("the registry does not give {name} out"),
            "correct its name, make the image public, or copy it to ECR",
        )),
    })
}

async fn in_ecr(
    aws: &Aws,
    name: &str,
    image: &Image,
    registry: &Registry,
    architecture: Architecture,
    origin: &Origin,
) -> Look {
    let Some(manifest) = aws.manifest(registry, image).await? else { return Ok(Err(missing(name))) };
    let found = match architectures(&manifest) {
        Found::Architectures(all) => all,
        Found::Nothing => Vec::new(),
        Found::Configuration(digest) => {
            let configuration = aws.blob(registry, image, &digest).await?.unwrap_or_default();
            configuration["architecture"].as_str().map(str::to_owned).into_iter().collect()
        }
    };
    if let Err(wrong) = fits(name, architecture, &found) {
        return Ok(Err(wrong));
    }
    let arn = registry.arn(aws, &image.repository);
    let Some(role) = origin.execution_role() else {
        let what = format!("{name} is in ECR, and class {} has no execution role", origin.class.name);
        return Ok(Err(Wrong::new(what, "give the task definition or the class an execution role")));
    };
    let denied = aws.denied_pulls(role, &arn).await?;
    // Within an account, either policy suffices; another account's repository has to permit it as well.
    let asks_repository = !denied.is_empty() || registry.is_foreign(aws);
    let policy = if asks_repository { aws.repository_policy(registry, &image.repository).await } else { Ok(None) };
    let policy = match policy {
        // Only its own account may read it.
        Err(_) if registry.is_foreign(aws) && denied.is_empty() => return Ok(Ok(String::new())),
        policy => policy?,
    };
    let names_it = policy.is_some_and(|policy| permits(&policy, role, &aws.account));
    let may = if registry.is_foreign(aws) { denied.is_empty() && names_it } else { denied.is_empty() || names_it };
    Ok(if may {
        Ok(String::new())
    } else {
        let what = if denied.is_empty() { "its repository's policy".to_owned() } else { denied.join(", ") };
        Err(Wrong::new(
            format!("{role} may not pull {name}: {what}"),
            format!(
                "`jitgate upgrade --set RunnerImageRepositoryArn={arn}`, and name the role in the repository's policy if it is another account's"
            ),
        ))
    })
}

fn missing(name: &str) -> Wrong {
    Wrong::new(format!("there is no {name}"), "push it, or use another: `jitgate upgrade --image IMAGE`")
}

fn fits(name: &str, architecture: Architecture, found: &[String]) -> Result<String, Wrong> {
    // Nothing is told of some images, and a registry may have architectures that ECS has not.
    let is_fit = found.is_empty() || found.iter().any(|each| each.parse::<Architecture>() == Ok(architecture));
    if is_fit {
        return Ok(String::new());
    }
    Err(Wrong::new(
        format!("{name} is for {}, not for {architecture}", found.join(", ")),
        "use an image for that architecture: `jitgate upgrade --image IMAGE`",
    ))
}

/// Whether a repository's policy permits something to a role, its account or everybody.
fn permits(policy: &str, role: &str, account: &str) -> bool {
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = policy["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
    statements.iter().filter(|statement| statement["Effect"] == "Allow").any(|statement| {
        let principal = statement["Principal"].to_string();
        principal == "\"*\""
            || principal.contains("\"AWS\":\"*\"")
            || principal.contains(&format!("\"{role}\""))
            || principal.contains(&format!("::{account}:root\""))
            || principal.contains(&format!("\"{account}\""))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_there_for_the_architecture_or_not_looked_at() {
        let look = |told, signs_in| of_told("r:1", Architecture::Arm64, signs_in, told);
        let of = |names: &[&str]| Told::For(names.iter().map(|name| (*name).to_owned()).collect());
        assert!(matches!(look(of(&["amd64", "arm64"]), false), Ok(Ok(_))));
        assert!(matches!(look(of(&[]), false), Ok(Ok(_))), "nothing is told of its architecture");
        assert!(matches!(look(of(&["amd64"]), false), Ok(Err(_))));
        assert!(matches!(look(Told::Missing, false), Ok(Err(_))));
        assert!(matches!(look(Told::Denied, false), Ok(Err(_))));
        assert!(look(Told::Denied, true).is_err(), "the tasks have a sign-in that this command has not");
    }

    #[test]
    fn a_repository_permits_a_role_by_itself_or_by_its_account() {
        let role = "arn:aws:iam::123456789012:role/pull";
        let of = |effect: &str, principal: &serde_json::Value| {
            let policy = json!({ "Statement": [{ "Effect": effect, "Principal": principal }] });
            permits(&policy.to_string(), role, "123456789012")
        };
        for principal in [json!("*"), json!({ "AWS": role }), json!({ "AWS": ["arn:aws:iam::123456789012:root"] })] {
            assert!(of("Allow", &principal) && !of("Deny", &principal), "{principal}");
        }
        assert!(!of("Allow", &json!({ "AWS": "arn:aws:iam::210987654321:root" })));
        assert!(!permits("", role, "123456789012"));
    }
}
