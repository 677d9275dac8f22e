//! Apps that a KMS's contract makes: `DstackKms.deployAndRegisterApp` in both its forms, and the app that came of it.
//!
//! The address of a new app follows from how many contracts the KMS made before, so that anybody's deployment changes it:
//! it is read from the transaction that made the app, and never predicted.

use alloy::primitives::{Address, B256, Bytes, Log, U256, keccak256};
use alloy::sol_types::{SolCall, SolEvent};
use serde::{Deserialize, Serialize};

use super::app::{IMPLEMENTATION_SLOT, implementation};
use super::logs::LogQuery;
use super::policy_history::Proxy;
use super::read::{Fact, Question, Reading};
use super::{BlockRef, Call, Chain, ChainError, Finality};
use crate::abi::app::DstackApp as A;
use crate::abi::kms::DstackKms as K;
use crate::abi::old_kms::OldKms as Old;

/// What a new app begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    /// Its owner from the first block on.
    pub owner: Address,
    /// Its code can never change.
    pub disable_upgrades: bool,
    /// Firmware has to be up to date.
    pub require_tcb_up_to_date: bool,
    /// Every device may run it.
    pub allow_any_device: bool,
    /// A device that may run it.
    pub device: Option<B256>,
    /// A compose hash that may run.
    pub hash: Option<B256>,
}

/// The two forms of the factory. The older one cannot require up-to-date firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactoryForm {
    /// Owner, upgrades, any device, device, hash.
    Five,
    /// Owner, upgrades, up-to-date firmware required, any device, device, hash (since February 2026).
    Six,
}

/// An app that a factory made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployedApp {
    /// App id = address of its contract.
    pub app: Address,
    /// Who called the factory: a key, or the Safe or timelock that did.
    pub deployer: Option<Address>,
    /// The transaction.
    pub transaction: B256,
    /// Who sent that: the deployer, or whoever executed what a Safe or timelock did.
    pub sender: Address,
    /// Its block.
    pub block: BlockRef,
    /// The finality that was asked for and reached.
    pub finality: Finality,
    /// keccak256 of the app's own code, after that block.
    pub code_hash: B256,
    /// The code behind it.
    pub code: FactoryCode,
}

/// The code that a KMS gives to the apps it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactoryCode {
    /// Implementation behind the app's proxy; `None` when the KMS does not tell, or the app is no proxy.
    pub implementation: Option<Address>,
    /// keccak256 of its code.
    pub code_hash: Option<B256>,
}

/// Why no new app is known of a transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployFailure {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Not in a block of every endpoint yet.
    #[error("transaction {transaction} is not settled yet")]
    NotSettled {
        /// The transaction.
        transaction: B256,
    },
    /// The whole transaction failed; no app was made.
    #[error("transaction {transaction} failed in block {block}")]
    Reverted {
        /// The transaction.
        transaction: B256,
        /// Block number.
        block: u64,
    },
    /// No event of the KMS's contract says that it made an app.
    #[error("no event of the KMS {kms} says that it made an app")]
    NotShown {
        /// DstackKms.
        kms: Address,
    },
    /// More than one app was made: which of them is meant is not known.
    #[error("the KMS {kms} made {count} apps in it")]
    Several {
        /// DstackKms.
        kms: Address,
        /// How many.
        count: usize,
    },
    /// The KMS is of before July 2025: its apps have ids that are not the addresses of their contracts.
    #[error(
        "the KMS {kms} is of before July 2025: its apps are known by ids that are no addresses, here {id} of the contract {contract}"
    )]
    ById {
        /// DstackKms.
        kms: Address,
        /// Id that the KMS computed.
        id: Address,
        /// The app's contract.
        contract: Address,
    },
    /// The app is not what was asked for.
    #[error("the new app {app} is not what was asked for: {what}")]
    Different {
        /// App.
        app: Address,
        /// It allows the compose hash that was asked for: whoever made it meant this one.
        is_meant: bool,
        /// The first thing that differs.
        what: String,
    },
}

