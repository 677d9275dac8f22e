//! Keys, and whom a run believes.

pub mod browser;
pub mod chromium;
pub mod keys;
pub mod trust;
