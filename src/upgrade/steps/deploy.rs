//! A new app: one call of a KMS's factory, signed and sent with the journal, the sender and the wait of every upgrade.
//!
//! Where the caller is a contract, a Safe for example, it makes the call by its own means, and the app is found by the
//! event that names it.

use std::path::Path;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use sha2::{Digest, Sha256};

use crate::chain::{
    BlockRef, Chain,
    factory::{DeployFailure, DeployedApp, FactoryCode, FactoryForm, FactoryTrial, NewAppAt},
};
use crate::code::Code;
use crate::evidence::{self, block_time, row};
use crate::fsutil::point;
use crate::signer::{Consent, Fact, Name, Signer};
use crate::upgrade::{
    Goal, Limits, Outcome, Pending, Stop, UpgradeError, World,
    checks::{
        app::is_final,
        verdict::{of_approvals, of_storage},
    },
    files::{keep, pretty},
    finding::{Finding, Warning},
    model::{
        deployment::{DeployIntent, Deployment, refused},
        storage_note::Storages,
    },
    planning::new_owner::{of_first_owner, read_new_owner},
    record::{
        event::{Event, Identity},
        journal::SCHEMA,
    },
    routes::transaction::TxConsent,
    run::Run,
    workspace::upgrade::Upgrade,
};

/// Reads what the call needs and tries it as its sender would make it. Changes nothing.
///
/// # Errors
/// The owner may not be able to act, the KMS's contract would refuse, or something could not be read.
pub async fn plan_deployment(
    world: &World<'_>,
    intent: &DeployIntent,
) -> Result<(Deployment, Vec<Warning>), UpgradeError> {
    let chain = world.chain(intent.chain_id).await?;
    let after = chain.head().await?;
    let owner = read_new_owner(&chain, intent.new.owner, &after).await?;
    let mut storages = Storages::default();
    storages.add(world.new_owner_storages(&chain, &owner).await?);
    let mut found = of_first_owner(&owner, intent.kms);
    found.extend(of_storage(&storages).chain(of_approvals(&storages, None)));
    if let Some(stop) = found.iter().find_map(|finding| finding.stop.clone()) {
        return Err(UpgradeError::Stop(stop));
    }
    let doubt = found.iter().find(|finding| finding.forbids());
    if let Some(doubt) = doubt.filter(|_| !intent.accept_new_owner) {
        let code = match doubt.code {
            code @ (Code::NewOwnerUnseen
            | Code::NewOwnerCannotAct
            | Code::StorageNotClosed
            | Code::SafeStandingApproval) => code,
            _ => Code::NewOwnerUnknown,
        };
        return Err(UpgradeError::Blocked {
            code,
            message: format!("{}; --accept-new-owner takes it all the same", doubt.message),
        });
    }
    let wanted = NewAppAt {
        kms: intent.kms,
        new: &intent.new,
    };
    let form = form(&chain, wanted, intent.from, &after).await?;
    let deployment = Deployment {
        chain_id: intent.chain_id,
        kms: intent.kms,
        form,
        code: chain.factory_code(intent.kms, &after).await?,
        new: intent.new,
        from: intent.from,
        from_kind: chain.kind_of(intent.from, &after).await?,
        after,
    };
    let open = storages.not_checked.into_iter().map(|what| Warning {
        code: Code::StorageUnknown,
        text: format!("not checked: {what}"),
    });
    Ok((deployment, found.iter().map(Finding::warning).chain(open).collect()))
}

async fn form(
    chain: &Chain,
    wanted: NewAppAt<'_>,
    from: Address,
    block: &BlockRef,
) -> Result<FactoryForm, UpgradeError> {
    match chain.try_factory(wanted, from, block).await? {
        FactoryTrial::Works(form) => Ok(form),
        FactoryTrial::Refused(why) => Err(refused(&why)),
    }
}

impl Deployment {
    fn identity(&self) -> Identity {
        let seed = serde_json::to_vec(self).unwrap_or_default();
        let name: String = hex::encode(Sha256::digest(seed)).chars().take(8).collect();
        Identity {
            schema: SCHEMA,
            update: format!("u-{name}"),
            cvm: None,
            app: self.kms,
            chain_id: self.chain_id,
            cloud: None,
        }
    }
}

