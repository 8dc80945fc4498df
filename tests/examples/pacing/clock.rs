//! Time that passes only when nobody has anything to do.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use time::{Duration, OffsetDateTime};

pub(crate) const START: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

pub(crate) struct Clock {
    now: Cell<OffsetDateTime>,
    ends: RefCell<BinaryHeap<Reverse<OffsetDateTime>>>,
    random: Cell<u64>,
}

impl Clock {
    pub(crate) fn new(seed: u64) -> Self {
        Self { now: Cell::new(START), ends: RefCell::default(), random: Cell::new(seed * 7919 + 12345) }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.now.get()
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.now() - START).as_seconds_f64()
    }

    pub(crate) async fn sleep(&self, pause: Duration) {
        let end = self.now() + pause;
        self.ends.borrow_mut().push(Reverse(end));
        std::future::poll_fn(|_| if self.now() >= end { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// From 0 up to 1.
    pub(crate) fn chance(&self) -> f64 {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        f64::from((random >> 32) as u32) / f64::from(u32::MAX)
    }

    /// Runs everything until the first task is done.
    pub(crate) fn run(&self, mut tasks: Vec<Task<'_>>) {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            // What one task does may let another go on, so nobody is left alone at a moment before the third look.
            for _ in 0..3 {
                for (number, task) in tasks.iter_mut().enumerate() {
                    if task.as_mut().poll(&mut context).is_ready() && number == 0 {
                        return;
                    }
                }
            }
            let mut ends = self.ends.borrow_mut();
            while let Some(Reverse(end)) = ends.pop() {
                if end > self.now() {
                    self.now.set(end);
                    break;
                }
            }
        }
    }
}

/// All of them, each looked at whenever time has passed.
pub(crate) async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if futures.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}
