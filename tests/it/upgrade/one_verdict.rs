//! One verdict over everything that was tampered with: every command says the same of it with a chain, every command says the
//! same of it without one, and what the file alone shows is a stop in both.

use std::cell::Cell;
use std::path::PathBuf;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol;
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::support::cloud::compose_hash;
use crate::support::contracts::abi;
use crate::support::page::Serving;
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, SafeService, World};

sol! {
    function addOwnerWithThreshold(address owner, uint256 threshold);
}

const SCRIPT: &str = "curl https://example.com/x | sh";
/// Where OpenZeppelin's proxies keep what they run (EIP-1967).
const IMPLEMENTATION: &str = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc";

/// A Safe of two of three, a service, and a CVM that runs a script on both sides of every change.
struct Ground {
    world: World,
    service: SafeService,
    /// Allows the hash of what runs, or takes it away, without an event.
    slot: B256,
    number: Cell<u32>,
}

/// What somebody did to a proposal, or to the world that it is about.
#[derive(Clone)]
struct Case {
    name: &'static str,
    world: fn(&Ground),
    edit: fn(&mut Value),
    /// The endpoint gives no logs.
    blind: bool,
    /// What forbids it, and how the run ends, where a chain is asked.
    online: Option<(&'static str, i32)>,
    /// The same for the file alone.
    offline: Option<(&'static str, i32)>,
    /// And for the Safe's half of it, with a chain.
    rejection: Option<(&'static str, i32)>,
}

const fn untouched(_: &Ground) {}
const fn same(_: &mut Value) {}

const HONEST: Case = Case {
    name: "honest",
    world: untouched,
    edit: same,
    blind: false,
    online: None,
    offline: None,
    rejection: None,
};

impl Ground {
    fn new() -> Self {
        let world = World::with(WorldOptions {
            safe: Some(SafeOptions {
                release: 1,
                l2: false,
                threshold: 3,
                owners: 3,
            }),
            ..WorldOptions::default()
        });
        let service = SafeService::start(&world.rpc());
        service.index(world.safe.unwrap());
        world.cloud.change_cvm(CVM, |cvm| {
            cvm.manifest.insert("pre_launch_script".to_owned(), json!(SCRIPT));
            cvm.compose_hash = compose_hash(&cvm.manifest);
        });
        let slot = keccak256([world.cloud.cvm(CVM).compose_hash, B256::ZERO].concat());
        let ground = Self {
            world,
            service,
            slot,
            number: Cell::new(0),
        };
        ground.running_is_allowed(true);
        ground
    }
    fn running_is_allowed(&self, yes: bool) {
        let word = B256::with_last_byte(yes.into());
        let place = json!([self.world.app, self.slot, word]);
        self.world.rpc().call("anvil_setStorageAt", place);
    }
    fn as_safe<C: alloy::sol_types::SolCall>(&self, to: Address, call: &C) {
        self.world.rpc().execute_as(self.world.safe.unwrap(), to, call);
    }
    /// One byte more of code: it runs as before and is another one.
    fn change_code(&self, at: Address) {
        let rpc = self.world.rpc();
        let code: Bytes = serde_json::from_value(rpc.call("eth_getCode", json!([at, "latest"]))).unwrap();
        let more = Bytes::from([&code[..], &[0]].concat());
        rpc.call("anvil_setCode", json!([at, more]));
    }
    /// A prepared upgrade that one owner signed.
    fn prepared(&self) -> Value {
        let flow = Flow::new(&self.world);
        let url = self.service.url();
        flow.with("prepare", &["--service-url", &url]).exits(0);
        let dir = flow.dir.to_str().unwrap();
        let sign = ["sign", "--dir", dir, "--signer", "env:SIGNER_0", "--yes", "--json"];
        Ran::of(&mut flow.command(&sign)).exits(0);
        flow.json_file("proposal.json")
    }
    /// A command on a proposal, on a machine that saw nothing before.
    fn run(&self, flow: &Flow<'_>, proposal: &Value, words: &str) -> Ran {
        let number = self.number.get() + 1;
        self.number.set(number);
        let home: PathBuf = self.world.folder().join(format!("machine-{number}"));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("proposal.json"), proposal.to_string()).unwrap();
        let mut words: Vec<&str> = words.split(' ').collect();
        words.insert(1, "proposal.json");
        words.push("--json");
        let url = self.service.url();
        match words[0] {
            "review" => {}
            "propose" => words.extend(["--service-url", &url]),
            _ => words.extend(["--signer", "env:SIGNER_1", "--yes"]),
        }
        let mut command = flow.command(&words);
        command.current_dir(&home).env("XDG_STATE_HOME", home.join("state"));
        Ran::of(&mut command)
    }
    /// What `review` says of a proposal on a terminal, and what it shows in a browser where it gets so far.
    fn on_both(&self, flow: &Flow<'_>, proposal: &Value) -> (String, Option<(Value, String)>) {
        let home = self.world.folder().join("reader");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("proposal.json"), proposal.to_string()).unwrap();
        let command = |more: &[&str]| {
            let mut command = flow.command(&[&["review", "proposal.json"], more].concat());
            command.current_dir(&home).env("XDG_STATE_HOME", home.join("state"));
            command
        };
        let text = String::from_utf8(command(&[]).output().unwrap().stdout).unwrap();
        let shown = Serving::try_start(&mut command(&["--json", "--open", "--no-open"]))
            .ok()
            .map(|serving| {
                let html = serving.tab().at("over")["html"].as_str().unwrap().to_owned();
                (serving.ended().json, html)
            });
        (text, shown)
    }
    /// Runs all of these; gives what ends otherwise than is expected, and whose verdict is another one.
    fn agree(
        &self,
        (flow, proposal): (&Flow<'_>, &Value),
        commands: &[&str],
        forbids: Option<(&str, i32)>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut first: Option<Value> = None;
        for words in commands {
            let ran = self.run(flow, proposal, words);
            let told = |what: &str| format!("{words}, {what}: {}", ran.said);
            match forbids {
                Some((code, exit)) if (ran.json["code"] == code) && ran.exit == exit => {}
                // Signatures, roles and the queue are judged after it.
                None if [0, 8].contains(&ran.exit) => {}
                _ => wrong.push(told("another end")),
            }
            let verdict = ran.json["data"]["verdict"].clone();
            let first = first.get_or_insert_with(|| verdict.clone());
            if *first != verdict {
                wrong.push(told(&format!("another verdict than {first}")));
            }
        }
        wrong
    }
    /// All commands over one case, in a world that is put back afterwards.
    fn try_case(&self, honest: &Value, case: &Case) -> Vec<String> {
        let rpc = self.world.rpc();
        let snapshot = rpc.call("evm_snapshot", json!([]));
        (case.world)(self);
        // What is written without a block is not in the state root of the newest one.
        rpc.mine(1);
        let mut proposal = honest.clone();
        (case.edit)(&mut proposal);
        let liar = Liar::to(&self.world.anvil.url(), |method, _| {
            (method == "eth_getLogs").then(|| json!([]))
        });
        let mut elsewhere = Flow::new(&self.world);
        if case.blind {
            elsewhere = elsewhere.chain_at(liar.url());
        }
        let about = (&elsewhere, &proposal);
        // What nothing is known of without a chain, or by the Safe's half, is what the honest one is there.
        let few = |all: &'static [&'static str], is_told: bool| if is_told { all } else { &all[..1] };
        let is_honest = case.online.is_none();
        let offline = few(
            &["sign --offline", "review --offline", "propose --offline"],
            is_honest || case.offline.is_some(),
        );
        let rejection = ["sign --reject", "review --reject", "reject", "propose --reject"];
        let rejection = match case.rejection {
            Some(_) => &rejection[..],
            // The service takes none that nobody signed.
            None => &rejection[..if is_honest { 3 } else { 1 }],
        };
        let online = ["review", "execute", "propose", "sign", "sign --on-chain"];
        let wrong = [
            self.agree(about, offline, case.offline),
            self.agree(about, &online, case.online),
            self.agree(about, rejection, case.rejection),
        ];
        rpc.call("evm_revert", json!([snapshot]));
        let told = wrong.concat().into_iter().map(|one| format!("{}: {one}", case.name));
        told.collect()
    }
}

/// What the world became, and how that ends.
const fn of_the_world(name: &'static str, world: fn(&Ground), forbids: (&'static str, i32)) -> Case {
    Case {
        name,
        world,
        online: Some(forbids),
        ..HONEST
    }
}

