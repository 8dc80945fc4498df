//! A manifest arrives, the user may change the name, clicks "Create GitHub App" and is led back with a code. Source: GitHub
//! Docs, "Registering a GitHub App from a manifest".

use http::StatusCode;
use maud::html;

use super::super::super::route::query;
use super::super::super::state::{Account, State};
use super::super::conversion::WITHIN;
use super::super::manifest::{Manifest, check_name, slug};
use super::super::{Pending, random_hex};
use super::{Form, Place, Visit, html, redirect, site};
use crate::wire::Answer;

/// The most Apps of one account. Source: GitHub Docs, "Registering a GitHub App".
const MOST_APPS: usize = 100;

impl State {
    /// The form for an App without a manifest is left out: only who may see the page is GitHub's.
    pub(super) fn new_app_page(&self, place: &Place, visit: &Visit<'_>) -> Option<Answer> {
        let owner = self.managed(place, &visit.user)?;
        let content = html! { p { "A GitHub App of " (owner.login) } };
        Some(html::page(StatusCode::OK, "Register new GitHub App", &content))
    }

    pub(super) fn receive_manifest(&mut self, place: &Place, visit: &Visit<'_>) -> Option<Answer> {
        let owner = self.managed(place, &visit.user)?;
        let manifest = match Manifest::read(Form::of(visit.request).get("manifest")) {
            Ok(manifest) => manifest,
            Err(wrong) => return Some(invalid(&wrong)),
        };
        let name = manifest.name.clone().unwrap_or_default();
        let pending = Pending {
            owner,
            manifest,
            state: query(visit.request, "state"),
            site: site(visit.request),
            sent_at: visit.now,
        };
        let token = random_hex(32);
        self.web.pending.insert(token.clone(), pending);
        Some(ask(place, &token, &name, ""))
    }

    pub(super) fn send_register(&mut self, place: &Place, visit: &Visit<'_>) -> Option<Answer> {
        let owner = self.managed(place, &visit.user)?;
        let form = Form::of(visit.request);
        let (token, name) = (form.get("authenticity_token"), form.get("name").trim());
        let pending = self.web.pending.get(token)?;
        if pending.owner.id != owner.id || visit.now >= pending.sent_at + WITHIN {
            return None;
        }
        if let Err(problem) = self.check_new_app(&owner, name) {
            return Some(ask(place, token, name, &problem));
        }
        let pending = self.web.pending.remove(token)?;
        let app = self.create_app(pending.clone(), name.to_owned(), visit.now);
        let code = self.web.conversions.begin(app, pending.sent_at);
        Some(match pending.manifest.redirect_url {
            Some(mut back) => {
                back.query_pairs_mut().append_pair("code", &code);
                if let Some(state) = &pending.state {
                    back.query_pairs_mut().append_pair("state", state);
                }
                redirect(back.as_str())
            }
            None => redirect(&format!("{}/apps/{}", place.path(), slug(name))),
        })
    }

    fn check_new_app(&self, owner: &Account, name: &str) -> Result<(), String> {
        check_name(name)?;
        let slug = slug(name);
        // A name may be that of an account only if it is the owner's. Source: GitHub Docs, "Registering a GitHub App".
        let of_account = self.accounts.get(&slug).is_some_and(|account| account.id != owner.id);
        if of_account || self.app_with_slug(&slug).is_some() {
            return Err("Name has already been taken".to_owned());
        }
        if self.apps.values().filter(|app| app.owner.id == owner.id).count() >= MOST_APPS {
            return Err(format!("{} has reached the limit of {MOST_APPS} GitHub Apps", owner.login));
        }
        Ok(())
    }
}

fn ask(place: &Place, token: &str, name: &str, problem: &str) -> Answer {
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let content = html! {
        form action={ (place.path()) "/apps/manifest" } method="post" {
            input type="hidden" name="authenticity_token" value=(token);
            label { "GitHub App name " input type="text" name="name" value=(name) required; }
            (html::problem(problem))
            button type="submit" { "Create GitHub App" }
        }
    };
    html::page(status, "Create GitHub App", &content)
}

/// Source: derive-to/derive#269.
fn invalid(wrong: &[String]) -> Answer {
    let content = html! {
        p { "The configuration does not appear to be a valid GitHub App manifest." }
        @for problem in wrong {
            (html::problem(&format!("Error {problem}")))
        }
    };
    html::page(StatusCode::UNPROCESSABLE_ENTITY, "Invalid GitHub App configuration", &content)
}
