//! The terminal guides whoever is new: groups show their help, a mistyped word is told with the nearest one, a CVM stands where
//! the ecosystem puts it, and a directory wherever a proposal does.

use crate::harness::flow::{Flow, Ran};
use crate::support::command::run;
use crate::support::world::CVM;
use crate::support::{SafeOptions, World, WorldOptions};

fn texts(flow: &Flow<'_>, words: &[&str]) -> (i32, String, String) {
    let output = run(&mut flow.command(words));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let exit = output.status.code().unwrap_or(-1);
    (exit, text(&output.stdout), text(&output.stderr))
}

#[test]
fn ppl_p11_the_program_alone_and_every_group_alone_print_their_help() {
    let world = World::start();
    let flow = Flow::new(&world);
    for group in [
        "",
        "cvm",
        "safe",
        "safe delegates",
        "app",
        "app owner",
        "fleet",
        "kms",
        "webhook",
        "workspace",
    ] {
        let words: Vec<&str> = group.split_whitespace().collect();
        let (exit, stdout, stderr) = texts(&flow, &words);
        assert_eq!((exit, stdout.as_str()), (2, ""), "{group}: {stderr}");
        let usage = format!("Usage: countersign{}{group}", if group.is_empty() { "" } else { " " });
        assert!(stderr.contains(&usage), "{group}: {stderr}");
        assert!(!stderr.contains("error"), "{group}: {stderr}");
        let ran = Ran::of(flow.command(&words).arg("--json"))
            .exits(2)
            .says("USAGE_MISSING_COMMAND");
        let message = ran.json["message"].as_str().unwrap();
        assert!(message.starts_with("one of its commands has to follow: "), "{message}");
    }
}

#[test]
fn ppl_p11_help_says_what_the_option_says() {
    let world = World::start();
    let flow = Flow::new(&world);
    for command in [
        vec![],
        vec!["plan"],
        vec!["cvm"],
        vec!["cvm", "list"],
        vec!["app", "owner", "transfer"],
    ] {
        let asked = texts(&flow, &[vec!["help"], command.clone()].concat());
        let option = texts(&flow, &[command.clone(), vec!["--help"]].concat());
        assert_eq!(asked.0, 0, "{command:?}: {}", asked.2);
        assert_eq!(asked.1, option.1, "{command:?}");
    }
    let (_, short, _) = texts(&flow, &["-h"]);
    let (_, long, _) = texts(&flow, &["--help"]);
    for heading in ["Upgrade:", "Owners:", "Many:", "The app:", "Phala Cloud:", "Tools:"] {
        assert!(short.contains(heading) && long.contains(heading), "{heading}: {short}");
    }
}

/// What is wrong, a word of what is said about it, and what is advised.
const SURVEY: [(&[&str], &str, &str); 14] = [
    (&["stauts"], "the nearest is `status`", "countersign status"),
    (&["cvm", "lst"], "the nearest is `list`", "countersign cvm list"),
    (
        &["help", "stauts"],
        "the nearest is `status`",
        "countersign help status",
    ),
    (
        &["frobnicate"],
        "there is no command `frobnicate`",
        "countersign --help",
    ),
    (&["plan", "--confirmatons=3"], "there is no argument", ""),
    (
        &["execute", "--finalty", "safe"],
        "the nearest is `--finality`",
        "countersign execute --finality safe",
    ),
    (
        &["execute", "--finality", "saf"],
        "[possible values: safe, finalized]",
        "countersign execute --finality safe",
    ),
    (
        &["sign", "p.json", "--signer", "metamask"],
        "browser[:ADDRESS], ledger[:PATH], keystore:PATH",
        "countersign sign --help",
    ),
    (
        &["export"],
        "typed-data, calldata, eip712sign",
        "countersign export --help",
    ),
    (
        &["app", "show", "0x1234"],
        "an address has 40 hex digits, with 0x before them, this has 4",
        "countersign app show --help",
    ),
    (
        &["execute", "--confirmations", "0"],
        "a whole number of 1 or more",
        "countersign execute --help",
    ),
    (
        &["review", "nowhere.json"],
        "cannot read `nowhere.json`",
        "countersign explain INPUT_FILE",
    ),
    (
        &["hash", "nowhere.json"],
        "cannot read `nowhere.json`",
        "countersign explain INPUT_FILE",
    ),
    (&["plan"], "no CVM was named", "countersign plan --cvm NAME"),
];

