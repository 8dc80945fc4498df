//! Images in registries that speak OCI's distribution protocol: GitHub's, Docker Hub, ECR Public.

use std::time::Duration;

use reqwest::header::{ACCEPT, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::trouble::Trouble;

/// Each call is answered within a second, or the network does not let it through.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The manifests that ECS takes. Source: ECR's "Container image manifest format support".
pub const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The registry of images that name none, and its host. Source: Docker's reference of image names.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// An image by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The registry's host, with its port.
    pub registry: String,
    /// The repository in it.
    pub repository: String,
    /// A tag, or a digest such as `sha256:…`.
    pub reference: String,
}

/// What a registry says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The architectures that it is for, in Docker's words, such as `amd64`; none if that cannot be told.
    For(Vec<String>),
    /// There is no such image.
    Missing,
    /// It does not give it out to everybody.
    Denied,
}

impl Image {
    /// From the name that a container has.
    pub fn parse(name: &str) -> Self {
        let (name, digest) = name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)));
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => ("docker.io", name),
        };
        let (repository, tag) = path.rsplit_once(':').map_or((path, "latest"), |(repository, tag)| (repository, tag));
        let is_of_hub = matches!(registry, "docker.io" | "index.docker.io");
        Self {
            registry: if is_of_hub { DOCKER_HUB.to_owned() } else { registry.to_owned() },
            repository: if is_of_hub && !repository.contains('/') {
                format!("library/{repository}")
            } else {
                repository.to_owned()
            },
            reference: digest.unwrap_or(tag).to_owned(),
        }
    }

    /// Whether it is named by its digest.
    pub fn is_digest(&self) -> bool {
        self.reference.contains(':')
    }

    /// The version in its tag, if that is one of the runner's.
    pub fn version(&self) -> Option<jitgate::github::RunnerVersion> {
        self.reference.trim_start_matches('v').parse().ok()
    }

    /// Asks its registry, without a sign-in of one's own.
    pub async fn look_up(&self) -> Result<Told, Trouble> {
        let mut token = None;
        let mut answer = self.get("manifests", &self.reference, None).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok());
            let Some(challenge) = challenge.and_then(Challenge::parse) else { return Ok(Told::Denied) };
            token = challenge.token().await?;
            if token.is_none() {
                return Ok(Told::Denied);
            }
            answer = self.get("manifests", &self.reference, token.as_ref()).await?;
        }
        match answer.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND => return Ok(Told::Missing),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(Told::Denied),
            status => return Err(self.trouble(&format!("answer {status}"))),
        }
        let manifest: Value = answer.json().await.map_err(|_| self.trouble("the manifest cannot be read"))?;
        let architectures = match architectures(&manifest) {
            Found::Architectures(all) => all,
            Found::Configuration(digest) => self.blob(&digest, token.as_ref()).await?.into_iter().collect(),
            Found::Nothing => Vec::new(),
        };
        Ok(Told::For(architectures))
    }

    /// The architecture in an image's configuration, as far as the registry gives it out.
    async fn blob(&self, digest: &str, token: Option<&SecretString>) -> Result<Option<String>, Trouble> {
        let mut answer = self.get("blobs", digest, token).await?;
        if answer.status().is_redirection() {
            // To a store that takes no token: its address is signed.
            let address = answer.headers().get(LOCATION).and_then(|header| header.to_str().ok());
            let Some(address) = address.and_then(|address| Url::parse(address).ok()) else { return Ok(None) };
            answer = self.send(crate::http::client().get(address)).await?;
        }
        let configuration: Value = answer.json().await.unwrap_or_default();
        Ok(configuration["architecture"].as_str().map(str::to_owned))
    }

    async fn get(&self, what: &str, reference: &str, token: Option<&SecretString>) -> Result<Response, Trouble> {
        let Self { registry, repository, .. } = self;
        let host = registry.rsplit_once(':').map_or(registry.as_str(), |(host, _)| host);
        // Docker speaks to this machine's registries without TLS, too.
        let scheme = if matches!(host, "localhost" | "127.0.0.1") { "http" } else { "https" };
        let address = format!("{scheme}://{registry}/v2/{repository}/{what}/{reference}");
        let mut request = crate::http::client().get(address).header(ACCEPT, MANIFESTS.join(", "));
        if let Some(token) = token {
            request = request.bearer_auth(token.expose_secret());
        }
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Trouble> {
        let answer = request.timeout(PATIENCE).send().await;
        answer.map_err(|error| self.trouble(&crate::http::words_of(&error)))
    }

    fn trouble(&self, words: &str) -> Trouble {
        Trouble::unknown(
            format!("{}: {words}", self.registry),
            "look from a machine that reaches the registry; a runner's subnet may reach it all the same",
        )
    }
}

