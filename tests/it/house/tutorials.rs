//! The tutorials of the book, run as they stand: each command of their `console` blocks in its order, in a world of its own,
//! and what it prints compared with what the page shows.
//!
//! On a page `…` stands for any text within a line, and alone on a line for any lines; the width of columns does not count. `# ends with N` behind a command names
//! another exit code than 0, `<!-- a day passes -->` lets the chain's clock go on. `DOCS=overwrite` puts what is printed in the
//! place of what does not match; what a page leaves out stays left out.

use std::path::Path;

use crate::harness::flow::BINARY;
use crate::support::command::run;
use crate::support::timelocks::{TimelockOptions, advance};
use crate::support::world::{NEW_COMPOSE, SafeOptions, WorldOptions};
use crate::support::{World, repository};
use crate::timelock::route::Ground;

const DAY: u64 = 86_400;
const ANYTHING: &str = "…";
const A_DAY_PASSES: &str = "<!-- a day passes -->";

/// What a page does, in its order.
enum Part {
    /// Text for people.
    Prose(String),
    /// Time goes on.
    Day,
    Command(Shown),
}

/// A command and what the page shows of it.
struct Shown {
    typed: Vec<String>,
    output: Vec<String>,
}

impl Shown {
    /// As a shell takes it, and the exit code that it should end with.
    fn command(&self) -> (String, i32) {
        let lines = self.typed.iter().map(|line| line.strip_prefix("$ ").unwrap_or(line));
        let typed = lines.collect::<Vec<_>>().join("\n");
        match typed.rsplit_once("# ends with ") {
            Some((command, code)) => (command.trim_end().to_owned(), code.trim().parse().unwrap()),
            None => (typed, 0),
        }
    }
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut console = false;
    for line in text.lines() {
        let last = parts.last_mut();
        match (console, line) {
            (false, "```console") | (true, "```") => {
                console = !console;
                parts.push(Part::Prose(line.to_owned()));
            }
            (false, A_DAY_PASSES) => parts.push(Part::Day),
            (true, line) if line.starts_with("$ ") => parts.push(Part::Command(Shown {
                typed: vec![line.to_owned()],
                output: Vec::new(),
            })),
            (true, line) => match last {
                Some(Part::Command(shown))
                    if shown.output.is_empty() && shown.typed.last().unwrap().ends_with('\\') =>
                {
                    shown.typed.push(line.to_owned());
                }
                Some(Part::Command(shown)) => shown.output.push(line.to_owned()),
                _ => panic!("a block begins with a command: {line}"),
            },
            (false, line) => parts.push(Part::Prose(line.to_owned())),
        }
    }
    assert!(!console, "a block has no end");
    parts
}

/// Whether a line is what the page shows, whatever the width of its columns.
fn line_fits(shown: &str, line: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, line) = (squeezed(shown), squeezed(line));
    let mut pieces = shown.split(ANYTHING);
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap()) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in between {
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// Whether lines are what the page shows.
fn fits(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first.trim() == ANYTHING => (0..=lines.len()).any(|from| fits(rest, &lines[from..])),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, lines)| line_fits(first, line) && fits(rest, lines)),
    }
}

