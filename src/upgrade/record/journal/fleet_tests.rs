//! The journal of a fleet against torn writes, flipped bits, records of several members at once, records that were moved
//! to another member, and strangers' directories.

use crate::upgrade::record::event::{Event, Identity};
use sha2::{Digest as _, Sha256};

use crate::fsutil::HoldError;
use crate::upgrade::record::journal::fleet::*;
use crate::upgrade::record::journal::standing::fold;

const NAMES: [&str; 3] = ["app-1", "app-2", "app-3"];
const APP: Address = Address::repeat_byte(7);

fn charter() -> FleetIdentity {
    FleetIdentity {
        schema: crate::upgrade::record::journal::file::SCHEMA,
        app: APP,
        chain_id: 31337,
        cloud: "127.0.0.1".to_owned(),
        members: NAMES.map(str::to_owned).into(),
    }
}

fn identity(cvm: &str) -> Event {
    Event::Open(Identity {
        schema: crate::upgrade::record::journal::file::SCHEMA,
        update: format!("u-{cvm}"),
        cvm: Some(cvm.to_owned()),
        app: APP,
        chain_id: 31337,
        cloud: Some("127.0.0.1".to_owned()),
    })
}

fn note(text: &str) -> Event {
    Event::Note { text: text.to_owned() }
}

fn texts(entries: &[Entry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| serde_json::to_string(&entry.event).unwrap())
        .collect()
}

/// What each member has, in the order of the names.
fn parts(reading: &FleetReading) -> [Vec<String>; 3] {
    NAMES.map(|name| match reading.roster().has(name) {
        true => texts(&reading.entries(name).unwrap()),
        false => Vec::new(),
    })
}

/// Three members whose records lie between each other's, and two decisions.
fn fleet() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let fleet = FleetJournal::hold(dir.path()).unwrap();
    fleet.begin(charter()).unwrap();
    let mut journals = NAMES.map(|name| fleet.member(name).unwrap().0);
    for (journal, name) in journals.iter_mut().zip(NAMES) {
        journal.record(&identity(name)).unwrap();
    }
    fleet
        .record(Decision::Note {
            text: "a \"quoted\",\"kind\":\"fleet.open\"".to_owned(),
        })
        .unwrap();
    for journal in journals.iter_mut().rev() {
        journal.record(&note("b \",\"member\":\"app-1\" \u{1f600}")).unwrap();
    }
    fleet
        .record(Decision::Joined {
            cvm: "app-4".to_owned(),
        })
        .unwrap();
    let bytes = fsutil::read(&dir.path().join(FILE), 1 << 20).unwrap();
    (dir, bytes)
}

