//! The app: who owns it, to whom it is offered, and who can give it other code.

use alloy::primitives::{Address, B256, U256, keccak256};

use super::facts::{AppFacts, KmsFacts, Proxied, TrustedCode};
use super::reader::{Asked, Reader};
use super::{kms, proxy};
use crate::abi::app::DstackApp as A;
use crate::abi::governance::OtherApp;
use crate::chain::closed::StorageCheck;
use crate::chain::policy_history::new_code_question;
use crate::chain::{ChainError, Question, Reading, numbered};
use crate::code::Code;
use crate::power::model::{Actor, Class, Confidence, Domain, Effect, Kind, Node, Party, Rule};

/// Where a DstackApp keeps, in the lowest byte, that its code is frozen.
const FROZEN: u8 = 1;

/// The app, and what is known of its code.
pub(super) struct AppRead {
    pub(super) facts: AppFacts,
    proxied: Proxied,
    /// It says that its code is frozen.
    says_frozen: bool,
    /// Its policy is not its owner's calls alone.
    is_another: bool,
}

/// Reads the app and the KMS, and asks for who acts for them next. One round trip.
pub(super) async fn first(reader: &mut Reader<'_>) -> Result<(AppRead, Option<KmsFacts>), ChainError> {
    let app = reader.query.app;
    let kms = reader.query.kms;
    let mut all = questions(app);
    let of_app = all.len();
    all.extend(kms.iter().flat_map(|kms| kms::questions(*kms, app)));
    let mut facts = reader.chain.read(&reader.block, &all).await?;
    reader.endpoints = facts.endpoints.len();
    let read = app_of(reader, app, &mut facts.part(of_app))?;
    let kms = match kms {
        Some(kms) => Some(kms::of(reader, kms, &mut facts)?),
        None => None,
    };
    Ok((read, kms))
}

fn questions(app: Address) -> Vec<Question> {
    let mut all = vec![Question::code(app)];
    all.extend(proxy::questions(app));
    all.extend([
        Question::slot(app, numbered(FROZEN)),
        Question::call(app, &A::ownerCall {}),
        Question::call(app, &A::pendingOwnerCall {}),
        Question::call(app, &A::allowAnyDeviceCall {}),
        Question::call(
            app,
            &A::allowedComposeHashesCall {
                composeHash: B256::ZERO,
            },
        ),
        Question::call(app, &OtherApp::clusterCall {}).of_stranger(),
        Question::call(app, &OtherApp::noticePeriodCall {}).of_stranger(),
    ]);
    all
}

fn app_of(reader: &mut Reader<'_>, app: Address, facts: &mut Reading) -> Result<AppRead, ChainError> {
    let not_an_app = |why: &str| ChainError::NotAnApp {
        address: app,
        why: why.to_owned(),
    };
    let code = facts.next().bytes();
    if code.is_empty() {
        return Err(not_an_app("there is no code at this address"));
    }
    let proxied = proxy::of(facts);
    let says_frozen = facts.next().bytes().last() == Some(&1);
    let owner = facts.next().value::<A::ownerCall>();
    let heir = facts.next().value::<A::pendingOwnerCall>();
    let any_device = facts.next().value::<A::allowAnyDeviceCall>();
    let lists = facts.next().value::<A::allowedComposeHashesCall>().is_some();
    let passes_on = facts.next().short::<OtherApp::clusterCall>().is_some();
    let gives_notice = facts
        .next()
        .short::<OtherApp::noticePeriodCall>()
        .is_some_and(|notice: U256| !notice.is_zero());
    let (Some(owner), Some(any_device), true) = (owner, any_device, lists) else {
        return Err(not_an_app(
            "it does not answer `owner()`, `allowAnyDevice()` and `allowedComposeHashes(bytes32)`",
        ));
    };
    let (owner, heir) = match reader.query.owner {
        Some(owner) => (owner, None),
        None => (owner, heir),
    };
    let somebody = |address: &Address| !address.is_zero();
    let facts = AppFacts {
        app,
        owner: Some(owner).filter(somebody),
        pending_owner: heir.filter(somebody),
        code_hash: keccak256(&code),
        any_device,
        frozen: false,
        hashes: Vec::new(),
        storage: StorageCheck::NotChecked {
            why: "nobody asked".to_owned(),
        },
    };
    reader.seen.insert(app, 0);
    let owners = [facts.owner, facts.pending_owner, proxied.admin, proxied.beacon];
    reader.follow(owners.into_iter().flatten(), app, false);
    if let Some(implementation) = proxied.implementation {
        reader.next.push(Asked::Behind(implementation));
        let owner = facts.owner.filter(|_| says_frozen);
        reader
            .next
            .extend(owner.map(|owner| Asked::NewCode(new_code_question(app, owner, implementation))));
    }
    Ok(AppRead {
        facts,
        proxied,
        says_frozen,
        is_another: passes_on || gives_notice,
    })
}