/// What a factory says to a deployment that is only tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactoryTrial {
    /// It would go through in this form.
    Works(FactoryForm),
    /// It would not; the reason, decoded and escaped.
    Refused(String),
}

impl NewApp {
    /// The call of the KMS's factory; `None` when this form cannot say all of it.
    pub fn call(&self, kms: Address, form: FactoryForm) -> Option<Call> {
        let (device, hash) = (self.device.unwrap_or_default(), self.hash.unwrap_or_default());
        let data = match form {
            FactoryForm::Five if self.require_tcb_up_to_date => return None,
            FactoryForm::Five => K::deployAndRegisterApp_0Call {
                initialOwner: self.owner,
                disableUpgrades: self.disable_upgrades,
                allowAnyDevice: self.allow_any_device,
                initialDeviceId: device,
                initialComposeHash: hash,
            }
            .abi_encode(),
            FactoryForm::Six => K::deployAndRegisterApp_1Call {
                initialOwner: self.owner,
                disableUpgrades: self.disable_upgrades,
                requireTcbUpToDate: self.require_tcb_up_to_date,
                allowAnyDevice: self.allow_any_device,
                initialDeviceId: device,
                initialComposeHash: hash,
            }
            .abi_encode(),
        };
        Some(Call {
            to: kms,
            value: U256::ZERO,
            data: data.into(),
        })
    }

    /// What the app's own events of its making say that was not asked for, or do not say that was.
    fn differs_from_events(&self, app: Address, logs: &[Log]) -> Option<String> {
        let of_app = logs.iter().filter(|log| log.address == app);
        let devices = of_app.filter_map(|log| A::DeviceAdded::decode_log_validate(log).ok());
        let devices: Vec<B256> = devices.map(|event| event.deviceId).collect();
        let hashes = hashes(app, logs);
        let asked = |one: Option<B256>| -> Vec<B256> { one.filter(|id| !id.is_zero()).into_iter().collect() };
        let told = |found: &[B256]| match found {
            [] => "none".to_owned(),
            some => some.iter().map(B256::to_string).collect::<Vec<_>>().join(", "),
        };
        if devices != asked(self.device) {
            return Some(format!("devices on its list: {}", told(&devices)));
        }
        (hashes != asked(self.hash)).then(|| format!("compose hashes on its list: {}", told(&hashes)))
    }

    /// What the state has to answer, and what that has to be.
    fn questions(&self, app: Address, kms: Address) -> Vec<(Question, Expected)> {
        let yes_no = |on: bool| Expected::Word(B256::with_last_byte(u8::from(on)));
        let mut list = vec![
            (
                Question::call(app, &A::ownerCall {}),
                Expected::Word(self.owner.into_word()),
            ),
            (
                Question::call(app, &A::allowAnyDeviceCall {}),
                yes_no(self.allow_any_device),
            ),
            (Question::call(kms, &K::registeredAppsCall { appId: app }), yes_no(true)),
        ];
        // Older apps do not know that requirement, and have none.
        let tcb = Question::call(app, &A::requireTcbUpToDateCall {});
        list.push((
            tcb,
            match self.require_tcb_up_to_date {
                true => yes_no(true),
                false => Expected::WordOrNothing(B256::ZERO),
            },
        ));
        let device = self
            .device
            .map(|id| Question::call(app, &A::allowedDeviceIdsCall { deviceId: id }));
        let hash = self
            .hash
            .map(|id| Question::call(app, &A::allowedComposeHashesCall { composeHash: id }));
        list.extend(device.into_iter().chain(hash).map(|question| (question, yes_no(true))));
        list
    }
}

/// A new app, and the KMS whose factory makes it.
#[derive(Debug, Clone, Copy)]
pub struct NewAppAt<'a> {
    /// The KMS's contract.
    pub kms: Address,
    /// What is asked for.
    pub new: &'a NewApp,
}

