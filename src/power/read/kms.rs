//! The KMS: who owns it decides which images and which KMS nodes get every app's keys.

use alloy::primitives::Address;

use super::facts::{KmsFacts, OsImage, TrustedCode};
use super::proxy;
use super::reader::{Asked, Reader};
use crate::abi::kinds::Kinds;
use crate::abi::kms::DstackKms as K;
use crate::chain::{ChainError, Question, Reading};
use crate::code::Code;
use crate::power::model::{Actor, Class, Confidence, Domain, Effect, Kind, Node, Party, Rule};

/// What is asked of a KMS.
pub(super) fn questions(kms: Address, app: Address) -> Vec<Question> {
    let mut all = vec![Question::code(kms)];
    all.extend(proxy::questions(kms));
    all.extend([
        Question::call(kms, &K::ownerCall {}).optional(),
        Question::call(kms, &Kinds::pendingOwnerCall {}).optional(),
        Question::call(kms, &K::registeredAppsCall { appId: app }),
    ]);
    all
}

/// The answers; who acts for it is asked for next.
pub(super) fn of(reader: &mut Reader<'_>, kms: Address, facts: &mut Reading) -> Result<KmsFacts, ChainError> {
    let _code = facts.next();
    let proxied = proxy::of(facts);
    let somebody = |address: &Address| !address.is_zero();
    let owner = facts.next().value::<K::ownerCall>().filter(somebody);
    let pending_owner = facts.next().value::<Kinds::pendingOwnerCall>().filter(somebody);
    let registered = facts.next().value::<K::registeredAppsCall>();
    let registered = registered.ok_or(ChainError::NotAKms {
        address: kms,
        chain: reader.chain.id(),
    })?;
    reader.seen.insert(kms, 0);
    let owners = [owner, pending_owner, proxied.admin, proxied.beacon];
    reader.follow(owners.into_iter().flatten(), kms, false);
    reader.next.extend(proxied.implementation.map(Asked::Behind));
    Ok(KmsFacts {
        kms,
        owner,
        pending_owner,
        registered,
        images: Vec::new(),
        images_incomplete: None,
        proxied,
    })
}

/// What can be done by whoever governs the KMS, and by whoever chooses an image.
pub(super) fn effects(reader: &mut Reader<'_>, facts: &KmsFacts) {
    let kms = facts.kms;
    let code = facts
        .proxied
        .implementation
        .and_then(|address| reader.codes.get(&address).copied());
    let trusted = code.is_some_and(|code| reader.is_trusted(code, TrustedCode::Kms));
    let calls = |from: Address| Rule::Child {
        of: Actor::Calls { from, to: kms },
    };
    let by_owner = [
        ("addOsImageHash", Class::AnyCode),
        ("upgradeToAndCall", Class::AnyCode),
        ("addKmsAggregatedMr and addKmsDevice", Class::AnyCode),
        ("setKmsInfo", Class::Inputs),
        ("setGatewayAppId", Class::Traffic),
    ];
    let mut all: Vec<(&'static str, Class, Rule)> = Vec::new();
    if let Some(owner) = facts.owner {
        all.extend(by_owner.into_iter().map(|(call, class)| (call, class, calls(owner))));
    }
    all.extend(
        facts
            .pending_owner
            .map(|heir| ("acceptOwnership", Class::AnyCode, calls(heir))),
    );
    let others: Vec<Rule> = proxy::by_others(reader, kms, &facts.proxied).collect();
    all.extend(
        others
            .into_iter()
            .map(|rule| ("upgradeToAndCall", Class::AnyCode, rule)),
    );
    let confidence = if trusted {
        Confidence::Getters
    } else {
        Confidence::ByBehaviour
    };
    let mut node = Node::new(kms, Kind::Kms, confidence);
    for (_, _, rule) in &all {
        if !node.rules.contains(rule) {
            node.rules.push(rule.clone());
        }
    }
    reader.add(node);
    let effect = |domain, call, class, by| Effect {
        domain,
        class,
        target: Some(kms),
        call,
        by,
        names_the_hash: false,
        announced: None,
    };
    let platform = all
        .into_iter()
        .map(|(call, class, by)| effect(Domain::Platform, call, class, by));
    reader.world.effects.extend(platform);
    images(reader, facts);
}

/// An image with a login lets whoever chooses it in; one that nobody classified may be such a one.
fn images(reader: &mut Reader<'_>, facts: &KmsFacts) {
    let kms = facts.kms;
    for image in facts.images.iter().filter(|image| image.is.is_none()) {
        let text = format!("whether the OS image {} has a login nobody said", image.hash);
        reader.find(Code::OsImageUnclassified, kms, text);
    }
    if let Some(why) = &facts.images_incomplete {
        reader.find(
            Code::OsImageUnclassified,
            kms,
            format!("the KMS {kms} may allow OS images that are not known: {why}"),
        );
    }
    let all_are_closed = facts.images.iter().all(|image| image.is == Some(OsImage::Prod));
    if all_are_closed && facts.images_incomplete.is_none() {
        return;
    }
    let effects = [Party::ApiKey, Party::Cloud].map(|party| Effect {
        domain: Domain::Operator,
        class: Class::AnyCode,
        target: None,
        call: "boot it with an OS image that may have a login",
        by: Rule::Party { party },
        names_the_hash: false,
        announced: None,
    });
    reader.world.effects.extend(effects);
}
