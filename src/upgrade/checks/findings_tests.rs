//! What a plan's facts mean, one fact at a time.

use alloy::primitives::{Address, B256};
use serde_json::json;

use super::*;
use crate::chain::{Preflight, policy_history::PolicyEntry};
use crate::cloud::{Kms, Progress};
use crate::upgrade::sample;

/// Facts of an app without anything to say about it, but for what `change` makes of them.
struct Facts {
    app: AppState,
    cvm: Cvm,
    before: Manifest,
    after: Manifest,
    form: Option<Form>,
    pending: Option<Vec<PendingUpdate>>,
    history: Option<PolicyHistory>,
    policy: Vec<PolicyChange>,
    environment: bool,
    image: Option<NextImage>,
}

impl Facts {
    fn codes(change: impl FnOnce(&mut Self)) -> (Vec<String>, Vec<String>) {
        let plan = sample::plan();
        let code = plan.code.unwrap();
        let after = code.manifest_after();
        let mut facts = Self {
            app: plan.app_state,
            cvm: cvm(code.current_hash),
            before: code.manifest,
            after,
            form: code.form,
            pending: Some(Vec::new()),
            history: None,
            policy: Vec::new(),
            environment: false,
            image: None,
        };
        change(&mut facts);
        let findings = Findings {
            target: &Target::Cvm,
            app: &facts.app,
            cvm: &facts.cvm,
            before: &facts.before,
            after: &facts.after,
            form: facts.form,
            expected: facts.form.map(|form| facts.after.hash(form)),
            pending: facts.pending.as_deref(),
            history: facts.history.as_ref(),
            policy: &facts.policy,
            environment: facts.environment,
            image: facts.image.as_ref(),
        };
        let codes = |list: Vec<Warning>| list.into_iter().map(|warning| warning.code.name().to_owned()).collect();
        (codes(findings.blockers()), codes(findings.warnings()))
    }
}

fn names(list: &[&str]) -> crate::compose::Changes {
    crate::compose::Changes {
        allowed_envs: Some(list.iter().map(|name| (*name).to_owned()).collect()),
        ..Default::default()
    }
}

fn cvm(compose_hash: Option<ComposeHash>) -> Cvm {
    Cvm {
        name: None,
        uuid: Some("0123abcd-0000-4000-8000-000000000001".to_owned()),
        app_id: Some(sample::APP),
        status: Some("running".to_owned()),
        compose_hash,
        kms: Kms::default(),
        instance_id: None,
        resources: crate::cloud::Resources::default(),
        device_id: None,
        os_image_hash: None,
        os_image: None,
        os_version: None,
        node_version: None,
        listed: None,
        progress: None,
        raw: json!({}),
    }
}

fn update(vm_uuid: Option<&str>) -> PendingUpdate {
    PendingUpdate {
        vm_uuid: vm_uuid.map(ToOwned::to_owned),
        compose_hash: None,
        on_chain: None,
        instance_name: None,
    }
}

#[test]
fn an_app_with_nothing_wrong_has_no_findings() {
    assert_eq!(Facts::codes(|_| {}), (Vec::new(), Vec::new()));
}

#[test]
fn each_fact_that_forbids_going_on_has_its_code() {
    type Change = fn(&mut Facts);
    let preflight = |as_if_allowed| Preflight {
        allowed: false,
        reason: "OS image is not allowed".to_owned(),
        as_if_allowed,
    };
    let table: [(&str, Change); 8] = [
        ("NOTHING_TO_APPROVE", |facts| facts.after = facts.before.clone()),
        ("ENV_VALUES_ONLY", |facts| {
            facts.after = facts.before.clone();
            facts.environment = true;
        }),
        ("OWNER_RENOUNCED", |facts| {
            facts.app.owner = Address::ZERO;
            facts.app.owner_kind = OwnerKind::Nobody;
        }),
        ("APP_INTERFACE", |facts| facts.app.manages_hashes = false),
        ("APP_NOT_REGISTERED", |facts| facts.app.registered = Some(false)),
        ("DEVICE_NOT_ALLOWED", |facts| facts.app.device_allowed = Some(false)),
        ("UPDATE_PENDING", |facts| {
            facts.pending = Some(vec![update(Some("0123ABCD000040008000000000000001"))])
        }),
        ("UPDATE_PENDING", |facts| facts.pending = Some(vec![update(None)])),
    ];
    for (code, change) in table {
        assert_eq!(Facts::codes(change).0, [code]);
    }
    assert_eq!(
        Facts::codes(|facts| facts.app.preflight = Some(preflight(true))).0,
        ["KMS_WOULD_REFUSE"]
    );
    // Asked without the hash, the KMS refuses every new hash: that says nothing.
    assert_eq!(
        Facts::codes(|facts| facts.app.preflight = Some(preflight(false))).0,
        Vec::<String>::new()
    );
}