/// What an answer has to be.
enum Expected {
    Word(B256),
    WordOrNothing(B256),
}

impl Expected {
    fn is(&self, fact: &Fact) -> bool {
        match (self, fact) {
            (Self::Word(word) | Self::WordOrNothing(word), Fact::Bytes(bytes)) => bytes[..] == word[..],
            (Self::WordOrNothing(_), Fact::Reverted(_)) => true,
            (_, Fact::Reverted(_) | Fact::NotOffered) => false,
        }
    }
}

impl Chain {
    /// Tries the deployment as `from` would make it, after `block`, without sending anything: in the newer form first, in
    /// the older one where that can say the same. One round trip.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn try_factory(
        &self,
        wanted: NewAppAt<'_>,
        from: Address,
        block: &BlockRef,
    ) -> Result<FactoryTrial, ChainError> {
        let NewAppAt { kms, new } = wanted;
        let forms = [FactoryForm::Six, FactoryForm::Five];
        let calls: Vec<(FactoryForm, Call)> = forms
            .into_iter()
            .filter_map(|form| Some((form, new.call(kms, form)?)))
            .collect();
        let question = |call: &Call| Question::raw("deployAndRegisterApp", kms, call.data.clone()).from(from);
        let mut questions: Vec<Question> = calls.iter().map(|(_, call)| question(call)).collect();
        questions.push(Question::code(kms));
        let mut facts = self.read(block, &questions).await?;
        let mut refused: Option<String> = None;
        for (form, _) in calls {
            match facts.next() {
                Fact::Bytes(bytes) if is_address(&bytes) => return Ok(FactoryTrial::Works(form)),
                Fact::Bytes(bytes) if is_id_and_address(&bytes) => {
                    return Ok(FactoryTrial::Refused(OF_IDS.to_owned()));
                }
                Fact::Reverted(why) if !why.data.is_empty() => {
                    refused.get_or_insert(told(why.reason));
                }
                // A contract without that form gives no reason.
                Fact::Bytes(_) | Fact::Reverted(_) | Fact::NotOffered => {}
            }
        }
        let silent = match facts.next().bytes().is_empty() {
            true => "there is no code at its address",
            false => "the contract has no factory that takes it",
        };
        Ok(FactoryTrial::Refused(refused.unwrap_or_else(|| silent.to_owned())))
    }

    /// The code that the KMS would give to a new app after `block`. Up to two round trips.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn factory_code(&self, kms: Address, block: &BlockRef) -> Result<FactoryCode, ChainError> {
        let mut facts = self.read(block, &given_questions(kms)).await?;
        let named = given(&mut facts);
        self.code_behind(named, block).await
    }

    async fn code_behind(&self, at: Option<Address>, block: &BlockRef) -> Result<FactoryCode, ChainError> {
        let Some(implementation) = at else {
            return Ok(FactoryCode::default());
        };
        let code = self.read(block, &[Question::code(implementation)]).await?.next();
        Ok(FactoryCode {
            implementation: Some(implementation),
            code_hash: Some(keccak256(code.bytes())),
        })
    }

    /// Transactions after block `after` in which the factory of `kms` made an app for `deployer`, oldest first. Round trips
    /// as reading logs takes.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn deployments(
        &self,
        kms: Address,
        deployer: Address,
        after: &BlockRef,
    ) -> Result<Vec<B256>, ChainError> {
        let query = LogQuery {
            address: kms,
            topics: vec![K::AppDeployedViaFactory::SIGNATURE_HASH],
            from: after.number.saturating_add(1),
            to: self.head().await?.number,
        };
        if query.from > query.to {
            return Ok(Vec::new());
        }
        let found = self.logs(&query, |_| false).await?;
        let ours = found
            .into_iter()
            .filter(|placed| made(&placed.log).is_some_and(|made| made.deployer == deployer));
        let mut transactions: Vec<B256> = ours.map(|placed| placed.transaction).collect();
        transactions.dedup();
        Ok(transactions)
    }

    /// The app that `transaction` made through the factory of `kms`, when it is what was asked for: the KMS's own event in
    /// a block of every endpoint that `finality` covers, the app's own events, which name exactly the device and the hash,
    /// and after that block the owner, the policy, the registration, whether the code can change, and the code, which is
    /// the one that the KMS gives to new apps where that tells. Up to seven round trips.
    ///
    /// # Errors
    /// See [`DeployFailure`].
    pub async fn prove_deployment(
        &self,
        transaction: B256,
        wanted: NewAppAt<'_>,
        finality: Finality,
    ) -> Result<DeployedApp, DeployFailure> {
        let NewAppAt { kms, new } = wanted;
        let receipt = self.receipt(transaction).await?;
        let receipt = receipt.ok_or(DeployFailure::NotSettled { transaction })?;
        let block = receipt.block;
        if !receipt.succeeded {
            let block = block.number;
            return Err(DeployFailure::Reverted { transaction, block });
        }
        let head = self.head().await?;
        if block.number > self.settled_block(head, finality).await?.number {
            return Err(DeployFailure::NotSettled { transaction });
        }
        let made = deployed(&receipt.logs, kms)?;
        let app = made.app;
        let is_meant = new.hash.is_some_and(|hash| hashes(app, &receipt.logs).contains(&hash));
        let different = |what| DeployFailure::Different { app, is_meant, what };
        let (code_hash, code) = match self.prove_app(app, &block, wanted).await? {
            Ok(code) => code,
            Err(what) => return Err(different(what)),
        };
        if let Some(what) = new.differs_from_events(app, &receipt.logs) {
            return Err(different(what));
        }
        Ok(DeployedApp {
            app,
            deployer: Some(made.deployer),
            transaction,
            sender: receipt.from,
            block,
            finality,
            code_hash,
            code,
        })
    }

    /// What the new app is after its block; or the first thing in which it is not what was asked for.
    async fn prove_app(
        &self,
        app: Address,
        block: &BlockRef,
        wanted: NewAppAt<'_>,
    ) -> Result<Result<(B256, FactoryCode), String>, ChainError> {
        let NewAppAt { kms, new } = wanted;
        let asked = new.questions(app, kms);
        let mut questions: Vec<Question> = asked.iter().map(|(question, _)| question.clone()).collect();
        questions.extend([Question::code(app), Question::slot(app, IMPLEMENTATION_SLOT)]);
        questions.extend(given_questions(kms));
        let mut facts = self.read(block, &questions).await?;
        for (question, expected) in asked {
            if !expected.is(&facts.next()) {
                return Ok(Err(format!("`{}` answers something else", question.name)));
            }
        }
        let code = facts.next().bytes();
        let behind = implementation(&facts.next().bytes());
        let given = given(&mut facts);
        if code.is_empty() {
            return Ok(Err("there is no code at its address".to_owned()));
        }
        if given.is_some() && given != behind {
            return Ok(Err("its code is not what the KMS gives to new apps".to_owned()));
        }
        let proxy = Proxy {
            address: app,
            owner: new.owner,
            implementation: behind,
        };
        let can_change = self.code_can_change(&proxy, block).await?;
        if can_change != Some(!new.disable_upgrades) {
            return Ok(Err(match can_change {
                Some(true) => "its code can be changed".to_owned(),
                Some(false) => "its code can never be changed".to_owned(),
                None => "it does not tell whether its code can be changed".to_owned(),
            }));
        }
        Ok(Ok((keccak256(&code), self.code_behind(behind, block).await?)))
    }
}

