//! Limits of capacity and rate limits.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::task::Provider;
use crate::aws::answers;

/// How much may run at once on one of Fargate's providers, or wait for instances at once.
#[derive(Clone, Debug, Default)]
pub struct Limit {
    /// The most tasks; absent for no limit.
    pub tasks: Option<u32>,
    /// The most CPU units of all tasks, 1,024 of which are one vCPU; absent for no limit. A new account has 6 vCPUs of
    /// On-Demand.
    pub cpu_units: Option<u32>,
    /// Whether AWS itself has no capacity left, whatever the quotas are.
    pub exhausted: bool,
}

impl Limit {
    /// No capacity.
    pub fn exhausted() -> Self {
        Self { exhausted: true, ..Self::default() }
    }

    /// At most this many tasks.
    pub fn tasks(tasks: u32) -> Self {
        Self { tasks: Some(tasks), ..Self::default() }
    }

    /// At most this many vCPUs.
    pub fn vcpus(vcpus: u32) -> Self {
        Self { cpu_units: Some(vcpus * 1024), ..Self::default() }
    }

    /// What of it concerns running tasks: on instances, the number of tasks limits those that wait.
    pub(super) fn of(&self, provider: Provider) -> Self {
        if provider.is_fargate() { self.clone() } else { Self { tasks: None, ..self.clone() } }
    }

    /// Why a task of this size cannot be placed, given what is in use.
    pub(super) fn refusal(&self, used: Used, cpu_units: u32) -> Option<&'static str> {
        if self.exhausted {
            Some(answers::CAPACITY_UNAVAILABLE)
        } else if self.tasks.is_some_and(|most| used.tasks >= most) {
            Some(answers::TASK_QUOTA)
        } else if self.cpu_units.is_some_and(|most| used.cpu_units + cpu_units > most) {
            Some(answers::VCPU_QUOTA)
        } else {
            None
        }
    }
}

/// A share of launches that find no capacity, at random.
#[derive(Debug)]
pub(super) struct Shortage {
    share: f64,
    random: StdRng,
}

impl Shortage {
    pub(super) fn new(share: f64, seed: u64) -> Self {
        Self { share, random: StdRng::seed_from_u64(seed) }
    }

    pub(super) fn strikes(&mut self) -> bool {
        self.random.random_bool(self.share)
    }
}

/// What is in use of On-Demand or of Spot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) tasks: u32,
    pub(super) cpu_units: u32,
}

/// A value for each provider.
pub(super) type PerProvider<T> = [T; Provider::COUNT];

/// A token bucket, as AWS counts API calls.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many calls the bucket holds.
    pub burst: u32,
    /// How many calls per second the bucket regains.
    pub per_second: u32,
}

impl Rate {
    /// The published limit of `RunTask` for Fargate.
    pub const RUN_TASK: Self = Self { burst: 100, per_second: 20 };
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// In thousandths of a call, so that one millisecond is worth `per_second` of them.
    level: u64,
    filled_at: i64,
}

/// The buckets, by operation.
#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<String, Bucket>);

impl Rates {
    pub(super) fn set(&mut self, operation: &str, rate: Rate) {
        let bucket = Bucket { rate, level: u64::from(rate.burst) * 1000, filled_at: i64::MIN };
        self.0.insert(operation.to_owned(), bucket);
    }

    pub(super) fn admit(&mut self, operation: &str, now: i64) -> bool {
        let Some(bucket) = self.0.get_mut(operation) else { return true };
        let waited = now.saturating_sub(bucket.filled_at).max(0).unsigned_abs();
        let gained = waited.saturating_mul(u64::from(bucket.rate.per_second));
        bucket.level = bucket.level.saturating_add(gained).min(u64::from(bucket.rate.burst) * 1000);
        bucket.filled_at = now;
        let admitted = bucket.level >= 1000;
        if admitted {
            bucket.level -= 1000;
        }
        admitted
    }
}
