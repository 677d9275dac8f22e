//! Calldata read back as a function and its arguments, in words for whoever is to agree to it.
//!
//! By our own table of the functions of apps, KMSs, Safes and timelocks, never by what a file or a server says of a
//! call. A function that is not in the table is unknown, and so is one whose arguments are not the one encoding of their
//! values. What a timelock is to do later is read back in the same way. Pure.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::chain::{
    Call, TimelockRole,
    timelock::{TimelockAct, TimelockCalls, TimelockOperation},
};

/// What a call does, by our own interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// Name and types, for example `addComposeHash(bytes32)`.
    pub function: String,
    /// What it does, in a few words.
    pub meaning: String,
    /// Its arguments, in order.
    pub arguments: Vec<Argument>,
    /// An upgrade may make it: the rest take power away or give it to somebody. What a timelock is to do later may be
    /// made if all of it may.
    pub of_an_upgrade: bool,
    /// It gives or takes power over the app, a Safe or a timelock, or what it does cannot be told.
    #[serde(default)]
    pub dangerous: bool,
    /// What a timelock is to do later, or does now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner: Vec<Inner>,
}

/// A call inside a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inner {
    /// The call.
    #[serde(flatten)]
    pub call: Call,
    /// What it does, if it is known.
    pub decoded: Option<Decoded>,
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name in the contract's source.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its value as people write it.
    pub value: String,
}

