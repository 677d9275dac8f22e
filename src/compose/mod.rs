//! The manifest (`app-compose.json`), its canonical bytes and the compose hash over them.
//!
//! Pure: nothing here talks to the network or the disk. `cloud` reads manifests, `upgrade` verifies with them.
//!
//! What a Docker Compose text runs ([`ImageList`]), which variables it refers to ([`TextVariables`]) and whether a file is one
//! ([`check_compose_text`]) is said as Compose reads it: YAML as go-yaml has it, and compose-go's rules on top.
//!
//! ```
//! use countersign::compose::{Changes, Form, Manifest};
//!
//! let text = br#"{"runner":"docker-compose","name":"app","manifest_version":2,"docker_compose_file":"services: {}"}"#;
//! let before = Manifest::parse(text)?;
//! let after = before.with(&Changes {
//!     docker_compose_file: Some("services:\n  web:\n    image: nginx:1.28\n".to_owned()),
//!     ..Changes::default()
//! });
//! assert_eq!(after.images(), ["nginx:1.28"]);
//! assert_eq!(before.diff(&after)[0].field, "docker_compose_file");
//! assert_ne!(before.hash(Form::Sorted), after.hash(Form::Sorted));
//! # Ok::<(), countersign::compose::ComposeError>(())
//! ```

mod canonical;
mod changes;
mod difference;
mod dockerfile;
mod error;
mod excerpt;
mod hash;
mod images;
mod launch_script;
mod listed;
mod looks;
mod manifest;
mod names;
mod services;
mod socket;
mod strict;
mod variables;
mod verify;
mod wrong_hash;
mod yaml;

pub use canonical::Form;
pub use changes::{Changes, MAX_CHANGE_BYTES};
pub use difference::FieldChange;
pub use error::ComposeError;
pub use hash::ComposeHash;
pub use launch_script::LaunchScript;
pub use listed::{Choice, ImageList, ImageRole, NamedImage, Unlisted, Way};
pub use looks::{NoComposeText, check_compose_text};
pub use manifest::{MAX_MANIFEST_BYTES, Manifest};
pub use names::{TextVariables, Unsupplied};
pub use strict::strict_json;
pub use verify::Verification;
pub use wrong_hash::WrongHelper;

#[cfg(test)]
mod images_tests;
#[cfg(test)]
mod tests;
