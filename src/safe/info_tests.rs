//! Rules of judging a Safe.

use alloy::primitives::keccak256;

use super::*;
use crate::safe::deployments::{Contract, Deployment, PROXY_CODE, find};
use crate::safe::strangers::OwnerSafe;

fn known(contract: Contract) -> &'static Deployment {
    find(SafeVersion::V1_4_1, contract, Build::Canonical).unwrap()
}

fn ordinary() -> SafeInfo {
    let (singleton, handler) = (known(Contract::SingletonL2), known(Contract::CompatibilityHandler));
    SafeInfo {
        block: BlockRef {
            number: 1,
            hash: B256::ZERO,
            timestamp: 1,
        },
        chain_id: 8453,
        address: Address::repeat_byte(0x22),
        version: SafeVersion::V1_4_1,
        proxy_code_hash: PROXY_CODE[1].1,
        singleton: singleton.address,
        singleton_code_hash: singleton.code_hash,
        owners: [3, 4, 5].map(Address::repeat_byte).to_vec(),
        threshold: 2,
        nonce: U256::from(7),
        guard: None,
        module_guard: None,
        modules: Vec::new(),
        fallback_handler: Some(handler.address),
        fallback_handler_code_hash: Some(handler.code_hash),
        fallback_handler_obeys: None,
        contract_owners: Vec::new(),
    }
}

fn findings(change: impl FnOnce(&mut SafeInfo)) -> Vec<Finding> {
    let mut info = ordinary();
    change(&mut info);
    info.findings(&Trust::default())
}

fn changes(change: impl FnOnce(&mut SafeInfo)) -> Vec<Change> {
    let mut now = ordinary();
    change(&mut now);
    now.changes_since(&ordinary())
}

#[test]
fn slots_are_the_hashes_of_their_names() {
    for (slot, name) in [
        (GUARD_SLOT, "guard_manager.guard.address"),
        (MODULE_GUARD_SLOT, "module_manager.module_guard.address"),
        (FALLBACK_HANDLER_SLOT, "fallback_manager.handler.address"),
    ] {
        assert_eq!(slot, keccak256(name));
    }
}

#[test]
fn an_ordinary_safe_of_every_build_has_nothing_remarkable() {
    assert_eq!(findings(|_| ()), []);
    for build in [Build::Canonical, Build::Eip155] {
        let singleton = find(SafeVersion::V1_3_0, Contract::SingletonL2, build).unwrap();
        let change = |info: &mut SafeInfo| {
            info.version = SafeVersion::V1_3_0;
            (info.singleton, info.singleton_code_hash) = (singleton.address, singleton.code_hash);
        };
        assert_eq!(findings(change), []);
        let mut info = ordinary();
        change(&mut info);
        assert_eq!(info.build(), build);
    }
}

#[test]
fn v11_unknown_code_behind_a_safe_is_a_stop_until_it_is_pinned() {
    let strange = B256::repeat_byte(9);
    let mut info = ordinary();
    info.singleton_code_hash = strange;
    let found = info.findings(&Trust::default());
    assert!(matches!(found[..], [Finding::UnknownSingleton { code_hash, .. }] if code_hash == strange));
    assert_eq!(found[0].severity(), Severity::Stop);
    let pinned = Trust {
        code: [strange].into(),
        old_versions: false,
    };
    assert_eq!(info.findings(&pinned), []);
}

#[test]
fn v11_known_code_at_an_unlisted_address_is_a_warning() {
    let found = findings(|info| info.singleton = Address::repeat_byte(9));
    assert!(matches!(found[..], [Finding::UnlistedSingleton { .. }]));
    assert_eq!(found[0].severity(), Severity::Warning);
}

#[test]
fn known_code_that_is_no_singleton_or_of_another_version_is_a_stop() {
    let library = known(Contract::MultiSendCallOnly);
    let found = findings(|info| (info.singleton, info.singleton_code_hash) = (library.address, library.code_hash));
    assert_eq!(
        found,
        [Finding::NotASingleton {
            address: library.address
        }]
    );
    let found = findings(|info| info.version = SafeVersion::V1_5_0);
    let other = Finding::OtherVersion {
        says: SafeVersion::V1_5_0,
        is: SafeVersion::V1_4_1,
    };
    assert_eq!(found, [other]);
    assert_eq!(found[0].severity(), Severity::Stop);
}