/// What a proposal became, and how that ends.
const fn of_the_file(name: &'static str, edit: fn(&mut Value), forbids: (&'static str, i32)) -> Case {
    Case {
        name,
        edit,
        online: Some(forbids),
        offline: Some(forbids),
        ..HONEST
    }
}

fn of_the_app() -> Vec<Case> {
    vec![
        of_the_world(
            "what runs was never allowed",
            |ground| ground.running_is_allowed(false),
            ("BASE_NEVER_ALLOWED", 5),
        ),
        Case {
            blind: true,
            ..of_the_world(
                "nobody tells what was allowed",
                |ground| ground.running_is_allowed(false),
                ("BASE_UNKNOWN", 6),
            )
        },
        of_the_world(
            "the device is off the list",
            |ground| {
                ground.as_safe(
                    ground.world.app,
                    &abi::removeDeviceCall {
                        deviceId: ground.world.device,
                    },
                )
            },
            ("DEVICE_NOT_ALLOWED", 6),
        ),
        of_the_world(
            "the hash was taken away before",
            |ground| {
                let hash = ground.world.hash_with(NEW_COMPOSE);
                ground.as_safe(ground.world.app, &abi::addComposeHashCall { composeHash: hash });
                ground.as_safe(ground.world.app, &abi::removeComposeHashCall { composeHash: hash });
            },
            ("HASH_WAS_REVOKED", 6),
        ),
        of_the_world(
            "the app has another owner",
            |ground| {
                let to = ACCOUNTS[4].address;
                ground.as_safe(ground.world.app, &abi::transferOwnershipCall { to });
                ground
                    .world
                    .rpc()
                    .execute(to, ground.world.app, &abi::acceptOwnershipCall {});
            },
            ("OWNER_CHANGED", 5),
        ),
        of_the_world(
            "the app has other code",
            |ground| {
                let rpc = ground.world.rpc();
                let word = rpc.call("eth_getStorageAt", json!([ground.world.app, IMPLEMENTATION, "latest"]));
                let word: B256 = serde_json::from_value(word).unwrap();
                ground.change_code(Address::from_word(word));
            },
            ("APP_CODE_CHANGED", 5),
        ),
    ]
}

