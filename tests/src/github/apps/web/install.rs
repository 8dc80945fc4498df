//! An App is installed on an account, and uninstalled. Source: GitHub Docs, "Installing your own GitHub App" and "Reviewing and
//! modifying installed GitHub Apps".

use std::collections::BTreeSet;

use http::StatusCode;
use jitgate::job::InstallationId;
use maud::html;
use reqwest::Url;

use super::super::super::objects;
use super::super::super::route::query;
use super::super::super::state::{Account, AccountKind, Installation, Repository, State, next};
use super::super::App;
use super::super::permissions::is_of_organizations;
use super::{Form, Place, Visit, html, redirect};
use crate::wire::Answer;

impl State {
    pub(super) fn public_page(&self, slug: &str, visit: &Visit<'_>) -> Option<Answer> {
        let app = self.visible_app(slug, visit)?;
        let content = html! {
            p { "Developed by " (app.owner.login) }
            a href={ (app.html_url()) "/installations/new" } { "Install" }
        };
        Some(html::page(StatusCode::OK, &app.name, &content))
    }

    /// The account comes first, unless there is only one; then its repositories.
    pub(super) fn install_page(&self, slug: &str, visit: &Visit<'_>) -> Option<Answer> {
        let app = self.visible_app(slug, visit)?;
        let targets = self.targets(app, &visit.user);
        let wanted = query(visit.request, "target_id");
        let target = match (wanted, targets.as_slice()) {
            (Some(id), _) => targets.into_iter().find(|target| target.id.to_string() == id)?,
            (None, [only]) => only,
            (None, _) => {
                let content = html! {
                    p { "Where do you want to install " (app.name) "?" }
                    ul {
                        @for target in targets {
                            li { a href={ "?target_id=" (target.id) } { (target.login) } }
                        }
                    }
                };
                return Some(html::page(StatusCode::OK, &format!("Install {}", app.name), &content));
            }
        };
        match self.installations_of_app(app.id).find(|found| found.account.id == target.id) {
            Some(installation) => Some(redirect(&objects::installation_page(app, installation))),
            None => Some(self.choose(app, target, "")),
        }
    }

    fn choose(&self, app: &App, target: &Account, problem: &str) -> Answer {
        let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        let content = html! {
            p { "Install on " (target.login) }
            (html::permissions(granted(app, target).iter()))
            form action={ "/apps/" (app.slug) "/installations" } method="post" {
                input type="hidden" name="target_id" value=(target.id);
                label { input type="radio" name="install_target" value="all" checked; " All repositories" }
                label { input type="radio" name="install_target" value="selected"; " Only select repositories" }
                @for repository in self.repositories_of(target) {
                    label {
                        input type="checkbox" name="repository_ids[]" value=(repository.id);
                        " " (repository.full_name())
                    }
                }
                (html::problem(problem))
                button type="submit" { "Install" }
            }
        };
        html::page(status, &format!("Install {}", app.name), &content)
    }

    pub(super) fn send_install(&mut self, slug: &str, visit: &Visit<'_>) -> Option<Answer> {
        let form = Form::of(visit.request);
        let app = self.visible_app(slug, visit)?;
        let target = self.targets(app, &visit.user).into_iter();
        let target = target.into_iter().find(|target| target.id.to_string() == form.get("target_id"))?.clone();
        if self.installations_of_app(app.id).any(|found| found.account.id == target.id) {
            return None;
        }
        let repositories = if form.get("install_target") == "selected" {
            let chosen: BTreeSet<&str> = form.all("repository_ids[]").collect();
            let of_target = self.repositories_of(&target);
            let names = of_target.filter(|repository| chosen.contains(repository.id.to_string().as_str()));
            let names: BTreeSet<String> = names.map(|repository| repository.name.to_lowercase()).collect();
            if names.is_empty() {
                return Some(self.choose(app, &target, "Select at least one repository."));
            }
            Some(names)
        } else {
            None
        };
        let installation = Installation {
            id: InstallationId(self.counters.installation + 1),
            app: app.id,
            permissions: granted(app, &target),
            account: target,
            repositories,
            suspended_at: None,
            events: app.events.clone(),
            created_at: visit.now,
        };
        let page = objects::installation_page(app, &installation);
        let next_page = app.setup_url.as_deref().and_then(|url| Url::parse(url).ok()).map(|mut url| {
            let id = installation.id.to_string();
            url.query_pairs_mut().append_pair("installation_id", &id).append_pair("setup_action", "install");
            url.to_string()
        });
        next(&mut self.counters.installation);
        self.installations.insert(installation.id.0, installation.clone());
        self.announce_installation("created", &installation, &visit.user, visit.now);
        Some(redirect(&next_page.unwrap_or(page)))
    }

