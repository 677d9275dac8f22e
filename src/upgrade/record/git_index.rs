//! Which files a git index names. Pure: of the format (`gitformat-index`, versions 2 to 4) only what leads to the paths.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Bytes of an entry before its object id: times, device, inode, mode, owner, size.
const BEFORE_ID: usize = 40;
/// Lengths of an object id: SHA-1, SHA-256.
const IDS: [usize; 2] = [20, 32];
/// The flag that says that two more bytes of flags follow.
const EXTENDED: u16 = 0x4000;
/// The flags' part that holds the length of the path; all of it where the path is longer.
const NAME_LENGTH: u16 = 0x0fff;
/// Bytes of the header: signature, version, number of entries.
const HEADER: usize = 12;

/// The paths of all entries; `None` for what is no index as this reads one.
pub(in crate::upgrade) fn paths(bytes: &[u8]) -> Option<Vec<PathBuf>> {
    IDS.into_iter().find_map(|id| paths_with(bytes, id))
}

fn paths_with(bytes: &[u8], id: usize) -> Option<Vec<PathBuf>> {
    let header = bytes.get(..HEADER)?;
    let (signature, rest) = header.split_at_checked(4)?;
    let version = number(rest.get(..4)?)?;
    let count = number(rest.get(4..)?)?;
    if signature != b"DIRC" || !(2..=4).contains(&version) {
        return None;
    }
    let mut at = HEADER;
    let mut last: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    for _ in 0..count {
        let start = at;
        let flags_at = at.checked_add(BEFORE_ID + id)?;
        let flags = bytes.get(flags_at..flags_at.checked_add(2)?)?;
        let flags = u16::from_be_bytes(flags.try_into().ok()?);
        at = flags_at + 2;
        if flags & EXTENDED != 0 {
            at += 2;
        }
        if version == 4 {
            let (cut, used) = offset(bytes.get(at..)?)?;
            at += used;
            last.truncate(last.len().checked_sub(cut)?);
        } else {
            last.clear();
        }
        let rest = bytes.get(at..)?;
        // A name that no zero ends was cut off.
        let name = rest.get(..rest.iter().position(|byte| *byte == 0)?)?;
        last.extend_from_slice(name);
        if last.is_empty() || last.first() == Some(&b'/') {
            return None;
        }
        // The flags tell the length too: what another length of object ids would make of the file does not fit.
        let told = usize::from(flags & NAME_LENGTH);
        if told != usize::from(NAME_LENGTH) && told != last.len() {
            return None;
        }
        at += name.len() + 1;
        if version != 4 {
            // One to eight zeros fill an entry up to a multiple of eight bytes.
            at = start + (at - start).next_multiple_of(8);
        }
        found.push(PathBuf::from(OsString::from_vec(last.clone())));
    }
    Some(found)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// The variable-width number of pack files' offsets, and how many bytes it took.
fn offset(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value: usize = 0;
    for (index, byte) in bytes.iter().enumerate().take(8) {
        if index > 0 {
            value = value.checked_add(1)?.checked_shl(7)?;
        }
        value |= usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = [
        ".countersign/app/journal",
        ".countersign/app/token",
        "compose.yml",
        "src/a",
    ];

    fn index(version: u32, id: usize) -> Vec<u8> {
        let mut bytes = b"DIRC".to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.extend(4_u32.to_be_bytes());
        let mut last = "";
        for name in NAMES {
            let start = bytes.len();
            bytes.extend(vec![1; BEFORE_ID + id]);
            bytes.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
            if version == 4 {
                let common = name.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
                bytes.push(u8::try_from(last.len() - common).unwrap());
                bytes.extend(&name.as_bytes()[common..]);
                bytes.push(0);
            } else {
                bytes.extend(name.as_bytes());
                let length = bytes.len() - start;
                bytes.extend(vec![0; 8 - length % 8]);
            }
            last = name;
        }
        bytes.extend(vec![7; id]);
        bytes
    }

    #[test]
    fn the_paths_of_every_version_are_read_and_nothing_of_what_is_no_index() {
        let expected: Vec<PathBuf> = NAMES.iter().map(PathBuf::from).collect();
        for (version, id) in [(2, 20), (3, 20), (4, 20), (2, 32), (4, 32)] {
            let whole = index(version, id);
            assert_eq!(paths(&whole), Some(expected.clone()), "{version} {id}");
            for length in 0..whole.len() - id - 8 {
                assert_eq!(paths(&whole[..length]), None, "{version} {id} {length}");
            }
        }
        assert_eq!(paths(&index(5, 20)), None);
        assert_eq!(paths(b"DIRC\0\0\0\x02\xff\xff\xff\xff"), None);
    }

    #[test]
    fn the_offset_of_a_prefix_is_read_as_in_pack_files() {
        assert_eq!(offset(&[0x05]), Some((5, 1)));
        assert_eq!(offset(&[0x80, 0x00]), Some((128, 2)));
        assert_eq!(offset(&[0x81, 0x00]), Some((256, 2)));
        assert_eq!(offset(&[0x80]), None);
    }
}
