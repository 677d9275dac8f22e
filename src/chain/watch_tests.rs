//! Waiting, as rules: a small world of blocks and looks, and what the watch makes of them.

use alloy::primitives::B256;

use super::*;

const NONCE: u64 = 7;
const OURS: B256 = B256::repeat_byte(0x0a);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Block `number` of branch `branch`, two seconds after the one before.
fn block(number: u64, branch: u8) -> BlockRef {
    let mut hash = B256::repeat_byte(branch);
    hash[..8].copy_from_slice(&number.to_be_bytes());
    BlockRef {
        number,
        hash,
        timestamp: 1000 + 2 * number,
    }
}

/// A look at head `number`: nothing of ours anywhere, the nonce free, the fee enough.
fn look(number: u64) -> Sighting {
    Sighting {
        head: block(number, 0),
        included: None,
        nonce: NONCE,
        settled_nonce: None,
        pooled: false,
        base_fee: 100,
        needed: 101,
        offered: 101,
        settled: number,
    }
}

fn pooled(number: u64) -> Sighting {
    Sighting {
        pooled: true,
        ..look(number)
    }
}

/// Ours in `at`, seen at head `number`, twelve confirmations asked.
fn included(number: u64, at: BlockRef) -> Sighting {
    Sighting {
        included: Some(InclusionAt {
            transaction: OURS,
            block: at,
            succeeded: true,
        }),
        nonce: NONCE + 1,
        settled: (number + 1).saturating_sub(12),
        ..look(number)
    }
}

fn used(number: u64) -> Sighting {
    Sighting {
        nonce: NONCE + 1,
        settled_nonce: Some(NONCE + 1),
        ..look(number)
    }
}

fn watch() -> Watch {
    Watch::new(Finality::Confirmations(12))
}

fn is_wait(action: &WatchAction) -> bool {
    matches!(action, WatchAction::Wait(_))
}

fn settles_at(action: &WatchAction) -> Option<BlockRef> {
    match action {
        WatchAction::Settling { inclusion, .. } => Some(inclusion.block),
        _ => None,
    }
}

#[test]
fn a_transaction_settles_when_the_asked_depth_is_reached_and_not_before() {
    let mut watch = watch();
    for number in 20..31 {
        let action = watch.step(&included(number, block(20, 0)), NONCE, seconds(2 * number));
        assert_eq!(settles_at(&action), Some(block(20, 0)), "{number}");
    }
    let action = watch.step(&included(31, block(20, 0)), NONCE, seconds(70));
    assert!(matches!(action, WatchAction::Settled(at) if at.block == block(20, 0)));
}

#[test]
fn a_failed_transaction_settles_like_any_other() {
    let mut sighting = included(40, block(20, 0));
    sighting.included.as_mut().unwrap().succeeded = false;
    let action = watch().step(&sighting, NONCE, seconds(1));
    assert!(matches!(action, WatchAction::Settled(at) if !at.succeeded));
}

#[test]
fn r13_a_head_that_goes_backwards_takes_nothing_back() {
    let mut watch = watch();
    watch.step(&included(25, block(24, 0)), NONCE, seconds(1));
    // Another machine behind the same address, three blocks late, for longer than everything else takes.
    for look_number in 0..200 {
        let action = watch.step(&look(22), NONCE, seconds(2 + look_number));
        assert!(is_wait(&action), "{action:?}");
    }
    let action = watch.step(&included(26, block(24, 0)), NONCE, seconds(300));
    assert_eq!(settles_at(&action), Some(block(24, 0)));
}

#[test]
fn r13_a_used_nonce_seen_from_behind_is_no_evidence() {
    let mut watch = watch();
    watch.step(&look(25), NONCE, seconds(1));
    for look_number in 0..200 {
        let action = watch.step(&used(22), NONCE, seconds(2 + look_number));
        assert!(is_wait(&action), "{action:?}");
    }
}

#[test]
fn fr2_17_a_nonce_that_no_settled_block_used_is_waited_for_and_nothing_is_sent() {
    let mut watch = watch();
    for second in 0..200 {
        let ahead = Sighting {
            settled_nonce: [None, Some(NONCE)][usize::from(second % 2 == 0)],
            ..used(20 + second / 2)
        };
        let action = watch.step(&ahead, NONCE, seconds(second));
        assert!(is_wait(&action), "{second}: {action:?}");
    }
}

#[test]
fn r14_a_receipt_that_comes_later_than_the_nonce_is_waited_for() {
    let mut watch = watch();
    watch.step(&pooled(20), NONCE, Duration::ZERO);
    for tenth in 1..29 {
        let action = watch.step(&used(21), NONCE, millis(100 * tenth));
        assert!(is_wait(&action), "{tenth}: {action:?}");
    }
    let action = watch.step(&included(21, block(21, 0)), NONCE, seconds(3));
    assert_eq!(settles_at(&action), Some(block(21, 0)));
}

