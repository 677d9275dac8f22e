//! A proposal that is wrong, read for its rejection alone. That needs only chain, Safe and nonce, and must be possible
//! whatever else the file says: nothing else of it is read, and nothing of it is ever approved.
//!
//! What comes of it is an upgrade that asks nothing of any app, whose Safe transaction is the rejection itself. The file
//! keeps what it says, and only its signatures of the rejection are written.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, U256};
use jiff::Timestamp;
use serde_json::Value;

use crate::chain::{AppState, BlockRef, OwnerKind};
use crate::code::Code;
use crate::compose::strict_json;
use crate::fsutil;
use crate::safe::{SafeDomain, SafeTx, SafeTxFields, info::SafeInfo};
use crate::upgrade::{
    UpgradeError, Warning,
    files::keep,
    model::{Actor, Plan, Proposal, Route},
    model::{
        proposal,
        safe_approval::{FrozenSafeTx, SafeTxRole, Signed, SignedSafeTx, Stage, domain, refused, signed},
    },
    record::State,
    record::{
        event::{Event, Identity},
        rejection::{MAX_BYTES, part},
    },
    workspace::Document,
    workspace::upgrade::Upgrade,
};

/// What a rejection needs of a proposal.
#[derive(Debug)]
pub(in crate::upgrade) struct SafeHalf {
    safe: SafeInfo,
    domain: SafeDomain,
    nonce: U256,
    block: BlockRef,
    signed: Vec<Signed>,
    /// The app that the file names; it is only shown.
    app: Option<Address>,
    /// Why nothing else of the file is read.
    why: Warning,
    bytes: Vec<u8>,
}

impl SafeHalf {
    /// Reads a file that cannot be taken as a proposal, for the reason in `wrong`.
    ///
    /// # Errors
    /// `wrong` itself where the file has no part that a Safe's owners sign; that part is malformed.
    fn read(path: &Path, wrong: UpgradeError) -> Result<Self, UpgradeError> {
        let malformed = |why: String| UpgradeError::Proposal {
            path: path.to_owned(),
            why,
        };
        let Ok(bytes) = fsutil::read(path, MAX_BYTES) else {
            return Err(wrong);
        };
        let Ok(value) = strict_json(&bytes, bytes.len()) else {
            return Err(wrong);
        };
        if !value.get("safe").is_some_and(Value::is_object) {
            return Err(wrong);
        }
        let domain_of: SafeDomain = part(&value, "/safe/frozen/domain").map_err(malformed)?;
        let safe: SafeInfo = part(&value, "/plan/safe").map_err(malformed)?;
        if domain(&safe) != domain_of {
            return Err(malformed(
                "`/plan/safe` and `/safe/frozen/domain` name two Safes".to_owned(),
            ));
        }
        let asks: Option<SafeTxFields> = part(&value, "/safe/frozen/transaction").ok();
        let asked = asks.map(|fields| format!(" {}", fields.hash(&domain_of)));
        let asked = asked.unwrap_or_default();
        Ok(Self {
            nonce: part(&value, "/safe/frozen/transaction/nonce").map_err(malformed)?,
            block: part(&value, "/safe/frozen/block").map_err(malformed)?,
            signed: part(&value, "/safe/rejection/signatures").unwrap_or_default(),
            app: part(&value, "/plan/app").ok(),
            domain: domain_of,
            safe,
            why: Warning {
                code: Code::ProposalOnlyRejected,
                text: format!(
                    "the proposal is wrong, and only the rejection of its Safe transaction{asked} is read: {wrong}"
                ),
            },
            bytes,
        })
    }

    fn frozen(&self) -> Result<FrozenSafeTx, UpgradeError> {
        let tx = SafeTx::rejection(self.domain, self.nonce, true).map_err(refused)?;
        Ok(FrozenSafeTx {
            domain: self.domain,
            transaction: tx.fields().clone(),
            block: self.block,
            stage: Stage::Policy,
        })
    }

    /// One name for all files about one nonce.
    fn name(&self) -> String {
        let safe: String = hex::encode(self.domain.safe).chars().take(8).collect();
        format!("reject-{}-{safe}-{}", self.domain.chain_id, self.nonce)
    }

    /// A plan of nothing, which the Safe has. What it says of the app is not read from anywhere and used for nothing.
    fn plan(&self, at: Timestamp) -> Plan {
        let app = self.app.unwrap_or(self.domain.safe);
        let app_state = AppState {
            block: self.block,
            app,
            code_hash: self.safe.proxy_code_hash,
            implementation: None,
            implementation_code_hash: None,
            manages_hashes: false,
            owner: self.domain.safe,
            owner_kind: OwnerKind::Contract,
            pending_owner: None,
            hash_allowed: None,
            running_allowed: None,
            device_allowed: None,
            any_device: false,
            os_image_allowed: None,
            version: None,
            require_tcb_up_to_date: None,
            registered: None,
            other_policy: None,
            preflight: None,
        };
        let actor = Actor::owner(&app_state);
        Plan {
            app,
            chain_id: self.domain.chain_id,
            kms: None,
            actor,
            route: Route::of(actor, Some(&self.safe), None),
            safe: Some(self.safe.clone()),
            timelock: None,
            code: None,
            policy: Vec::new(),
            calls: Vec::new(),
            warnings: vec![self.why.clone()],
            blockers: Vec::new(),
            read_at: at,
            waiting: None,
            storages: Default::default(),
            app_state,
        }
    }

