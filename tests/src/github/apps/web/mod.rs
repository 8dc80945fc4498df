//! GitHub's web pages around an App: made, installed, uninstalled and deleted, as a person does it in a browser.
//!
//! GitHub documents what a person sees and clicks, and where the browser ends up. The paths of the forms between are not
//! documented, so only the pages themselves may lead to them.

mod html;
mod install;
mod register;
mod settings;

use http::{Method, StatusCode};
use hyper::body::Bytes;
use time::OffsetDateTime;

use super::super::route::{operation, query, url as url_of};
use super::super::state::{Account, AccountKind, State};
use super::GITHUB;
use crate::wire::{Answer, Request};

/// Whose settings they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::github) enum Place {
    /// The user's own.
    Own,
    Organization(String),
}

impl Place {
    /// The path of its settings.
    fn path(&self) -> String {
        match self {
            Self::Own => "/settings".to_owned(),
            Self::Organization(login) => format!("/organizations/{login}/settings"),
        }
    }
}

/// A page, or a form of it that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::github) enum Page {
    SignIn,
    SendSignIn,
    /// Where people describe an App by hand.
    New(Place),
    /// A manifest comes from elsewhere.
    Register(Place),
    SendRegister(Place),
    Apps(Place),
    Settings(Place, String),
    /// Where an App is deleted.
    Advanced(Place, String),
    SendAdvanced(Place, String),
    /// An App as everybody sees it.
    Public(String),
    Install(String),
    SendInstall(String),
    Installation(Place, u64),
    SendInstallation(Place, u64),
}

impl Page {
    pub(in crate::github) fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let sent = match *request.method() {
            Method::GET => false,
            Method::POST => true,
            _ => return None,
        };
        match (segments.as_slice(), sent) {
            (["login"], false) => Some(Self::SignIn),
            (["session"], true) => Some(Self::SendSignIn),
            (["settings", rest @ ..], _) => Self::of_settings(Place::Own, rest, sent),
            (["organizations", login, "settings", rest @ ..], _) => {
                Self::of_settings(Place::Organization((*login).to_owned()), rest, sent)
            }
            // GitHub Enterprise Server has its Apps below the second.
            (["apps" | "github-apps", slug, rest @ ..], _) => match (rest, sent) {
                ([], false) => Some(Self::Public((*slug).to_owned())),
                (["installations", "new"], false) => Some(Self::Install((*slug).to_owned())),
                (["installations"], true) => Some(Self::SendInstall((*slug).to_owned())),
                _ => None,
            },
            _ => None,
        }
    }

    fn of_settings(place: Place, rest: &[&str], sent: bool) -> Option<Self> {
        match (rest, sent) {
            (["apps", "new"], false) => Some(Self::New(place)),
            (["apps", "new"], true) => Some(Self::Register(place)),
            (["apps", "manifest"], true) => Some(Self::SendRegister(place)),
            (["apps"], false) => Some(Self::Apps(place)),
            (["apps", slug], false) => Some(Self::Settings(place, (*slug).to_owned())),
            (["apps", slug, "advanced"], false) => Some(Self::Advanced(place, (*slug).to_owned())),
            (["apps", slug, "advanced"], true) => Some(Self::SendAdvanced(place, (*slug).to_owned())),
            (["installations", id], false) => Some(Self::Installation(place, id.parse().ok()?)),
            (["installations", id], true) => Some(Self::SendInstallation(place, id.parse().ok()?)),
            _ => None,
        }
    }

    pub(in crate::github) fn operation(&self) -> &'static str {
        match self {
            Self::SignIn
            | Self::New(_)
            | Self::Apps(_)
            | Self::Settings(..)
            | Self::Advanced(..)
            | Self::Public(_)
            | Self::Install(_)
            | Self::Installation(..) => operation::SEE_PAGE,
            Self::SendSignIn
            | Self::Register(_)
            | Self::SendRegister(_)
            | Self::SendAdvanced(..)
            | Self::SendInstall(_)
            | Self::SendInstallation(..) => operation::SEND_FORM,
        }
    }
}