/// Where a registry sends callers for a token. Source: the distribution project's "Token Authentication Specification".
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: Url,
}

impl Challenge {
    /// From a header such as `Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull"`.
    fn parse(header: &str) -> Option<Self> {
        let parameters = header.strip_prefix("Bearer ")?;
        let value = |name: &str| {
            let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let mut realm = Url::parse(value("realm")?).ok()?;
        for name in ["service", "scope"] {
            if let Some(value) = value(name) {
                realm.query_pairs_mut().append_pair(name, value);
            }
        }
        Some(Self { realm })
    }

    /// A token for everybody; `None` if there is none.
    async fn token(&self) -> Result<Option<SecretString>, Trouble> {
        let answer = crate::http::client().get(self.realm.clone()).timeout(PATIENCE).send().await;
        let answer = answer.map_err(|error| {
            let host = self.realm.host_str().unwrap_or_default();
            Trouble::unknown(format!("{host}: {}", crate::http::words_of(&error)), "check the network and the proxy")
        })?;
        let text: Value = answer.json().await.unwrap_or_default();
        Ok(text["token"].as_str().or(text["access_token"].as_str()).map(SecretString::from))
    }
}

/// What a manifest says of architectures.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// It is an index, of these.
    Architectures(Vec<String>),
    /// It is of one image, whose configuration has this digest.
    Configuration(String),
    /// It says nothing of them.
    Nothing,
}

