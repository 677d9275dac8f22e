//! Who can change what an app runs: named worlds of real contracts, what is said of each, and every claim carried out.

mod adversary;
mod checks;
mod executor;
mod ground;
mod liars;
mod plans;
mod worlds;
