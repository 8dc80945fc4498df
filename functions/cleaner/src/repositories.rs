//! What a pass knows of the repositories that an account's installation covers.

use jitgate::github::{Account, Covered, GitHubError, Place, REPOSITORIES_A_PAGE};

use crate::context::Pass;
use crate::plan::{pages, pass_number, pushed, turn};

/// A part of an account's repositories, each with its position among all.
pub(crate) struct Repositories {
    pub(crate) account: Account,
    known: Vec<(usize, Covered)>,
    total: usize,
}

impl Repositories {
    /// Reads a part of the list, or all of a short one.
    pub(crate) async fn read(pass: Pass<'_>, account: &Account) -> Result<Self, GitHubError> {
        let first = pass.github.repositories_on_page(account, 1).await?;
        let total = first.total;
        let at = |page: usize| (page - 1) * REPOSITORIES_A_PAGE;
        let mut known: Vec<_> = (at(1)..).zip(first.repositories).collect();
        for page in pages(pass_number(pass.clock.now()), total) {
            if pass.is_over() {
                break;
            }
            let read = pass.github.repositories_on_page(account, page).await?;
            known.extend((at(page)..).zip(read.repositories));
        }
        Ok(Self { account: account.clone(), known, total })
    }

    /// Where runners may be registered: the repositories that were pushed to, and those whose turn it is.
    pub(crate) fn places(&self, pass: Pass<'_>) -> Vec<Place> {
        let now = pass.clock.now();
        let turn = turn(pass_number(now), self.total);
        let in_turn = self.known.iter().filter(|(position, _)| turn.contains(position)).map(|(_, each)| each);
        pushed(now, &self.known).into_iter().chain(in_turn).map(|each| each.place.clone()).collect()
    }

    /// The names of those that were pushed to, the latest first.
    pub(crate) fn pushed(&self, pass: Pass<'_>) -> impl Iterator<Item = String> {
        pushed(pass.clock.now(), &self.known).into_iter().map(|each| each.name.clone()).collect::<Vec<_>>().into_iter()
    }

    /// The names of all that are known.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|(_, each)| each.name.as_str())
    }
}
