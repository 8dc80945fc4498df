//! Which of an account's repositories a pass looks at.
//!
//! An installation may cover thousands, and a look at one costs a call for its registrations and two for its runs. So a pass
//! looks at those where something is going on, and at the others in turn:
//!
//! | repositories | looked at |
//! |---|---|
//! | of tasks that live or stopped within the hour, [`MOST_WITH_TASKS`] | in each pass |
//! | pushed to within a day, the latest [`MOST_PUSHED`] | in each pass |
//! | all others, [`IN_TURN`] a pass | each of 1,100 repositories within 2 hours and 20 minutes, of 10,000 within 21 hours |
//!
//! **Its share of GitHub's limits.** All looks together cost an installation at most a quarter of the 900 points that GitHub
//! allows it a minute: [`MOST_PAGES`] for the list, one for the registrations of each repository above, and
//! [`MOST_POINTS`] for runs and jobs. Twelve passes make 2,700 calls of the 12,500 an hour that an installation on so
//! many repositories has. One on few has 5,000 an hour, and a pass makes three calls for each repository at most.

use std::ops::Range;

use jitgate::github::{Covered, REPOSITORIES_A_PAGE};
use time::{Duration, OffsetDateTime};

use super::interval::PASS_INTERVAL;

/// The most places of tasks whose registrations a pass lists, of each account.
pub const MOST_WITH_TASKS: usize = 45;

/// The most repositories at which a pass looks because they were pushed to.
pub const MOST_PUSHED: usize = 20;

/// How many others a pass takes in turn.
pub const IN_TURN: usize = 40;

/// The most pages of the list of repositories that a pass reads.
pub const MOST_PAGES: usize = 10;

/// The most points that a pass spends on the runs and jobs of an account.
pub const MOST_POINTS: u32 = 110;

/// A job waits for a day, so an older push has none that waits.
const PUSHED_WITHIN: Duration = Duration::DAY;

/// The number of a pass, counted by the clock.
pub fn pass_number(now: OffsetDateTime) -> usize {
    usize::try_from(now.unix_timestamp() / PASS_INTERVAL.whole_seconds()).unwrap_or(0)
}

/// Whose turn it is: positions in the list of all repositories.
pub fn turn(pass: usize, total: usize) -> Range<usize> {
    if total <= IN_TURN {
        return 0..total;
    }
    let turns = total.div_ceil(IN_TURN);
    let begin = pass % turns * IN_TURN;
    begin..(begin + IN_TURN).min(total)
}

/// The pages that a pass reads besides the first, which tells how many repositories there are: those of the turn, and as many
/// others as it may, in turn, to see which repositories were pushed to.
pub fn pages(pass: usize, total: usize) -> Vec<usize> {
    let last = total.div_ceil(REPOSITORIES_A_PAGE).max(1);
    let turn = turn(pass, total);
    let of_turn = [turn.start, turn.end.saturating_sub(1)].map(|position| position / REPOSITORIES_A_PAGE + 1);
    let begin = pass.wrapping_mul(MOST_PAGES - 3) % last;
    let others = (0..last).map(|step| (begin + step) % last + 1);
    let mut pages = Vec::new();
    for page in of_turn.into_iter().chain(others).filter(|page| *page > 1) {
        if pages.len() < MOST_PAGES - 1 && !pages.contains(&page) {
            pages.push(page);
        }
    }
    pages
}

/// Those that were pushed to within a day, the latest first.
pub fn pushed(now: OffsetDateTime, known: &[(usize, Covered)]) -> Vec<&Covered> {
    let recent = |at: OffsetDateTime| now - at < PUSHED_WITHIN;
    let mut pushed: Vec<_> =
        known.iter().map(|(_, each)| each).filter(|each| each.pushed_at.is_some_and(recent)).collect();
    pushed.sort_by_key(|each| std::cmp::Reverse(each.pushed_at));
    pushed.truncate(MOST_PUSHED);
    pushed
}