/// Reads a manifest. Source: OCI's image specification.
pub fn architectures(manifest: &Value) -> Found {
    if let Some(all) = manifest["manifests"].as_array() {
        let named = all.iter().filter_map(|each| each["platform"]["architecture"].as_str());
        // Attestations have this in its place.
        let mut named: Vec<String> = named.filter(|name| *name != "unknown").map(str::to_owned).collect();
        named.sort_unstable();
        named.dedup();
        return Found::Architectures(named);
    }
    match manifest["config"]["digest"].as_str() {
        Some(digest) => Found::Configuration(digest.to_owned()),
        None => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::standin::Server;

    #[test]
    fn an_image_is_named_as_docker_names_it() {
        for (name, registry, repository, reference) in [
            ("ghcr.io/actions/actions-runner:2.335.0", "ghcr.io", "actions/actions-runner", "2.335.0"),
            ("ubuntu", DOCKER_HUB, "library/ubuntu", "latest"),
            ("docker.io/me/runner:1", DOCKER_HUB, "me/runner", "1"),
            ("localhost:5000/runner", "localhost:5000", "runner", "latest"),
            ("public.ecr.aws/a/b@sha256:0f", "public.ecr.aws", "a/b", "sha256:0f"),
            ("ghcr.io/a/b:1@sha256:0f", "ghcr.io", "a/b", "sha256:0f"),
        ] {
            let image = Image::parse(name);
            let found = (image.registry.as_str(), image.repository.as_str(), image.reference.as_str());
            assert_eq!(found, (registry, repository, reference), "{name}");
        }
        let version = |name: &str| Image::parse(name).version().map(|version| version.to_string());
        assert_eq!(version("ghcr.io/actions/actions-runner:2.335.0").as_deref(), Some("2.335.0"));
        assert_eq!(version("ghcr.io/actions/actions-runner:latest"), None);
    }

    #[test]
    fn a_registry_says_where_to_get_a_token() {
        let header = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull""#;
        let challenge = Challenge::parse(header).unwrap();
        assert_eq!(challenge.realm.as_str(), "https://ghcr.io/token?service=ghcr.io&scope=repository%3Aa%2Fb%3Apull");
        assert_eq!(Challenge::parse("Basic realm=\"x\""), None);
    }

    /// A registry that gives a token to everybody, and its blobs from another address, as GitHub's does. Sources: the
    /// distribution project's "Token Authentication Specification" and OCI's distribution specification.
    async fn registry(manifest: &'static str) -> Server {
        Server::start(move |request| {
            let path = request.split(' ').nth(1).unwrap_or_default();
            let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            let has_token = request.contains("authorization: Bearer for-all");
            match path {
                "/token?service=here&scope=repository%3Aa%2Frunner%3Apull" => {
                    (200, vec![], r#"{"token":"for-all"}"#.into())
                }
                "/elsewhere" if !has_token => (200, vec![], r#"{"os":"linux","architecture":"arm64"}"#.into()),
                _ if !has_token => {
                    let realm = format!(
                        r#"Bearer realm="http://{host}/token",service="here",scope="repository:a/runner:pull""#
                    );
                    (401, vec![("www-authenticate", realm)], String::new())
                }
                "/v2/a/runner/manifests/1" => (200, vec![], manifest.into()),
                "/v2/a/runner/blobs/sha256:c" => {
                    (307, vec![("location", format!("http://{host}/elsewhere"))], String::new())
                }
                "/v2/a/runner/manifests/private" => (403, vec![], String::new()),
                "/v2/a/runner/manifests/broken" => (500, vec![], String::new()),
                _ => (404, vec![], String::new()),
            }
        })
        .await
    }

    #[tokio::test]
    async fn an_image_is_looked_up_with_a_token_for_everybody() {
        let index = r#"{"manifests":[{"platform":{"architecture":"amd64"}},{"platform":{"architecture":"arm64"}}]}"#;
        let server = registry(index).await;
        let look = |tag: &str| {
            let image = Image::parse(&format!("{}/a/runner:{tag}", server.host));
            async move { image.look_up().await }
        };
        assert_eq!(look("1").await, Ok(Told::For(vec!["amd64".to_owned(), "arm64".to_owned()])));
        assert_eq!(look("2").await, Ok(Told::Missing));
        assert_eq!(look("private").await, Ok(Told::Denied));
        assert!(look("broken").await.unwrap_err().what.contains("answer 500"));
        let gone = Image::parse("127.0.0.1:1/runner:1").look_up().await;
        assert_eq!(gone.unwrap_err().exit, crate::trouble::Exit::Unknown, "whoever cannot reach it does not know");
    }

    #[tokio::test]
    async fn an_image_of_one_architecture_names_it_in_its_configuration() {
        let server = registry(r#"{"config":{"digest":"sha256:c"},"layers":[]}"#).await;
        let image = Image::parse(&format!("{}/a/runner:1", server.host));
        assert_eq!(image.look_up().await, Ok(Told::For(vec!["arm64".to_owned()])));
        let elsewhere = server.heard().into_iter().find(|request| request.starts_with("GET /elsewhere"));
        assert!(!elsewhere.unwrap().contains("authorization"), "the token goes to its registry alone");
    }

    /// Sources: OCI's image specification; attestations as Docker's buildx writes them.
    #[test]
    fn an_index_names_its_architectures_and_a_manifest_its_configuration() {
        let platform = |architecture: &str| json!({ "platform": { "os": "linux", "architecture": architecture } });
        let index = json!({ "manifests": [platform("amd64"), platform("arm64"), platform("unknown"), {}] });
        assert_eq!(architectures(&index), Found::Architectures(vec!["amd64".to_owned(), "arm64".to_owned()]));
        let one = json!({ "config": { "digest": "sha256:1" }, "layers": [] });
        assert_eq!(architectures(&one), Found::Configuration("sha256:1".to_owned()));
        assert_eq!(architectures(&json!({ "schemaVersion": 1 })), Found::Nothing);
    }
}
