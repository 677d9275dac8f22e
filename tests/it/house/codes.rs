//! Stable codes in sources and tests: none is written as text outside its home, and each is asserted by a test.

use std::collections::{BTreeMap, BTreeSet};

use countersign::code::Code;

use crate::house::sources::{Token, files, halves, tokens};
use crate::support::repository;

/// Names in capitals that are no codes, and where they come from.
const NO_CODES: [(&str, &str); 48] = [
    (
        "APPROVED_HASH",
        "a kind of signature, as Safe Transaction Services name it",
    ),
    ("BASH_ENV", "a variable of the guest's shell"),
    ("BUILDKIT_SYNTAX", "an argument of a build"),
    ("CANCELLER_ROLE", "a role of OpenZeppelin's timelock"),
    ("CAP_", "what Linux puts before a capability"),
    ("CARGO_CRATE_NAME", "a variable of cargo's"),
    ("CARGO_PKG_VERSION", "a variable of cargo's"),
    ("COMPOSE_", "how variables of Docker Compose begin"),
    ("COMPOSE_ENV_FILES", "a variable of Docker Compose"),
    ("COMPOSE_FILE", "a variable of Docker Compose"),
    ("COMPOSE_PROJECT_NAME", "a variable of Docker Compose"),
    ("COUNTERSIGN_COMMIT", "a variable of whoever builds a release"),
    ("COUNTERSIGN_REQUEST_MS", "a variable of test builds"),
    ("COUNTERSIGN_TEST_ROOT", "a variable of test builds"),
    ("COUNTERSIGN_TARGET", "a variable of whoever builds a release"),
    ("CVM_APP_ID_CONFLICT", "a code of Phala Cloud's"),
    ("DAC_READ_SEARCH", "a capability of Linux"),
    ("DOCKER_", "how variables of Docker begin"),
    ("DOCKER_CONFIG", "a variable of Docker Compose"),
    ("DOCKER_CONTEXT", "a variable of Docker Compose"),
    ("DOCKER_HOST", "a variable of Docker Compose"),
    ("DSTACK_", "how variables of the guest begin"),
    ("SYS_ADMIN", "a capability of Linux"),
    ("SYS_MODULE", "a capability of Linux"),
    ("SYS_PTRACE", "a capability of Linux"),
    ("SYS_RAWIO", "a capability of Linux"),
    ("ETH_RPC_QUORUM", "a variable of the environment"),
    ("ETH_RPC_URL", "a variable of the environment"),
    ("EXECUTOR_ROLE", "a role of OpenZeppelin's timelock"),
    ("GITHUB_OUTPUT", "a variable of a runner's"),
    ("GITHUB_STEP_SUMMARY", "a variable of a runner's"),
    ("LD_LIBRARY_PATH", "a variable of the guest's loader"),
    ("LD_PRELOAD", "a variable of the guest's loader"),
    ("NO_COLOR", "a variable of the environment"),
    ("NO_PROXY", "a variable of the environment"),
    ("CLICOLOR_FORCE", "a variable of the environment"),
    ("PHALA_CLOUD_API_KEY", "a variable of the environment"),
    ("PHALA_CLOUD_API_PREFIX", "a variable of the environment"),
    ("PROPOSER_ROLE", "a role of OpenZeppelin's timelock"),
    ("SAFE_TRANSACTION_SERVICE_API_KEY", "a variable of the environment"),
    ("TIMELOCK_ADMIN_ROLE", "a role of OpenZeppelin's timelock"),
    ("WAYLAND_DISPLAY", "a variable of the environment"),
    ("ALL_PROXY", "a variable of the environment"),
    ("HTTPS_PROXY", "a variable of the environment"),
    ("SSL_CERT_DIR", "a variable of the environment"),
    ("SSL_CERT_FILE", "a variable of the environment"),
    ("XDG_CACHE_HOME", "a variable of the environment"),
    ("XDG_STATE_HOME", "a variable of the environment"),
];