impl Upgrade {
    /// Starts making an app: creates the directory, locks it, records what is intended. A directory that already holds the
    /// same is opened instead.
    ///
    /// # Errors
    /// The directory holds something else, or cannot be used.
    pub fn begin_deployment(dir: &Path, deployment: Deployment) -> Result<Self, UpgradeError> {
        let mut upgrade = Self::hold(dir)?;
        match (upgrade.state().identity(), upgrade.state().deployment()) {
            (None, _) => {
                upgrade.record(Event::Open(deployment.identity()))?;
                upgrade.record(Event::Deploy(Box::new(deployment)))?;
            }
            (Some(_), Some(found)) if found.asks_the_same(&deployment) => {}
            (Some(_), Some(found)) => return Err(upgrade.foreign(deployment.described(), found.described())),
            // The process died between the two records.
            (Some(found), None) if upgrade.state().plan().is_none() && found.app == deployment.kms => {
                upgrade.record(Event::Deploy(Box::new(deployment)))?;
            }
            (Some(found), None) => {
                let found = format!("an upgrade of app {}", found.app);
                return Err(upgrade.foreign(deployment.described(), found));
            }
        }
        Ok(upgrade)
    }

    /// Goes on until the app is made and proved: with a key the call is signed, sent and waited for; where a contract makes
    /// it, the app is looked for. `signer` is the key, where it was opened before.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub async fn deploy(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
        signer: Option<Signer>,
    ) -> Result<Outcome, UpgradeError> {
        let mut run = self.run(world, limits)?;
        run.signer = signer;
        run.make_app(Goal::Live).await
    }
}

impl Run<'_> {
    /// Goes on until `goal` is reached for a new app.
    pub(in crate::upgrade) async fn make_app(&mut self, goal: Goal) -> Result<Outcome, UpgradeError> {
        if goal == Goal::Committed {
            return Err(UpgradeError::decide(
                Code::NothingToCommit,
                "a new app is made: its CVM is committed by `countersign cvm create --commit`",
            ));
        }
        self.write_app_evidence()?;
        self.drive(goal).await
    }
}

/// What became of an app that somebody else was to make, or that may be made already.
enum Sought {
    /// It is made.
    Made,
    /// This transaction made it, in a block that may still be replaced.
    Unsettled(B256),
    /// Nobody made it.
    Nowhere,
}

