//! Images in ECR, and who may pull them.

use roxmltree::Document;
use serde_json::{Value, json};

use super::query::child;
use super::signed::Signed;
use super::{Aws, Query, errors};
use crate::registry::{Image, MANIFESTS};
use crate::trouble::Trouble;

/// What a task's execution role needs in order to pull. Source: ECS's "Task execution IAM role", "Private registries in ECR".
const PULL: [&str; 3] = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/// A private registry of ECR, by its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    account: String,
    region: String,
}

impl Registry {
    /// From a host such as `123456789012.dkr.ecr.eu-central-1.amazonaws.com`.
    pub fn of(host: &str) -> Option<Self> {
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        let (region, domain) = rest.split_once('.')?;
        let is_ours = domain.starts_with("amazonaws.com") && account.chars().all(|each| each.is_ascii_digit());
        is_ours.then(|| Self { account: account.to_owned(), region: region.to_owned() })
    }

    /// The ARN of one of its repositories.
    pub fn arn(&self, aws: &Aws, repository: &str) -> String {
        format!("arn:{}:ecr:{}:{}:repository/{repository}", aws.partition, self.region, self.account)
    }

    /// Whether it is another account's.
    pub fn is_foreign(&self, aws: &Aws) -> bool {
        self.account != aws.account
    }
}

impl Aws {
    /// The manifest of an image; `None` if there is no such image or repository.
    pub async fn manifest(&self, registry: &Registry, image: &Image) -> Result<Option<Value>, Trouble> {
        let id = if image.is_digest() { "imageDigest" } else { "imageTag" };
        let request = json!({
            "registryId": registry.account,
            "repositoryName": image.repository,
            "imageIds": [{ id: image.reference }],
            "acceptedMediaTypes": MANIFESTS,
        });
        let Some(answer) = self.ecr(registry, "BatchGetImage", &request).await? else { return Ok(None) };
        let manifest = answer["images"][0]["imageManifest"].as_str();
        Ok(manifest.and_then(|manifest| serde_json::from_str(manifest).ok()))
    }

    /// A part of an image that is JSON, such as its configuration; `None` if ECR does not give it out.
    pub async fn blob(&self, registry: &Registry, image: &Image, digest: &str) -> Result<Option<Value>, Trouble> {
        let request = json!({
            "registryId": registry.account, "repositoryName": image.repository, "layerDigest": digest
        });
        let Some(answer) = self.ecr(registry, "GetDownloadUrlForLayer", &request).await? else { return Ok(None) };
        let Some(url) = answer["downloadUrl"].as_str() else { return Ok(None) };
        let answer = crate::http::client().get(url).timeout(crate::registry::PATIENCE).send().await;
        let Ok(answer) = answer else { return Ok(None) };
        Ok(answer.json().await.ok())
    }

    /// The policy of a repository; `None` if it has none, or the repository is not there.
    pub async fn repository_policy(&self, registry: &Registry, repository: &str) -> Result<Option<String>, Trouble> {
        let request = json!({ "registryId": registry.account, "repositoryName": repository });
        let answer = self.ecr(registry, "GetRepositoryPolicy", &request).await?;
        Ok(answer.and_then(|answer| answer["policyText"].as_str().map(str::to_owned)))
    }

    /// Which of the calls that pull an image a role may not make, by its own policies.
    pub async fn denied_pulls(&self, role: &str, repository: &str) -> Result<Vec<String>, Trouble> {
        let names: Vec<String> = (1..=PULL.len()).map(|number| format!("ActionNames.member.{number}")).collect();
        let actions = names.iter().map(String::as_str).zip(PULL);
        let parameters: Vec<_> =
            [("PolicySourceArn", role), ("ResourceArns.member.1", repository)].into_iter().chain(actions).collect();
        let answer = Query::IAM.call(self, "SimulatePrincipalPolicy", &parameters).await;
        Ok(denied(&answer.map_err(|(_, trouble)| trouble)?))
    }

    async fn ecr(&self, registry: &Registry, operation: &str, body: &Value) -> Result<Option<Value>, Trouble> {
        let what = format!("ecr:{operation}");
        let address = format!("{}/", self.endpoint(&format!("api.ecr.{}", registry.region)));
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        let request = Signed {
            service: "ecr",
            region: &registry.region,
            method: "POST",
            address: &address,
            content_type: "application/x-amz-json-1.1",
            target: Some(&target),
            body: &body.to_string(),
        };
        let (status, text) = request.send(self, &what).await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let code = answer["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default();
        match code {
            _ if status.is_success() => Ok(Some(answer)),
            "RepositoryNotFoundException" | "RepositoryPolicyNotFoundException" | "LayersNotFoundException" => Ok(None),
            _ => {
                let message = answer["message"].as_str().unwrap_or_default();
                Err(errors::explain(&what, code, &format!("{code}: {message}"), status.is_server_error()))
            }
        }
    }
}

/// The actions that a simulation denies.
fn denied(text: &str) -> Vec<String> {
    let Ok(document) = Document::parse(text) else { return Vec::new() };
    let results = document.descendants().filter(|node| child(*node, "EvalDecision").is_some_and(|it| it != "allowed"));
    results.filter_map(|result| child(result, "EvalActionName")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_of_ecr_is_known_by_its_host() {
        let found = Registry::of("123456789012.dkr.ecr.eu-central-1.amazonaws.com").unwrap();
        assert_eq!((found.account.as_str(), found.region.as_str()), ("123456789012", "eu-central-1"));
        assert!(Registry::of("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn").is_some());
        for other in ["ghcr.io", "public.ecr.aws", "x.dkr.ecr.eu.amazonaws.com", "1.dkr.ecr.eu.example.com"] {
            assert_eq!(Registry::of(other), None, "{other}");
        }
    }

    /// Source: the API reference of `SimulatePrincipalPolicy`, "Sample Response".
    #[test]
    fn what_a_role_may_not_do_is_named() {
        let result = |action: &str, decision: &str| {
            format!("<member><EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision></member>")
        };
        let results = result("ecr:BatchGetImage", "implicitDeny") + &result("ecr:GetDownloadUrlForLayer", "allowed");
        let answer = format!(
            "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
             <SimulatePrincipalPolicyResult><EvaluationResults>{results}</EvaluationResults>\
             </SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        );
        assert_eq!(denied(&answer), ["ecr:BatchGetImage"]);
    }
}
