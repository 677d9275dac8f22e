//! Safe multisigs: on a chain, in files, at the Safe Transaction Service, through whole upgrades.

pub mod board;
pub mod claims;
pub mod commands;
pub mod delegates;
pub mod files;
pub mod imports;
pub mod kills;
pub mod matrix;
pub mod notices;
pub mod one_digest;
pub mod pitfalls;
pub mod pure;
pub mod queue;
pub mod reads;
pub mod record_faults;
pub mod service;
pub mod strangers;
pub mod together;
pub mod upgrade;