impl Run<'_> {
    fn deployment(&self) -> Result<Deployment, UpgradeError> {
        let deployment = self.upgrade.state().deployment().cloned();
        deployment.ok_or_else(|| UpgradeError::decide(Code::NoDeployment, "no app was to be made"))
    }

    /// Signs the call, or looks for the app that a contract makes.
    pub(in crate::upgrade) async fn call_factory(&mut self, goal: Goal) -> Result<Outcome, UpgradeError> {
        let deployment = self.deployment()?;
        let chain = self.chain().await?;
        let doubtful = self.upgrade.is_rolled_back() || self.upgrade.state().tx.gone.is_some();
        if deployment.is_by_contract() || doubtful {
            let patient = deployment.is_by_contract() && goal == Goal::Proved;
            if let Some(outcome) = self.seek_app(&chain, patient).await? {
                return Ok(outcome);
            }
        }
        if deployment.is_by_contract() {
            let call = deployment.call()?;
            return Ok(Outcome::Pending(Pending {
                code: Code::PendingOwner,
                what: format!(
                    "the contract {} has to call {} with data {}",
                    deployment.from, call.to, call.data
                ),
            }));
        }
        if goal == Goal::Proved {
            return Err(UpgradeError::TooEarly {
                message: "nothing was sent to the chain yet".to_owned(),
                command: "execute",
            });
        }
        self.refuse_second_nonce()?;
        self.sign_deployment(&chain, &deployment).await?;
        Ok(Outcome::Reached)
    }

    async fn sign_deployment(&mut self, chain: &Chain, deployment: &Deployment) -> Result<(), UpgradeError> {
        let from = deployment.from;
        let Some(address) = self.signer().await?.map(Signer::address) else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                format!("{from} has to sign, and no key was named"),
            ));
        };
        if address != from {
            return Err(UpgradeError::stop(Code::SignerNotSender, "signer", from, address));
        }
        let head = chain.head().await?;
        let form = form(chain, deployment.at(), from, &head).await?;
        same_form(deployment.form, form)?;
        let code = chain.factory_code(deployment.kms, &head).await?;
        same_code("code of new apps", deployment.code, code)?;
        let call = deployment.call()?;
        let mut facts = vec![Fact::new(Name::Calldata, &call.data)];
        facts.extend(deployment.code.implementation.map(|code| Fact::new(Name::Code, code)));
        let consent = Consent {
            question: format!("Make this app, with a transaction signed and sent as {from}?"),
            subject: vec![
                Fact::new(Name::Chain, deployment.chain_id),
                Fact::new(Name::Kms, deployment.kms),
            ],
            facts,
            ..Consent::default()
        };
        let asking = TxConsent {
            from,
            call,
            purpose: None,
            consent,
            act: "signing",
            consents: Vec::new(),
        };
        self.sign_call(chain, asking).await
    }

    /// Looks for an app that this sender had made. `patient`: as long as there is time. `None`: nobody made it.
    async fn seek_app(&mut self, chain: &Chain, patient: bool) -> Result<Option<Outcome>, UpgradeError> {
        let pause = chain.block_time().await?;
        let pause = pause.clamp(Duration::from_millis(100), Duration::from_secs(4));
        loop {
            let found = match self.sought(chain).await {
                Err(UpgradeError::Chain(error)) if patient && !is_final(&error) => {
                    self.tell(&format!("{error}; asking again"));
                    Sought::Nowhere
                }
                found => found?,
            };
            let goes_on = match found {
                Sought::Made => return Ok(Some(Outcome::Reached)),
                Sought::Unsettled(_) => true,
                Sought::Nowhere => patient,
            };
            if goes_on && self.sleep(pause).await {
                continue;
            }
            return Ok(match found {
                Sought::Unsettled(transaction) => Some(Outcome::Pending(Pending {
                    code: Code::PendingConfirmations,
                    what: format!("transaction {transaction} made the app in a block that may still be replaced"),
                })),
                _ => None,
            });
        }
    }

    async fn sought(&mut self, chain: &Chain) -> Result<Sought, UpgradeError> {
        let deployment = self.deployment()?;
        let (kms, from) = (deployment.kms, deployment.from);
        let (mut unsettled, mut wrong) = (None, None);
        for transaction in chain.deployments(kms, from, &deployment.after).await? {
            let finality = self.finality(chain.id());
            match chain.prove_deployment(transaction, deployment.at(), finality).await {
                Ok(app) => {
                    self.keep_app(&deployment, app)?;
                    return Ok(Sought::Made);
                }
                Err(DeployFailure::NotSettled { transaction }) => unsettled = unsettled.or(Some(transaction)),
                Err(DeployFailure::Chain(error)) => return Err(error.into()),
                // Made with the hash that was asked for, and with something else besides.
                Err(failure @ DeployFailure::Different { is_meant: true, .. }) => wrong = wrong.or(Some(failure)),
                // Another app of the same sender.
                Err(_) => {}
            }
        }
        if let (None, Some(failure)) = (unsettled, wrong) {
            return Err(mismatch(&deployment, &failure));
        }
        Ok(unsettled.map_or(Sought::Nowhere, Sought::Unsettled))
    }

    /// `None`: not settled after all; look again.
    pub(in crate::upgrade) async fn prove_new_app(
        &mut self,
        chain: &Chain,
        transaction: B256,
    ) -> Result<Option<Outcome>, UpgradeError> {
        let deployment = self.deployment()?;
        let finality = self.finality(chain.id());
        match chain.prove_deployment(transaction, deployment.at(), finality).await {
            Ok(app) => {
                self.keep_app(&deployment, app)?;
                Ok(Some(Outcome::Reached))
            }
            Err(DeployFailure::NotSettled { .. }) => Ok(None),
            Err(DeployFailure::Chain(error)) if !is_final(&error) => {
                self.tell(&format!("{error}; asking again"));
                Ok(None)
            }
            Err(DeployFailure::Chain(error)) => Err(error.into()),
            Err(failure @ DeployFailure::Reverted { .. }) => {
                let message = failure.to_string();
                self.record(Event::TxGone { why: message.clone() })?;
                Err(UpgradeError::Failed {
                    code: Code::TxReverted,
                    message,
                })
            }
            Err(failure @ DeployFailure::ById { .. }) => Err(UpgradeError::decide(Code::AppsById, failure.to_string())),
            Err(failure) => Err(mismatch(&deployment, &failure)),
        }
    }

    /// Our nonce went to a stranger's transaction: the same call with other fees, perhaps.
    pub(in crate::upgrade) async fn lose_deployment(&mut self, chain: &Chain) -> Result<Outcome, UpgradeError> {
        if let Some(outcome) = self.seek_app(chain, false).await? {
            return Ok(outcome);
        }
        let why = "its nonce was used by another transaction".to_owned();
        self.record(Event::TxGone { why: why.clone() })?;
        Err(UpgradeError::decide(
            Code::TxReplaced,
            format!("the transaction that was to make the app will never be mined: {why}"),
        ))
    }

    fn keep_app(&mut self, deployment: &Deployment, app: DeployedApp) -> Result<(), UpgradeError> {
        same_code("code of the new app", deployment.code, app.code)?;
        self.record(Event::Deployed(Box::new(app)))?;
        point("wait.e");
        self.tell(&format!("app {} is made", app.app));
        self.write_app_evidence()
    }

    /// What remains for auditors.
    fn write_app_evidence(&self) -> Result<(), UpgradeError> {
        let state = self.upgrade.state();
        let (Some(identity), Some(deployment), Some(app)) = (state.identity(), state.deployment(), state.deployed())
        else {
            return Ok(());
        };
        let document = serde_json::json!({
            "schema": "countersign.evidence.app/1",
            "update": identity.update,
            "chain_id": deployment.chain_id,
            "kms": deployment.kms,
            "form": deployment.form,
            "new": deployment.new,
            "deployed": app,
        });
        let dir = self.upgrade.dir();
        keep(&dir.join(evidence::FILE), &pretty(&document), 0o644)?;
        Ok(keep(
            &dir.join(evidence::PAGE),
            page(deployment, app).as_bytes(),
            0o644,
        )?)
    }
}