fn of_the_safe() -> Vec<Case> {
    vec![
        Case {
            rejection: Some(("SAFE_OWNERS_CHANGED", 6)),
            ..of_the_world(
                "the Safe has another owner",
                |ground| {
                    let call = addOwnerWithThresholdCall {
                        owner: Address::repeat_byte(0x66),
                        threshold: U256::from(3),
                    };
                    ground.as_safe(ground.world.safe.unwrap(), &call);
                },
                ("SAFE_OWNERS_CHANGED", 6),
            )
        },
        Case {
            rejection: Some(("SAFE_HELPERS_CHANGED", 6)),
            ..of_the_world(
                "the Safe has a guard",
                |ground| {
                    let place = json!([
                        ground.world.safe.unwrap(),
                        keccak256("guard_manager.guard.address"),
                        Address::repeat_byte(0x77).into_word()
                    ]);
                    ground.world.rpc().call("anvil_setStorageAt", place);
                },
                ("SAFE_HELPERS_CHANGED", 6),
            )
        },
        Case {
            rejection: Some(("SAFE_CHANGED", 5)),
            ..of_the_world(
                "the Safe has other code",
                |ground| ground.change_code(ground.world.safe.unwrap()),
                ("SAFE_CHANGED", 5),
            )
        },
    ]
}

fn of_files() -> Vec<Case> {
    vec![
        Case {
            online: Some(("SAFE_CHANGED", 5)),
            rejection: Some(("SAFE_CHANGED", 5)),
            ..of_the_file(
                "a Safe of unknown code",
                |proposal| proposal["plan"]["safe"]["singleton_code_hash"] = json!(B256::repeat_byte(7)),
                ("SAFE_UNKNOWN_CODE", 6),
            )
        },
        // A file that contradicts itself is opened for nothing but its rejection.
        of_the_file(
            "another text",
            |proposal| {
                let text = proposal.to_string().replace("nginx:1.28", "nginx:1.29");
                *proposal = serde_json::from_str(&text).unwrap();
            },
            ("HASH_MISMATCH", 5),
        ),
        of_the_file(
            "a sealed environment",
            |proposal| proposal["plan"]["code"]["patch"]["encrypted_env"] = json!("ee"),
            ("PROPOSAL_CARRIES_ENV", 5),
        ),
    ]
}