    /// What a journal holds that was begun with it.
    fn events(&self) -> Result<Vec<Event>, UpgradeError> {
        let seconds = i64::try_from(self.block.timestamp).unwrap_or_default();
        let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        let plan = self.plan(at);
        let identity = Identity {
            schema: crate::upgrade::record::journal::SCHEMA,
            update: self.name(),
            cvm: None,
            app: plan.app,
            chain_id: plan.chain_id,
            cloud: None,
        };
        let mut events = vec![
            Event::Open(identity),
            Event::Plan(Box::new(plan)),
            Event::SafeFrozen(Box::new(self.frozen()?)),
        ];
        events.extend(self.signatures()?);
        events.push(Event::SafeReject { at });
        Ok(events)
    }

    /// The signatures of the rejection that count.
    fn signatures(&self) -> Result<Vec<Event>, UpgradeError> {
        let tx = SafeTx::rejection(self.domain, self.nonce, true).map_err(refused)?;
        let signed_tx = SignedSafeTx::new(tx, &self.safe.owner_set(), &signed(&self.signed));
        let events = signed_tx.signed().into_iter().map(|one| Event::SafeSignature {
            owner: one.owner,
            signature: one.signature,
            role: SafeTxRole::Rejection,
            source: proposal::FILE.to_owned(),
        });
        Ok(events.collect())
    }
}

/// The directory, where the file is a wrong one beside a journal of the very nonce: that journal knows the right one.
fn own_place(path: &Path, half: &SafeHalf) -> Option<PathBuf> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let state = Upgrade::peek(dir).ok()?;
    let frozen = state.safe.frozen.as_ref()?;
    let same = (frozen.domain, frozen.transaction.nonce) == (half.domain, half.nonce);
    same.then(|| dir.to_owned())
}

/// What a file is opened as to be rejected.
#[derive(Debug)]
pub enum ToReject {
    /// It is a right proposal, to be opened as any other.
    AsItIs,
    /// A wrong one beside the journal of the very upgrade in this directory.
    Journal(PathBuf),
    /// A wrong one by itself.
    Half(Box<Document>),
}

impl ToReject {
    /// Looks at a proposal that is to be rejected. Reads only.
    ///
    /// # Errors
    /// No file, or it does not even say what a rejection needs.
    pub fn look(path: &Path) -> Result<Self, UpgradeError> {
        let wrong = match Proposal::read(path) {
            Ok(_) => return Ok(Self::AsItIs),
            Err(error @ UpgradeError::File(_)) => return Err(error),
            Err(wrong) => wrong,
        };
        let half = SafeHalf::read(path, wrong)?;
        if let Some(dir) = own_place(path, &half) {
            return Ok(Self::Journal(dir));
        }
        let state = State::fold(half.events()?).map_err(|(_, illegal)| UpgradeError::Proposal {
            path: path.to_owned(),
            why: illegal.to_string(),
        })?;
        Ok(Self::Half(Box::new(Document::assembled(path, state))))
    }
}

impl Upgrade {
    /// Starts, below `root`, what has a wrong proposal rejected; goes on with it where it was started before.
    ///
    /// # Errors
    /// The file does not say what a rejection needs, or the directory cannot be used.
    pub fn adopt_to_reject(root: &Path, path: &Path) -> Result<Self, UpgradeError> {
        let wrong = match Proposal::read(path) {
            Ok(proposal) => return Self::adopt(&Self::dir_of(root, &proposal), proposal),
            Err(wrong) => wrong,
        };
        let half = SafeHalf::read(path, wrong)?;
        let mut upgrade = Self::hold(&root.join(half.name()))?;
        let known = upgrade.state().identity().map(|found| found.update.clone());
        let events = match known {
            None => half.events()?,
            Some(found) if found == half.name() => half.signatures()?,
            Some(found) => return Err(upgrade.foreign(half.name(), found)),
        };
        for event in events {
            let is_known = match &event {
                Event::SafeSignature { owner, role, .. } => upgrade.state().has_signed(*role, *owner),
                _ => false,
            };
            if !is_known {
                upgrade.record(event)?;
            }
        }
        let copy = upgrade.dir().join(proposal::FILE);
        if !fsutil::is_there(&copy) {
            keep(&copy, &half.bytes, 0o644)?;
        }
        upgrade.write_proposal()?;
        Ok(upgrade)
    }
}
