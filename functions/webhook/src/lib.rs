//! Receives GitHub's deliveries and puts jobs on the queue.

pub mod delivery;
pub mod handler;
pub mod http;
pub mod secrets;
pub mod signature;

pub use handler::Webhook;
pub use http::{HttpRequest, HttpResponse};
