//! Which timelocks are known by their code: OpenZeppelin's TimelockController of each release, as common compilers and
//! settings make it.
//!
//! The table is made by `make timelock-code` from the releases' npm packages; `make thorough` makes it again and compares.
//! A compiler that is not in it makes other code, so what is not known here is unknown, not false. The contract has no
//! immutable values that would have to be masked; the script that makes the table refuses some.

use alloy::primitives::{B256, keccak256};

/// Release, compiler, machine, optimizer runs, and keccak256 of the runtime code without the compiler's tail.
const TABLE: &str = include_str!("known_code.csv");
/// The most that a compiler's tail holds: the hash of the sources, and its own version.
const TAIL_MOST: usize = 200;

/// keccak256 of code without the tail that the compiler appends to it and that no execution reaches.
pub(super) fn body_hash(code: &[u8]) -> B256 {
    keccak256(without_tail(code))
}

/// The release of OpenZeppelin Contracts whose timelock has this [`body_hash`].
pub(super) fn release_of(body: B256) -> Option<&'static str> {
    let wanted = alloy::hex::encode(body);
    let mut rows = TABLE.lines();
    let row = rows.find(|row| row.rsplit_once(',').is_some_and(|(_, hash)| hash == wanted))?;
    row.split(',').next()
}

/// The tail is a CBOR map, with its length in the last two bytes.
fn without_tail(code: &[u8]) -> &[u8] {
    let Some((rest, length)) = code.split_last_chunk::<2>() else {
        return code;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    let cut = rest.len().checked_sub(length).filter(|_| length <= TAIL_MOST);
    match cut.and_then(|cut| rest.split_at_checked(cut)) {
        Some((body, [0xa1..=0xa4, ..])) => body,
        _ => code,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_has_every_row_once_and_a_hash_in_each() {
        let mut hashes = BTreeSet::new();
        for row in TABLE.lines() {
            let fields: Vec<&str> = row.split(',').collect();
            let [release, compiler, machine, runs, hash] = fields.as_slice() else {
                panic!("{row}");
            };
            assert!(release.starts_with("4.") || release.starts_with("5."), "{row}");
            assert!(compiler.starts_with("0.8."), "{row}");
            assert!(["default", "paris"].contains(machine), "{row}");
            assert!(["off", "200", "10000"].contains(runs), "{row}");
            let hash: B256 = hash.parse().unwrap();
            hashes.insert((hash, *release));
            assert_eq!(
                release_of(hash).map(|known| known.split('.').next()),
                Some(release.split('.').next())
            );
        }
        assert!(hashes.len() > 100, "{}", hashes.len());
    }

    #[test]
    fn only_a_compilers_tail_is_left_out() {
        let body = [0x60, 0x80, 0x60, 0x40];
        let tailed = [
            &body[..],
            &[0xa1, 0x64, b's', b'o', b'l', b'c', 0x43, 0, 8, 28],
            &[0, 10],
        ]
        .concat();
        assert_eq!(without_tail(&tailed), body);
        for other in [
            vec![],
            vec![0],
            vec![0, 0],
            body.to_vec(),
            // A length that reaches beyond the code, and a tail that is no map.
            vec![0xa1, 0xff, 0xff],
            vec![0x60, 0xa1, 0xa5, 0x00, 0x00, 0x02],
        ] {
            assert_eq!(without_tail(&other), other);
        }
        // Nobody hides more than a tail in it.
        let mut long = vec![0xa1; 300];
        long.extend([0x01, 0x2b]);
        assert_eq!(without_tail(&long), long);
        assert_eq!(release_of(keccak256(body)), None);
    }
}
