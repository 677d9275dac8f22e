//! Everything that needs more than one module: the real binary and library against a real chain, a simulated cloud and
//! the official clients. `make setup` has to run once before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "test harness: a broken world fails the test that met it"
)]

mod attest;
mod chain;
mod cli;
mod cloud;
mod compose;
mod env;
mod evidence;
mod harness;
mod house;
mod power;
mod safe;
mod signer;
mod support;
mod timelock;
mod upgrade;
