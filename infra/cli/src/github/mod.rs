//! The GitHub side: the App, its installations, its deliveries and the runners.

mod api;
mod app;
mod callback;
mod cursor;
mod maker;
mod manifest;
mod page;
mod place;

pub use api::{App, Delivery, GitHubTrouble, Hook, Installation, Runner, SignedIn};
pub use app::{Account, Created, convert};
pub use callback::{Callback, Grant};
pub use maker::Maker;
pub use manifest::{Owner, Uses, manifest, registers};
pub use page::{HandOver, hand_over};
pub use place::Place;
