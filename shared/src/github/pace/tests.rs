use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures::future::join_all;

use super::*;

const START: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

/// Time goes by in such steps.
const STEP: Duration = Duration::milliseconds(20);

/// What GitHub and ECS take for a call.
const GITHUB: Duration = Duration::milliseconds(120);
const ECS: Duration = Duration::milliseconds(180);

const BATCH: usize = 10;

/// The first batches begin within such a time.
const APART: Duration = Duration::milliseconds(400);

/// GitHub's count of calls, as an answer has it.
fn used(calls: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-ratelimit-used", calls.into());
    headers.insert("x-ratelimit-reset", 0.into());
    headers
}

/// GitHub's secondary limit: so many points in any window of that length. What is refused costs points as well, since
/// nobody says that it does not.
struct Limiter {
    points: usize,
    window: Duration,
    /// When so many were spent.
    spent: VecDeque<(OffsetDateTime, u32)>,
    used: i64,
    rejected: usize,
}

impl Limiter {
    fn call(&mut self, cost: u32, now: OffsetDateTime) -> Result<(), OffsetDateTime> {
        while self.spent.front().is_some_and(|(at, _)| now - *at >= self.window) {
            self.spent.pop_front();
        }
        self.spent.push_back((now, cost));
        let mut over: i64 =
            self.spent.iter().map(|(_, cost)| i64::from(*cost)).sum::<i64>() - i64::try_from(self.points).unwrap();
        if over <= 0 {
            self.used += 1;
            return Ok(());
        }
        self.rejected += 1;
        let last = self.spent.iter().find(|(_, cost)| {
            over -= i64::from(*cost);
            over <= 0
        });
        Err(last.unwrap().0 + self.window)
    }
}

/// A burst, and what works it off.
struct Burst {
    now: Cell<OffsetDateTime>,
    limiter: RefCell<Limiter>,
    /// When each job may be looked at, and whether it has been told so.
    waiting: RefCell<BinaryHeap<Reverse<(OffsetDateTime, bool, bool)>>>,
    launches: RefCell<Vec<OffsetDateTime>>,
    random: Cell<u64>,
}

