//! An App's settings, for those who manage it. Source: GitHub Docs, "Modifying a GitHub App registration" and "Deleting a GitHub
//! App".

use http::StatusCode;
use maud::html;

use super::super::super::state::State;
use super::super::App;
use super::{Form, Place, Visit, html, redirect};
use crate::wire::Answer;

impl State {
    pub(super) fn list_apps(&self, place: &Place, visit: &Visit<'_>) -> Option<Answer> {
        let owner = self.managed(place, &visit.user)?;
        let content = html! {
            ul {
                @for app in self.apps.values().filter(|app| app.owner.id == owner.id) {
                    li { a href={ (place.path()) "/apps/" (app.slug) } { (app.name) } }
                }
            }
        };
        Some(html::page(StatusCode::OK, "GitHub Apps", &content))
    }

    pub(super) fn app_settings(&self, place: &Place, slug: &str, visit: &Visit<'_>) -> Option<Answer> {
        let app = self.managed_app(place, slug, visit)?;
        let content = html! {
            p { "App ID: " (app.id) }
            p { "Client ID: " (app.client_id) }
            (html::permissions(&app.permissions))
            nav {
                a href={ (app.html_url()) "/installations/new" } { "Install App" }
                " "
                a href={ (place.path()) "/apps/" (slug) "/advanced" } { "Advanced" }
            }
        };
        Some(html::page(StatusCode::OK, &app.name, &content))
    }

    pub(super) fn app_advanced(&self, place: &Place, slug: &str, visit: &Visit<'_>, problem: &str) -> Option<Answer> {
        let app = self.managed_app(place, slug, visit)?;
        let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        let content = html! {
            h2 { "Danger zone" }
            details {
                summary { "Delete GitHub App" }
                form action={ (place.path()) "/apps/" (slug) "/advanced" } method="post" {
                    label { "Please type in the name of the GitHub App to confirm. " input type="text" name="verify"; }
                    (html::problem(problem))
                    button type="submit" { "I understand the consequences, delete this GitHub App" }
                }
            }
        };
        Some(html::page(status, &app.name, &content))
    }

    pub(super) fn send_advanced(&mut self, place: &Place, slug: &str, visit: &Visit<'_>) -> Option<Answer> {
        let app = self.managed_app(place, slug, visit)?;
        if Form::of(visit.request).get("verify") != app.name {
            return self.app_advanced(place, slug, visit, "The name does not match.");
        }
        let id = app.id;
        self.delete_app(id);
        Some(redirect(&format!("{}/apps", place.path())))
    }

    fn managed_app(&self, place: &Place, slug: &str, visit: &Visit<'_>) -> Option<&App> {
        let owner = self.managed(place, &visit.user)?;
        self.app_with_slug(slug).filter(|app| app.owner.id == owner.id)
    }
}