/// What the KMS is asked for the code of new apps: by the getter of today, and by that of June and July 2025.
fn given_questions(kms: Address) -> [Question; 2] {
    [
        Question::call(kms, &K::appImplementationCall {}),
        Question::call(kms, &Old::appAuthImplementationCall {}),
    ]
}

/// The answer to that; `None` when it does not tell.
fn given(facts: &mut Reading) -> Option<Address> {
    let today = facts.next().value::<K::appImplementationCall>();
    let before = facts.next().value::<Old::appAuthImplementationCall>();
    today.or(before)
}

/// Why this program does not make apps with such a KMS.
const OF_IDS: &str =
    "it is of before July 2025: its apps are known by ids that are not the addresses of their contracts";

/// The compose hashes that an app announces.
fn hashes(app: Address, logs: &[Log]) -> Vec<B256> {
    let of_app = logs.iter().filter(|log| log.address == app);
    let added = of_app.filter_map(|log| A::ComposeHashAdded::decode_log_validate(log).ok());
    added.map(|event| event.composeHash).collect()
}

/// What a factory says whose initialisation of the app fails without a reason.
fn told(reason: String) -> String {
    match reason.contains(NO_REASON) {
        true => format!("{reason}: the code that the KMS gives to new apps may be older than its factory"),
        false => reason,
    }
}