#[test]
fn ppl_p12_every_usage_error_names_what_is_valid_and_leads_on() {
    let world = World::start();
    let flow = Flow::new(&world);
    for (words, says, next) in SURVEY {
        let (exit, stdout, stderr) = texts(&flow, words);
        assert!(
            (2..=3).contains(&exit) && stdout.is_empty(),
            "{words:?}: {exit} {stdout}"
        );
        assert!(stderr.contains(says), "{words:?}: {stderr}");
        let told = stderr.lines().find_map(|line| line.strip_prefix("next: ")).unwrap();
        assert!(told == next || next.is_empty(), "{words:?}: {told}");
        assert_ne!(
            told,
            format!("countersign {}", words.join(" ")),
            "what failed comes next"
        );
    }
    assert!(world.cloud.requests().is_empty(), "nothing was asked");
}

#[test]
fn ppl_p12_without_an_endpoint_a_reviewer_is_told_of_the_review_without_one() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let mut command = flow.command(&["review", flow.dir.to_str().unwrap(), "--json"]);
    let ran = Ran::of(command.env_remove("ETH_RPC_URL")).exits(2).says("USAGE_NO_RPC");
    assert!(ran.json["hint"].as_str().unwrap().contains("--offline"), "{}", ran.said);
}

#[test]
fn ppl_p12_an_unknown_cvm_is_told_with_the_nearest_or_with_all_there_are() {
    let world = World::start();
    let flow = Flow::new(&world);
    let wrong = CVM.strip_suffix('d').unwrap();
    for words in [
        vec!["cvm", "get", wrong],
        vec!["cvm", "get", "--cvm", wrong],
        vec!["plan", "--vcpu", "2", "--cvm", wrong],
    ] {
        let ran = Ran::of(flow.command(&words).arg("--json"))
            .exits(6)
            .says("API_NOT_FOUND");
        let said = ran.json["message"].as_str().unwrap();
        assert!(
            said.ends_with(&format!("has no CVM `{wrong}`; the nearest is `{CVM}`")),
            "{said}"
        );
        let next = ran.json["next"].as_str().unwrap();
        assert_eq!(
            next,
            format!("countersign {} --json", words.join(" ").replace(wrong, CVM))
        );
    }
    let ran = Ran::of(flow.command(&["cvm", "get", "xyz"]).arg("--json"))
        .exits(6)
        .says("API_NOT_FOUND");
    let said = ran.json["message"].as_str().unwrap();
    assert!(said.ends_with(&format!("there are {CVM}")), "{said}");
    assert_eq!(ran.json["next"], "countersign cvm list");
}

#[test]
fn ppl_p19_a_cvm_stands_by_itself_in_every_command_about_one() {
    let world = World::start();
    let flow = Flow::new(&world);
    for (words, exit) in [
        (vec!["cvm", "get", CVM], 0),
        (vec!["cvm", "docker-compose", CVM, "--show"], 0),
        (vec!["cvm", "stop", CVM, "--yes", "--wait"], 0),
        (vec!["cvm", "name", CVM, "other-name", "--yes"], 0),
        (vec!["cvm", "get", "--cvm", "other-name"], 0),
        (vec!["cvm", "get", "other-name", "--cvm", "other-name"], 2),
    ] {
        Ran::of(flow.command(&words).arg("--json")).exits(exit);
    }
    let ran = Ran::of(
        flow.command(&["cvm", "envs", "x", "-e", ".env", "--cvm", "y"])
            .arg("--json"),
    );
    assert!(ran.exits(2).said.contains("the CVM is named already"));
}

