//! Hashes and addresses cut short, where a line is read once and compared with nothing. Pure.

/// Fewest digits of what is cut short: those of an address.
const DIGITS: usize = 40;
/// Digits that stay at each end.
const KEPT: usize = 4;

/// With `0x6c1d…9bc9` in place of every hash and address.
pub(crate) fn short_hashes(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits: String = part.chars().take_while(char::is_ascii_hexdigit).collect();
        let rest: String = part.chars().skip(digits.len()).collect();
        short.push_str("0x");
        if digits.len() < DIGITS {
            short.push_str(&digits);
        } else {
            let head: String = digits.chars().take(KEPT).collect();
            let tail: String = digits.chars().skip(digits.len().saturating_sub(KEPT)).collect();
            short.push_str(&format!("{head}…{tail}"));
        }
        short.push_str(&rest);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::short_hashes;

    #[test]
    fn what_is_long_is_cut_and_all_else_stays() {
        let (hash, address) = ("ab".repeat(32), "1c".repeat(20));
        let text = format!("3 of 6 confirmations, 0x{hash}; not yet: 0x{address}, 0x12, 0x");
        assert_eq!(
            short_hashes(&text),
            "3 of 6 confirmations, 0xabab…abab; not yet: 0x1c1c…1c1c, 0x12, 0x"
        );
        assert_eq!(short_hashes("no hash in it"), "no hash in it");
    }
}
