//! Driving and judging upgrades, and the rules of the simulated world itself.

pub mod flow;
pub mod judge;
pub mod proxy;
pub mod world;