/// OpenZeppelin's error for a call that failed without saying why.
const NO_REASON: &str = "FailedCall";

fn is_address(bytes: &Bytes) -> bool {
    matches!(bytes.as_chunks::<32>(), ([word], []) if word.starts_with(&[0; 12]) && !word.ends_with(&[0; 20]))
}

fn is_id_and_address(bytes: &Bytes) -> bool {
    let is_one = |word: &[u8; 32]| word.starts_with(&[0; 12]) && !word.ends_with(&[0; 20]);
    matches!(bytes.as_chunks::<32>(), ([id, address], []) if is_one(id) && is_one(address))
}

/// What an event of a factory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made {
    /// The app's contract.
    app: Address,
    /// Its id, where that is another one.
    id: Option<Address>,
    /// Who asked for it.
    deployer: Address,
}

/// The one app that an event of `kms` says it made. Pure.
///
/// # Errors
/// No event, or several; or an app by an id that is no address.
fn deployed(logs: &[Log], kms: Address) -> Result<Made, DeployFailure> {
    let found: Vec<Made> = logs.iter().filter(|log| log.address == kms).filter_map(made).collect();
    match found.as_slice() {
        [] => Err(DeployFailure::NotShown { kms }),
        [Made { app, id: Some(id), .. }] => Err(DeployFailure::ById {
            kms,
            id: *id,
            contract: *app,
        }),
        [one] => Ok(*one),
        several => Err(DeployFailure::Several {
            kms,
            count: several.len(),
        }),
    }
}