/// Codes that no test reaches, and why.
const NOT_REACHED: [(&str, &str); 11] = [
    ("APPS_TOO_MANY", "it takes sixteen megabytes of proposals"),
    ("ENV_NOT_SEALED", "it takes a system that gives no randomness"),
    ("FLEET_HASH", "guards what preparing a member to its end always gives"),
    (
        "INPUT_TOO_LONG",
        "the calls of an upgrade make no batch file that is too long",
    ),
    (
        "NEW_CVM_CHANGE",
        "the library's: no option names such a change of a new CVM",
    ),
    (
        "NOTHING_TO_CHANGE",
        "the library's: the command line asks for a change before",
    ),
    ("NO_CODE_CHANGE", "guards a step that only a change of code takes"),
    ("NO_DEPLOYMENT", "guards a step that only the making of an app takes"),
    ("NO_TIMELOCK", "guards a step that only an app behind a timelock takes"),
    (
        "OPERATION_NUMBERS_SPENT",
        "it takes a thousand executions of the same calls",
    ),
    (
        "SAFE_TX_FAILED",
        "Safes since 1.3.0 revert as a whole where safeTxGas is zero, as it always is here",
    ),
];

/// Words of capitals with a line below in between, as codes are written.
fn in_capitals(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    words.filter(move |word| {
        word.contains('_') && word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(capital)
    })
}

#[test]
fn no_code_is_written_as_text_outside_its_home() {
    let known: BTreeSet<&str> = NO_CODES.iter().map(|(name, _)| *name).collect();
    let (mut wrong, mut used, mut seen) = (Vec::new(), BTreeSet::new(), 0);
    for path in files("src", ".rs") {
        if path.starts_with(repository().join("src/code")) {
            continue;
        }
        let (program, _) = halves(&path);
        let texts = tokens(&program).into_iter().filter_map(|token| match token {
            Token::Text(text) => Some(text.to_owned()),
            _ => None,
        });
        for text in texts {
            seen += 1;
            let is_code = |name: &str| name.parse::<Code>().is_ok();
            let named = in_capitals(&text).find(|name| is_code(name));
            // A text that is nothing but such a name is a code that has no home yet, unless it is somebody else's.
            let made_up = in_capitals(&text).find(|name| *name == text && !known.contains(name));
            if let Some(name) = named.or(made_up).or(Some(&*text).filter(|text| is_code(text))) {
                wrong.push(format!("{}: {name}", path.display()));
            }
            used.extend(known.get(text.as_str()).copied());
        }
    }
    assert!(seen > 3_000, "only {seen} texts were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "nothing names these any more: {unused:?}");
}

/// One function, constant or macro: its name, and what it is made of.
type Parts<'s> = BTreeMap<&'s str, Vec<Token<'s>>>;

fn parts<'s>(all: &[Token<'s>]) -> Parts<'s> {
    let mut parts = Parts::new();
    let mut name = "";
    for pair in all.windows(2) {
        if let [Token::Word("fn" | "const" | "static"), Token::Word(next)] = pair
            && *next != "fn"
        {
            name = next;
        }
        parts.entry(name).or_default().push(pair[0]);
    }
    parts
}

