//! Signing a Safe transaction as one of its owners: what is checked, what is shown, and what is remembered before the
//! key is touched.

use alloy::primitives::Address;

use crate::code::Code;
use crate::fsutil::point;
use crate::safe::{OwnerSignature, info::SafeInfo};
use crate::signer::{Acting, ConsentBy, Decision, Fact, Name, Signer};
use crate::upgrade::{
    Limits, Stop, UpgradeError, World,
    checks::consent::{decisions, of_safe},
    model::safe_approval::{SafeApproval, SafeTxRole},
    record::State,
    record::event::Event,
    routes::safe::shown::refuse_shown,
    workspace::{
        document::Book,
        signed_digests::{accepted, consents},
    },
};

/// What an owner signs with.
pub(in crate::upgrade) struct Signing<'a> {
    pub(in crate::upgrade) world: &'a World<'a>,
    pub(in crate::upgrade) limits: &'a Limits,
    pub(in crate::upgrade) signer: &'a Signer,
}

impl Signing<'_> {
    /// Signs as an owner. What is about to be signed is on disk before the key is touched.
    ///
    /// # Errors
    /// The key is no owner's, consent is refused, or this machine signed something else for the nonce.
    pub(in crate::upgrade) async fn sign(&self, book: &mut Book<'_>, role: SafeTxRole) -> Result<(), UpgradeError> {
        let Self { world, limits, signer } = *self;
        let state = book.state();
        let (Some(plan), Some(ceremony)) = (state.plan(), state.ceremony()?) else {
            return Err(UpgradeError::TooEarly {
                message: "no Safe transaction was chosen yet".to_owned(),
                command: "prepare",
            });
        };
        let Some((signed_tx, nested)) = ceremony.role(role) else {
            return Err(UpgradeError::TooEarly {
                message: "the transaction of the nested Safe was not chosen yet".to_owned(),
                command: "sign",
            });
        };
        let owner = signer.address();
        refuse_stranger(nested.or(plan.safe.as_ref()), owner)?;
        let earlier = signed_tx.signatures.by_owner().get(&owner);
        if earlier.is_some_and(OwnerSignature::proves_itself) {
            // Nobody is asked twice, and no key touched.
            return book.write();
        }
        let consents = consents(&ceremony, role, Some(owner), ConsentBy::Signature);
        world.check_consents(limits, &consents)?;
        refuse_shown(world, limits, state, &consents).await?;
        let named = self.ask(state, &ceremony, role)?;
        book.keep_named(&named)?;
        let record = world.signing_record()?;
        point("safe.sign.a");
        book.record(Event::SignTry {
            signer: owner,
            digest: signed_tx.tx.hash(),
        })?;
        point("safe.sign.b");
        world.admit_consents(limits, &consents)?;
        let signature = signer.sign_safe_tx(&signed_tx.tx, &record, &accepted(limits)).await?;
        point("safe.sign.d");
        book.record(Event::SafeSignature {
            owner,
            signature: signature.to_bytes(),
            role,
            source: "key".to_owned(),
        })?;
        book.write()?;
        point("safe.sign.e");
        Ok(())
    }

    /// Shows what is about to be signed, and asks. Gives what was agreed to by name.
    fn ask(&self, state: &State, ceremony: &SafeApproval, role: SafeTxRole) -> Result<Vec<Decision>, UpgradeError> {
        let Self { world, limits, signer } = *self;
        let owner = signer.address();
        let (what, verb) = match role {
            SafeTxRole::Approval => ("signing", "Sign this Safe transaction"),
            SafeTxRole::Rejection => ("rejecting", "Sign this rejection"),
            SafeTxRole::Nested(_) => ("signing", "Sign this nested Safe's approval"),
        };
        let (signed_tx, safe) = ceremony.role(role).unwrap_or((&ceremony.approval, None));
        let mut consent = of_safe(
            state,
            signed_tx,
            safe.or(state.plan().and_then(|plan| plan.safe.as_ref())),
        );
        consent.question = format!("{verb} as {owner}?");
        consent.acting = Some(Acting::signs(owner, signed_tx.tx.domain().chain_id));
        consent.decisions = decisions(&consent.effects, &limits.accepted.with(&state.accepted));
        if let SafeTxRole::Nested(_) = role {
            let parent = &ceremony.approval.tx;
            let approves = format!("{} of {}", parent.hash(), parent.domain().safe);
            consent.facts.push(Fact::new(Name::Approves, approves));
        }
        if world.ask.consent(&consent)? {
            Ok(consent.decisions)
        } else {
            Err(UpgradeError::Declined { what: what.to_owned() })
        }
    }
}

fn refuse_stranger(safe: Option<&SafeInfo>, key: Address) -> Result<(), UpgradeError> {
    let owners = safe.map(SafeInfo::owner_set).unwrap_or_default();
    if owners.contains(&key) {
        return Ok(());
    }
    let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
    Err(UpgradeError::Stop(Box::new(Stop {
        code: Code::SignerNotOwner,
        what: "signer".to_owned(),
        expected: names.join(" or "),
        found: key.to_string(),
        details: vec!["only an owner of the Safe can sign".to_owned()],
        origin: None,
    })))
}