#[test]
fn every_command_says_the_same_of_everything_that_was_tampered_with() {
    let ground = Ground::new();
    let honest = ground.prepared();
    let all = [vec![HONEST], of_the_app(), of_the_safe(), of_files()].concat();
    let wrong: Vec<String> = all.iter().flat_map(|case| ground.try_case(&honest, case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_command_says_the_same_of_a_proposal_that_gives_the_app_away() {
    let ground = Ground::new();
    let mut flow = Flow::new(&ground.world);
    flow.dir = ground.world.folder().join("transfer");
    let (heir, dir) = (ACCOUNTS[3].address.to_string(), flow.dir.to_str().unwrap().to_owned());
    let words = [
        "app",
        "owner",
        "transfer",
        &heir,
        "--cvm",
        CVM,
        "--dir",
        &dir,
        "--json",
        "--accept-new-owner",
    ];
    Ran::of(&mut flow.command(&words)).exits(0);
    let named = format!("APP_GIVEN_AWAY={heir}");
    let sign = [
        "sign",
        "--dir",
        &dir,
        "--signer",
        "env:SIGNER_0",
        "--yes",
        "--json",
        "--accept",
        &named,
    ];
    Ran::of(&mut flow.command(&sign)).exits(0);
    // What was named once holds in its directory, and is told in its journal.
    assert!(flow.kinds().contains(&"accepted".to_owned()), "{:?}", flow.kinds());
    let proposal = flow.json_file("proposal.json");
    let elsewhere = Flow::new(&ground.world);
    let forbids = Some(("APP_GIVEN_AWAY", 6));
    let offline = ["review --offline", "sign --offline", "propose --offline"];
    let online = ["review", "execute", "propose", "sign", "sign --on-chain"];
    let wrong = [
        ground.agree((&elsewhere, &proposal), &offline, forbids),
        ground.agree((&elsewhere, &proposal), &online, forbids),
        ground.agree(
            (&elsewhere, &proposal),
            &["review --reject", "sign --reject", "reject"],
            None,
        ),
    ];
    assert!(wrong.concat().is_empty(), "{}", wrong.concat().join("\n\n"));
}

/// The words of HTML without its tags, and of text without its blanks.
fn words(text: &str, is_html: bool) -> String {
    let mut bare = String::new();
    let mut inside = false;
    for character in text.chars() {
        match character {
            '<' if is_html => inside = true,
            '>' if is_html => inside = false,
            // Marks of lines that a terminal breaks or indents.
            '↳' | '│' => {}
            _ if inside || character.is_whitespace() => {}
            other => bare.push(other),
        }
    }
    match is_html {
        true => [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&amp;", "&"),
        ]
        .iter()
        .fold(bare, |bare, (entity, character)| bare.replace(entity, character)),
        false => bare,
    }
}

#[test]
fn a_browser_shows_of_everything_that_was_tampered_with_what_a_terminal_shows() {
    let ground = Ground::new();
    let honest = ground.prepared();
    let (mut seen, mut stops) = (0, 0);
    for case in [vec![HONEST], of_the_app(), of_the_safe(), of_files()].concat() {
        let rpc = ground.world.rpc();
        let snapshot = rpc.call("evm_snapshot", json!([]));
        (case.world)(&ground);
        rpc.mine(1);
        let mut proposal = honest.clone();
        (case.edit)(&mut proposal);
        let (text, shown) = ground.on_both(&Flow::new(&ground.world), &proposal);
        let is_page = text.contains("who asks for what");
        assert_eq!(shown.is_some(), is_page, "{}: {text}", case.name);
        if let Some((json, html)) = shown {
            // What it comes to stands first as well.
            let (_, body) = html.split_once("</p>\n").unwrap();
            let (on_page, on_terminal) = (words(body, true), words(&text, false));
            assert!(on_terminal.contains(&on_page), "{}: {text}\n{html}", case.name);
            let forbids = json["code"] != "OK";
            let good = ["clean", "unchecked"].map(|mood| html.starts_with(&format!("<p class=\"verdict {mood}\">")));
            assert_eq!(good.contains(&true), !forbids, "{}: {html}", case.name);
            assert!(
                !forbids || html.contains(json["code"].as_str().unwrap()),
                "{}: {json}",
                case.name
            );
            seen += 1;
            stops += u32::from(html.starts_with("<p class=\"verdict stop\">"));
        }
        rpc.call("evm_revert", json!([snapshot]));
    }
    assert!(seen > 10 && stops > 5, "{seen} pages, {stops} of them stop");
}

/// Codes of the findings, how much they weigh, and what they are about.
fn findings(ran: &Ran) -> Vec<(Value, Value, Value)> {
    let findings = ran.json["data"]["verdict"]["findings"].as_array();
    let findings = findings.unwrap_or_else(|| panic!("{}", ran.said));
    let one = |one: &Value| (one["code"].clone(), one["severity"].clone(), one["value"].clone());
    findings.iter().map(one).collect()
}

#[test]
fn what_forbids_an_upgrade_by_a_key_is_told_by_plan_and_by_every_command_after_it() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    world.as_owner(&abi::removeDeviceCall { deviceId: world.device });
    let expected = vec![(json!("DEVICE_NOT_ALLOWED"), json!("state"), Value::Null)];
    for step in ["plan", "review", "execute"] {
        let ran = flow.step(step).exits(6).says("DEVICE_NOT_ALLOWED");
        assert_eq!(findings(&ran), expected, "{step}: {}", ran.said);
    }
}

#[test]
fn a_whole_upgrade_of_a_safe_asks_one_endpoint_at_most_fifty_eight_times() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    });
    let proxy = crate::support::FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    let dir = flow.dir.to_str().unwrap();
    let by = |step: &'static str, key: &'static str| vec![step, "--dir", dir, "--signer", key, "--yes", "--json"];
    let mut told = Vec::new();
    let mut run = |words: &[&str]| {
        let before = proxy.requests();
        match words {
            [step] => flow.step(step).exits(0),
            words => Ran::of(&mut flow.command(words)).exits(0),
        };
        told.push(format!("{} {}", words[0], proxy.requests() - before));
    };
    run(&["prepare"]);
    run(&["review", "--dir", dir, "--json"]);
    run(&by("sign", "env:SIGNER_0"));
    run(&by("sign", "env:SIGNER_1"));
    run(&by("execute", "env:SIGNER_4"));
    let sent = flow.journal().pop().unwrap()["body"]["hash"].clone();
    world.rpc().mined(serde_json::from_value(sent).unwrap());
    run(&["wait"]);
    run(&["commit"]);
    flow.landed_once();
    let requests = proxy.requests();
    assert!(requests <= 58, "{requests} round trips: {told:?}");
}

