//! What is shown is read: in columns and colours at a terminal of any width, as rows in a pipe, and as one object by programs.

use std::process::Command;

use crate::harness::flow::Flow;
use crate::support::command::run;
use crate::support::terminal::AtTerminal;
use crate::support::world::CVM;
use crate::support::{AnvilOptions, SafeOptions, World, WorldOptions};

const ESCAPE: char = '\u{1b}';

fn safe_world() -> World {
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

fn piped(command: &mut Command) -> (String, String) {
    let output = run(command);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Everything that a terminal of so many columns shows, without colours and moving lines.
fn shown(command: &mut Command, columns: u16) -> String {
    let all = AtTerminal::whole(command.env("NO_COLOR", "1"), columns).end().terminal;
    all.replace('\r', "")
}

/// Digits of a hash, an address or a key.
fn is_hex(word: &str) -> bool {
    word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The words of a text as they are read: without what quotes and ends them.
fn words(text: &str) -> Vec<&str> {
    let around = |character: char| !character.is_alphanumeric();
    let words = text.split(|character: char| character.is_whitespace() || "/=:@\\".contains(character));
    words
        .map(|word| word.trim_matches(around))
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn ppl_p14_no_line_breaks_inside_a_word_or_a_hash_at_any_width() {
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let compose = flow.compose.to_str().unwrap();
    for line in [
        vec!["plan", "--cvm", CVM, "-c", compose],
        vec!["review", dir],
        vec!["status", dir],
        vec!["cvm", "list"],
        vec!["cvm", "get", CVM],
        vec!["nodes"],
        vec!["kms", "list"],
        vec!["execute", dir, "--signer", "metamask"],
        vec!["review", "nowhere.json"],
    ] {
        let (stdout, stderr) = piped(&mut flow.command(&line));
        let whole = format!("{stdout}\n{stderr}");
        for columns in [60, 80, 120] {
            let seen = shown(&mut flow.command(&line), columns);
            let seen_words = words(&seen);
            for word in words(&whole) {
                // What is longer than the line is broken somewhere, unless it is a hash; the time goes on.
                let is_timed = word.contains("202") || word.parse::<u64>().is_ok();
                if (word.len() < usize::from(columns) / 2 && !is_timed) || is_hex(word) {
                    assert!(
                        seen_words.contains(&word),
                        "{line:?} at {columns}: `{word}` is broken in\n{seen}"
                    );
                }
            }
            for row in seen.lines().filter(|row| row.chars().count() > usize::from(columns)) {
                let is_hash_alone = row.split_whitespace().count() == 1 || row.chars().count() > 66;
                let holds = words(row).into_iter().any(|word| is_hex(word.trim_start_matches("0x")));
                assert!(is_hash_alone && holds, "{line:?} at {columns}: {row}");
            }
        }
    }
}

#[test]
fn ppl_p15_there_is_colour_at_terminals_and_where_it_is_asked_for_and_never_for_programs() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let review = || flow.command(&["review", flow.dir.to_str().unwrap()]);
    let wrong = || flow.command(&["review", "nowhere.json"]);
    let is_colored = |command: &mut Command| {
        let (stdout, stderr) = piped(command);
        stdout.contains(ESCAPE) || stderr.contains(ESCAPE)
    };
    for make in [&review as &dyn Fn() -> Command, &wrong] {
        assert!(!is_colored(&mut make()), "a pipe gets none");
        assert!(is_colored(make().args(["--color", "always"])), "unless it is asked for");
        assert!(is_colored(make().env("CLICOLOR_FORCE", "1")), "by a variable as well");
        assert!(!is_colored(make().env("CLICOLOR_FORCE", "0")), "0 asks for nothing");
        assert!(
            !is_colored(make().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")),
            "no is stronger"
        );
        assert!(
            is_colored(make().env("NO_COLOR", "1").args(["--color", "always"])),
            "an option is strongest"
        );
        assert!(
            !is_colored(make().args(["--color", "always", "--json"])),
            "programs get none"
        );
        let at = |command: &mut Command| AtTerminal::whole(command, 100).end().terminal.contains("\u{1b}[");
        assert!(at(&mut make()), "a terminal gets them");
        assert!(
            !at(make().args(["--color", "never"])) && !at(make().env("NO_COLOR", "1")),
            "unless they are unwanted"
        );
    }
}

#[test]
fn ppl_p18_a_list_is_a_table_at_a_terminal_and_rows_with_tabs_in_a_pipe() {
    let world = World::start();
    for number in 2..6 {
        world.add_cvm(number);
    }
    let flow = Flow::new(&world);
    let list = || flow.command(&["cvm", "list", "--page-size", "3"]);
    let (stdout, stderr) = piped(&mut list());
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 3, "{stdout}");
    assert!(
        rows.iter().all(|row| row.len() == 5 && row[0].starts_with(CVM)),
        "{stdout}"
    );
    assert!(stderr.contains("next: countersign cvm list --page 2"), "{stderr}");
    let shown = shown(&mut list(), 160);
    let head = shown.lines().next().unwrap();
    assert!(
        head.starts_with("NAME") && head.contains("STATUS") && head.contains("APP"),
        "{shown}"
    );
    let column = head.find("STATUS").unwrap();
    let starts = shown
        .lines()
        .skip(1)
        .take(3)
        .map(|line| line.get(column..).is_some_and(|rest| rest.starts_with("running")));
    assert!(starts.into_iter().all(|starts| starts), "{shown}");
    // A list of nothing is nothing in a pipe.
    let (stdout, stderr) = piped(&mut flow.command(&["webhook", "list"]));
    assert_eq!(
        (stdout.as_str(), stderr.contains("there are none")),
        ("", true),
        "{stderr}"
    );
}

#[test]
fn ppl_p16_programs_get_news_and_no_pages_and_whoever_wants_quiet_gets_it() {
    let world = World::start();
    let flow = Flow::new(&world);
    let prepare = |more: &[&str]| {
        let compose = flow.compose.to_str().unwrap();
        let mut words = vec!["prepare", "--cvm", CVM, "-c", compose, "--supersede"];
        words.extend(more);
        piped(&mut flow.command(&words))
    };
    let (_, said) = prepare(&["--dir", "a"]);
    assert!(said.contains("hash after"), "a person sees the plan: {said}");
    let (_, said) = prepare(&["--dir", "b", "--json"]);
    assert!(said.lines().count() < 8 && said.contains("prepared 0x"), "{said}");
    let (stdout, said) = prepare(&["--dir", "c", "--quiet"]);
    assert!(said.lines().all(|line| line.starts_with("warning: ")), "{said}");
    assert!(stdout.contains("compose hash"), "{stdout}");
}

#[test]
fn ppl_p10_waiting_says_first_how_much_there_is_and_cuts_hashes_short() {
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            block_time: Some(1),
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    flow.step("execute").exits(0);
    let words = ["wait", "--dir", dir, "--confirmations", "3"];
    let left = AtTerminal::start(&mut flow.command(&words)).end();
    assert_eq!(left.exit, 0, "{}", left.terminal);
    let lines: Vec<&str> = left
        .terminal
        .split(['\r', '\n'])
        .filter(|line| line.contains(" of 3 confirmations"))
        .collect();
    assert!(!lines.is_empty(), "{}", left.terminal);
    for line in lines {
        assert!(line.contains('…') && !words_of_hex(line), "{line}");
    }
    // What waits for people names them, from the first look on.
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let mut wait = flow.command(&["wait", "--dir", flow.dir.to_str().unwrap(), "--timeout", "2s"]);
    let left = AtTerminal::start(&mut wait).end();
    assert_eq!(left.exit, 8, "{}", left.terminal);
    let waits = |line: &&str| line.contains("0 of 2 owners signed") && line.contains("not yet: 0x");
    let moving: Vec<&str> = left.terminal.split(['\r', '\n']).filter(waits).collect();
    assert!(moving.iter().any(|line| !words_of_hex(line)), "{}", left.terminal);
}

fn words_of_hex(line: &str) -> bool {
    words(line)
        .into_iter()
        .any(|word| is_hex(word.trim_start_matches("0x")))
}
