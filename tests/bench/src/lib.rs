//! The cost of the functions: measured figures, and a model of prices.

pub mod cost;
pub mod figures;