/// Name, parameters as `kind name`, and what it does.
type Known = (&'static str, &'static [&'static str], &'static str);

/// What an upgrade calls.
const OF_AN_UPGRADE: [Known; 3] = [
    ("addComposeHash", &["bytes32 composeHash"], "lets this compose hash run"),
    ("addDevice", &["bytes32 deviceId"], "lets this device run the app"),
    (
        "removeComposeHash",
        &["bytes32 composeHash"],
        "no longer lets this compose hash run",
    ),
];

/// What else changes an app's policy or makes a new app, and neither gives nor takes power.
const OF_THE_POLICY: [Known; 9] = [
    (
        "removeDevice",
        &["bytes32 deviceId"],
        "no longer lets this device run the app",
    ),
    (
        "setAllowAnyDevice",
        &["bool allowAny"],
        "decides whether every device may run the app",
    ),
    (
        "setRequireTcbUpToDate",
        &["bool requireUpToDate"],
        "decides whether out-of-date hardware may run the app",
    ),
    (
        "disableUpgrades",
        &[],
        "freezes the code of the app's contract for ever",
    ),
    ("acceptOwnership", &[], "takes over the app"),
    (
        "deployAndRegisterApp",
        &[
            "address initialOwner",
            "bool disableUpgrades",
            "bool allowAnyDevice",
            "bytes32 initialDeviceId",
            "bytes32 initialComposeHash",
        ],
        "makes a new app, with this owner, and registers it with the KMS",
    ),
    (
        "deployAndRegisterApp",
        &[
            "address initialOwner",
            "bool disableUpgrades",
            "bool requireTcbUpToDate",
            "bool allowAnyDevice",
            "bytes32 initialDeviceId",
            "bytes32 initialComposeHash",
        ],
        "makes a new app, with this owner, and registers it with the KMS",
    ),
    ("registerApp", &["address appId"], "registers an app with the KMS"),
    (
        "approveHash",
        &["bytes32 hashToApprove"],
        "agrees to a transaction of another Safe",
    ),
];

/// What gives or takes power: over an app; over a Safe when it calls itself (`OwnerManager`, `ModuleManager`,
/// `GuardManager`, `FallbackManager` of Safe 1.3.0 to 1.5.0); over a timelock (`TimelockController`, `AccessControl`).
const DANGEROUS: [Known; 17] = [
    ("transferOwnership", &["address newOwner"], "GIVES THE APP AWAY"),
    (
        "renounceOwnership",
        &[],
        "GIVES THE APP UP: nobody could ever change it again",
    ),
    (
        "upgradeToAndCall",
        &["address newImplementation", "bytes data"],
        "REPLACES THE CODE of the app's contract",
    ),
    (
        "addOwnerWithThreshold",
        &["address owner", "uint256 threshold"],
        "MAKES SOMEBODY AN OWNER of the Safe",
    ),
    (
        "removeOwner",
        &["address prevOwner", "address owner", "uint256 threshold"],
        "REMOVES AN OWNER of the Safe",
    ),
    (
        "swapOwner",
        &["address prevOwner", "address oldOwner", "address newOwner"],
        "REPLACES AN OWNER of the Safe",
    ),
    (
        "changeThreshold",
        &["uint256 threshold"],
        "CHANGES HOW MANY OWNERS have to sign",
    ),
    (
        "enableModule",
        &["address module"],
        "LETS A CONTRACT ACT for the Safe without its owners",
    ),
    (
        "disableModule",
        &["address prevModule", "address module"],
        "takes a module from the Safe",
    ),
    (
        "setGuard",
        &["address guard"],
        "CHANGES WHO MAY REFUSE the Safe's transactions",
    ),
    (
        "setModuleGuard",
        &["address moduleGuard"],
        "CHANGES WHO MAY REFUSE what modules do",
    ),
    (
        "setFallbackHandler",
        &["address handler"],
        "CHANGES WHAT ANSWERS for the Safe",
    ),
    (
        "changeMasterCopy",
        &["address masterCopy"],
        "REPLACES THE CODE of the Safe",
    ),
    (
        "updateDelay",
        &["uint256 newDelay"],
        "CHANGES HOW LONG the timelock waits, in seconds",
    ),
    (
        "grantRole",
        &["bytes32 role", "address account"],
        "GIVES SOMEBODY A ROLE in the timelock",
    ),
    (
        "revokeRole",
        &["bytes32 role", "address account"],
        "TAKES A ROLE in the timelock from somebody",
    ),
    (
        "renounceRole",
        &["bytes32 role", "address account"],
        "GIVES UP A ROLE in the timelock",
    ),
];

/// Calls inside calls inside calls that are read; what is deeper is unknown.
const DEPTH: u32 = 3;

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<&str> = self.arguments.iter().map(|one| one.value.as_str()).collect();
        write!(f, "{} {}: {}", self.function, values.join(" "), self.meaning)?;
        for (index, inner) in self.inner.iter().enumerate() {
            write!(f, "{}{inner}", if index == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decoded {
            Some(decoded) => write!(f, "{decoded} (to {})", self.call.to)?,
            None => write!(f, "an unknown call to {}", self.call.to)?,
        }
        if self.call.value.is_zero() {
            return Ok(());
        }
        write!(f, " with {} wei", self.call.value)
    }
}

/// What `data` calls; `None` for a function that is not in the table, and for arguments that could be read in two ways.
pub fn decode(data: &Bytes) -> Option<Decoded> {
    decode_to(data, DEPTH)
}

fn decode_to(data: &Bytes, depth: u32) -> Option<Decoded> {
    let found = |known: &[Known], of_an_upgrade, dangerous| {
        known.iter().find_map(|known| {
            let decoded = read(known, data)?;
            Some(Decoded {
                of_an_upgrade,
                dangerous,
                ..decoded
            })
        })
    };
    found(&OF_AN_UPGRADE, true, false)
        .or_else(|| found(&OF_THE_POLICY, false, false))
        .or_else(|| found(&DANGEROUS, false, true))
        .or_else(|| Some(of_a_timelock(&TimelockAct::decode(data)?, depth.checked_sub(1)?)))
}

/// `schedule`, `execute` and `cancel`, with what the operation does.
fn of_a_timelock(act: &TimelockAct, depth: u32) -> Decoded {
    let inner = act.operation().map_or_else(Vec::new, |operation| {
        let read = |call: &Call| Inner {
            call: call.clone(),
            decoded: decode_to(&call.data, depth),
        };
        operation.calls().iter().map(read).collect()
    });
    let all = |test: fn(&Decoded) -> bool| inner.iter().all(|inner| inner.decoded.as_ref().is_some_and(test));
    let (function, meaning) = told(act);
    Decoded {
        function: function.to_owned(),
        meaning,
        arguments: arguments(act),
        of_an_upgrade: !inner.is_empty() && all(|decoded| decoded.of_an_upgrade),
        dangerous: !all(|decoded| !decoded.dangerous),
        inner,
    }
}

fn told(act: &TimelockAct) -> (&'static str, String) {
    let batch = |operation: &TimelockOperation| matches!(operation.calls, TimelockCalls::Batch(_));
    match act {
        TimelockAct::Schedule { operation, delay } => (
            if batch(operation) { BATCH.0 } else { SINGLE.0 },
            format!("has operation {} done {} later", operation.id(), duration(*delay)),
        ),
        TimelockAct::Execute { operation } => (
            if batch(operation) { BATCH.1 } else { SINGLE.1 },
            format!("does operation {} now that its delay is over", operation.id()),
        ),
        TimelockAct::Cancel { id } => ("cancel(bytes32)", format!("calls off operation {id}")),
    }
}

/// How a single call, and how several are scheduled and executed.
const SINGLE: (&str, &str) = (
    "schedule(address,uint256,bytes,bytes32,bytes32,uint256)",
    "execute(address,uint256,bytes,bytes32,bytes32)",
);
const BATCH: (&str, &str) = (
    "scheduleBatch(address[],uint256[],bytes[],bytes32,bytes32,uint256)",
    "executeBatch(address[],uint256[],bytes[],bytes32,bytes32)",
);

/// What is not in the calls.
fn arguments(act: &TimelockAct) -> Vec<Argument> {
    let argument = |name: &str, kind: &str, value: String| Argument {
        name: name.to_owned(),
        kind: kind.to_owned(),
        value,
    };
    let of = |operation: &TimelockOperation| {
        vec![
            argument("predecessor", "bytes32", operation.predecessor.to_string()),
            argument("salt", "bytes32", operation.salt.to_string()),
        ]
    };
    match act {
        TimelockAct::Schedule { operation, delay } => {
            let mut list = of(operation);
            list.push(argument("delay", "uint256", delay.to_string()));
            list
        }
        TimelockAct::Execute { operation } => of(operation),
        TimelockAct::Cancel { id } => vec![argument("id", "bytes32", id.to_string())],
    }
}

/// Seconds, and what they come to where that is days or hours.
fn duration(seconds: U256) -> String {
    let whole =
        |unit: u64| (!seconds.is_zero() && (seconds % U256::from(unit)).is_zero()).then(|| seconds / U256::from(unit));
    let plural = |count: U256, unit: &str| {
        let s = if count == U256::ONE { "" } else { "s" };
        format!("{count} {unit}{s}")
    };
    match (whole(86_400), whole(3_600)) {
        (Some(days), _) => plural(days, "day"),
        (None, Some(hours)) => plural(hours, "hour"),
        (None, None) => plural(seconds, "second"),
    }
}

fn read(known: &Known, data: &Bytes) -> Option<Decoded> {
    let (name, parameters, meaning) = known;
    let parameters: Vec<(&str, &str)> = parameters.iter().filter_map(|text| text.split_once(' ')).collect();
    let kinds: Vec<&str> = parameters.iter().map(|(kind, _)| *kind).collect();
    let function = format!("{name}({})", kinds.join(","));
    let arguments = data.strip_prefix(keccak256(&function).get(..4)?)?;
    let values = match kinds.as_slice() {
        ["address", "bytes"] => address_and_bytes(arguments)?,
        kinds => words(kinds, arguments)?,
    };
    let argument = |((kind, name), value): (&(&str, &str), String)| Argument {
        value: if *name == "role" { role(value) } else { value },
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
    };
    Some(Decoded {
        function,
        meaning: (*meaning).to_owned(),
        arguments: parameters.iter().zip(values).map(argument).collect(),
        of_an_upgrade: false,
        dangerous: false,
        inner: Vec::new(),
    })
}

/// A role of a timelock with its name, where it has one.
fn role(value: String) -> String {
    match value.parse().ok().and_then(TimelockRole::of_id) {
        Some(role) => format!("{value} ({role})"),
        None => value,
    }
}

/// Arguments of one word each, and nothing after them.
fn words(kinds: &[&str], arguments: &[u8]) -> Option<Vec<String>> {
    let (words, rest) = arguments.as_chunks::<32>();
    if !rest.is_empty() || words.len() != kinds.len() {
        return None;
    }
    kinds
        .iter()
        .zip(words)
        .map(|(kind, word)| value(kind, B256::from(*word)))
        .collect()
}

fn value(kind: &str, word: B256) -> Option<String> {
    let number = U256::from_be_bytes(word.0);
    match kind {
        "bytes32" => Some(word.to_string()),
        "uint256" => Some(number.to_string()),
        "bool" if number <= U256::ONE => Some((number == U256::ONE).to_string()),
        "address" if number.bit_len() <= 160 => Some(Address::from_word(word).to_string()),
        _ => None,
    }
}

fn address_and_bytes(arguments: &[u8]) -> Option<Vec<String>> {
    let (address, bytes) = <(Address, Bytes)>::abi_decode_params(arguments).ok()?;
    let again = (address, bytes.clone()).abi_encode_params();
    (again == arguments).then(|| vec![address.to_string(), bytes.to_string()])
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