/// Reads the event of today, two addresses, and that of 24 May to 2 July 2025, three: the id, the contract, who asked.
fn made(log: &Log) -> Option<Made> {
    match *log.topics().first()? {
        K::AppDeployedViaFactory::SIGNATURE_HASH => {
            let event = K::AppDeployedViaFactory::decode_log_validate(log).ok()?;
            Some(Made {
                app: event.appId,
                id: None,
                deployer: event.deployer,
            })
        }
        Old::AppDeployedViaFactory::SIGNATURE_HASH => {
            let event = Old::AppDeployedViaFactory::decode_log_validate(log).ok()?;
            Some(Made {
                app: event.proxyAddress,
                id: Some(event.appId),
                deployer: event.deployer,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    const KMS: Address = Address::repeat_byte(0x4b);
    const APP: Address = Address::repeat_byte(0xa1);

    fn new() -> NewApp {
        NewApp {
            owner: Address::repeat_byte(1),
            disable_upgrades: true,
            require_tcb_up_to_date: false,
            allow_any_device: false,
            device: Some(B256::repeat_byte(2)),
            hash: None,
        }
    }

    #[test]
    fn selectors_and_events_are_those_of_the_deployed_contracts() {
        let starts = |form| alloy::primitives::hex::encode(&new().call(KMS, form).unwrap().data[..4]);
        assert_eq!(starts(FactoryForm::Five), "8618169d");
        assert_eq!(starts(FactoryForm::Six), "9cb9c31f");
        assert_eq!(
            K::AppDeployedViaFactory::SIGNATURE_HASH,
            b256!("fd86d7f6962eba3b7a3bf9129c06c0b2f885e1c61ef2c9f0dbb856be0deefdee")
        );
        assert_eq!(
            Old::AppDeployedViaFactory::SIGNATURE_HASH,
            b256!("3ad767c8b7c60bfe0c6bb711fb7ea4be06d90bdf29c6114f3e0c4054e03c2543")
        );
    }

    #[test]
    fn the_older_form_cannot_require_firmware_to_be_up_to_date() {
        let strict = NewApp {
            require_tcb_up_to_date: true,
            ..new()
        };
        assert_eq!(strict.call(KMS, FactoryForm::Five), None);
        let six = strict.call(KMS, FactoryForm::Six).unwrap();
        // Owner, upgrades, firmware, any device, device, hash.
        let words: Vec<u8> = six.data[4..].chunks(32).map(|word| word[31]).collect();
        assert_eq!(words, [1, 1, 1, 0, 2, 0]);
        let five = new().call(KMS, FactoryForm::Five).unwrap();
        let words: Vec<u8> = five.data[4..].chunks(32).map(|word| word[31]).collect();
        assert_eq!(words, [1, 1, 0, 2, 0]);
    }

    fn event(address: Address) -> Log {
        let event = K::AppDeployedViaFactory {
            appId: APP,
            deployer: Address::repeat_byte(3),
        };
        Log {
            address,
            data: event.encode_log_data(),
        }
    }

    #[test]
    fn an_app_is_made_by_exactly_one_event_of_the_kms_itself() {
        let made = Made {
            app: APP,
            id: None,
            deployer: Address::repeat_byte(3),
        };
        assert_eq!(deployed(&[event(APP), event(KMS)], KMS).unwrap(), made);
        let nothing = deployed(&[event(APP)], KMS);
        assert!(matches!(nothing, Err(DeployFailure::NotShown { .. })), "{nothing:?}");
        let two = deployed(&[event(KMS), event(KMS)], KMS);
        assert!(matches!(two, Err(DeployFailure::Several { count: 2, .. })), "{two:?}");
    }

    #[test]
    fn con_c4_the_event_of_may_2025_names_an_id_then_the_contract_then_who_asked() {
        let event = Old::AppDeployedViaFactory {
            appId: Address::repeat_byte(5),
            proxyAddress: APP,
            deployer: Address::repeat_byte(6),
        };
        let log = Log {
            address: KMS,
            data: event.encode_log_data(),
        };
        let read = Made {
            app: APP,
            id: Some(Address::repeat_byte(5)),
            deployer: Address::repeat_byte(6),
        };
        assert_eq!(made(&log), Some(read));
        let found = deployed(&[log], KMS);
        assert!(
            matches!(found, Err(DeployFailure::ById { contract: APP, .. })),
            "{found:?}"
        );
    }

    fn of_app<E: SolEvent>(event: &E) -> Log {
        Log {
            address: APP,
            data: event.encode_log_data(),
        }
    }

    #[test]
    fn con_c1b_what_a_new_app_announces_is_exactly_what_was_asked_for() {
        let device = |byte| {
            of_app(&A::DeviceAdded {
                deviceId: B256::repeat_byte(byte),
            })
        };
        let hash = of_app(&A::ComposeHashAdded {
            composeHash: B256::repeat_byte(9),
        });
        let differs = |logs: &[Log]| new().differs_from_events(APP, logs);
        assert_eq!(differs(&[device(2)]), None);
        for logs in [
            vec![],
            vec![device(3)],
            vec![device(2), device(3)],
            vec![device(2), hash],
        ] {
            assert!(differs(&logs).is_some(), "{logs:?}");
        }
        let anybody = NewApp {
            device: None,
            allow_any_device: true,
            ..new()
        };
        assert_eq!(anybody.differs_from_events(APP, &[]), None);
        assert!(anybody.differs_from_events(APP, &[device(2)]).is_some());
    }
}
