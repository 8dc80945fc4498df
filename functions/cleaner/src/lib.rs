//! Removes what was left behind.
