//! The project itself: its map, its documents, its examples, and that what was once written stays readable.

pub mod codes;
pub mod dependencies;
pub mod docs;
pub mod figures;
pub mod golden;
pub mod layering;
pub mod library_examples;
pub mod rehearsal;
pub mod sources;
pub mod tutorials;
pub mod versions;