/// Parts that assert something, and those whose values such parts use.
fn asserting<'p, 's>(parts: &'p Parts<'s>) -> BTreeSet<&'p str> {
    const ASSERTING: [&str; 7] = [
        "assert",
        "assert_eq",
        "assert_ne",
        "says",
        "says_one_of",
        "warned",
        "warns",
    ];
    let asserts = |tokens: &Vec<Token<'_>>| {
        let is = |token: &Token<'_>| matches!(token, Token::Word(word) if ASSERTING.contains(word));
        tokens.iter().any(is)
    };
    let begin = parts.iter().filter(|(_, tokens)| asserts(tokens));
    let mut found: BTreeSet<&str> = begin.map(|(name, _)| *name).collect();
    loop {
        let words = found.iter().filter_map(|name| parts.get(name)).flatten();
        let used: BTreeSet<&str> = words
            .filter_map(|token| match token {
                Token::Word(word) => Some(*word),
                _ => None,
            })
            .collect();
        let more: Vec<&str> = parts
            .keys()
            .copied()
            .filter(|name| used.contains(name) && !found.contains(name))
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Codes that the tests of a source hand to something that asserts them. An option's value is none, and neither is a
/// failure that a test of the hints makes itself: it comes from no rule of the program.
fn asserted(tests: &str, makes_failures: bool) -> BTreeSet<Code> {
    let all = tokens(tests);
    let parts = parts(&all);
    let mut found = BTreeSet::new();
    for name in asserting(&parts) {
        let tokens = &parts[name];
        let made: BTreeSet<Code> = tokens
            .windows(4)
            .filter_map(|four| match four {
                [
                    Token::Word("Code"),
                    Token::Mark(':'),
                    Token::Mark(':'),
                    Token::Word(variant),
                ] => variant_of(variant),
                _ => None,
            })
            .collect();
        let named = tokens.windows(3).filter_map(|three| match three {
            [Token::Text("--accept" | "explain"), _, Token::Text(_)] => None,
            [_, _, Token::Text(text)] => text.parse::<Code>().ok(),
            _ => None,
        });
        let named: BTreeSet<Code> = named.filter(|code| !makes_failures || !made.contains(code)).collect();
        found.extend(named);
        if !makes_failures {
            found.extend(made);
        }
    }
    found
}

fn variant_of(variant: &str) -> Option<Code> {
    let name = variant.to_uppercase();
    Code::ALL
        .iter()
        .copied()
        .find(|code| code.name().replace('_', "") == name)
}

#[test]
fn every_code_is_handed_to_an_assertion_by_a_test() {
    let mut found = BTreeSet::new();
    for path in files("tests/it", ".rs") {
        // Rules about all codes assert none.
        if !["codes.rs", "docs.rs"].iter().any(|name| path.ends_with(name)) {
            found.extend(asserted(&std::fs::read_to_string(&path).unwrap(), false));
        }
    }
    for path in files("src", ".rs") {
        let of_hints = path.starts_with(repository().join("src/cli/failure"));
        found.extend(asserted(&halves(&path).1, of_hints));
    }
    for path in files("tests/cmd", ".trycmd") {
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = text.split(['(', '"']).filter_map(|rest| rest.split([')', '"']).next());
        found.extend(shown.filter_map(|name| name.parse::<Code>().ok()));
    }
    let not_reached: BTreeSet<Code> = NOT_REACHED.iter().map(|(name, _)| name.parse().unwrap()).collect();
    let all: BTreeSet<Code> = Code::ALL.iter().copied().collect();
    let missing: Vec<&Code> = all
        .difference(&found)
        .filter(|code| !not_reached.contains(code))
        .collect();
    assert!(
        missing.is_empty(),
        "no test asserts {} codes: {missing:#?}",
        missing.len()
    );
    let reached: Vec<&Code> = not_reached.intersection(&found).collect();
    assert!(reached.is_empty(), "a test asserts these after all: {reached:?}");
}

#[test]
fn a_code_counts_as_asserted_only_where_something_asserts_it() {
    let direct = r#"fn a() { flow.step("x").exits(6).says("HASH_REMOVED"); }"#;
    let table = r#"const T: [&str; 1] = ["HASH_REMOVED"]; fn a() { for code in T { assert_eq!(said, code); } }"#;
    let option = r#"fn a() { assert!(run(&["--accept", "HASH_REMOVED"])); }"#;
    let nothing = r#"const T: [&str; 1] = ["HASH_REMOVED"]; fn b() { run(T); } fn a() { assert!(true); }"#;
    let comment = "fn a() { // \"HASH_REMOVED\"\n assert!(said); }";
    let made = r#"fn t() -> T { (decide(Code::HashRemoved), "HASH_REMOVED") } fn a() { assert_eq!(t().0, t().1); }"#;
    let removed = BTreeSet::from([Code::HashRemoved]);
    assert_eq!(asserted(direct, false), removed);
    assert_eq!(asserted(table, false), removed);
    assert_eq!(asserted(made, false), removed);
    for other in [option, nothing, comment] {
        assert!(asserted(other, false).is_empty(), "{other}");
    }
    assert!(asserted(made, true).is_empty());
}
