//! Values for the tests of this room: one upgrade of one app that one key owns.

use alloy::primitives::{Address, B256, Bytes, U256, b256};

use crate::chain::{AppState, BlockRef, Call, Finality, OwnerKind, PolicyChange, Proof, Proved, SignedTx, TxRequest};
use crate::cloud::{patch::PublicPatch, updates::Accepted};
use crate::compose::{Changes, ComposeHash, Form, Manifest, Verification};
use crate::safe::{deployments, info::SafeInfo};
use crate::upgrade::{
    model::{
        actor::Actor,
        plan::{CodeChange, Plan},
        route::Route,
        target::Target,
    },
    record::event::{Event, Identity, Preparation},
};

pub(super) const APP: Address = Address::repeat_byte(0xa1);
pub(super) const OWNER: Address = Address::repeat_byte(0x0e);
const MANIFEST: &str = r#"{"manifest_version":2,"name":"app","runner":"docker-compose",
    "docker_compose_file":"services:\n  web:\n    image: nginx@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n","allowed_envs":["A","B"]}"#;

pub(super) fn now() -> jiff::Timestamp {
    "2026-11-21T05:00:00Z".parse().unwrap()
}

pub(super) fn block(number: u64) -> BlockRef {
    let hash = B256::with_last_byte(u8::try_from(number).unwrap());
    BlockRef {
        number,
        hash,
        timestamp: 1_790_000_000 + number,
    }
}

pub(super) fn plan() -> Plan {
    let manifest = Manifest::parse(MANIFEST.as_bytes()).unwrap();
    let compose =
        "services:\n  web:\n    image: nginx@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"
            .to_owned();
    let changes = Changes {
        docker_compose_file: Some(compose),
        ..Changes::default()
    };
    let after = manifest.with(&changes);
    let expected = after.hash(Form::Sorted);
    let code = CodeChange {
        cloud: "127.0.0.1".to_owned(),
        cvm: "app-1".to_owned(),
        target: Target::Cvm,
        cvm_name: Some("app".to_owned()),
        cvm_uuid: None,
        device: Some(B256::repeat_byte(0xde)),
        os_image: None,
        current_hash: Some(manifest.hash(Form::Sorted)),
        changes: manifest.diff(&after),
        manifest,
        patch: PublicPatch {
            changes,
            ..PublicPatch::default()
        },
        machine_before: None,
        environment: None,
        base: None,
        kms_named: false,
        kms_before: None,
        base_tx: None,
        sealed: None,
        form: Some(Form::Sorted),
        expected_hash: Some(expected),
        pending_updates: Vec::new(),
        confirm: false,
        prepared_elsewhere: false,
    };
    Plan {
        app: APP,
        chain_id: 31337,
        kms: Some(Address::repeat_byte(0x6b)),
        app_state: app_state(),
        actor: Actor {
            address: OWNER,
            kind: OwnerKind::Eoa,
        },
        route: Route::Eoa { owner: OWNER },
        safe: None,
        timelock: None,
        code: Some(code),
        policy: Vec::new(),
        calls: vec![Call::add_compose_hash(APP, B256::from(*expected.as_bytes()))],
        warnings: Vec::new(),
        blockers: Vec::new(),
        read_at: now(),
        waiting: None,
        storages: Default::default(),
    }
}

fn app_state() -> AppState {
    AppState {
        block: block(1),
        app: APP,
        code_hash: B256::repeat_byte(1),
        implementation: None,
        implementation_code_hash: None,
        manages_hashes: true,
        owner: OWNER,
        owner_kind: OwnerKind::Eoa,
        pending_owner: None,
        hash_allowed: Some(false),
        running_allowed: Some(true),
        device_allowed: Some(true),
        any_device: false,
        version: None,
        require_tcb_up_to_date: None,
        registered: Some(true),
        os_image_allowed: None,
        other_policy: None,
        preflight: None,
    }
}

pub(super) fn hash() -> ComposeHash {
    plan().code.unwrap().expected_hash.unwrap()
}

