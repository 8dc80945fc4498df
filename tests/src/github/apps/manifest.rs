//! An App's manifest: what it may say, and what GitHub's page says of one that it refuses.
//!
//! Source of the keys: GitHub Docs, "Registering a GitHub App from a manifest". The words of the refusals are GitHub's, as users
//! reported them: each has its report beside it.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::{Map, Value};

use super::permissions::{levels, needed_by};

/// The longest name of an App. Source: GitHub Docs, "Registering a GitHub App".
const LONGEST_NAME: usize = 34;

/// The most callback URLs. Source: as above.
const MOST_CALLBACKS: usize = 10;

/// The keys of a manifest. Any other is refused, as hunvreus/pagescms#409 reports of `hook_attributes`.
const KEYS: [&str; 12] = [
    "name",
    "url",
    "hook_attributes",
    "redirect_url",
    "callback_urls",
    "setup_url",
    "description",
    "public",
    "default_events",
    "default_permissions",
    "request_oauth_on_install",
    "setup_on_update",
];

/// A manifest that GitHub takes.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// The name that the page proposes.
    pub(super) name: Option<String>,
    pub(super) url: String,
    pub(super) hook: Option<HookAttributes>,
    pub(super) redirect_url: Option<Url>,
    pub(super) setup_url: Option<String>,
    pub(super) description: Option<String>,
    pub(super) public: bool,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct HookAttributes {
    pub(super) url: String,
    pub(super) active: bool,
}

/// The part of an App's URL that stands for its name. Source: GitHub Docs, "Registering a GitHub App".
pub(super) fn slug(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// What is wrong with a name, apart from being taken.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if slug(name).is_empty() {
        Err("Name can't be blank".to_owned())
    } else if name.chars().count() > LONGEST_NAME {
        Err(format!("Name is too long (maximum is {LONGEST_NAME} characters)"))
    } else {
        Ok(())
    }
}

impl Manifest {
    /// Reads a form's field `manifest`; all that is wrong with it, in GitHub's words.
    pub(super) fn read(text: &str) -> Result<Self, Vec<String>> {
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else {
            return Err(Vec::new());
        };
        let mut wrong = Vec::new();
        check_keys(&fields, &KEYS, &mut wrong);
        let mut reading = Reading { fields: &fields, wrong };
        let name = reading.text("name");
        let url = reading.required_url("url");
        let redirect_url = reading.url("redirect_url");
        let setup_url = reading.url("setup_url").map(String::from);
        let description = reading.text("description");
        let public = reading.flag("public", false);
        reading.flag("request_oauth_on_install", false);
        reading.flag("setup_on_update", false);
        reading.callbacks();
        let permissions = reading.permissions();
        let events = reading.events(&permissions);
        let mut wrong = reading.wrong;
        let hook = match fields.get("hook_attributes") {
            None => None,
            Some(Value::Object(of_hook)) => hook(of_hook, &mut wrong),
            Some(_) => {
                wrong.push(mistaken("hook_attributes", "an object"));
                None
            }
        };
        if let Some(Err(problem)) = name.as_deref().map(check_name) {
            wrong.push(problem);
        }
        match url {
            Some(url) if wrong.is_empty() => Ok(Self {
                name,
                url: url.into(),
                hook,
                redirect_url,
                setup_url,
                description,
                public,
                permissions,
                events,
            }),
            _ => Err(wrong),
        }
    }
}

fn hook(fields: &Map<String, Value>, wrong: &mut Vec<String>) -> Option<HookAttributes> {
    check_keys(fields, &["url", "active"], wrong);
    let mut reading = Reading { fields, wrong: std::mem::take(wrong) };
    // An inactive hook needs it too. Source: vikasprogrammer/agentric#317.
    let url = reading.required_url("url");
    let active = reading.flag("active", true);
    *wrong = reading.wrong;
    let url = url?;
    match unreachable_host(&url) {
        None => Some(HookAttributes { url: url.into(), active }),
        Some(host) => {
            // Source: github-community-projects/private-mirrors#387, which is about the form for the same setting.
            wrong.push(format!(
                "Hook url is not supported because it isn't reachable over the public Internet ({host})"
            ));
            None
        }
    }
}

