//! What every message needs: settings, clients, and what this process remembers.

use std::ops::Deref;

use aws_config::SdkConfig;
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::fleet::Fleet;
use jitgate::job::Message;
use jitgate::names::LaunchToken;

use crate::brake;
use crate::capacity::Shortages;
use crate::remembered::{Announcements, Started, Waiting};
use crate::report::Reports;

/// Lives as long as its process.
pub(crate) struct Context {
    fleet: Fleet,
    pub(crate) shortages: Shortages,
    pub(crate) started: Started,
    pub(crate) waiting: Waiting,
    pub(crate) announcements: Announcements,
    pub(crate) brake: brake::Memory,
    pub(crate) reports: Reports,
}

impl Deref for Context {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl Context {
    pub(crate) fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        Self {
            fleet: Fleet::new(sdk, config, clock),
            shortages: Shortages::default(),
            started: Started::default(),
            waiting: Waiting::default(),
            announcements: Announcements::default(),
            brake: brake::Memory::default(),
            reports: Reports::default(),
        }
    }

    pub(crate) fn token(&self, message: &Message) -> LaunchToken {
        LaunchToken::of(&self.config.name_prefix, message)
    }
}