/// A call to the app: its name, whether the very hash is in it, and who can make it.
type Possible = (&'static str, bool, Rule);

/// What can be done to the app, and by whom.
pub(super) fn effects(reader: &mut Reader<'_>, read: &mut AppRead) {
    let behind = read.proxied.implementation;
    let behind = behind.and_then(|address| reader.codes.get(&address).copied());
    let facts = &mut read.facts;
    facts.code_hash = behind.unwrap_or(facts.code_hash);
    // The contract itself has to refuse new code, and say so where it keeps it.
    facts.frozen = read.says_frozen && reader.takes_new_code == Some(false);
    let app = facts.app;
    let confidence = confidence(reader, read);
    let mut all = possible(reader, read);
    if confidence == Confidence::Unknown {
        let party = Party::Unknown(app);
        all.push(("whatever its code does", false, Rule::Party { party }));
    }
    let node = Node::new(app, Kind::App, confidence);
    reader.add(node.with(all.iter().map(|(_, _, rule)| rule.clone())));
    let effect = |(call, names_the_hash, by)| Effect {
        domain: Domain::App,
        class: Class::AnyCode,
        target: Some(app),
        call,
        by,
        names_the_hash,
        announced: None,
    };
    reader.world.effects.extend(all.into_iter().map(effect));
    let hidden = matches!(read.facts.storage, StorageCheck::NotClosed { .. });
    besides(reader, app, read.facts.any_device, hidden);
}

/// The calls of whoever owns the app, is offered it, or can change its code.
fn possible(reader: &mut Reader<'_>, read: &AppRead) -> Vec<Possible> {
    let facts = &read.facts;
    let app = facts.app;
    let calls = |from: Address| Rule::Child {
        of: Actor::Calls { from, to: app },
    };
    let mut by_owner = vec![("addComposeHash", true), ("transferOwnership", false)];
    by_owner.extend((!facts.frozen).then_some(("upgradeToAndCall", false)));
    let mut all: Vec<Possible> = Vec::new();
    if let Some(owner) = facts.owner {
        all.extend(by_owner.into_iter().map(|(call, names)| (call, names, calls(owner))));
    }
    all.extend(facts.pending_owner.map(|heir| ("acceptOwnership", false, calls(heir))));
    let others: Vec<Rule> = proxy::by_others(reader, app, &read.proxied).collect();
    all.extend(others.into_iter().map(|rule| ("upgradeToAndCall", false, rule)));
    all
}

/// How sure it is what the app does.
fn confidence(reader: &mut Reader<'_>, read: &AppRead) -> Confidence {
    let AppFacts { app, code_hash, .. } = read.facts;
    let trusted = reader.is_trusted(code_hash, TrustedCode::App);
    if read.is_another {
        let text = format!(
            "{app} does not leave its policy to its owner alone, and nobody here knows its code: its hash is {code_hash}"
        );
        reader.find(Code::UnknownContract, app, text);
        return Confidence::Unknown;
    }
    if !trusted {
        let text =
            format!("{app} answers as a DstackApp, and nobody here vouches for its code: its hash is {code_hash}");
        reader.find(Code::UnknownContract, app, text);
        return Confidence::ByBehaviour;
    }
    match read.facts.storage {
        StorageCheck::Closed { .. } => Confidence::Closed,
        _ => Confidence::Getters,
    }
}

/// What whoever has a machine, and whoever operates the CVM, can do.
fn besides(reader: &mut Reader<'_>, app: Address, any_device: bool, hidden: bool) {
    let mut add = |domain, class, call, by| {
        reader.world.effects.push(Effect {
            domain,
            class,
            target: None,
            call,
            by,
            names_the_hash: false,
            announced: None,
        });
    };
    let party = |party| Rule::Party { party };
    let other = "run another hash that is allowed";
    let inputs = "start it with other values, an older disk or another network";
    add(Domain::Operator, Class::ApprovedCode, other, party(Party::ApiKey));
    add(Domain::Operator, Class::ApprovedCode, other, party(Party::Cloud));
    add(Domain::Operator, Class::Inputs, inputs, party(Party::ApiKey));
    add(Domain::Operator, Class::Inputs, inputs, party(Party::Cloud));
    if any_device {
        let own = "run it on a machine of one's own, with values of one's own";
        add(Domain::Anybody, Class::ApprovedCode, own, Rule::Any);
        add(Domain::Anybody, Class::Inputs, own, Rule::Any);
    }
    if hidden {
        let text =
            format!("the storage of {app} holds something that nothing names: a hash that it allows may be among it");
        add(
            Domain::Operator,
            Class::AnyCode,
            "run a hash that nobody knows of",
            party(Party::Unknown(app)),
        );
        reader.find(Code::StorageNotClosed, app, text);
    }
}