fn page(deployment: &Deployment, app: &DeployedApp) -> String {
    let mut rows = vec![("app".to_owned(), app.app.to_string())];
    rows.extend(deployment.facts());
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let deployer = app.deployer.unwrap_or(deployment.from);
    rows.extend([
        fact("made by", deployer.to_string()),
        fact("transaction", app.transaction.to_string()),
        fact("sender", app.sender.to_string()),
        fact("block", format!("{} ({})", app.block.number, app.block.hash)),
        fact("block time", block_time(app.block.timestamp)),
        fact("settled by", app.finality.to_string()),
    ]);
    let rows = rows.into_iter().map(|(fact, value)| row(&fact, &value));
    let lines = [
        format!("# New app {}\n", app.app),
        "| fact | value |".to_owned(),
        "| --- | --- |".to_owned(),
    ];
    lines.into_iter().chain(rows).collect::<Vec<_>>().join("\n") + "\n"
}

fn same_form(expected: FactoryForm, found: FactoryForm) -> Result<(), UpgradeError> {
    let named = |form: FactoryForm| match form {
        FactoryForm::Five => "five values",
        FactoryForm::Six => "six values",
    };
    if expected == found {
        return Ok(());
    }
    Err(UpgradeError::stop(
        Code::DeployMismatch,
        "form of the factory",
        named(expected),
        named(found),
    ))
}

/// A KMS need not tell which code it gives to new apps.
fn same_code(what: &str, expected: FactoryCode, found: FactoryCode) -> Result<(), UpgradeError> {
    let shown = |code: FactoryCode| match (code.implementation, code.code_hash) {
        (Some(at), Some(hash)) => format!("{at} with code {hash}"),
        (Some(at), None) => at.to_string(),
        (None, _) => "none that is told".to_owned(),
    };
    if expected.implementation.is_none() || expected == found {
        return Ok(());
    }
    Err(UpgradeError::stop(
        Code::DeployMismatch,
        what,
        shown(expected),
        shown(found),
    ))
}

