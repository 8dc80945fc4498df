//! What people do about Apps other than in their browser, and who they are.

use super::super::GitHub;
use super::super::hooks::HookOwner;
use super::super::state::AccountKind;

impl GitHub {
    /// Makes a user an owner of an organisation; adds both if they do not exist.
    pub fn add_owner(&self, organization: &str, user: &str) {
        let mut state = self.state().0;
        state.account(organization, AccountKind::Organization);
        state.account(user, AccountKind::User);
        state.web.owners.entry(organization.to_lowercase()).or_default().insert(user.to_lowercase());
    }

    /// Signs a user in to the web site, in every browser; adds the user if it does not exist.
    pub fn sign_in(&self, user: &str) {
        let mut state = self.state().0;
        let login = state.account(user, AccountKind::User).login;
        state.web.user = Some(login);
    }

    /// Signs whoever is signed in out.
    pub fn sign_out(&self) {
        self.state().0.web.user = None;
    }

    /// Deletes an App, as its owner may; false if there is none with that slug.
    pub fn delete_app(&self, slug: &str) -> bool {
        let mut state = self.state().0;
        let found = state.app_with_slug(slug).map(|app| app.id);
        if let Some(id) = found {
            state.delete_app(id);
        }
        found.is_some()
    }

    /// Changes what an App asks for; false if there is none with that slug. Its installations keep what they have until an
    /// owner accepts.
    pub fn ask_for(&self, slug: &str, permissions: &[(&str, &str)]) -> bool {
        let mut state = self.state().0;
        let found = state.app_with_slug(slug).map(|app| app.id);
        let app = found.and_then(|id| state.apps.get_mut(&id));
        let wanted = permissions.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned()));
        app.map(|app| app.permissions = wanted.collect()).is_some()
    }

    /// URL and secret of the hook of the App that was made last.
    pub(in crate::github) fn newest_hook(&self) -> Option<(String, Option<String>)> {
        let (state, _) = self.state();
        let newest = state.hooks.values().rev().find(|hook| matches!(hook.owner, HookOwner::App(_)))?;
        Some((newest.url.clone(), newest.secret.clone()))
    }
}