/// Output as a page shows it: hashes shortened, times and ports left out.
fn shortened(line: &str) -> String {
    let word = |word: &str| {
        let (begin, inner) = word.split_at(word.find("0x").unwrap_or(0));
        let digits = inner.strip_prefix("0x").unwrap_or_default();
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        match (end, word) {
            (60.., _) => {
                let (hash, after) = digits.split_at(end);
                format!("{begin}0x{}{ANYTHING}{after}", hash.split_at(8).0)
            }
            (_, word) if word.contains("127.0.0.1:") => ANYTHING.to_owned(),
            (_, word) if word.starts_with("20") && word.contains('T') && word.contains('Z') => ANYTHING.to_owned(),
            (_, word) => word.to_owned(),
        }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// What the page shows from now on: its own lines where they still fit, what is printed where they do not.
fn renewed(shown: &[String], lines: &[&str]) -> Vec<String> {
    let (mut made, mut rest, mut leaves_out) = (Vec::new(), lines, false);
    for own in shown {
        if own.trim() == ANYTHING {
            leaves_out = true;
            continue;
        }
        let Some(at) = rest.iter().position(|line| line_fits(own, line)) else {
            continue;
        };
        let (before, after) = rest.split_at(at);
        made.extend(in_between(before, leaves_out));
        made.push(own.clone());
        (rest, leaves_out) = (after.get(1..).unwrap_or_default(), false);
    }
    made.extend(in_between(rest, leaves_out));
    made
}

fn in_between(lines: &[&str], left_out: bool) -> Vec<String> {
    match left_out {
        true => vec![ANYTHING.to_owned()],
        false => lines.iter().map(|line| shortened(line)).collect(),
    }
}

/// Runs a page from its start to its end in `world`.
fn goes(page: &str, world: &World) {
    world.file("docker-compose.yml", NEW_COMPOSE);
    let path = repository().join("docs/src/tutorial").join(page);
    let overwrite = std::env::var_os("DOCS").is_some_and(|value| value == "overwrite");
    let search = format!("{}:/usr/bin:/bin", Path::new(BINARY).parent().unwrap().display());
    let (mut made, mut commands, mut wrong) = (String::new(), 0, Vec::new());
    for part in parts(&std::fs::read_to_string(&path).unwrap()) {
        match part {
            Part::Prose(line) => made.push_str(&format!("{line}\n")),
            Part::Day => {
                advance(&world.rpc(), DAY + 60);
                made.push_str(&format!("{A_DAY_PASSES}\n"));
            }
            Part::Command(shown) => {
                commands += 1;
                let (command, exit) = shown.command();
                let script = format!("exec 2>&1\n{command}");
                let output = run(world.countersign("sh").env("PATH", &search).args(["-c", &script]));
                let said = String::from_utf8(output.stdout).unwrap();
                assert_eq!(output.status.code(), Some(exit), "{page}: {command}\n{said}");
                let lines: Vec<&str> = said.trim_end().lines().collect();
                let as_shown = fits(&shown.output, &lines);
                if !as_shown {
                    wrong.push(format!("$ {command}\n{said}"));
                }
                let output: Vec<String> = match as_shown {
                    true => shown.output,
                    false => renewed(&shown.output, &lines),
                };
                for line in shown.typed.iter().chain(&output) {
                    made.push_str(&format!("{line}\n"));
                }
            }
        }
    }
    assert!(commands > 2, "{page} has {commands} commands");
    if overwrite {
        std::fs::write(&path, made).unwrap();
    }
    assert!(
        overwrite || wrong.is_empty(),
        "{page} shows something else than\n{}",
        wrong.join("\n")
    );
}

const TWO_OF_THREE: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};

#[test]
fn the_tutorial_of_a_key_goes_as_it_says() {
    let world = World::start();
    goes("key.md", &world);
    assert!(world.is_allowed(world.hash_with(NEW_COMPOSE)));
}

#[test]
fn the_tutorial_of_a_safe_goes_as_it_says() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    goes("safe.md", &world);
    assert!(world.is_allowed(world.hash_with(NEW_COMPOSE)));
}

#[test]
fn the_tutorial_of_a_timelock_goes_as_it_says() {
    let ground = Ground::with(TimelockOptions::default());
    goes("timelock.md", &ground.world);
    assert!(ground.world.is_allowed(ground.world.hash_with(NEW_COMPOSE)));
}

#[test]
fn the_tutorial_of_a_fleet_goes_as_it_says() {
    let world = World::start();
    for number in 2..=3 {
        world.add_cvm(number);
    }
    goes("fleet.md", &world);
    for cvm in ["payments-prod", "payments-prod-2", "payments-prod-3"] {
        let runs = world.cloud.cvm(cvm).compose_hash;
        assert_eq!(runs, world.hash_with(NEW_COMPOSE), "{cvm}");
    }
}

#[test]
fn what_a_page_leaves_out_is_any_text_and_nothing_else_is() {
    let page = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert!(
        line_fits("a … c", "a b c") && line_fits("  a  b", "  a    b") && line_fits("…", "") && line_fits("a", "a")
    );
    assert!(!line_fits("a … c", "a b d") && !line_fits("a", "ab") && !line_fits("a … a", "a a"));
    let fresh = renewed(&page(&["a", "…", "d", "e"]), &["a", "b", "d", "new"]);
    assert_eq!(fresh, ["a", "…", "d", "new"]);
    assert!(fits(&page(&["a", "…", "d"]), &["a", "b", "c", "d"]) && fits(&page(&["…"]), &[]));
    assert!(!fits(&page(&["a", "…", "d"]), &["a", "b"]) && !fits(&page(&[]), &["a"]) && !fits(&page(&["a"]), &[]));
}