/// A directory that holds `bytes` as its journal and no head.
fn with_journal(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fsutil::note(&dir.path().join(FILE), bytes, 0o600).unwrap();
    dir
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// A journal of these lines, each with the place and the sum that it has now: what whoever can write the file can make.
fn chained(lines: &[String]) -> Vec<u8> {
    let mut prev = "0".repeat(64);
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let (_, rest) = line.split_once(r#","prev":"#).unwrap();
        let (rest, _) = rest.split_at(66).1.rsplit_once(",\"sum\":\"").unwrap();
        let covered = format!(r#"{{"seq":{},"prev":"{prev}"{rest}"#, at + 1);
        prev = hex::encode(Sha256::digest(covered.as_bytes()));
        text.push_str(&format!("{covered},\"sum\":\"{prev}\"}}\n"));
    }
    text.into_bytes()
}

#[test]
fn records_of_several_members_come_back_to_each_in_order() {
    let (dir, _) = fleet();
    let reading = FleetReading::open(dir.path()).unwrap();
    for (part, name) in parts(&reading).iter().zip(NAMES) {
        assert_eq!(part.len(), 2, "{name}");
        assert!(part[0].contains(&format!("u-{name}")) && part[1].contains('\u{1f600}'));
    }
    let orders = NAMES.map(|name| reading.entries(name).unwrap()[1].seq);
    assert!(orders.is_sorted_by(|earlier, later| earlier > later), "{orders:?}");
    assert!(reading.roster().has("app-4") && !reading.has_records("app-4"));
}

#[test]
fn all_members_stand_where_each_stands_alone_and_a_contradiction_is_one_members() {
    let (dir, _) = fleet();
    let begun_twice = FleetJournal::hold(dir.path()).unwrap();
    let mut second = begun_twice.member("app-2").unwrap().0;
    second.record(&identity("app-2")).unwrap();
    let reading = FleetReading::open(dir.path()).unwrap();
    let file = open(dir.path()).unwrap();
    let (found, more) = standings(dir.path(), &file, NAMES.len()).unwrap();
    assert!(!more && found.len() == NAMES.len(), "the fourth has no records");
    for ((place, state), name) in found.iter().zip(NAMES) {
        let alone = fold(&dir.path().join(FILE), reading.entries(name).unwrap());
        assert_eq!(*place, dir.path().join(name));
        assert_eq!(state.is_ok(), name != "app-2");
        assert_eq!(format!("{state:?}"), format!("{alone:?}"));
    }
    let (few, more) = standings(dir.path(), &file, 2).unwrap();
    assert!(more && few.len() == 2);
}

#[test]
fn members_that_write_at_once_write_one_record_after_the_other() {
    let (dir, _) = fleet();
    let fleet = FleetJournal::hold(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for name in NAMES {
            let mut journal = fleet.member(name).unwrap().0;
            scope.spawn(move || {
                for number in 0..20 {
                    journal.record(&note(&format!("{name} {number}"))).unwrap();
                }
            });
        }
    });
    // The run that wrote them knows where they are, and so does the next one.
    let expected = |name: &str| {
        (0..20)
            .map(|number| note(&format!("{name} {number}")))
            .collect::<Vec<_>>()
    };
    for name in NAMES {
        let written = fleet.member(name).unwrap().1.split_off(2);
        let expected: Vec<String> = expected(name)
            .iter()
            .map(|event| serde_json::to_string(event).unwrap())
            .collect();
        assert_eq!(texts(&written), expected);
        let read = FleetReading::open(dir.path()).unwrap().entries(name).unwrap();
        assert_eq!(texts(&read)[2..], expected);
    }
}

#[test]
fn j1_every_prefix_of_a_fleet_opens_to_a_prefix_of_each_members_records_and_takes_the_next_one() {
    let (_dir, bytes) = fleet();
    let whole = parts(&FleetReading::open(with_journal(&bytes).path()).unwrap());
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let dir = tempfile::tempdir().unwrap();
    for cut in first..bytes.len() {
        fsutil::note(&dir.path().join(FILE), &bytes[..cut], 0o600).unwrap();
        for (found, whole) in parts(&FleetReading::open(dir.path()).unwrap()).iter().zip(&whole) {
            assert_eq!(*found, whole[..found.len()], "cut at {cut}");
        }
        // Appending waits for the disk, and is tried around each end of a record and at some places between.
        if cut % 16 != 0 && !bytes[cut - 1..=cut].contains(&b'\n') {
            continue;
        }
        let dir = with_journal(&bytes[..cut]);
        let fleet = FleetJournal::hold(dir.path()).unwrap();
        let complete = bytes[..cut].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        assert_eq!(fleet.found().torn, (cut - complete) as u64, "cut at {cut}");
        let (mut journal, before) = fleet.member("app-2").unwrap();
        journal.record(&note("next")).unwrap();
        drop((journal, fleet));
        let after = FleetReading::open(dir.path()).unwrap();
        assert_eq!(after.entries("app-2").unwrap().len(), before.len() + 1, "cut at {cut}");
    }
    for cut in [0, 1, first / 2, first - 1] {
        let dir = with_journal(&bytes[..cut]);
        assert!(
            FleetJournal::hold(dir.path()).unwrap().roster().is_none(),
            "cut at {cut}"
        );
    }
}

#[test]
fn j2_no_flipped_bit_changes_a_record_of_a_fleet_that_is_read() {
    let (dir, bytes) = fleet();
    let path = dir.path().join(FILE);
    let whole = parts(&FleetReading::open(dir.path()).unwrap());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fsutil::note(&path, &flipped, 0o600).unwrap();
        match FleetReading::open(dir.path()) {
            Ok(reading) => {
                // Only the last line's end may be lost: then the record reads as incomplete.
                assert_eq!(at, bytes.len() - 1);
                assert_eq!((parts(&reading), reading.roster().has("app-4")), (whole.clone(), false));
            }
            Err(JournalError::Damaged { .. }) => {}
            Err(other) => panic!("byte {at}: {other}"),
        }
        // Nor does a member look like an upgrade by itself then.
        let member = Journal::peek(&dir.path().join("app-1"));
        assert!(
            at == bytes.len() - 1 || matches!(member, Err(JournalError::Damaged { .. })),
            "byte {at}: {member:?}"
        );
    }
}

