//! Rate limits: the hourly limit, and the secondary limit that stops bursts.

use http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::answers::{self, set};
use super::auth::STRANGER;
use super::meter::Meter;
use super::state::State;
use crate::wire::Answer;

/// Requests an hour without a sign-in. Source: GitHub's "Rate limits for the REST API".
const WITHOUT_SIGN_IN: u64 = 60;

/// Searches a minute, of which jitgate makes none. Source: GitHub's "REST API endpoints for search".
const SEARCHES: u64 = 30;

const MINUTE: std::time::Duration = std::time::Duration::from_mins(1);

impl State {
    fn primary_limit(&self, key: &str) -> u64 {
        if key == STRANGER { self.limits.primary.min(WITHOUT_SIGN_IN) } else { self.limits.primary }
    }

    /// Charges a call; returns an answer if the call is refused.
    pub(super) fn charge(&mut self, key: &str, method: &Method, now: OffsetDateTime) -> Option<Answer> {
        let primary = self.primary_limit(key);
        let limits = &self.limits;
        let meter = self.meters.entry(key.to_owned()).or_default();
        let hour_ends = meter.turn(now, limits);
        let writes = method != Method::GET && method != Method::HEAD;
        let cost = if writes { 5 } else { 1 };
        if meter.used_this_hour >= primary {
            meter.refused += 1;
            return Some(answers::primary_limit(hour_ends));
        }
        if let Some(secondary) = &limits.secondary {
            let spent: u64 = meter.spent.iter().map(|(_, points)| points).sum();
            if spent + cost > secondary.points {
                if secondary.refused_cost {
                    meter.spent.push_back((now, cost));
                }
                meter.refused += 1;
                let wait = secondary.retry_after.then(|| meter.wait(now, secondary, cost));
                return Some(answers::secondary_limit_as(secondary.status, wait));
            }
            meter.spent.push_back((now, cost));
        }
        meter.used_this_hour += 1;
        meter.permitted += 1;
        meter.points += cost;
        meter.writes += u64::from(writes);
        None
    }

    /// Another client of the installation changes something: it costs points, and is none of the calls that a meter tells.
    pub(super) fn charge_elsewhere(&mut self, key: &str, now: OffsetDateTime) {
        let told = |meter: &Meter| (meter.permitted, meter.refused, meter.points, meter.writes);
        let before = self.meters.get(key).map_or((0, 0, 0, 0), told);
        self.charge(key, &Method::POST, now);
        if let Some(meter) = self.meters.get_mut(key) {
            (meter.permitted, meter.refused, meter.points, meter.writes) = before;
        }
    }

    /// What is left of the limits. Asking costs nothing. Source: GitHub's "REST API endpoints for rate limits".
    pub(super) fn rate_limit(&mut self, key: &str, now: OffsetDateTime) -> Answer {
        let limit = self.primary_limit(key);
        let meter = self.meters.entry(key.to_owned()).or_default();
        let hour_ends = meter.turn(now, &self.limits);
        let of = |limit: u64, used: u64, reset: OffsetDateTime| -> Value {
            json!({
                "limit": limit, "used": used, "remaining": limit.saturating_sub(used), "reset": reset.unix_timestamp()
            })
        };
        let core = of(limit, meter.used_this_hour, hour_ends);
        let search = of(SEARCHES, 0, now + MINUTE);
        answers::ok(&json!({ "resources": { "core": core, "search": search }, "rate": core }))
    }

    /// Writes what is left of the hourly limit into the answer's headers.
    pub(super) fn state_budget(&mut self, key: &str, now: OffsetDateTime, answer: &mut Answer) {
        let limit = self.primary_limit(key);
        let meter = self.meters.entry(key.to_owned()).or_default();
        let hour_ends = meter.turn(now, &self.limits);
        set(answer, "x-ratelimit-limit", limit);
        set(answer, "x-ratelimit-used", meter.used_this_hour);
        set(answer, "x-ratelimit-remaining", limit.saturating_sub(meter.used_this_hour));
        set(answer, "x-ratelimit-reset", hour_ends.unix_timestamp());
        set(answer, "x-ratelimit-resource", "core");
    }
}
