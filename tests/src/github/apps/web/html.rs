//! What the pages look like: as plain as a screen reader would tell them.

use http::StatusCode;
use hyper::body::Bytes;
use maud::{DOCTYPE, Markup, html};

use crate::wire::Answer;

/// A page as an answer.
pub(super) fn page(status: StatusCode, title: &str, content: &Markup) -> Answer {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
            }
            body {
                h1 { (title) }
                (content)
            }
        }
    };
    http::Response::builder()
        .status(status)
        .header("content-type", "text/html; charset=utf-8")
        .body(Bytes::from(page.into_string()))
        .expect("a valid status and a static header")
}

/// GitHub's page for what is not there, or not for this user.
pub(super) fn not_found() -> Answer {
    page(StatusCode::NOT_FOUND, "Page not found", &html! { p { "This is not the web page you are looking for." } })
}

/// Every page leads here while nobody is signed in.
pub(super) fn sign_in(return_to: &str) -> Answer {
    let form = html! {
        form action="/session" method="post" {
            input type="hidden" name="return_to" value=(return_to);
            label { "Username or email address " input type="text" name="login"; }
            label { "Password " input type="password" name="password"; }
            button type="submit" { "Sign in" }
        }
    };
    page(StatusCode::OK, "Sign in to GitHub", &form)
}

/// What is wrong with what the user entered, if anything.
pub(super) fn problem(text: &str) -> Markup {
    html! {
        @if !text.is_empty() {
            p role="alert" { (text) }
        }
    }
}

/// Permissions and their levels.
pub(super) fn permissions<'a>(permissions: impl IntoIterator<Item = (&'a String, &'a String)>) -> Markup {
    html! {
        ul {
            @for (name, level) in permissions {
                li { (name) ": " (level) }
            }
        }
    }
}