#[test]
fn j5_a_record_under_another_members_name_is_refused() {
    let (_dir, bytes) = fleet();
    let all = lines(&bytes);
    for at in 0..all.len() {
        let mut moved = all.clone();
        moved[at] = all[at].replace(r#""member":"app-1""#, r#""member":"app-3""#);
        if moved[at] == all[at] {
            continue;
        }
        let dir = with_journal(moved.concat().as_bytes());
        assert!(
            matches!(FleetReading::open(dir.path()), Err(JournalError::Damaged { record, .. }) if record == at as u64 + 1)
        );
        // With sums that fit, it is what it says of itself that does not.
        let dir = with_journal(&chained(&moved));
        let refused = FleetReading::open(dir.path()).and_then(|reading| reading.entries("app-3"));
        let opens = all[at].contains(r#""kind":"open""#);
        assert_eq!(
            matches!(refused, Err(JournalError::Damaged { .. })),
            opens,
            "{at}: {refused:?}"
        );
    }
    // The same lines in place are what was written.
    assert_eq!(chained(&all), bytes);
}

#[test]
fn nobody_writes_for_a_stranger_and_no_stranger_is_read() {
    let (dir, bytes) = fleet();
    let fleet = FleetJournal::hold(dir.path()).unwrap();
    assert!(matches!(fleet.member("app-9"), Err(JournalError::Foreign { .. })));
    let mut journal = fleet.member("app-4").unwrap().0;
    assert!(matches!(
        journal.record(&identity("app-1")),
        Err(JournalError::Foreign { .. })
    ));
    journal.record(&identity("app-4")).unwrap();
    let all = lines(&bytes);
    for (old, new) in [
        (r#""member":"app-2""#, r#""member":"app-9""#),
        (r#""app-2","app-3"]"#, r#""../up","app-3"]"#),
        (r#""app-2","app-3"]"#, r#""app-3","app-3"]"#),
        (r#"{"cvm":"app-4"}"#, r#"{"cvm":"journal.head"}"#),
    ] {
        let forged: Vec<String> = all.iter().map(|line| line.replace(old, new)).collect();
        assert_ne!(forged, all, "{old}");
        let dir = with_journal(&chained(&forged));
        assert!(
            matches!(FleetReading::open(dir.path()), Err(JournalError::Damaged { .. })),
            "{new}"
        );
    }
}

#[test]
fn c1_a_members_directory_is_locked_with_its_fleet_and_read_beside_it() {
    let (dir, _) = fleet();
    let held = FleetJournal::hold(dir.path()).unwrap();
    let member = dir.path().join("app-2");
    fsutil::create_private_dir(&member).unwrap();
    assert!(matches!(
        Journal::hold(&member),
        Err(JournalError::Hold(HoldError::Held { .. }))
    ));
    assert_eq!(Journal::peek(&member).unwrap().len(), 2);
    drop(held);
    let (mut journal, entries, found) = Journal::hold(&member).unwrap();
    assert_eq!((entries.len(), found), (2, Found::default()));
    journal.record(&note("by itself")).unwrap();
    drop(journal);
    assert!(!member.join(FILE).exists());
    assert_eq!(Journal::peek(&member).unwrap().len(), 3);
    let other = FleetReading::open(dir.path()).unwrap();
    assert_eq!(other.entries("app-1").unwrap().len(), 2);
}

#[test]
fn a_fleets_directory_is_no_upgrade_and_a_strangers_below_it_is_its_own() {
    let (dir, _) = fleet();
    assert!(matches!(Journal::peek(dir.path()), Err(JournalError::Fleet { .. })));
    assert!(matches!(Journal::hold(dir.path()), Err(JournalError::Fleet { .. })));
    let below = |name: &str| crate::upgrade::record::journal::holds(&dir.path().join(name));
    assert!(
        !crate::upgrade::record::journal::holds(dir.path()) && below("app-1") && !below("app-4") && !below("app-9")
    );
    let stranger = dir.path().join("app-9");
    fsutil::create_private_dir(&stranger).unwrap();
    assert!(matches!(Journal::peek(&stranger), Err(JournalError::Missing { .. })));
    let (mut journal, ..) = Journal::hold(&stranger).unwrap();
    journal.record(&identity("app-9")).unwrap();
    drop(journal);
    assert!(stranger.join(FILE).exists() && below("app-9"));
    assert_eq!(FleetReading::open(dir.path()).unwrap().roster().members.len(), 4);
    let upgrade = Journal::hold(&stranger).unwrap();
    assert!(matches!(
        FleetReading::open(&stranger),
        Err(JournalError::Foreign { .. })
    ));
    drop(upgrade);
    assert!(matches!(
        FleetJournal::hold(&stranger),
        Err(JournalError::Foreign { .. })
    ));
}

#[test]
fn j6_an_older_copy_of_a_fleet_is_noticed_by_every_member() {
    let (dir, bytes) = fleet();
    let older = lines(&bytes)[..6].concat();
    fsutil::write(&dir.path().join(FILE), older.as_bytes(), 0o600).unwrap();
    let member = dir.path().join("app-1");
    fsutil::create_private_dir(&member).unwrap();
    assert!(Journal::hold(&member).unwrap().2.rolled_back);
    assert!(FleetJournal::hold(dir.path()).unwrap().quiet().rolled_back);
}

#[test]
fn decisions_that_cannot_follow_are_refused_and_not_written() {
    let (dir, bytes) = fleet();
    let fleet = FleetJournal::hold(dir.path()).unwrap();
    let at = "2026-11-21T05:00:00Z".parse().unwrap();
    let members = vec!["app-1".to_owned()];
    let compose_hash = crate::compose::ComposeHash::new([7; 32]);
    let wave = Decision::Wave {
        canary: true,
        members: members.clone(),
        at,
    };
    let stopped = Decision::Stopped {
        cvm: "app-1".to_owned(),
        why: "no".to_owned(),
        at,
    };
    let prepared = Decision::Prepared {
        compose_hash,
        members,
        at,
    };
    for early in [
        Decision::Open(charter()),
        Decision::Joined {
            cvm: "app-1".to_owned(),
        },
        Decision::LeftOut {
            cvm: "app-9".to_owned(),
            compose_hash: None,
        },
        wave.clone(),
        Decision::Passed { at },
        stopped.clone(),
    ] {
        assert!(
            matches!(fleet.record(early.clone()), Err(JournalError::Damaged { .. })),
            "{early:?}"
        );
    }
    assert_eq!(fsutil::read(&dir.path().join(FILE), 1 << 20).unwrap(), bytes);
    for decision in [prepared, wave, stopped.clone(), stopped] {
        fleet.record(decision).unwrap();
    }
    let left_out = Decision::LeftOut {
        cvm: "app-1".to_owned(),
        compose_hash: Some(compose_hash),
    };
    assert!(fleet.record(left_out).is_err(), "it was prepared");
    assert!(fleet.record(Decision::Passed { at }).is_err(), "it was stopped");
    let roster = FleetReading::open(dir.path()).unwrap().book.roster;
    assert_eq!(roster.stopped.get("app-1").map(String::as_str), Some("no"));
}
