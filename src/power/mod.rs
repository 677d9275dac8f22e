//! Who can change what an app runs, how fast, and with whom: every path to other code, the parties that it needs, and the
//! notice that it gives.
//!
//! | floor | what stands there |
//! |---|---|
//! | `model` | parties, nodes, rules, effects: data |
//! | `front` | ways to act, of which none makes another needless |
//! | `solve` | the quickest ways to every effect; pure |
//! | `paths` | ways as they are told, with their steps |
//! | `inputs` | what manifests leave to whoever sets the environment |
//! | `read` | who may act for whom, from a chain at one block: one file a shape |
//! | `stage` | what ERC-733 asks |
//! | `answer` | all of it, and what got worse |
//!
//! Each may use the floors above it in this table, and none below. Whatever is unknown adds power and never takes it away.
//!
//! ```
//! use alloy::primitives::Address;
//! use countersign::power::{Actor, Class, Domain, Effect, Node, Rule, World, solve};
//!
//! let (owner, app) = (Address::repeat_byte(1), Address::repeat_byte(0xaa));
//! let world = World {
//!     nodes: [(owner, Node::key(owner))].into(),
//!     effects: vec![Effect {
//!         domain: Domain::App,
//!         class: Class::AnyCode,
//!         target: Some(app),
//!         call: "addComposeHash",
//!         by: Rule::Child { of: Actor::Calls { from: owner, to: app } },
//!         names_the_hash: true,
//!         announced: None,
//!     }],
//! };
//! let ways = solve(&world);
//! assert_eq!(ways.effects[0].ways()[0].notice, 0);
//! ```

mod answer;
mod front;
mod inputs;
mod model;
mod paths;
mod read;
mod solve;
mod stage;

pub use answer::{Earlier, Minimum, OtherApp, Power};
pub use front::{Front, How, Way};
pub use model::{Actor, Class, Confidence, Domain, Effect, Finding, Kind, Node, Party, Rule, Veto, Who, World};
pub use paths::{Path, Step, paths};
pub use read::{AllowedImage, AppFacts, KmsFacts, OsImage, PowerQuery, Survey, TrustedCode, read};
pub use solve::{Solution, solve};
pub use stage::{DEFAULT_NOTICE, Erc733, Requirement, State};
