//! Registrations that a launch, or an earlier try of it, has left behind.

use std::sync::atomic::{AtomicBool, Ordering};

use jitgate::ecs::TaskView;
use jitgate::github::{AtPlace, Deletion, Place};
use jitgate::job::{Message, RunnerId};
use jitgate::names::{MOST_SPARES, RunnerName};

use crate::context::Context;
use crate::patience::patiently;

/// This many free names in a row mean that no try has taken a later one. A name becomes free again when its registration
/// is taken back, or when its runner has done a job.
const FREE_IN_A_ROW: usize = 3;

/// The registrations under a message's names.
pub(crate) struct Leftovers<'a> {
    context: &'a Context,
    place: &'a Place,
    message: &'a Message,
    has_deleted: AtomicBool,
}

/// GitHub did not say whether there is a registration of a name.
struct Unknown;

impl<'a> Leftovers<'a> {
    pub(crate) fn of(context: &'a Context, place: &'a Place, message: &'a Message) -> Self {
        Self { context, place, message, has_deleted: AtomicBool::new(false) }
    }

    /// Whether a registration was deleted, and not by somebody else.
    pub(crate) fn has_deleted(&self) -> bool {
        self.has_deleted.load(Ordering::Relaxed)
    }

    fn at(&self) -> AtPlace<'_> {
        self.context.github.at(self.place)
    }

    /// Deletes the registrations under these names. Whether none is left.
    pub(crate) async fn take_back(&self, names: &[RunnerName]) -> bool {
        for name in names.iter().rev() {
            match self.find(name).await {
                Ok(None) => {}
                Ok(Some(id)) if self.delete(id).await => {}
                Ok(Some(_)) | Err(Unknown) => return false,
            }
        }
        true
    }

    /// Deletes all registrations under the message's names except the one that the launch's live task runs. Whether none
    /// is left.
    pub(crate) async fn take_back_all(&self, task: Option<&TaskView>) -> bool {
        match task {
            Some(TaskView { runner_name: Some(name), runner_id: Some(id), .. }) => {
                self.take_back_all_but(Some((name, *id))).await
            }
            // It runs one of them, but does not say which.
            Some(_) => true,
            None => self.take_back_all_but(None).await,
        }
    }

    /// The same, sparing the registration of that name and id: its name may have been taken again after it was gone.
    ///
    /// All are found first and deleted from the last to the first. So what a failure leaves has no more free names before it than
    /// there were, and the next look gets as far as this one.
    pub(crate) async fn take_back_all_but(&self, own: Option<(&str, RunnerId)>) -> bool {
        let (own, own_id) = own.unzip();
        let prefix = &self.context.config.name_prefix;
        let names: Vec<_> = (0..=MOST_SPARES).map(|spare| RunnerName::derive(prefix, self.message, spare)).collect();
        let mut is_past_own = !names.iter().any(|name| Some(name.as_str()) == own);
        let (mut found, mut free) = (Vec::new(), 0);
        for name in &names {
            is_past_own |= Some(name.as_str()) == own;
            match self.find(name).await {
                Ok(Some(id)) => {
                    found.extend(Some(id).filter(|id| Some(*id) != own_id));
                    free = 0;
                }
                Ok(None) => free += 1,
                Err(Unknown) => return false,
            }
            if is_past_own && free == FREE_IN_A_ROW {
                break;
            }
        }
        for id in found.into_iter().rev() {
            if !self.delete(id).await {
                return false;
            }
        }
        true
    }

    async fn find(&self, name: &RunnerName) -> Result<Option<RunnerId>, Unknown> {
        match self.at().find(name).await {
            Ok(found) => Ok(found.map(|runner| runner.id)),
            Err(error) => {
                tracing::warn!(runner.name = %name, error = %error, "left-over registration not found");
                Err(Unknown)
            }
        }
    }

    /// Whether the registration is gone.
    async fn delete(&self, id: RunnerId) -> bool {
        let deletion = delete(self.context, self.place, id).await;
        self.has_deleted.fetch_or(deletion == Some(Deletion::Deleted), Ordering::Relaxed);
        is_gone(deletion)
    }
}

/// Deletes a registration, as far as GitHub agrees: it refuses if the runner is busy, which is right.
pub(crate) async fn delete(context: &Context, place: &Place, id: RunnerId) -> Option<Deletion> {
    match patiently(context, async || context.github.at(place).delete(id).await).await {
        Ok(deletion) => Some(deletion),
        Err(error) => {
            tracing::warn!(runner.id = id.0, error = %error, "registration not deleted");
            None
        }
    }
}

/// Whether the registration is gone now.
pub(crate) fn is_gone(outcome: Option<Deletion>) -> bool {
    matches!(outcome, Some(Deletion::Deleted | Deletion::Gone))
}
