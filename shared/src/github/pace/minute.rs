//! What has been spent within the last minute, as far as one process knows.

use std::collections::VecDeque;

use time::{Duration, OffsetDateTime};

/// Points spent in the same step are not told apart.
const STEP: Duration = Duration::milliseconds(500);

/// GitHub's window. The step that has begun counts as a whole one, so ours is up to a step longer.
const OLDER_STEPS: u16 = 120;

/// What was spent in one step.
#[derive(Clone, Copy, Debug, Default)]
struct Points {
    known: f64,
    /// There is no telling when, so it counts for the minute alone: savings are not charged with it.
    guessed: f64,
}

impl Points {
    fn all(self) -> f64 {
        self.known + self.guessed
    }
}

/// Points by the step they were spent in.
#[derive(Debug)]
pub(super) struct Minute {
    /// The oldest first. The last one is the present.
    points: VecDeque<Points>,
    /// When the present step began.
    began: OffsetDateTime,
}

impl Minute {
    pub(super) fn new(now: OffsetDateTime) -> Self {
        Self { points: vec![Points::default(); usize::from(OLDER_STEPS) + 1].into(), began: now }
    }

    /// Forgets what is older than a minute.
    pub(super) fn turn(&mut self, now: OffsetDateTime) {
        let steps = steps(now - self.began);
        for _ in 0..steps.min(self.points.len()) {
            self.points.pop_front();
            self.points.push_back(Points::default());
        }
        self.began += STEP * i32::try_from(steps).unwrap_or(i32::MAX);
    }

    pub(super) fn spend(&mut self, points: f64) {
        if let Some(present) = self.points.back_mut() {
            present.known += points;
        }
    }

    /// The points were spent evenly in so much time until now.
    pub(super) fn spend_within(&mut self, time: Duration, points: f64) {
        let steps = steps(time).saturating_add(1);
        let of_each = f64::from(u32::try_from(steps).unwrap_or(u32::MAX)).recip() * points;
        for step in self.points.iter_mut().rev().take(steps) {
            step.known += of_each;
        }
    }

    /// So many must have been spent just now, too.
    pub(super) fn guess(&mut self, points: f64) {
        if let Some(present) = self.points.back_mut() {
            present.guessed += points;
        }
    }

    /// So many must have been spent within the minute, evenly as far as anybody knows.
    pub(super) fn guess_evenly(&mut self, points: f64) {
        let of_each = points / (f64::from(OLDER_STEPS) + 1.0);
        for step in &mut self.points {
            step.guessed += of_each;
        }
    }

    pub(super) fn spent(&self) -> f64 {
        self.points.iter().map(|points| points.all()).sum()
    }

    /// What is left of so many points a second, of which at most so many are saved up, and none until `pause_ends`. May
    /// be negative.
    pub(super) fn left(&self, rate: f64, savings: f64, pause_ends: Option<OffsetDateTime>, now: OffsetDateTime) -> f64 {
        let mut left = savings;
        let mut begins = self.began - STEP * i32::from(OLDER_STEPS);
        for spent in &self.points {
            let ends = (begins + STEP).min(now);
            left = match pause_ends {
                Some(pause_ends) if pause_ends >= ends => 0.0,
                pause_ends => {
                    let counts_from = pause_ends.unwrap_or(begins).max(begins);
                    (left - spent.known + rate * (ends - counts_from).as_seconds_f64()).min(savings)
                }
            };
            begins += STEP;
        }
        left
    }

    /// When no more than so many of them will be left, if nothing more is spent.
    pub(super) fn at_most(&self, points: f64) -> OffsetDateTime {
        let mut over = self.spent() - points;
        let forgotten = self.points.iter().take_while(|points| {
            let is_over = over > 0.0;
            over -= points.all();
            is_over
        });
        self.began + STEP * i32::try_from(forgotten.count()).unwrap_or(i32::MAX)
    }
}

fn steps(time: Duration) -> usize {
    usize::try_from(time.whole_milliseconds() / STEP.whole_milliseconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

    #[track_caller]
    fn assert_are(points: f64, expected: f64) {
        assert!((points - expected).abs() < 1e-9, "{points}, not {expected}");
    }

    #[test]
    fn what_was_spent_counts_for_a_minute() {
        let mut minute = Minute::new(NOW);
        minute.spend(5.0);
        minute.turn(NOW + Duration::seconds(20));
        minute.spend(2.0);
        assert_are(minute.spent(), 7.0);
        assert_eq!(minute.at_most(7.0), NOW + Duration::seconds(20), "now");
        assert_eq!(minute.at_most(6.9), NOW + Duration::MINUTE + STEP);
        assert_eq!(minute.at_most(1.0), NOW + Duration::seconds(80) + STEP);
        minute.turn(NOW + Duration::MINUTE);
        assert_are(minute.spent(), 7.0);
        minute.turn(NOW + Duration::MINUTE + STEP);
        assert_are(minute.spent(), 2.0);
        minute.turn(NOW + Duration::hours(1));
        assert_are(minute.spent(), 0.0);
    }

    #[test]
    fn of_what_was_spent_within_two_minutes_half_counts() {
        let mut minute = Minute::new(NOW);
        minute.spend_within(Duration::MINUTE * 2 + STEP, 242.0);
        assert_are(minute.spent(), 121.0);
        minute.turn(NOW + Duration::seconds(30));
        assert_are(minute.spent(), 61.0);
        minute.spend_within(Duration::ZERO, 4.0);
        assert_are(minute.spent(), 65.0);
    }

    #[test]
    fn what_is_guessed_counts_for_the_minute_alone() {
        let mut minute = Minute::new(NOW);
        minute.guess(40.0);
        minute.spend(3.0);
        assert_are(minute.spent(), 43.0);
        assert_are(minute.left(2.0, 10.0, None, NOW), 7.0);
        assert_eq!(minute.at_most(10.0), NOW + Duration::MINUTE + STEP);
    }

    #[test]
    fn what_is_left_fills_up_to_the_savings() {
        let left = |minute: &Minute, pause_ends, now| minute.left(2.0, 10.0, pause_ends, now);
        let mut minute = Minute::new(NOW);
        assert_are(left(&minute, None, NOW), 10.0);
        minute.spend(13.0);
        assert_are(left(&minute, None, NOW), -3.0);
        let later = NOW + Duration::milliseconds(250);
        assert_are(left(&minute, None, later), -2.5);
        let later = NOW + Duration::seconds(4);
        minute.turn(later);
        assert_are(left(&minute, None, later), 5.0);
        // What becomes known only now is taken off where it belongs.
        minute.spend_within(Duration::seconds(4), 9.0);
        assert_are(left(&minute, None, later), -4.0);
        let later = NOW + Duration::seconds(40);
        minute.turn(later);
        assert_are(left(&minute, None, later), 10.0);
    }

    #[test]
    fn nothing_is_left_at_the_end_of_a_pause() {
        let mut minute = Minute::new(NOW);
        minute.spend(50.0);
        for (pause_ends, left) in [(0, 10.0), (26, 8.0), (29, 2.0), (30, 0.0), (40, 0.0)] {
            let (pause_ends, now) = (NOW + Duration::seconds(pause_ends), NOW + Duration::seconds(30));
            minute.turn(now);
            assert_are(minute.left(2.0, 10.0, Some(pause_ends), now), left);
        }
    }
}