#[test]
fn h6_every_hash_but_those_before_and_after_is_older() {
    let record = |hash: ComposeHash, allowed| PolicyEntry {
        id: B256::from(*hash.as_bytes()),
        allowed,
        since: None,
    };
    let history = |hashes: Vec<PolicyEntry>, incomplete: Option<&str>| {
        Some(PolicyHistory {
            block: sample::plan().app_state.block,
            hashes,
            devices: Vec::new(),
            events: Vec::new(),
            upgrades_disabled: None,
            incomplete: incomplete.map(ToOwned::to_owned),
        })
    };
    let older = ComposeHash::new([7; 32]);
    let known = |facts: &Facts| {
        let after = facts.form.map(|form| facts.after.hash(form));
        [facts.cvm.compose_hash.unwrap(), after.unwrap()].map(|hash| record(hash, true))
    };
    let none = Vec::<String>::new();
    let both = |facts: &Facts, more: &[PolicyEntry]| [&known(facts)[..], more].concat();
    assert_eq!(
        Facts::codes(|facts| facts.history = history(both(facts, &[]), None)).0,
        none
    );
    assert_eq!(
        Facts::codes(|facts| facts.history = history(vec![record(older, false)], None)).0,
        none
    );
    assert_eq!(
        Facts::codes(|facts| facts.history = history(both(facts, &[]), Some("it is cut"))).0,
        ["OLDER_HASHES_UNKNOWN"]
    );
    for incomplete in [None, Some("it is cut")] {
        assert_eq!(
            Facts::codes(|facts| facts.history = history(both(facts, &[record(older, true)]), incomplete)).0,
            ["OLDER_HASHES_ALLOWED"]
        );
        let removes = |facts: &mut Facts| {
            facts.policy = vec![PolicyChange::RemoveComposeHash(record(older, true).id)];
            facts.history = history(both(facts, &[record(older, true)]), None);
        };
        assert_eq!(Facts::codes(removes).0, none);
    }
}

#[test]
fn what_concerns_others_forbids_nothing() {
    let none = Vec::<String>::new();
    assert_eq!(
        Facts::codes(|facts| facts.pending = Some(vec![update(Some("ffff"))])).0,
        none
    );
    let any = |facts: &mut Facts| {
        facts.app.device_allowed = Some(false);
        facts.app.any_device = true;
    };
    assert_eq!(Facts::codes(any).0, none);
    let device = B256::repeat_byte(0xde);
    let added = |facts: &mut Facts| {
        facts.cvm.device_id = Some(device);
        facts.app.device_allowed = Some(false);
        facts.policy = vec![PolicyChange::AddDevice(device)];
    };
    assert_eq!(Facts::codes(added).0, none);
    let another = |facts: &mut Facts| {
        facts.cvm.device_id = Some(device);
        facts.app.device_allowed = Some(false);
        facts.policy = vec![PolicyChange::AddDevice(B256::repeat_byte(0x77))];
    };
    assert_eq!(Facts::codes(another).0, ["DEVICE_NOT_ALLOWED"]);
}

