//! What takes effect when some bytes are signed: a list, read from nothing but these bytes, with one plain sentence each.
//!
//! Pages, consents and evidence set this list, and none of them has another source for it: what is shown follows from
//! what is signed. The dangerous ones come first, the others in the order in which they happen. Pure.

mod effect;
mod read;
mod what;
mod words;

pub use effect::Effect;
pub use read::{Carried, Parties, besides};
pub use what::{By, Target, What};

#[cfg(test)]
#[path = "../effects_tests.rs"]
mod tests;
