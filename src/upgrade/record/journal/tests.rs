//! The journal against torn writes, flipped bits, moved lines, old copies and strangers' files.

use super::*;
use crate::fsutil;
use crate::fsutil::HoldError;
use crate::upgrade::record::event::Event;
use crate::upgrade::record::event::Identity;
use crate::upgrade::record::fleet_decisions::FleetIdentity;
use crate::upgrade::record::journal::file::{HEAD, MAX_BYTES};

fn identity(schema: u32) -> Event {
    Event::Open(Identity {
        schema,
        update: "u-1".to_owned(),
        cvm: Some("app-1".to_owned()),
        app: alloy::primitives::Address::repeat_byte(7),
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

fn three_records() -> (tempfile::TempDir, Vec<u8>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, events, found) = Journal::hold(dir.path()).unwrap();
    assert_eq!((events.len(), found), (0, Found::default()));
    for event in [
        identity(SCHEMA),
        note("a \"quoted\",\"kind\": text \u{1f600}"),
        note("third"),
    ] {
        journal.record(&event).unwrap();
    }
    drop(journal);
    let bytes = fsutil::read(&dir.path().join(FILE), MAX_BYTES).unwrap();
    let texts = texts(&Journal::peek(dir.path()).unwrap());
    (dir, bytes, texts)
}

/// A directory that holds `bytes` as its journal and no head.
fn with_journal(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fsutil::write(&dir.path().join(FILE), bytes, 0o600).unwrap();
    dir
}

#[test]
fn records_come_back_in_order_and_the_next_one_follows() {
    let (dir, _, texts_before) = three_records();
    let (mut journal, events, found) = Journal::hold(dir.path()).unwrap();
    assert_eq!(found, Found::default());
    assert_eq!(texts(&events), texts_before);
    journal.record(&note("fourth")).unwrap();
    drop(journal);
    assert_eq!(Journal::peek(dir.path()).unwrap().len(), 4);
}

#[test]
fn j1_every_prefix_opens_to_a_prefix_of_the_records_and_takes_the_next_one() {
    let (_dir, bytes, all) = three_records();
    for cut in 0..bytes.len() {
        let dir = with_journal(&bytes[..cut]);
        let (mut journal, events, found) = Journal::hold(dir.path()).unwrap();
        let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(texts(&events), all[..whole], "cut at {cut}");
        let complete = bytes[..cut]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        assert_eq!(found.torn, (cut - complete) as u64, "cut at {cut}");
        journal.record(&note("next")).unwrap();
        drop(journal);
        assert_eq!(Journal::peek(dir.path()).unwrap().len(), whole + 1, "cut at {cut}");
    }
}

#[test]
fn j2_no_flipped_bit_changes_a_record_that_is_read() {
    let (dir, bytes, all) = three_records();
    let path = dir.path().join(FILE);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fsutil::note(&path, &flipped, 0o600).unwrap();
            match Journal::peek(dir.path()) {
                Ok(events) => {
                    // Only the last line's end may be lost: then the record reads as incomplete.
                    assert_eq!(at, bytes.len() - 1, "byte {at}, bit {bit}");
                    assert_eq!(texts(&events), all[..2]);
                }
                Err(JournalError::Damaged { .. }) => {}
                Err(other) => panic!("byte {at}, bit {bit}: {other}"),
            }
        }
    }
}

#[test]
fn j3_j4_j5_a_missing_repeated_or_moved_line_is_refused() {
    let (_dir, bytes, _) = three_records();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for order in [&[0, 2][..], &[1, 2], &[0, 1, 1, 2], &[0, 2, 1], &[0, 0]] {
        let dir = with_journal(&order.iter().flat_map(|line| lines[*line].to_vec()).collect::<Vec<_>>());
        assert!(
            matches!(Journal::hold(dir.path()), Err(JournalError::Damaged { .. })),
            "{order:?}"
        );
    }
}

#[test]
fn j6_an_older_copy_is_noticed() {
    let (dir, bytes, _) = three_records();
    let older: Vec<u8> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(2)
        .flatten()
        .copied()
        .collect();
    fsutil::write(&dir.path().join(FILE), &older, 0o600).unwrap();
    let (mut journal, events, found) = Journal::hold(dir.path()).unwrap();
    assert_eq!(events.len(), 2);
    assert!(found.rolled_back);
    // What is written after it does not make it a younger one.
    for number in 3..6 {
        journal.record(&note("another third, and more")).unwrap();
        drop(journal);
        let (next, events, found) = Journal::hold(dir.path()).unwrap();
        assert_eq!((events.len(), found.rolled_back), (number, true));
        journal = next;
    }
}

