//! Calls read back as people read them.

use std::collections::BTreeSet;

use alloy::sol_types::SolCall;
use serde_json::Value;

use super::*;
use crate::abi::app::DstackApp;
use crate::chain::PolicyChange;

#[test]
fn v9_every_function_that_changes_the_app_has_its_name() {
    let text = include_str!("../../abi/DstackApp.json");
    let abi: Vec<Value> = serde_json::from_str(text).unwrap();
    let changing = abi.iter().filter(|entry| {
        entry["type"] == "function" && !["view", "pure"].contains(&entry["stateMutability"].as_str().unwrap())
    });
    let signature = |entry: &Value| {
        let kinds = entry["inputs"].as_array().unwrap().iter();
        let kinds: Vec<&str> = kinds.map(|input| input["type"].as_str().unwrap()).collect();
        format!("{}({})", entry["name"].as_str().unwrap(), kinds.join(","))
    };
    let named: BTreeSet<String> = OF_AN_UPGRADE
        .iter()
        .chain(&OF_THE_POLICY)
        .chain(&DANGEROUS)
        .map(|(name, parameters, _)| {
            let kinds: Vec<&str> = parameters.iter().map(|one| one.split_once(' ').unwrap().0).collect();
            format!("{name}({})", kinds.join(","))
        })
        .collect();
    let changing: Vec<String> = changing.map(signature).collect();
    assert!(changing.len() > 8);
    for function in changing {
        assert!(named.contains(&function), "{function}");
    }
}

#[test]
fn v7_the_calls_of_an_upgrade_are_read_back() {
    let (app, word) = (Address::repeat_byte(0x11), B256::repeat_byte(0xab));
    for (call, function) in [
        (Call::add_compose_hash(app, word), "addComposeHash(bytes32)"),
        (PolicyChange::AddDevice(word).call(app), "addDevice(bytes32)"),
        (
            PolicyChange::RemoveComposeHash(word).call(app),
            "removeComposeHash(bytes32)",
        ),
    ] {
        let decoded = decode(&call.data).unwrap();
        assert_eq!((decoded.function.as_str(), decoded.of_an_upgrade), (function, true));
        assert_eq!(decoded.arguments[0].value, word.to_string());
    }
}

#[test]
fn m20_a_call_that_gives_the_app_away_is_named_and_not_one_of_an_upgrade() {
    let somebody = Address::repeat_byte(0x66);
    let give = DstackApp::transferOwnershipCall { newOwner: somebody }.abi_encode();
    let decoded = decode(&give.into()).unwrap();
    assert_eq!(decoded.function, "transferOwnership(address)");
    assert_eq!(decoded.arguments[0].value, somebody.to_string());
    assert!(!decoded.of_an_upgrade);
    let replace = DstackApp::upgradeToAndCallCall {
        newImplementation: somebody,
        data: Bytes::from_static(&[1, 2, 3]),
    };
    let decoded = decode(&replace.abi_encode().into()).unwrap();
    assert_eq!(decoded.arguments[1].value, "0x010203");
    assert!(!decoded.of_an_upgrade);
}

#[test]
fn o4_what_gives_or_takes_power_is_dangerous_and_the_rest_of_the_policy_is_not() {
    let (owner, word) = (Address::repeat_byte(0x66), B256::repeat_byte(1));
    let dangerous = |data: Vec<u8>| decode(&data.into()).unwrap().dangerous;
    for data in [
        DstackApp::renounceOwnershipCall {}.abi_encode(),
        DstackApp::transferOwnershipCall { newOwner: owner }.abi_encode(),
        DstackApp::upgradeToAndCallCall {
            newImplementation: owner,
            data: Bytes::new(),
        }
        .abi_encode(),
    ] {
        assert!(dangerous(data.clone()), "{data:?}");
    }
    for data in [
        DstackApp::addDeviceCall { deviceId: word }.abi_encode(),
        DstackApp::removeDeviceCall { deviceId: word }.abi_encode(),
        DstackApp::addComposeHashCall { composeHash: word }.abi_encode(),
        DstackApp::removeComposeHashCall { composeHash: word }.abi_encode(),
        DstackApp::setAllowAnyDeviceCall { allowAny: true }.abi_encode(),
        DstackApp::setRequireTcbUpToDateCall { requireUpToDate: true }.abi_encode(),
        DstackApp::acceptOwnershipCall {}.abi_encode(),
        DstackApp::disableUpgradesCall {}.abi_encode(),
    ] {
        assert!(!dangerous(data.clone()), "{data:?}");
    }
}

