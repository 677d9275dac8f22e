//! Manifests and Docker Compose texts, beside readers that are not ours.

pub mod hash_agreement;
pub mod images;
pub mod other_files;
pub mod oracle;