fn mismatch(deployment: &Deployment, failure: &DeployFailure) -> UpgradeError {
    UpgradeError::Stop(Box::new(Stop {
        code: Code::DeployMismatch,
        what: "what the transaction made".to_owned(),
        expected: deployment.described(),
        found: failure.to_string(),
        details: Vec::new(),
        origin: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Call, OwnerKind, SignedTx, factory::NewApp};
    use crate::upgrade::record::{State, Step};
    use crate::upgrade::sample;

    fn deployment() -> Deployment {
        Deployment {
            chain_id: 31337,
            kms: Address::repeat_byte(0x4b),
            form: FactoryForm::Six,
            code: FactoryCode::default(),
            new: NewApp {
                owner: Address::repeat_byte(5),
                disable_upgrades: false,
                require_tcb_up_to_date: false,
                allow_any_device: false,
                device: Some(B256::repeat_byte(2)),
                hash: Some(B256::repeat_byte(3)),
            },
            from: sample::OWNER,
            from_kind: OwnerKind::Eoa,
            after: BlockRef::default(),
        }
    }

    fn state() -> State {
        let deployment = deployment();
        let open = Event::Open(deployment.identity());
        State::fold([open, Event::Deploy(Box::new(deployment))]).unwrap()
    }

    fn app() -> DeployedApp {
        DeployedApp {
            app: Address::repeat_byte(0xa1),
            deployer: Some(sample::OWNER),
            transaction: B256::repeat_byte(9),
            sender: sample::OWNER,
            block: BlockRef::default(),
            finality: crate::chain::Finality::Confirmations(1),
            code_hash: B256::repeat_byte(8),
            code: FactoryCode::default(),
        }
    }

    fn signed(call: Call, chain_id: u64) -> SignedTx {
        let mut tx = sample::tx(7, 1);
        tx.request.call = call;
        tx.request.chain_id = chain_id;
        tx
    }

    #[test]
    fn an_app_is_signed_for_then_sent_then_waited_for_and_made_once() {
        let mut state = state();
        assert_eq!((state.next(), state.facts().app), (Step::Approve, None));
        let tx = sample::tx(7, 1);
        let (signer, hash) = (sample::OWNER, tx.hash);
        let digest = tx.request.signing_hash();
        state.apply(Event::SignTry { signer, digest }).unwrap();
        state.apply(Event::TxSigned(tx)).unwrap();
        assert_eq!(state.next(), Step::Broadcast);
        let at = jiff::Timestamp::UNIX_EPOCH;
        state.apply(Event::TxSent { hash, at }).unwrap();
        assert_eq!(state.next(), Step::Wait);
        state.apply(Event::Deployed(Box::new(app()))).unwrap();
        assert_eq!(state.next(), Step::Finished);
        assert_eq!(state.facts().app, Some(app().app));
        assert!(state.apply(Event::Deployed(Box::new(app()))).is_err());
    }

    #[test]
    fn a_journal_is_for_an_app_or_for_an_upgrade_never_for_both() {
        let plan = || Event::Plan(Box::new(sample::plan()));
        let deploy = || Event::Deploy(Box::new(deployment()));
        let mut state = state();
        for event in [plan(), deploy()] {
            assert!(state.apply(event).is_err());
        }
        let open = Event::Open(deployment().identity());
        let mut upgrade = State::fold([open, plan()]).unwrap();
        assert!(upgrade.apply(deploy()).is_err());
        assert!(upgrade.apply(Event::Deployed(Box::new(app()))).is_err());
    }

    #[test]
    fn j13_only_the_planned_call_of_the_planned_sender_on_the_planned_chain_is_sent() {
        let deployment = deployment();
        let call = deployment.call().unwrap();
        deployment.permit(signed(call.clone(), 31337)).unwrap();
        let other = Deployment {
            new: NewApp {
                owner: Address::repeat_byte(6),
                ..deployment.new
            },
            ..deployment.clone()
        };
        let mut stranger = signed(call.clone(), 31337);
        stranger.request.from = Address::repeat_byte(1);
        for tx in [signed(other.call().unwrap(), 31337), signed(call, 8453), stranger] {
            let refused = deployment.permit(tx);
            assert!(
                matches!(&refused, Err(UpgradeError::Stop(stop)) if stop.code == "TX_MISMATCH"),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_directory_belongs_to_what_is_made_and_not_to_who_makes_it() {
        let Deployment { chain_id, kms, new, .. } = deployment();
        let intent = DeployIntent {
            chain_id,
            kms,
            new,
            from: Address::repeat_byte(1),
            accept_new_owner: false,
        };
        let of = |intent: DeployIntent| Deployment::default_dir(Path::new("d"), &intent);
        let from = Address::repeat_byte(2);
        assert_eq!(of(intent), of(DeployIntent { from, ..intent }));
        let chain_id = 1;
        assert_ne!(of(intent), of(DeployIntent { chain_id, ..intent }));
        let hash = Some(B256::repeat_byte(4));
        let new = NewApp { hash, ..new };
        assert_ne!(of(intent), of(DeployIntent { new, ..intent }));
    }
}