/// The host, if GitHub cannot reach it.
pub(super) fn unreachable_host(url: &Url) -> Option<String> {
    let local = match url.host()? {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(address) => address.is_loopback() || address.is_private() || address.is_unspecified(),
        url::Host::Ipv6(address) => address.is_loopback() || address.is_unspecified(),
    };
    local.then(|| url.host_str().unwrap_or_default().to_owned())
}

fn check_keys(fields: &Map<String, Value>, known: &[&str], wrong: &mut Vec<String>) {
    let unknown = fields.keys().filter(|key| !known.contains(&key.as_str()));
    wrong.extend(unknown.map(|key| format!("\"{key}\" is not a permitted key.")));
}

fn mistaken(key: &str, kind: &str) -> String {
    format!("\"{key}\" is not {kind}.")
}

/// Reads fields, and collects what is wrong with them.
struct Reading<'a> {
    fields: &'a Map<String, Value>,
    wrong: Vec<String>,
}

impl Reading<'_> {
    fn text(&mut self, key: &str) -> Option<String> {
        let text = self.fields.get(key)?.as_str();
        if text.is_none() {
            self.wrong.push(mistaken(key, "a string"));
        }
        text.map(str::to_owned)
    }

    fn url(&mut self, key: &str) -> Option<Url> {
        let text = self.text(key)?;
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.wrong.push(mistaken(key, "a valid URL"));
        }
        url
    }

    fn required_url(&mut self, key: &str) -> Option<Url> {
        if !self.fields.contains_key(key) {
            // Source: alp82/curia#933.
            self.wrong.push(format!("\"{key}\" wasn't supplied."));
        }
        self.url(key)
    }

    fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.fields.get(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.wrong.push(mistaken(key, "a boolean"));
                default
            }
        }
    }

    fn callbacks(&mut self) {
        match self.fields.get("callback_urls") {
            None => {}
            Some(Value::Array(urls)) if urls.len() <= MOST_CALLBACKS && urls.iter().all(Value::is_string) => {}
            Some(_) => self.wrong.push(mistaken("callback_urls", "an array of at most 10 strings")),
        }
    }

    /// `metadata` comes by itself. Source: GitHub Docs, "Choosing permissions for a GitHub App".
    fn permissions(&mut self) -> BTreeMap<String, String> {
        let mut wanted = BTreeMap::new();
        match self.fields.get("default_permissions") {
            None => return wanted,
            Some(Value::Object(permissions)) => {
                for (name, level) in permissions {
                    let known = levels(name);
                    if known.is_none() {
                        // Source: probot/probot#1665 and many others.
                        self.wrong.push("Default permission records resource is not included in the list".to_owned());
                    } else if let Some(level) = level.as_str().filter(|level| known.unwrap_or_default().contains(level))
                    {
                        wanted.insert(name.clone(), level.to_owned());
                    } else {
                        self.wrong.push("Default permission records action is not included in the list".to_owned());
                    }
                }
            }
            Some(_) => self.wrong.push(mistaken("default_permissions", "an object")),
        }
        if !wanted.is_empty() {
            wanted.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
        }
        wanted
    }

    fn events(&mut self, permissions: &BTreeMap<String, String>) -> Vec<String> {
        let Some(events) = self.fields.get("default_events") else { return Vec::new() };
        let Ok(events) = serde_json::from_value::<Vec<String>>(events.clone()) else {
            self.wrong.push(mistaken("default_events", "an array of strings"));
            return Vec::new();
        };
        let named = |wrong: &dyn Fn(&str) -> bool| {
            events.iter().map(String::as_str).filter(|event| wrong(event)).collect::<Vec<_>>().join(", ")
        };
        let unknown = named(&|event| needed_by(event).is_none());
        if !unknown.is_empty() {
            // Source: oblien/openship#842, of `installation`.
            self.wrong.push(format!("Default events unsupported: {unknown}"));
        }
        let lacking = named(&|event| needed_by(event).is_some_and(|permission| !permissions.contains_key(permission)));
        if !lacking.is_empty() {
            // Source: cyrusagents/cyrus#1406.
            self.wrong.push(format!("Default events are not supported by permissions: {lacking}"));
        }
        events
    }
}