#[test]
fn sec_h6_own_upgrades_know_what_was_allowed_and_taken_away_without_any_log() {
    let world = World::start();
    let root = world.folder().join(".countersign");
    let without_logs = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!({"error": {"code": -32005, "message": "range too large"}}))
    });
    let mut flow = Flow::new(&world);
    flow.dir = root.join("first");
    flow.step("upgrade").exits(0);
    // The owner takes the hash away that runs.
    let (app, hash, dir) = (world.app.to_string(), flow.hash.to_string(), root.join("removal"));
    let dir = dir.to_str().unwrap().to_owned();
    let remove = [
        "app",
        "hashes",
        "remove",
        &hash,
        "--app",
        &app,
        "--chain-id",
        "31337",
        "--dir",
        &dir,
        "--json",
    ];
    Ran::of(&mut flow.command(&remove)).exits(0);
    let execute = ["execute", "--dir", &dir, "--signer", "env:OWNER_KEY", "--yes", "--json"];
    Ran::of(&mut flow.command(&execute)).exits(0);
    Ran::of(&mut flow.command(&["wait", "--dir", &dir, "--json"])).exits(0);

    let mut next = Flow::new(&world).chain_at(without_logs.url());
    next.compose = world.file("third.yml", "services:\n  web:\n    image: nginx:1.29\n");
    next.hash = world.hash_with("services:\n  web:\n    image: nginx:1.29\n");
    next.dir = root.join("second");
    next.step("prepare").exits(0);
    let codes = |ran: &Ran| findings(ran).into_iter().map(|(code, ..)| code).collect::<Vec<_>>();
    assert_eq!(codes(&next.step("review").exits(0)), [json!("BASE_REVOKED")]);
    // Whoever has the proposal alone is told which receipt to ask for.
    let home = world.folder().join("elsewhere");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::copy(next.dir.join("proposal.json"), home.join("proposal.json")).unwrap();
    let mut review = next.command(&["review", "proposal.json", "--json"]);
    let review = Ran::of(review.current_dir(&home)).exits(0);
    assert_eq!(codes(&review), [json!("BASE_REVOKED")]);
    for step in ["execute", "wait", "commit"] {
        next.step(step).exits(0);
    }

    // And what was taken away comes back by a decision only, here as anywhere.
    let mut back = Flow::new(&world).chain_at(without_logs.url());
    back.dir = root.join("back");
    for step in ["plan", "prepare"] {
        let ran = back.step(step).exits(6).says("HASH_WAS_REVOKED");
        assert!(
            ran.said.contains(&format!("--accept HASH_WAS_REVOKED={hash}")),
            "{}",
            ran.said
        );
    }
    let agreed = format!("HASH_WAS_REVOKED={hash}");
    // What was agreed to stands in the journal, for the later commands of the directory.
    back.with("prepare", &["--accept", &agreed]).exits(0);
    back.step("review").exits(0);
    back.step("execute").exits(0);
}
