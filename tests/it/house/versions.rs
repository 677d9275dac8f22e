//! Two versions of the binary over one directory: what one leaves when it dies, another goes on with, or refuses as a whole.
//!
//! `make versions` builds the other version and runs these tests and the kill tests with both; see `tests/versions.sh`.

use serde_json::json;

use crate::harness::flow::Flow;
use crate::harness::judge::{self, each, finished, rewrite};
use crate::house::sources::files;
use crate::support::{World, repository};
use crate::upgrade::kills::{POINTS, die_at};

/// The binary that the dying one is followed by.
fn other() -> String {
    std::env::var("COUNTERSIGN_OTHER").expect("COUNTERSIGN_OTHER names another version's binary: see `make versions`")
}

/// Everything that an upgrade's directory holds, and when each file was written.
fn kept(flow: &Flow<'_>) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(&flow.dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|end| end != "lock"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    all.sort();
    all
}

/// A version that knows every kind of record finishes what this one began. One that does not refuses it before it does
/// anything, and leaves everything as it was for the one that can.
#[test]
#[ignore = "needs the binary of another version: make versions"]
fn another_version_goes_on_where_this_one_died_or_refuses_the_record_that_it_does_not_know() {
    let other = other();
    let refused = std::sync::Mutex::new(Vec::new());
    each(&POINTS, |point| {
        let world = World::start();
        let flow = Flow::new(&world);
        die_at(&flow, &format!("{}=return", point.name), &[]);
        let before = (kept(&flow), world.cloud.request_count());
        let ran = flow.by(&other).step("resume");
        if ran.exit == 10 {
            let ran = ran.exits(10).says("JOURNAL_DAMAGED");
            assert!(ran.said.contains("unknown variant"), "{}", ran.said);
            assert!(before == (kept(&flow), world.cloud.request_count()), "{}", ran.said);
            refused.lock().unwrap().push(point.name);
            flow.step("resume").exits(0);
        } else {
            ran.exits(0);
        }
        finished(&flow);
    });
    let refused = refused.into_inner().unwrap();
    judge::say(&format!(
        "VERSIONS {} of {} deaths: the other version refused a kind of record that it does not know {refused:?}",
        refused.len(),
        POINTS.len()
    ));
}

/// What every version does with a record of a later one.
#[test]
fn a_record_of_a_kind_that_is_not_known_is_refused_and_nothing_is_changed() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let mut records = flow.journal();
    let honest = records.clone();
    records.push(json!({"kind": "of.tomorrow", "body": {"at": "2030-01-01T00:00:00Z"}}));
    rewrite(&flow, &records);
    let before = (kept(&flow), world.cloud.request_count());
    for step in ["resume", "execute", "commit", "status"] {
        let refused = flow.step(step).exits(10).says("JOURNAL_DAMAGED");
        assert!(
            refused.said.contains("unknown variant `of.tomorrow`"),
            "{}",
            refused.said
        );
        assert!(before == (kept(&flow), world.cloud.request_count()), "{step}");
    }
    flow.nothing_happened();
    std::fs::remove_file(flow.dir.join("journal")).unwrap();
    std::fs::write(flow.dir.join("journal.head"), "").unwrap();
    rewrite(&flow, &honest);
    flow.step("resume").exits(0);
    flow.landed_once();
}

/// A name that no test has would be passed over in silence.
#[test]
fn every_test_that_the_script_names_exists() {
    let script = std::fs::read_to_string(repository().join("tests/versions.sh")).unwrap();
    let lists = ["by_failpoint=(", "from_outside=("].map(|begin| {
        let (_, list) = script.split_once(begin).unwrap();
        list.split_once(')').unwrap().0.to_owned()
    });
    let named: Vec<&str> = lists.iter().flat_map(|list| list.split_whitespace()).collect();
    assert!(named.len() > 20, "{named:?}");
    let sources = files("tests/it", ".rs");
    for name in named {
        let (module, test) = name.rsplit_once("::").unwrap();
        let path = format!("/{}.rs", module.replace("::", "/"));
        let mut of_it = sources
            .iter()
            .filter(|source| source.to_str().unwrap().ends_with(&path));
        let has = |source: &std::path::PathBuf| {
            let text = std::fs::read_to_string(source).unwrap();
            text.contains(&format!("\nfn {test}"))
        };
        assert!(of_it.any(has), "no test is called {name}");
    }
}