#[test]
fn pitfall_70_a_singleton_without_events_is_named_where_the_service_reads_nothing_else() {
    let silent = find(SafeVersion::V1_4_1, Contract::Singleton, Build::Canonical).unwrap();
    let on = |chain_id: u64| {
        findings(|info| {
            info.chain_id = chain_id;
            (info.singleton, info.singleton_code_hash) = (silent.address, silent.code_hash);
        })
    };
    let address = silent.address;
    let found = on(8453);
    assert_eq!(found, [Finding::NotIndexed { address }]);
    assert_eq!(found[0].severity(), Severity::Warning);
    assert_eq!(on(11_155_111), [Finding::NotIndexed { address }]);
    assert_eq!(on(1), [], "traces are read there");
    assert_eq!(on(31337), [], "Safe runs no service there");
}

#[test]
fn unknown_proxies_are_a_stop_until_they_are_pinned() {
    let code_hash = B256::repeat_byte(9);
    let found = findings(|info| info.proxy_code_hash = code_hash);
    assert_eq!(found, [Finding::UnknownProxy { code_hash }]);
    assert_eq!(found[0].severity(), Severity::Stop);
}

#[test]
fn m27_an_old_safe_is_a_stop_unless_it_is_asked_for() {
    let old = find(SafeVersion::new(1, 1, 1), Contract::Singleton, Build::Canonical).unwrap();
    let mut info = ordinary();
    info.version = old.version;
    (info.singleton, info.singleton_code_hash) = (old.address, old.code_hash);
    let found = info.findings(&Trust::default());
    assert_eq!(found, [Finding::OldVersion { version: old.version }]);
    let asked = Trust {
        code: BTreeSet::new(),
        old_versions: true,
    };
    assert_eq!(info.findings(&asked), []);
}

#[test]
fn an_eravm_safe_is_recognised_and_has_nothing_to_batch_with() {
    let era = find(SafeVersion::V1_4_1, Contract::SingletonL2, Build::EraVm).unwrap();
    let mut info = ordinary();
    (info.singleton, info.singleton_code_hash) = (era.address, era.code_hash);
    assert_eq!(info.findings(&Trust::default()), [Finding::EraVm]);
    assert!(deployments::batchers(info.version, info.build()).is_empty());
}

#[test]
fn pitfall_37_modules_guards_and_strange_handlers_are_named() {
    let address = Address::repeat_byte(9);
    let found = findings(|info| {
        info.modules = vec![address];
        info.guard = Some(address);
        info.module_guard = Some(address);
        info.fallback_handler = Some(address);
        info.fallback_handler_code_hash = Some(B256::repeat_byte(9));
    });
    let expected = [
        Finding::Module { address },
        Finding::Guard { address },
        Finding::ModuleGuard { address },
        Finding::UnknownFallbackHandler { address },
    ];
    assert_eq!(found, expected);
    assert!(found.iter().all(|finding| finding.severity() < Severity::Stop));
    assert_eq!(
        findings(|info| info.fallback_handler = None),
        [Finding::NoFallbackHandler]
    );
}

#[test]
fn owners_that_cannot_be_are_a_stop() {
    let own = ordinary().address;
    let wrong: [&dyn Fn(&mut SafeInfo); 6] = [
        &|info| info.threshold = 0,
        &|info| info.threshold = 4,
        &|info| info.owners[1] = Address::ZERO,
        &|info| info.owners[1] = SENTINEL,
        &|info| info.owners[1] = own,
        &|info| info.owners[1] = info.owners[0],
    ];
    for change in wrong {
        let found = findings(change);
        assert!(matches!(found[..], [Finding::ImpossibleOwners { .. }]), "{found:?}");
        assert_eq!(found[0].severity(), Severity::Stop);
    }
}

