//! Manifests and Docker Compose texts, beside readers that are not ours.

pub mod hash_agreement;
pub mod images;
pub mod oracle;
pub mod other_files;
