//! Fetches once what several calls need at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::error::GitHubError;

/// A value that is fetched, kept, and fetched again once it is no longer good.
///
/// A failure is not kept, but all calls that waited for the fetch share it. If each of them fetched again, a batch of ten
/// would wait ten times for a service that does not answer.
pub(super) struct Fetched<T> {
    /// Fetches that have ended.
    ended: AtomicU64,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<T>,
    /// The last failure, and which fetch it was.
    failure: Option<(u64, GitHubError)>,
}

impl<T> Default for Fetched<T> {
    fn default() -> Self {
        Self { ended: AtomicU64::new(0), state: Mutex::new(State { value: None, failure: None }) }
    }
}

impl<T: Clone> Fetched<T> {
    /// The value, if it `is_good`; otherwise the outcome of a fetch that all calls at the same time share.
    pub(super) async fn get(
        &self,
        is_good: impl FnOnce(&T) -> bool,
        fetch: impl AsyncFnOnce() -> Result<T, GitHubError>,
    ) -> Result<T, GitHubError> {
        let ended = self.ended.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        if let Some(value) = state.value.as_ref().filter(|value| is_good(value)) {
            return Ok(value.clone());
        }
        if let Some((_, error)) = state.failure.as_ref().filter(|(number, _)| *number > ended) {
            return Err(error.clone());
        }
        // On the heap: a fetch is rare, and without this the future of every call would be as large as a fetch's.
        let outcome = Box::pin(fetch()).await;
        let number = self.ended.fetch_add(1, Ordering::SeqCst) + 1;
        match &outcome {
            Ok(value) => *state = State { value: Some(value.clone()), failure: None },
            Err(error) => state.failure = Some((number, error.clone())),
        }
        outcome
    }

    /// Drops the value if it is that one. Returns whether it was.
    pub(super) async fn forget(&self, is_that: impl FnOnce(&T) -> bool) -> bool {
        self.state.lock().await.value.take_if(|value| is_that(value)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;

    use super::*;

    fn down() -> GitHubError {
        GitHubError::Unavailable { status: 503, message: "down".to_owned() }
    }

    #[tokio::test]
    async fn all_who_wait_for_a_fetch_share_its_outcome_and_who_comes_later_tries_again() {
        let (fetched, count) = (Fetched::<u32>::default(), Cell::new(0));
        let get = |outcome: Result<u32, GitHubError>| {
            let fetch = async || {
                count.set(count.get() + 1);
                tokio::task::yield_now().await;
                outcome
            };
            fetched.get(|_| true, fetch)
        };
        let outcomes = join_all((0..10).map(|_| get(Err(down())))).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(count.get(), 1);
        let outcomes = join_all((0..10).map(|_| get(Ok(7)))).await;
        assert!(outcomes.into_iter().all(|outcome| outcome.is_ok_and(|value| value == 7)));
        assert_eq!(count.get(), 2);
        assert!(!fetched.forget(|value| *value == 8).await);
        assert!(fetched.forget(|value| *value == 7).await);
        assert_eq!(get(Ok(9)).await.unwrap(), 9);
    }
}
