//! What happened: records, the state that follows from them, and what of it others see. Only the journal touches the disk.

pub(super) mod event;
pub(super) mod evidence;
pub(super) mod exchange;
pub(super) mod fleet_decisions;
pub(super) mod git_index;
pub(super) mod gitignore;
pub(super) mod journal;
pub(super) mod rejection;
pub(super) mod state;
pub(super) mod status;
pub(super) mod step;

/// Name of the journal within an upgrade's directory.
pub const JOURNAL_FILE: &str = journal::FILE;

pub use event::{Event, Identity, IllegalStep, Preparation};
pub use gitignore::STATE_DIR;
pub use state::State;
pub use status::{Effect, Effects, Facts, OtherFacts, Status};
pub use step::Step;