impl Burst {
    async fn sleep(&self, pause: Duration) {
        let end = self.now.get() + pause;
        std::future::poll_fn(|_| if self.now.get() >= end { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// From 0 up to 1.
    fn chance(&self) -> f64 {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        f64::from((random >> 32) as u32) / f64::from(u32::MAX)
    }

    fn batch(&self) -> Vec<(bool, bool)> {
        let mut waiting = self.waiting.borrow_mut();
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(Reverse((_, has_waited, was_limited))) =
                waiting.peek().filter(|Reverse((moment, _, _))| *moment <= self.now.get())
        {
            batch.push((*has_waited, *was_limited));
            waiting.pop();
        }
        batch
    }

    /// One process, invoked with a batch as soon as it has answered the last one.
    async fn process(&self, pacer: Pacer, jobs: usize) {
        self.sleep(APART * self.chance()).await;
        let paused_until = Cell::new(START);
        while self.launches.borrow().len() < jobs {
            // Receiving takes a moment, so that others get the next batch.
            self.sleep(STEP * (1.0 + 3.0 * self.chance())).await;
            let batch = self.batch();
            let launches = batch.into_iter().map(|job| self.launch(&pacer, &paused_until, job));
            for (again, was_limited) in join_all(launches).await.into_iter().flatten() {
                // SQS delays for whole seconds.
                let delay = again - self.now.get();
                let delay = Duration::seconds(delay.whole_seconds() + i64::from(delay.subsec_nanoseconds() > 0));
                self.waiting.borrow_mut().push(Reverse((self.now.get() + delay, true, was_limited)));
            }
        }
    }

    async fn call(&self, pacer: &Pacer, paused_until: &Cell<OffsetDateTime>, cost: u32) -> Result<(), OffsetDateTime> {
        let key = CredentialKey::Token;
        let outcome = self.limiter.borrow_mut().call(cost, self.now.get());
        let took = GITHUB * (0.9 + 0.3 * self.chance());
        self.sleep(took).await;
        pacer.answered(key, &used(self.limiter.borrow().used), self.now.get());
        if let Err(until) = outcome {
            pacer.refused(key, until, self.now.get());
            paused_until.set(paused_until.get().max(until));
        }
        outcome
    }

    /// Says when to come back.
    async fn launch(
        &self,
        pacer: &Pacer,
        paused_until: &Cell<OffsetDateTime>,
        (has_waited, was_limited): (bool, bool),
    ) -> Option<(OffsetDateTime, bool)> {
        let key = CredentialKey::Token;
        let later = |until: OffsetDateTime| Some((until + Duration::seconds(4), true));
        if paused_until.get() > self.now.get() {
            return later(paused_until.get());
        }
        if was_limited {
            if let Err(until) = pacer.admit(key, Cost::READ, has_waited, || self.now.get()).await {
                return Some((until, true));
            }
            if let Err(until) = self.call(pacer, paused_until, READ_POINTS).await {
                return later(until);
            }
        }
        let permit = match pacer.admit(key, Cost::WRITE, has_waited, || self.now.get()).await {
            Err(until) => return Some((until, false)),
            Ok(_) if paused_until.get() > self.now.get() => return later(paused_until.get()),
            Ok(permit) => permit,
        };
        if let Err(until) = self.call(pacer, paused_until, WRITE_POINTS).await {
            return later(until);
        }
        drop(permit);
        self.sleep(ECS).await;
        self.launches.borrow_mut().push(self.now.get());
        None
    }
}

/// Lets processes work off a burst, as an event source lets them. Returns the rate after the first minute, in which what
/// was saved up is spent, as a part of the permitted one, and the part of the calls that were rejected.
fn work_off(seed: u32, processes: u8, jobs: usize, per_minute: u32) -> (f64, f64) {
    let (points, window) = (usize::try_from(per_minute).unwrap(), Duration::MINUTE);
    let burst = Burst {
        now: Cell::new(START),
        limiter: RefCell::new(Limiter { points, window, spent: VecDeque::new(), used: 0, rejected: 0 }),
        waiting: RefCell::new(vec![Reverse((START, false, false)); jobs].into()),
        launches: RefCell::default(),
        random: Cell::new(u64::from(seed) * 7919 + 12345),
    };
    let mut all = pin!(join_all((0..processes).map(|_| burst.process(Pacer::new(per_minute), jobs))));
    while all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        burst.now.update(|now| now + STEP);
        assert!(burst.now.get() - START < Duration::hours(2), "stuck with {:?}", burst.launches);
    }
    let launches = burst.launches.borrow();
    let steady: Vec<_> = launches.iter().map(|at| *at - launches[0] - window).filter(|at| at.is_positive()).collect();
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let rate = number(steady.len()) / steady.last().unwrap().as_seconds_f64();
    let permitted = f64::from(per_minute) / 60.0 / f64::from(WRITE_POINTS);
    let rejected = number(burst.limiter.borrow().rejected);
    (rate / permitted, rejected / (number(jobs) + rejected))
}

/// How long a write has to wait, if others make so many calls in a pause of ours.
async fn wait_after(pause: Duration, calls_of_others: i64) -> Duration {
    let (pacer, key) = (Pacer::new(900), CredentialKey::Token);
    pacer.admit(key, Cost::WRITE, false, || START).await.unwrap();
    pacer.answered(key, &used(10), START);
    let later = START + pause;
    pacer.admit(key, Cost::WRITE, false, || later).await.unwrap();
    pacer.answered(key, &used(11 + calls_of_others), later);
    pacer.admit(key, Cost::WRITE, false, || later).await.map_or_else(|until| until - later, |_| Duration::ZERO)
}

#[tokio::test]
async fn what_others_spent_during_a_long_pause_is_not_owed_after_it() {
    assert_eq!(wait_after(Duration::minutes(30), 1400).await, Duration::ZERO);
}

#[tokio::test]
async fn what_others_spend_more_than_the_pause_has_brought_is_owed() {
    let wait = wait_after(Duration::minutes(1), 1000).await;
    assert!((Duration::seconds(2)..Duration::seconds(40)).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_cleaner_that_reads_much_is_not_taken_for_workers_that_write() {
    let wait = wait_after(Duration::seconds(1), 200).await;
    // 200 writes would take 70 s.
    assert!((Duration::milliseconds(1)..Duration::seconds(30)).contains(&wait), "{wait}");
}

#[tokio::test]
async fn all_who_come_back_at_their_moment_get_their_turn() {
    for per_minute in [1, 60, 900] {
        let (pacer, key) = (Pacer::new(per_minute), CredentialKey::Token);
        let mut waiting: BinaryHeap<_> = vec![Reverse((START, false)); 30].into();
        let mut rounds = 0;
        while let Some(Reverse((moment, has_waited))) = waiting.pop() {
            rounds += 1;
            assert!(rounds < 30 * 30, "{per_minute} points a minute: they keep each other from it");
            if let Err(again) = pacer.admit(key, Cost::WRITE, has_waited, || moment).await {
                waiting.push(Reverse((again, true)));
            }
        }
    }
}

#[test]
fn a_burst_is_worked_off_at_nearly_the_permitted_rate_by_any_number_of_processes() {
    for (points, processes, least_rate) in [
        (900, 1, 0.93),
        (900, 2, 0.92),
        (900, 3, 0.92),
        (900, 5, 0.92),
        (900, 8, 0.88),
        (300, 1, 0.88),
        (300, 5, 0.85),
        (90, 1, 0.8),
        (90, 2, 0.7),
    ] {
        for seed in 0..2 {
            let (rate, rejected) = work_off(seed, processes, 1000.min(points as usize + 100), points);
            let of = format!("seed {seed}, {processes} processes, {points} points");
            assert!(rate >= least_rate, "{of}: rate {rate}");
            assert!(rejected < 0.03, "{of}: rejected {rejected}");
        }
    }
}