/// The fields of a form that was sent.
struct Form(Vec<(String, String)>);

impl Form {
    fn of(request: &Request) -> Self {
        Self(url::form_urlencoded::parse(request.body()).into_owned().collect())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }
}

/// A visit by the user of the browser.
struct Visit<'a> {
    user: Account,
    request: &'a Request,
    now: OffsetDateTime,
}

impl State {
    /// Answers a page or a form. GitHub hides with a 404 what the user may not see.
    pub(in crate::github) fn show(&mut self, page: &Page, request: &Request, now: OffsetDateTime) -> Answer {
        match page {
            Page::SignIn => return html::sign_in(&query(request, "return_to").unwrap_or_default()),
            Page::SendSignIn => return self.sign_in(request),
            _ => {}
        }
        let Some(user) = self.web.user.clone().map(|login| self.account(&login, AccountKind::User)) else {
            let back = url::form_urlencoded::byte_serialize(request.uri().to_string().as_bytes()).collect::<String>();
            return redirect(&format!("/login?return_to={back}"));
        };
        let visit = Visit { user, request, now };
        let shown = match page {
            Page::SignIn | Page::SendSignIn => None,
            Page::New(place) => self.new_app_page(place, &visit),
            Page::Register(place) => self.receive_manifest(place, &visit),
            Page::SendRegister(place) => self.send_register(place, &visit),
            Page::Apps(place) => self.list_apps(place, &visit),
            Page::Settings(place, slug) => self.app_settings(place, slug, &visit),
            Page::Advanced(place, slug) => self.app_advanced(place, slug, &visit, ""),
            Page::SendAdvanced(place, slug) => self.send_advanced(place, slug, &visit),
            Page::Public(slug) => self.public_page(slug, &visit),
            Page::Install(slug) => self.install_page(slug, &visit),
            Page::SendInstall(slug) => self.send_install(slug, &visit),
            Page::Installation(place, id) => self.installation_page(place, *id, &visit),
            Page::SendInstallation(place, id) => self.send_installation(place, *id, &visit),
        };
        shown.unwrap_or_else(html::not_found)
    }

    fn sign_in(&mut self, request: &Request) -> Answer {
        let form = Form::of(request);
        let known = self.accounts.get(&form.get("login").to_lowercase());
        match known.filter(|account| account.kind == AccountKind::User) {
            None => html::sign_in(form.get("return_to")),
            Some(account) => {
                self.web.user = Some(account.login.clone());
                redirect(form.get("return_to"))
            }
        }
    }

    /// The account whose settings the user may see and change: its own, or those of an organisation that it owns.
    fn managed(&self, place: &Place, user: &Account) -> Option<Account> {
        match place {
            Place::Own => Some(user.clone()),
            Place::Organization(login) => {
                let account = self.accounts.get(&login.to_lowercase())?;
                (account.kind == AccountKind::Organization && self.manages(user, account)).then(|| account.clone())
            }
        }
    }

    fn manages(&self, user: &Account, account: &Account) -> bool {
        let owners = self.web.owners.get(&account.login.to_lowercase());
        user.id == account.id || owners.is_some_and(|owners| owners.contains(&user.login.to_lowercase()))
    }
}

/// The web site that a request went to.
fn site(request: &Request) -> String {
    let url = url_of(request);
    match url.host_str() {
        Some("github.com") => GITHUB.to_owned(),
        _ => url.origin().ascii_serialization(),
    }
}

fn redirect(to: &str) -> Answer {
    http::Response::builder()
        .status(StatusCode::FOUND)
        .header("location", if to.is_empty() { "/" } else { to })
        .body(Bytes::new())
        .unwrap_or_else(|_| html::not_found())
}
