//! What the functions cost: figures of measurements, and what they mean in money.

pub mod cost;
pub mod figures;