#[test]
fn r15_r16_without_a_canonical_block_a_transaction_is_pending_however_long() {
    // A look turns receipts without a block, and those in a block that is not the chain's, into "known".
    let mut watch = watch();
    for second in 0..600 {
        let action = watch.step(&pooled(20 + second / 2), NONCE, seconds(second));
        assert!(is_wait(&action), "{second}: {action:?}");
    }
}

#[test]
fn x3_x13_a_nonce_that_a_stranger_used_is_given_up_after_three_looks_and_some_time() {
    let mut watch = watch();
    watch.step(&look(20), NONCE, Duration::ZERO);
    assert!(is_wait(&watch.step(&used(21), NONCE, seconds(2))));
    // Time alone is not enough.
    assert!(is_wait(&watch.step(&used(22), NONCE, seconds(60))));
    assert_eq!(watch.step(&used(23), NONCE, seconds(62)), WatchAction::Gone);
}

#[test]
fn x3_looks_alone_are_not_enough_either() {
    let mut watch = watch();
    watch.step(&look(20), NONCE, Duration::ZERO);
    for tenth in 0..20 {
        let action = watch.step(&used(20), NONCE, millis(100 * tenth));
        assert!(is_wait(&action), "{tenth}: {action:?}");
    }
}

#[test]
fn x2_x14_a_receipt_of_any_of_ours_ends_the_doubt_about_the_nonce() {
    let mut watch = watch();
    watch.step(&used(20), NONCE, seconds(0));
    watch.step(&used(21), NONCE, seconds(2));
    watch.step(&included(22, block(20, 0)), NONCE, seconds(4));
    // From here the counting starts anew.
    assert!(is_wait(&watch.step(&used(23), NONCE, seconds(60))));
    assert!(is_wait(&watch.step(&used(24), NONCE, seconds(120))));
}

#[test]
fn x12_bytes_that_left_the_pool_go_out_again_after_a_minute() {
    let mut watch = watch();
    watch.step(&pooled(20), NONCE, seconds(10));
    assert!(is_wait(&watch.step(&look(45), NONCE, seconds(69))));
    assert_eq!(watch.step(&look(46), NONCE, seconds(70)), WatchAction::Rebroadcast);
    assert!(is_wait(&watch.step(&look(46), NONCE, seconds(70))), "once is enough");
    assert!(is_wait(&watch.step(&look(60), NONCE, seconds(99))));
    assert_eq!(watch.step(&look(61), NONCE, seconds(100)), WatchAction::Rebroadcast);
}

#[test]
fn r23_bytes_that_nobody_ever_showed_go_out_again_every_half_minute() {
    let mut watch = watch();
    let mut sent = Vec::new();
    for second in 0..=95 {
        if watch.step(&look(20 + second / 2), NONCE, seconds(second)) == WatchAction::Rebroadcast {
            sent.push(second);
        }
    }
    assert_eq!(sent, [30, 60, 90]);
}

#[test]
fn x17_after_a_reorganisation_only_the_new_block_counts() {
    let mut watch = watch();
    let (old, new) = (block(20, 1), block(23, 2));
    assert_eq!(
        settles_at(&watch.step(&included(22, old), NONCE, seconds(4))),
        Some(old)
    );
    assert_eq!(
        settles_at(&watch.step(&included(24, new), NONCE, seconds(8))),
        Some(new)
    );
    // Deep enough for the old block, not for the new one.
    assert_eq!(
        settles_at(&watch.step(&included(32, new), NONCE, seconds(24))),
        Some(new)
    );
    let action = watch.step(&included(34, new), NONCE, seconds(28));
    assert!(matches!(action, WatchAction::Settled(at) if at.block == new));
}

#[test]
fn x18_a_transaction_that_lost_its_block_goes_out_again_at_once() {
    let mut watch = watch();
    watch.step(&included(21, block(20, 1)), NONCE, seconds(2));
    assert_eq!(watch.step(&look(22), NONCE, seconds(4)), WatchAction::Rebroadcast);
    assert!(is_wait(&watch.step(&look(22), NONCE, seconds(5))), "once is enough");
}

#[test]
fn x18_a_transaction_that_fell_back_into_the_pool_is_left_there() {
    let mut watch = watch();
    watch.step(&included(21, block(20, 1)), NONCE, seconds(2));
    assert!(is_wait(&watch.step(&pooled(22), NONCE, seconds(4))));
}

#[test]
fn x19_a_reorganisation_that_gave_the_nonce_to_a_stranger_ends_like_any_used_nonce() {
    let mut watch = watch();
    watch.step(&included(21, block(20, 1)), NONCE, seconds(2));
    for second in [4, 6, 8] {
        assert!(is_wait(&watch.step(&used(20 + second / 2), NONCE, seconds(second))));
    }
    assert_eq!(watch.step(&used(25), NONCE, seconds(12)), WatchAction::Gone);
}

