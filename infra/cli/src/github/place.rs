//! Which GitHub it is: github.com, an enterprise with data residency, or an Enterprise Server.

use url::Url;

use crate::github::Owner;

/// A GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    web: Url,
}

impl Default for Place {
    fn default() -> Self {
        Self { web: Url::parse("https://github.com").expect("a valid address") }
    }
}

impl Place {
    /// By its address in a browser.
    pub fn new(web: Url) -> Self {
        Self { web }
    }

    /// By the address of its API, as the stack's parameter has it.
    pub fn of_api(api: &str) -> Option<Self> {
        let mut url = Url::parse(api).ok()?;
        let host = url.host_str()?.to_owned();
        if let Some(host) = host.strip_prefix("api.") {
            url.set_host(Some(host)).ok()?;
        }
        url.set_path("");
        Some(Self { web: url })
    }

    /// The address of the API. Source: GitHub's REST documentation of each product.
    pub fn api(&self) -> Url {
        let mut url = self.web.clone();
        let host = url.host_str().unwrap_or_default().to_owned();
        if url.scheme() == "http" {
            // Only on this machine, where a stand-in has pages and API at one address.
            url.set_path("");
        } else if host == "github.com" || host.ends_with(".ghe.com") {
            let _ = url.set_host(Some(&format!("api.{host}")));
            url.set_path("");
        } else {
            url.set_path("api/v3");
        }
        url
    }

    /// The stack's parameter `GitHubApiUrl`.
    pub fn parameter(&self) -> String {
        self.api().as_str().trim_end_matches('/').to_owned()
    }

    /// A page.
    pub fn page(&self, path: &str) -> Url {
        let mut url = self.web.clone();
        url.set_path(path);
        url
    }

    /// The form that creates an App from a manifest.
    pub fn form(&self, owner: &Owner, state: &str) -> Url {
        let mut url = match owner {
            Owner::Organization(login) => self.page(&format!("organizations/{login}/settings/apps/new")),
            Owner::Personal => self.page("settings/apps/new"),
        };
        url.query_pairs_mut().append_pair("state", state);
        url
    }

    /// The page that installs an App.
    pub fn installation_of(&self, slug: &str) -> Url {
        self.page(&format!("apps/{slug}/installations/new"))
    }

    /// The page that deletes an App.
    pub fn deletion_of(&self, owner: &str, is_organization: bool, slug: &str) -> Url {
        if is_organization {
            self.page(&format!("organizations/{owner}/settings/apps/{slug}/advanced"))
        } else {
            self.page(&format!("settings/apps/{slug}/advanced"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_github_has_its_api_at_the_address_that_it_documents() {
        for (web, api) in [
            ("https://github.com", "https://api.github.com"),
            ("https://acme.ghe.com", "https://api.acme.ghe.com"),
            ("https://github.acme.example", "https://github.acme.example/api/v3"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ] {
            let place = Place::new(Url::parse(web).unwrap());
            assert_eq!(place.parameter(), api);
            assert_eq!(Place::of_api(api).unwrap().page(""), place.page(""));
        }
    }

    #[test]
    fn a_form_is_that_of_the_owner() {
        let place = Place::new(Url::parse("https://github.com").unwrap());
        let of = |owner| place.form(&owner, "s 1").to_string();
        assert_eq!(
            of(Owner::Organization("acme".to_owned())),
            "https://github.com/organizations/acme/settings/apps/new?state=s+1"
        );
        assert_eq!(of(Owner::Personal), "https://github.com/settings/apps/new?state=s+1");
    }
}