#[test]
fn a_head_that_is_one_record_behind_is_a_kill_between_two_writes() {
    let (dir, bytes, _) = three_records();
    let second = bytes.split_inclusive(|byte| *byte == b'\n').nth(1).unwrap();
    let text = std::str::from_utf8(second).unwrap();
    let sum = text.rsplit_once("\"sum\":\"").unwrap().1.trim_end_matches("\"}\n");
    let head = serde_json::json!({ "seq": 2, "sum": sum }).to_string();
    fsutil::write(&dir.path().join(HEAD), head.as_bytes(), 0o600).unwrap();
    assert!(!Journal::hold(dir.path()).unwrap().2.rolled_back);
}

#[test]
fn j8_a_newer_format_names_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, ..) = Journal::hold(dir.path()).unwrap();
    journal.record(&identity(SCHEMA + 1)).unwrap();
    drop(journal);
    match Journal::hold(dir.path()) {
        Err(JournalError::Newer { found, known, .. }) => assert_eq!((found, known), (SCHEMA + 1, SCHEMA)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn j10_an_empty_file_is_new() {
    let dir = with_journal(b"");
    let (_journal, events, found) = Journal::hold(dir.path()).unwrap();
    assert_eq!((events.len(), found), (0, Found::default()));
}

#[test]
fn j12_a_tail_of_zeros_is_an_incomplete_record() {
    let (_dir, mut bytes, all) = three_records();
    bytes.extend_from_slice(&[0; 4096]);
    let dir = with_journal(&bytes);
    let (_journal, events, found) = Journal::hold(dir.path()).unwrap();
    assert_eq!(texts(&events), all);
    assert_eq!(found.torn, 4096);
}

#[test]
fn c1_a_second_opener_is_told_who_holds_it() {
    let (dir, ..) = three_records();
    let _first = Journal::hold(dir.path()).unwrap();
    match Journal::hold(dir.path()) {
        Err(JournalError::Hold(HoldError::Held { holder, .. })) => {
            assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn c8_reading_does_not_wait_for_the_holder() {
    let (dir, ..) = three_records();
    let _held = Journal::hold(dir.path()).unwrap();
    assert_eq!(Journal::peek(dir.path()).unwrap().len(), 3);
}

#[test]
fn a_directory_without_a_journal_is_missing_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Journal::peek(dir.path()), Err(JournalError::Missing { .. })));
}

#[test]
fn what_lies_in_one_directory_stands_as_each_stands_by_itself() {
    let (upgrade, bytes, _) = three_records();
    let fleet = tempfile::tempdir().unwrap();
    let journal = FleetJournal::hold(fleet.path()).unwrap();
    let members = ["app-1", "app-2", "app-3"].map(str::to_owned).to_vec();
    journal
        .begin(FleetIdentity {
            schema: SCHEMA,
            app: alloy::primitives::Address::repeat_byte(7),
            chain_id: 31337,
            cloud: "127.0.0.1".to_owned(),
            members,
        })
        .unwrap();
    journal.member("app-1").unwrap().0.record(&identity(SCHEMA)).unwrap();
    let of_fleet = fsutil::read(&fleet.path().join(FILE), MAX_BYTES).unwrap();
    let (no_fleet, damaged) = (
        tempfile::tempdir().unwrap(),
        with_journal(&of_fleet[..of_fleet.len() / 2]),
    );
    for above in [fleet.path(), no_fleet.path(), damaged.path()] {
        let journals = [
            ("app-1", None),
            ("app-2", Some(&bytes[..])),
            ("damaged", Some(&bytes[7..])),
            ("empty", Some(&[][..])),
            ("fleet", Some(&of_fleet[..])),
            ("other", Some(&bytes[..])),
            ("without", None),
        ];
        for (name, bytes) in journals {
            let dir = above.join(name);
            fsutil::create_private_dir(&dir).unwrap();
            if let Some(bytes) = bytes {
                fsutil::write(&dir.join(FILE), bytes, 0o600).unwrap();
            }
        }
        std::os::unix::fs::symlink(upgrade.path(), above.join("elsewhere")).unwrap();
        let siblings = Siblings::within(above);
        let found = fsutil::list(above).unwrap().into_iter().filter(|dir| {
            let (together, alone) = (siblings.state_in(dir), holds(dir).then(|| state_in(dir)));
            assert_eq!(format!("{together:?}"), format!("{alone:?}"), "{}", dir.display());
            matches!(alone, Some(Ok(_)))
        });
        assert!(found.count() >= 2, "{}", above.display());
    }
}