pub(super) fn tx(nonce: u64, fee: u128) -> SignedTx {
    let request = TxRequest {
        chain_id: 31337,
        from: OWNER,
        nonce,
        call: plan().calls.remove(0),
        gas_limit: 60_000,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: 1,
    };
    SignedTx {
        request,
        hash: B256::from(U256::from(fee) + U256::from(nonce)),
        raw: Bytes::from_static(&[2]),
    }
}

pub(super) fn proof(transaction: B256) -> Proof {
    Proof {
        chain_id: 31337,
        app: APP,
        changes: vec![Proved {
            change: PolicyChange::AddComposeHash(B256::from(*hash().as_bytes())),
            log_index: Some(0),
        }],
        besides: Vec::new(),
        transaction: Some(transaction),
        sender: Some(OWNER),
        block: block(2),
        gas_used: Some(50_000),
        head: block(3),
        finality: Finality::Confirmations(1),
        endpoints: vec!["http://127.0.0.1".to_owned()],
        named: None,
    }
}

/// Every record of an upgrade without incident, in order.
pub(super) fn story() -> Vec<Event> {
    let tx = tx(0, 100);
    vec![
        Event::Open(Identity {
            schema: 1,
            update: "u-1".to_owned(),
            cvm: Some("app-1".to_owned()),
            app: APP,
            chain_id: 31337,
            cloud: Some("127.0.0.1".to_owned()),
        }),
        Event::Plan(Box::new(plan())),
        Event::PrepareTry {
            at: now(),
            digest: B256::ZERO,
            there: Vec::new(),
        },
        Event::PrepareOk(preparation()),
        Event::Verified {
            hash: hash(),
            how: Verification::Verified { form: Form::Sorted },
        },
        Event::SignTry {
            signer: OWNER,
            digest: B256::ZERO,
        },
        Event::TxSigned(tx.clone()),
        Event::TxSent {
            hash: tx.hash,
            at: now(),
        },
        Event::TxSeen {
            hash: tx.hash,
            block: block(2),
        },
        Event::TxFinal(Box::new(proof(tx.hash))),
        Event::CommitTry {
            at: now(),
            there: Vec::new(),
        },
        Event::CommitOk {
            accepted: Some(Accepted {
                correlation_id: Some("c-1".to_owned()),
                status: Some("in_progress".to_owned()),
            }),
            made: None,
            at: now(),
        },
        Event::Done { at: now(), again: true },
    ]
}

pub(super) fn preparation() -> Preparation {
    Preparation {
        hash: hash(),
        token_sha256: Some(B256::repeat_byte(7)),
        at: now(),
        expires: now().saturating_add(jiff::SignedDuration::from_hours(14 * 24)).unwrap(),
        request_id: Some("req_1".to_owned()),
        adopted: false,
    }
}

/// The sample plan, for an app that a 2-of-3 Safe of known code owns.
pub(super) fn safe_plan() -> Plan {
    let mut plan = plan();
    plan.app_state.owner_kind = OwnerKind::Contract;
    plan.actor.kind = OwnerKind::Contract;
    plan.route = Route::Safe { owner: OWNER };
    plan.safe = Some(safe());
    plan
}

pub(super) fn owner_keys() -> Vec<alloy::signers::local::PrivateKeySigner> {
    let mut keys: Vec<alloy::signers::local::PrivateKeySigner> = (1..=3)
        .map(|number| alloy::signers::local::PrivateKeySigner::from_bytes(&B256::with_last_byte(number)).unwrap())
        .collect();
    keys.sort_by_key(alloy::signers::local::PrivateKeySigner::address);
    keys
}

pub(super) fn safe() -> SafeInfo {
    let known = |version: &str, contract| {
        let found = deployments::ALL
            .iter()
            .find(|known| known.version.to_string() == version && known.contract == contract);
        found.unwrap()
    };
    let singleton = known("1.4.1", deployments::Contract::SingletonL2);
    let handler = known("1.4.1", deployments::Contract::CompatibilityHandler);
    SafeInfo {
        block: block(1),
        chain_id: 31337,
        address: OWNER,
        version: singleton.version,
        proxy_code_hash: b256!("d7d408ebcd99b2b70be43e20253d6d92a8ea8fab29bd3be7f55b10032331fb4c"),
        singleton: singleton.address,
        singleton_code_hash: singleton.code_hash,
        owners: owner_keys().iter().map(|key| key.address()).collect(),
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
