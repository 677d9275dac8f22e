//! The manifest (`app-compose.json`), its canonical bytes and the compose hash over them.
//!
//! Pure: nothing here talks to the network or the disk. `cloud` reads manifests, `upgrade` verifies with them.

mod canonical;
mod changes;
mod difference;
mod error;
mod hash;
mod images;
mod manifest;
mod strict;
mod verify;

pub use canonical::Form;
pub use changes::{Changes, MAX_CHANGE_BYTES};
pub use difference::FieldChange;
pub use error::ComposeError;
pub use hash::ComposeHash;
pub use manifest::{MAX_MANIFEST_BYTES, Manifest};
pub use strict::strict_json;
pub use verify::Verification;

#[cfg(test)]
mod tests;
