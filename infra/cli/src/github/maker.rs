//! Has GitHub make an App, with the user's browser.

use std::io::{self, BufRead as _};
use std::{env, fs};

use serde_json::Value;
use url::Url;

use super::app::{Created, convert};
use super::{Callback, Grant, Owner, Place, Uses, manifest};
use crate::args::{GitHubOptions, LONGEST_APP_NAME};
use crate::screen::Screen;
use crate::trouble::Trouble;

/// What the App is to be.
pub struct Maker<'a> {
    /// The terminal.
    pub screen: &'a Screen,
    /// Which GitHub.
    pub place: &'a Place,
    /// The user's wishes.
    pub options: &'a GitHubOptions,
    /// The stack's name, from which the App's name is made.
    pub stack: &'a str,
    /// What the fleet does with it.
    pub uses: Uses,
    /// Where deliveries go.
    pub webhook: &'a Url,
}

impl Maker<'_> {
    /// Asks whose App it is to be, unless the command line says so.
    pub fn owner(screen: &Screen, options: &GitHubOptions) -> Result<Owner, Trouble> {
        if options.personal {
            return Ok(Owner::Personal);
        }
        let login = if let Some(login) = &options.org {
            login.clone()
        } else {
            let choices = [(true, "an organisation".to_owned()), (false, "my personal account".to_owned())];
            if screen.is_interactive() && !screen.choose("For whom do the runners work?", "--org", &choices)? {
                return Ok(Owner::Personal);
            }
            screen.ask("The organisation's name, as in github.com/NAME:", "--org NAME or --personal")?
        };
        if jitgate::github::is_login(&login) {
            Ok(Owner::Organization(login))
        } else {
            Err(Trouble::usage(format!("{login:?} is no login of GitHub's"), "take NAME of github.com/NAME"))
        }
    }

    /// Makes the App. It exists once GitHub has answered, and its key is in the answer alone: whoever calls this stores
    /// it before anything else.
    pub async fn make(&self, owner: &Owner) -> Result<Created, Trouble> {
        let mut callback = Callback::listen().await?;
        let name = self.options.app_name.clone().unwrap_or_else(|| proposed_name(self.stack));
        let redirect = callback.redirect()?;
        let wanted = manifest(self.place, &name, owner, self.uses, self.webhook, &redirect);
        let page = callback.offer(&self.place.form(owner, callback.state()), &wanted.to_string());
        self.show(&callback, &page, &wanted)?;
        let waiting = self.screen.wait("waiting for GitHub to make the App");
        let grant = if self.screen.is_interactive() {
            let (mut lines, screen) = (typed_lines(), self.screen);
            loop {
                tokio::select! {
                    grant = callback.granted() => break grant?,
                    Some(line) = lines.recv() => match callback.pasted(&line) {
                        Ok(grant) => break grant,
                        Err(words) => screen.warn(format!("{words} Paste the whole address of the page that failed to load.")),
                    },
                }
            }
        } else {
            callback.granted().await?
        };
        let created = self.convert(&grant).await?;
        waiting.clear();
        Ok(created)
    }

    async fn convert(&self, grant: &Grant) -> Result<Created, Trouble> {
        convert(self.place, grant).await.map_err(|trouble| {
            let is_used = trouble.status.is_some_and(|status| status.is_client_error());
            let trouble = Trouble::from(trouble);
            if is_used {
                let remedy = "GitHub takes a code once, within an hour: run the command again, and delete the App that \
                              has no key";
                return Trouble { remedy: remedy.to_owned(), ..trouble };
            }
            trouble
        })
    }

    fn show(&self, callback: &Callback, page: &str, wanted: &Value) -> Result<(), Trouble> {
        let start = callback.start();
        if let Some(file) = &self.options.hand_over {
            fs::write(file, page).map_err(|error| Trouble::file(file, &error))?;
            self.screen.note(
                "For somebody who may create the App",
                format!(
                    "Hand them {}. They open it in a browser and confirm. Then a page fails to load; its address, which \
                     is as good as a password for an hour, comes back to you alone: paste it here.",
                    file.display()
                ),
            );
            return Ok(());
        }
        let mut text = format!("GitHub asks you to create the App {}.", wanted["name"]);
        if env::var_os("SSH_CONNECTION").is_some() {
            let port = callback.port();
            text = format!(
                "{text}\nThis machine is a remote one. On your own, run `ssh -L {port}:127.0.0.1:{port} HOST` first, or \
                 begin again with --hand-over and open that file there."
            );
        }
        self.screen.note("Create the GitHub App", text);
        self.screen.open(&start, !self.options.no_browser);
        Ok(())
    }
}

/// The stack's name with a random ending: an App's name is unique on all of GitHub.
fn proposed_name(stack: &str) -> String {
    let ending = hex::encode(rand::random::<[u8; 3]>());
    let kept: String = stack.chars().take(LONGEST_APP_NAME - ending.len() - 1).collect();
    format!("{kept}-{ending}")
}

/// Lines that are typed while the browser is at work. The thread ends with the process: nothing can end its reading.
fn typed_lines() -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposed_name_fits_and_no_two_are_alike() {
        let long = "a".repeat(64);
        assert_eq!(proposed_name(&long).len(), LONGEST_APP_NAME);
        assert!(proposed_name("jitgate").starts_with("jitgate-"));
        assert_ne!(proposed_name("jitgate"), proposed_name("jitgate"));
    }
}