#[test]
fn x10_fees_are_raised_after_three_blocks_five_times_and_never_without_need() {
    let mut watch = watch();
    let poor = |number| Sighting {
        offered: 90,
        ..pooled(number)
    };
    let mut bumps = Vec::new();
    for number in 20..60 {
        if watch.step(&poor(number), NONCE, seconds(2 * (number - 20))) == WatchAction::Bump {
            bumps.push(number);
        }
    }
    assert_eq!(bumps, [23, 26, 29, 32, 35]);
}

#[test]
fn x10_a_fee_that_is_enough_is_not_raised() {
    let mut watch = watch();
    for number in 20..200 {
        let action = watch.step(&pooled(number), NONCE, seconds(2 * number));
        assert!(is_wait(&action), "{action:?}");
    }
}

#[test]
fn x10_a_fee_is_not_raised_while_no_block_comes() {
    let mut watch = watch();
    for second in 0..600 {
        let poor = Sighting {
            offered: 1,
            ..pooled(20)
        };
        assert!(is_wait(&watch.step(&poor, NONCE, seconds(second))));
    }
}

#[test]
fn x26_a_chain_that_stands_still_never_takes_the_turn_from_the_caller() {
    let mut watch = watch();
    for second in 0..3600 {
        let action = watch.step(&included(20, block(20, 0)), NONCE, seconds(second));
        let WatchAction::Settling { wait, .. } = action else {
            panic!("{action:?}")
        };
        assert!(wait <= WAIT_MAX && wait >= WAIT_MIN);
    }
}

#[test]
fn no_wait_is_longer_than_two_seconds_or_shorter_than_a_fiftieth() {
    for finality in [Finality::Confirmations(50), Finality::Safe, Finality::Finalized] {
        let mut watch = Watch::new(finality);
        let mut now = Duration::ZERO;
        for number in 0..400 {
            let sighting = if number % 2 == 0 {
                pooled(number / 3)
            } else {
                included(number / 3, block(0, 0))
            };
            match watch.step(&Sighting { settled: 0, ..sighting }, NONCE, now) {
                WatchAction::Wait(wait) | WatchAction::Settling { wait, .. } => {
                    assert!(wait <= WAIT_MAX && wait >= WAIT_MIN, "{wait:?}");
                    now += wait;
                }
                WatchAction::Settled(_) | WatchAction::Rebroadcast => now += millis(10),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Looks at a chain with a block every `every`, until the transaction shows; when it was in the block and when seen.
fn lateness(every: Duration, in_block: u64) -> Duration {
    let mut watch = Watch::new(Finality::Confirmations(1));
    let start = millis(700);
    let mut now = Duration::ZERO;
    loop {
        let height = now.saturating_sub(start).as_millis() / every.as_millis();
        let number = 20 + u64::try_from(height).unwrap();
        let mut head = block(number, 0);
        head.timestamp = 1000 + number * every.as_secs();
        let mut sighting = Sighting { head, ..pooled(number) };
        if number >= in_block {
            sighting = Sighting {
                head,
                settled: number,
                ..included(number, head)
            };
        }
        match watch.step(&sighting, NONCE, now) {
            WatchAction::Wait(wait) => now += wait,
            WatchAction::Settled(_) => {
                return now - start - every * u32::try_from(in_block - 20).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn inclusion_is_seen_within_a_tenth_of_a_second_or_so_once_the_rhythm_of_two_seconds_is_known() {
    for in_block in 22..40 {
        let late = lateness(seconds(2), in_block);
        assert!(late <= millis(150), "block {in_block}: {late:?}");
    }
}

#[test]
fn the_first_block_is_seen_within_a_third_of_a_second_or_so_after_at_most_nine_looks() {
    assert!(lateness(seconds(2), 21) <= FIRST_BLOCK);
    let (mut watch, mut now) = (watch(), Duration::ZERO);
    for _ in 0..9 {
        match watch.step(&pooled(20), NONCE, now) {
            WatchAction::Wait(wait) => now += wait,
            other => panic!("{other:?}"),
        }
    }
    assert!(now >= seconds(2), "{now:?}");
}

#[test]
fn inclusion_is_seen_within_half_a_second_or_so_on_a_chain_of_twelve_seconds() {
    for in_block in 21..30 {
        let late = lateness(seconds(12), in_block);
        assert!(late <= millis(700), "block {in_block}: {late:?}");
    }
}

#[test]
fn a_chain_that_mines_at_once_is_looked_at_at_once() {
    let first = watch().step(&pooled(20), NONCE, Duration::ZERO);
    assert_eq!(first, WatchAction::Wait(WAIT_MIN));
}
