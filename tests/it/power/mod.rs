//! Who can change what an app runs: named worlds of real contracts, what is said of each, and every claim carried out.

mod checks;
mod executor;
mod ground;
mod plans;
mod worlds;
