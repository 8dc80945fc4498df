//! The function: an event in, a pass done.

use aws_config::SdkConfig;
use jitgate::clock::Clock;
use jitgate::config::FleetConfig;
use jitgate::fleet::Fleet;
use time::OffsetDateTime;
use tracing::{Instrument, error_span};

use crate::clean::clean;
use crate::context::Pass;
use crate::event::Event;
use crate::heal::heal;
use crate::tally::CleanError;

/// The cleaner function; it lives as long as its process.
pub struct Cleaner {
    fleet: Fleet,
}

impl Cleaner {
    /// Nothing is read or called before the first pass.
    pub fn new(sdk: &SdkConfig, config: FleetConfig, clock: Clock) -> Self {
        Self { fleet: Fleet::new(sdk, config, clock) }
    }

    /// A pass over everything, or, for a task that stopped, over its job alone.
    pub async fn handle(&self, event: &Event) -> Result<(), CleanError> {
        self.handle_until(event, None).await
    }

    /// The same, with the time at which the invocation ends.
    pub async fn handle_until(&self, event: &Event, until: Option<OffsetDateTime>) -> Result<(), CleanError> {
        let pass = Pass::new(&self.fleet, until);
        match event {
            Event::Schedule => Box::pin(clean(pass)).instrument(error_span!("pass", trigger = "schedule")).await,
            Event::Stopped(arn, ended) => {
                ended.tell(pass);
                Box::pin(heal(pass, arn))
                    .instrument(error_span!("pass", trigger = "stopped task", task.arn = %arn))
                    .await
            }
            Event::Done(ended) => {
                ended.tell(pass);
                Ok(())
            }
            Event::Progress => Ok(()),
        }
    }

    /// A pass over everything, without an end of its time.
    pub async fn clean(&self) -> Result<(), CleanError> {
        self.handle(&Event::Schedule).await
    }
}
