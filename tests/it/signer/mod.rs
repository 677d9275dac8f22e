//! Keys, and whom a run believes.

pub mod keys;
pub mod trust;