    pub(super) fn installation_page(&self, place: &Place, id: u64, visit: &Visit<'_>) -> Option<Answer> {
        let (app, installation) = self.managed_installation(place, id, visit)?;
        let path = format!("{}/installations/{id}", place.path());
        let repositories = self.repositories_of(&installation.account);
        let content = html! {
            p { (app.name) " is installed on " (installation.account.login) "." }
            (html::permissions(&installation.permissions))
            @if installation.permissions != granted(app, &installation.account) {
                form action=(path) method="post" {
                    p { (app.name) " is requesting an update to its permissions." }
                    input type="hidden" name="_method" value="put";
                    button type="submit" { "Accept new permissions" }
                }
            }
            @if installation.repositories.is_none() {
                p { "All repositories" }
            } @else {
                ul {
                    @for repository in repositories.filter(|each| installation.covers(&each.owner.login, &each.name)) {
                        li { (repository.full_name()) }
                    }
                }
            }
            form action=(path) method="post" {
                input type="hidden" name="_method" value="delete";
                button type="submit" { "Uninstall" }
            }
        };
        Some(html::page(StatusCode::OK, &app.name, &content))
    }

    pub(super) fn send_installation(&mut self, place: &Place, id: u64, visit: &Visit<'_>) -> Option<Answer> {
        let (app, installation) = self.managed_installation(place, id, visit)?;
        let mut installation = installation.clone();
        match Form::of(visit.request).get("_method") {
            "delete" => {
                self.installations.remove(&id);
                self.announce_installation("deleted", &installation, &visit.user, visit.now);
                Some(redirect(&format!("{}/apps", place.path())))
            }
            "put" => {
                installation.permissions = granted(app, &installation.account);
                installation.events.clone_from(&app.events);
                self.installations.insert(id, installation.clone());
                self.announce_installation("new_permissions_accepted", &installation, &visit.user, visit.now);
                Some(redirect(&format!("{}/installations/{id}", place.path())))
            }
            _ => None,
        }
    }

    /// Accounts that the user may install the App on. A private App can be installed on its owner only.
    fn targets(&self, app: &App, user: &Account) -> Vec<&Account> {
        let all = self.accounts.values();
        all.filter(|account| self.manages(user, account) && (app.public || account.id == app.owner.id)).collect()
    }

    fn visible_app(&self, slug: &str, visit: &Visit<'_>) -> Option<&App> {
        self.app_with_slug(slug).filter(|app| app.public || self.manages(&visit.user, &app.owner))
    }

    fn managed_installation(&self, place: &Place, id: u64, visit: &Visit<'_>) -> Option<(&App, &Installation)> {
        let account = self.managed(place, &visit.user)?;
        let installation = self.installations.get(&id).filter(|found| found.account.id == account.id)?;
        Some((self.apps.get(&installation.app)?, installation))
    }

    fn repositories_of(&self, account: &Account) -> impl Iterator<Item = &Repository> {
        let id = account.id;
        self.repositories.values().filter(move |repository| repository.owner.id == id)
    }
}

/// What an installation of the App on that account may do: a user cannot grant what only an organisation has.
fn granted(app: &App, account: &Account) -> std::collections::BTreeMap<String, String> {
    let is_organization = account.kind == AccountKind::Organization;
    let all = app.permissions.iter();
    let granted = all.filter(|(name, _)| is_organization || !is_of_organizations(name));
    granted.map(|(name, level)| (name.clone(), level.clone())).collect()
}