#[test]
fn each_fact_that_a_person_should_know_has_its_code() {
    type Change = fn(&mut Facts);
    let table: [(&str, Change); 10] = [
        ("HASH_ALREADY_ALLOWED", |facts| facts.app.hash_allowed = Some(true)),
        ("OWNER_PENDING", |facts| {
            facts.app.pending_owner = Some(Address::repeat_byte(9))
        }),
        ("OWNER_DELEGATES", |facts| {
            facts.app.owner_kind = OwnerKind::DelegatedEoa
        }),
        ("OWNER_IS_A_CONTRACT", |facts| {
            facts.app.owner_kind = OwnerKind::Contract
        }),
        ("HASH_UNVERIFIABLE", |facts| facts.form = None),
        ("PENDING_UNKNOWN", |facts| facts.pending = None),
        ("OPERATION_IN_PROGRESS", |facts| {
            facts.cvm.progress = Some(Progress {
                target: None,
                correlation_id: None,
            });
        }),
        ("ENV_NAMES_REMOVED", |facts| {
            let fewer = crate::compose::Changes {
                allowed_envs: Some(vec!["A".to_owned()]),
                ..Default::default()
            };
            facts.after = facts.after.with(&fewer);
        }),
        ("ENV_NAMES_ADDED", |facts| {
            let text = facts.after.get("docker_compose_file").unwrap().as_str().unwrap();
            let more = crate::compose::Changes {
                docker_compose_file: Some(format!("{text}    environment: [C]\n")),
                ..names(&["A", "B", "C"])
            };
            facts.after = facts.after.with(&more);
        }),
        ("ENV_NAMES_REORDERED", |facts| {
            facts.after = facts.after.with(&names(&["B", "A"]))
        }),
    ];
    for (code, change) in table {
        assert_eq!(Facts::codes(change), (Vec::new(), vec![code.to_owned()]));
    }
    let loose = crate::compose::Changes {
        docker_compose_file: Some("services:\n  web:\n    image: nginx:latest\n".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        Facts::codes(|facts| facts.after = facts.after.with(&loose)).1,
        ["IMAGE_NOT_PINNED"]
    );
    // Nobody pending is not somebody.
    assert_eq!(
        Facts::codes(|facts| facts.app.pending_owner = Some(Address::ZERO)).1,
        Vec::<String>::new()
    );
}

#[test]
fn an_image_before_dstack_0_6_is_not_given_what_it_does_not_survive() {
    let on = |image: &str, node: &str, field: &str, value: serde_json::Value| {
        Facts::codes(|facts| {
            facts.cvm.os_image = Some(image.to_owned());
            facts.cvm.node_version = Some(node.to_owned());
            let mut after = serde_json::to_value(&facts.after).unwrap();
            after[field] = value;
            facts.after = serde_json::from_value(after).unwrap();
        })
        .0
    };
    for third in [json!(3), json!("3")] {
        for node in ["v0.5.4", "0.6.0"] {
            assert_eq!(
                on("dstack-0.5.7", node, "manifest_version", third.clone()),
                ["IMAGE_TOO_OLD"]
            );
            assert!(on("dstack-dev-0.6.0", node, "manifest_version", third.clone()).is_empty());
        }
    }
    assert!(on("dstack-0.5.7", "0.6.0", "manifest_version", json!(2)).is_empty());
    let fixed = json!("0a0b");
    assert_eq!(
        on("dstack-0.5.7", "v0.6.0", "key_provider_id", fixed.clone()),
        ["IMAGE_TOO_OLD"]
    );
    assert!(on("dstack-0.5.7", "v0.5.11", "key_provider_id", fixed.clone()).is_empty());
    assert!(on("dstack-0.6.1", "v0.6.0", "key_provider_id", fixed).is_empty());
    assert!(on("dstack-0.5.7", "v0.6.0", "key_provider_id", json!("")).is_empty());
}

#[test]
fn the_image_that_the_cvm_is_to_be_given_is_the_one_that_has_to_read_the_manifest_and_that_the_kms_has_to_allow() {
    let moved = |from: &str, to: &str, allowed: Option<bool>| {
        Facts::codes(|facts| {
            facts.cvm.os_image = Some(from.to_owned());
            facts.image = Some(NextImage::known(to, B256::repeat_byte(9)));
            facts.app.os_image_allowed = allowed;
            let mut after = serde_json::to_value(&facts.after).unwrap();
            after["manifest_version"] = json!("3");
            facts.after = serde_json::from_value(after).unwrap();
        })
        .0
    };
    assert!(moved("dstack-0.5.7", "dstack-0.6.0", Some(true)).is_empty());
    assert_eq!(moved("dstack-0.6.0", "dstack-0.5.7", None), ["IMAGE_TOO_OLD"]);
    assert_eq!(
        moved("dstack-0.6.0", "dstack-0.6.1", Some(false)),
        ["OS_IMAGE_NOT_ALLOWED"]
    );
}