#[test]
fn ppl_p12_a_directory_stands_wherever_a_proposal_does() {
    let safe = SafeOptions {
        release: 1,
        l2: true,
        threshold: 2,
        owners: 3,
    };
    let world = World::with(WorldOptions {
        safe: Some(safe),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    // An owner has the proposal in a folder of their own, without a journal.
    let rel = world.folder().join("rel");
    std::fs::create_dir(&rel).unwrap();
    std::fs::copy(flow.dir.join("proposal.json"), rel.join("proposal.json")).unwrap();
    let rel = rel.to_str().unwrap();
    for place in [rel, dir] {
        Ran::of(&mut flow.command(&["review", place, "--json"])).exits(0);
        Ran::of(&mut flow.command(&["status", place, "--json"])).exits(0);
        Ran::of(&mut flow.command(&["export", place, "--format", "typed-data", "--json"])).exits(0);
        Ran::of(&mut flow.command(&["safe", "hash", place, "--json"])).exits(0);
        Ran::of(&mut flow.command(&["wait", place, "--timeout", "1s", "--json"])).exits(8);
    }
    let sign = ["sign", rel, "--signer", "env:SIGNER_0", "--yes", "--json"];
    Ran::of(&mut flow.command(&sign)).exits(0);
    let signed: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{rel}/proposal.json")).unwrap()).unwrap();
    assert_eq!(
        signed["safe"]["signatures"]
            .as_object()
            .map(serde_json::Map::len)
            .or(signed["safe"]["signatures"].as_array().map(Vec::len)),
        Some(1)
    );
    let missing = Ran::of(&mut flow.command(&["review", world.folder().to_str().unwrap(), "--json"]));
    assert!(missing.exits(3).said.contains("proposal.json"));
}

#[test]
fn ppl_p19_one_word_stands_for_one_thing_and_the_old_words_are_still_taken() {
    let world = World::start();
    let flow = Flow::new(&world);
    let (_, help, _) = texts(&flow, &["review", "--help"]);
    assert!(help.contains("--safe-nonce") && !help.contains("--nonce"), "{help}");
    let (_, help, _) = texts(&flow, &["prepare", "--help"]);
    assert!(
        help.contains("--without-token") && !help.contains("--confirm"),
        "{help}"
    );
    for old in [
        vec!["plan", "--confirm"],
        vec!["plan", "--without-token"],
        vec!["safe", "hash", "x.json", "--nonce", "7"],
    ] {
        let (_, _, stderr) = texts(&flow, &old);
        assert!(!stderr.contains("USAGE_UNKNOWN_ARGUMENT"), "{old:?}: {stderr}");
    }
    for (more, waits) in [(vec!["--no-wait"], false), (vec!["--no-wait", "--wait"], true)] {
        let world = World::start();
        let words = [vec!["cvm", "restart", CVM, "--yes", "--json"], more].concat();
        let ran = Ran::of(&mut Flow::new(&world).command(&words)).exits(0);
        let said = ran.json["message"].as_str().unwrap();
        assert_eq!(said.contains("carried out"), waits, "{said}");
    }
}

#[test]
fn every_command_that_changes_something_takes_consent_in_advance() {
    let world = World::start();
    let flow = Flow::new(&world);
    let all = [
        "prepare",
        "adopt",
        "fleet prepare",
        "app hashes add",
        "app devices remove",
        "app change",
        "app owner transfer",
        "app instances add",
        "sign",
        "execute",
        "commit",
        "upgrade",
        "resume",
        "rollback",
        "reject",
        "propose",
        "cvm delete",
    ];
    for command in all {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        assert!(texts(&flow, &words).1.contains("--yes"), "{command}");
    }
    // It answers no decision: nothing is deleted by it.
    Ran::of(flow.command(&["cvm", "delete", CVM, "--yes", "--json"]).arg("--wait"))
        .exits(6)
        .says("CVM_DELETED");
    Ran::of(&mut flow.command(&["cvm", "get", CVM, "--json"])).exits(0);
}
