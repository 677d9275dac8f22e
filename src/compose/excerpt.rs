//! A piece of a text for people. Pure.

/// So much of a value is shown.
const LONGEST_EXCERPT: usize = 120;

/// A value in one line, cut where it is long. Reads no more of it than it shows, since many may show the same.
pub(super) fn excerpt(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.len() > 4 * LONGEST_EXCERPT {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(LONGEST_EXCERPT + 1));
    }
    match line.char_indices().nth(LONGEST_EXCERPT) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_and_what_is_broken_stands_in_one_line() {
        assert_eq!(excerpt(" a\n\tb  c "), "a b c");
        for long in ["x".repeat(10_000), "x ".repeat(10_000)] {
            let shown = excerpt(&long);
            assert_eq!(shown.chars().count(), LONGEST_EXCERPT + 1);
            assert!(shown.ends_with('…'));
        }
    }
}