#[test]
fn nothing_changed_when_only_block_and_nonce_moved() {
    let moved = |info: &mut SafeInfo| {
        info.nonce += U256::from(1);
        info.block.number += 1;
    };
    assert_eq!(changes(moved), []);
}

#[test]
fn m6_m7_changed_owners_and_thresholds_are_named() {
    let (owner, gone) = (Address::repeat_byte(9), Address::repeat_byte(4));
    let found = changes(|info| {
        info.owners[1] = owner;
        info.threshold = 3;
    });
    let expected = [
        Change::OwnerAdded { owner },
        Change::OwnerRemoved { owner: gone },
        Change::Threshold { before: 2, now: 3 },
    ];
    assert_eq!(found, expected);
    assert_eq!(changes(|info| info.owners.reverse()), []);
}

#[test]
fn m15_another_singleton_or_other_code_is_a_change() {
    let now = Address::repeat_byte(9);
    let before = ordinary().singleton;
    assert_eq!(changes(|info| info.singleton = now), [Change::Code { before, now }]);
    let same = [Change::Code { before, now: before }];
    assert_eq!(changes(|info| info.singleton_code_hash = B256::ZERO), same);
    assert_eq!(changes(|info| info.proxy_code_hash = B256::ZERO), same);
    assert_eq!(changes(|info| info.version = SafeVersion::V1_5_0), same);
}

#[test]
fn m16_changed_modules_guards_and_handlers_are_named() {
    let address = Address::repeat_byte(9);
    let found = changes(|info| {
        info.guard = Some(address);
        info.module_guard = Some(address);
        info.modules = vec![address];
        info.fallback_handler_code_hash = None;
    });
    let handler = ordinary().fallback_handler;
    let expected = [
        Change::Guard {
            before: None,
            now: Some(address),
        },
        Change::ModuleGuard {
            before: None,
            now: Some(address),
        },
        Change::Modules {
            added: vec![address],
            removed: Vec::new(),
        },
        Change::FallbackHandler {
            before: handler,
            now: handler,
        },
    ];
    assert_eq!(found, expected);
}

#[test]
fn another_chain_or_address_is_another_safe() {
    assert_eq!(changes(|info| info.chain_id = 1), [Change::Identity]);
    assert_eq!(changes(|info| info.address = Address::ZERO), [Change::Identity]);
}

#[test]
fn a_safe_reads_back_from_json_as_it_was_written() {
    let text = serde_json::to_string(&ordinary()).unwrap();
    assert_eq!(serde_json::from_str::<SafeInfo>(&text).unwrap(), ordinary());
    let decorated = text.replace("\"1.4.1\"", "\"1.4.1+L2\"");
    assert_eq!(serde_json::from_str::<SafeInfo>(&decorated).unwrap(), ordinary());
}

#[test]
fn an_owner_that_takes_what_nobody_signed_is_not_vouched_for_by_its_code() {
    let code = B256::repeat_byte(9);
    let safe = OwnerSafe {
        proxy_code_hash: code,
        singleton: Address::repeat_byte(8),
        singleton_code_hash: code,
        fallback_handler: None,
        fallback_handler_code_hash: None,
    };
    let owner = |takes_anything, safe: Option<&OwnerSafe>| ContractOwner {
        address: Address::repeat_byte(3),
        of: Address::repeat_byte(0x22),
        takes_anything,
        safe: safe.cloned(),
    };
    let vouching = Trust {
        code: [code].into(),
        ..Trust::default()
    };
    for (owner, untrusting, trusting) in [
        (owner(true, Some(&safe)), 1, 1),
        (owner(true, None), 1, 1),
        (owner(false, Some(&safe)), 1, 0),
        (owner(false, None), 1, 1),
    ] {
        let mut info = ordinary();
        info.contract_owners = vec![owner];
        assert_eq!(info.findings(&Trust::default()).len(), untrusting);
        assert_eq!(info.findings(&vouching).len(), trusting);
    }
}
