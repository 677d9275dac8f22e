//! Safes: their owners, their modules, and the handler that passes on what the Safe does not know. Guards forbid, so they are
//! left out.

use alloy::primitives::Address;

use super::reader::{Asked, Reader};
use crate::chain::{ChainError, Question, Reading};
use crate::code::Code;
use crate::power::model::{Actor, Confidence, Kind, Node, Party, Rule};
use crate::safe::Survey;
use crate::safe::deployments::{Contract, Identity, identify};
use crate::safe::info::{Finding, SafeInfo};
use crate::safe::slots::has_known_code;

/// Modules that are followed.
const MOST_MODULES: usize = 200;

/// What is asked of a contract that may be a Safe.
pub(super) fn questions(reader: &Reader<'_>, safe: Address) -> Vec<Question> {
    survey(reader, safe)
        .questions()
        .into_iter()
        .map(Question::optional)
        .collect()
}

const fn survey<'a>(reader: &'a Reader<'_>, safe: Address) -> Survey<'a> {
    Survey {
        chain: reader.chain,
        safe,
        block: &reader.block,
    }
}

/// Takes a contract that answers as a Safe does; whether it does.
pub(super) async fn take(reader: &mut Reader<'_>, safe: Address, facts: &mut Reading) -> Result<bool, ChainError> {
    let found = survey(reader, safe).first(facts)?;
    let Some(mut info) = found else { return Ok(false) };
    let page = facts.next();
    let Some(modules) = survey(reader, safe).modules(&page).await? else {
        return Ok(false);
    };
    info.modules = modules;
    reader.follow(info.owners.iter().copied(), safe, true);
    reader.follow(info.modules.iter().copied().take(MOST_MODULES), safe, false);
    reader.next.push(Asked::SafeCode(Box::new(info)));
    Ok(true)
}

/// Asks for the code behind a Safe.
pub(super) fn code_questions(info: &SafeInfo) -> Vec<Question> {
    let behind = [Some(info.singleton), info.fallback_handler];
    behind.into_iter().flatten().map(Question::code).collect()
}

/// Takes a Safe with the code behind it.
pub(super) fn code(reader: &mut Reader<'_>, mut info: SafeInfo, facts: &mut Reading) {
    let mut hash = || alloy::primitives::keccak256(facts.next().bytes());
    info.singleton_code_hash = hash();
    info.fallback_handler_code_hash = info.fallback_handler.map(|_| hash());
    let address = info.address;
    if !has_known_code(&info, &reader.trust) {
        let text = format!(
            "{address} answers as a Safe, and nobody here knows its code: the proxy's hash is {}, the singleton's {}",
            info.proxy_code_hash, info.singleton_code_hash
        );
        reader.find(Code::UnknownContract, address, text);
        return reader.add(Node::unknown(address));
    }
    let mut node = Node::new(address, Kind::Safe, Confidence::Getters);
    node.version = Some(info.version.to_string());
    let modules = info.modules.iter().map(|module| Rule::Child {
        of: Actor::Acts(*module),
    });
    let owners = Rule::KOfN {
        k: usize::try_from(info.threshold).unwrap_or(usize::MAX),
        of: info.owners.iter().map(|owner| Actor::Signs(*owner)).collect(),
    };
    node = node.with([owners]).with(modules.take(MOST_MODULES));
    if info.modules.len() > MOST_MODULES {
        let text = format!("the Safe {address} has more modules than are looked at");
        reader.find(Code::PowerLimit, address, text);
        node = node.with([Rule::Party {
            party: Party::Unknown(address),
        }]);
    }
    handler(reader, &info, &mut node);
    reader.safes.push(info);
    reader.add(node);
}

/// What a fallback handler adds: anybody calls it through the Safe, and it answers for the Safe's signature.
fn handler(reader: &mut Reader<'_>, info: &SafeInfo, node: &mut Node) {
    let Some(handler) = info.fallback_handler else { return };
    let hash = info.fallback_handler_code_hash.unwrap_or_default();
    let listed = match identify(handler, hash) {
        Identity::Listed(known) | Identity::Elsewhere(known) => Some(known.contract),
        Identity::Altered(_) | Identity::Unknown => None,
    };
    let vouched = reader.trust.code.contains(&hash);
    if vouched || listed.is_some_and(|contract| contract.is_handler() && contract != Contract::ExtensibleHandler) {
        return;
    }
    node.passes_on_to = Some(handler);
    node.signs_by.push(Rule::Party {
        party: Party::Unknown(handler),
    });
    if listed.is_none() {
        let found = Finding::UnknownFallbackHandler { address: handler };
        reader.find(Code::SafeHandler, info.address, found.to_string());
    }
}