fn schedule(calls: Vec<Call>) -> Bytes {
    let operation = TimelockOperation::of(calls, B256::repeat_byte(5)).unwrap();
    operation.schedule(Address::repeat_byte(0x71), 15 * 86_400).data
}

fn renounce() -> Call {
    Call {
        to: Address::repeat_byte(1),
        value: U256::ZERO,
        data: DstackApp::renounceOwnershipCall {}.abi_encode().into(),
    }
}

#[test]
fn l11_what_a_timelock_is_to_do_is_read_back_to_the_last_call() {
    let add = Call::add_compose_hash(Address::repeat_byte(1), B256::repeat_byte(2));
    let decoded = decode(&schedule(vec![add.clone()])).unwrap();
    assert_eq!(decoded.function, SINGLE.0);
    assert!(decoded.of_an_upgrade && !decoded.dangerous);
    assert!(decoded.meaning.contains("15 days"), "{}", decoded.meaning);
    assert_eq!(decoded.inner[0].call, add);
    assert_eq!(decoded.inner[0].decoded, decode(&add.data));
    let decoded = decode(&schedule(vec![add.clone(), renounce()])).unwrap();
    assert_eq!(decoded.function, BATCH.0);
    assert!(!decoded.of_an_upgrade && decoded.dangerous);
    assert_eq!(
        decoded.inner[1].decoded.as_ref().unwrap().function,
        "renounceOwnership()"
    );
    let unknown = Call {
        data: Bytes::from_static(&[1, 2, 3, 4]),
        ..add
    };
    let decoded = decode(&schedule(vec![unknown])).unwrap();
    assert!(!decoded.of_an_upgrade && decoded.dangerous);
    assert_eq!(decoded.inner[0].decoded, None);
    assert!(decoded.to_string().contains("an unknown call to"), "{decoded}");
}

#[test]
fn l11_a_schedule_of_a_schedule_is_read_as_well_and_too_deep_ones_are_not_harmless() {
    let mut data = renounce().data;
    for depth in 1..=5 {
        data = schedule(vec![Call { data, ..renounce() }]);
        let decoded = decode(&data).unwrap();
        assert!(decoded.dangerous && !decoded.of_an_upgrade, "{depth}");
    }
}

#[test]
fn l4_cancelling_an_operation_is_named_with_its_id_and_harms_nothing() {
    let operation = TimelockOperation::of(vec![renounce()], B256::ZERO).unwrap();
    let decoded = decode(&operation.cancel(Address::ZERO).data).unwrap();
    assert!(decoded.meaning.contains(&operation.id().to_string()));
    assert!(!decoded.of_an_upgrade && !decoded.dangerous && decoded.inner.is_empty());
    let execute = decode(&operation.execute(Address::ZERO).data).unwrap();
    assert_eq!(execute.function, SINGLE.1);
    assert!(execute.dangerous);
}

#[test]
fn roles_of_a_timelock_have_their_names() {
    use crate::abi::timelock::TimelockController as T;
    let grant = T::grantRoleCall {
        role: keccak256("PROPOSER_ROLE"),
        account: Address::repeat_byte(6),
    };
    let decoded = decode(&grant.abi_encode().into()).unwrap();
    assert!(decoded.dangerous);
    assert!(decoded.arguments[0].value.ends_with("(proposer)"), "{decoded:?}");
    assert_eq!(decoded.arguments[1].value, Address::repeat_byte(6).to_string());
}

#[test]
fn i18_calldata_that_is_not_the_one_encoding_of_its_values_is_unknown() {
    let add = Call::add_compose_hash(Address::ZERO, B256::repeat_byte(1)).data;
    let longer = [&add[..], &[0]].concat();
    let replace = DstackApp::upgradeToAndCallCall {
        newImplementation: Address::repeat_byte(1),
        data: Bytes::from_static(&[7]),
    };
    let mut padded = replace.abi_encode();
    *padded.last_mut().unwrap() = 1;
    let mut wide = DstackApp::transferOwnershipCall {
        newOwner: Address::ZERO,
    }
    .abi_encode();
    wide[4] = 1;
    for bad in [longer, add[..35].to_vec(), padded, wide, vec![1, 2, 3, 4], Vec::new()] {
        assert_eq!(decode(&bad.clone().into()), None, "{bad:?}");
    }
}
