//! Lines that are longer than the page: they break with their margin, so that no text inside can look like a line of
//! the page. Pure.

/// Columns that are reckoned with where no terminal says how many it has.
pub(crate) const NO_TERMINAL: usize = 80;
/// Fewer columns than this are not reckoned with.
const NARROWEST: usize = 20;
/// This often the same character in a row pads.
const PADDING: usize = 8;
/// A word that ends in so many hex digits is a hash, which has to be found again as one.
const HASH_DIGITS: usize = 40;
/// More digits in a row are no hash, an address or a key, but data.
const MOST_DIGITS: usize = 130;
/// Before a hash that does not fit behind its margin.
const SMALL_MARGIN: &str = "    ";

/// Whether one character, that is no hex digit, stands so often in a row that it pads.
pub(crate) fn is_padded(text: &str) -> bool {
    let mut before = '\0';
    let mut count = 0_usize;
    for character in text.chars() {
        count = if character == before {
            count.saturating_add(1)
        } else {
            1
        };
        if count >= PADDING && !character.is_ascii_hexdigit() {
            return true;
        }
        before = character;
    }
    false
}

/// One line, broken after blanks or, where there are none, anywhere but inside a hash; `margin` stands before every part but
/// the first. Nothing is left out. `keeps`: words that end in a hash are not broken at all, so that they can be searched for.
pub(crate) fn wrap(line: &str, width: usize, margin: &str, keeps: bool) -> String {
    let width = width.max(NARROWEST);
    if columns(line) <= width {
        return line.to_owned();
    }
    let margin = if columns(margin).saturating_mul(2) > width {
        SMALL_MARGIN
    } else {
        margin
    };
    let mut out = String::with_capacity(line.len().saturating_add(64));
    let mut used = 0_usize;
    for word in line.split_inclusive(' ') {
        let bare = columns(word.trim_end_matches(' '));
        // One blank behind it belongs to its line: it would be seen at the start of the next one.
        let needed = columns(word).min(bare.saturating_add(1));
        if used > columns(margin) && used.saturating_add(needed) > width {
            used = next_line(&mut out, margin);
        }
        if keeps && ends_in_hash(word.trim_end_matches(' ')) {
            out.push_str(word);
            used = used.saturating_add(columns(word));
            continue;
        }
        let (head, hash) = word.split_at_checked(hash_begins(word)).unwrap_or((word, ""));
        for character in head.chars() {
            if used.saturating_add(column(character)) > width {
                used = next_line(&mut out, margin);
            }
            out.push(character);
            used = used.saturating_add(column(character));
        }
        let digits = columns(hash.trim_end_matches(' '));
        let fits = used.saturating_add(columns(hash).min(digits.saturating_add(1))) <= width;
        if !fits && used > columns(SMALL_MARGIN) {
            // Nothing but the margin stands on the line: the hash begins further left on the same one.
            let begun = out
                .strip_suffix(margin)
                .filter(|before| before.ends_with('\n'))
                .map(str::len);
            used = match begun {
                Some(length) => {
                    out.truncate(length);
                    out.push_str(SMALL_MARGIN);
                    columns(SMALL_MARGIN)
                }
                None => next_line(&mut out, SMALL_MARGIN),
            };
        }
        out.push_str(hash);
        used = used.saturating_add(columns(hash));
    }
    out
}

/// Where the hash, address or key begins that a word ends with; its end where it ends with none.
fn hash_begins(word: &str) -> usize {
    let bare = word.trim_end_matches([' ', ')', ',', '.', ';', ':', '`', '\'', '"']);
    let digits = bare.bytes().rev().take_while(u8::is_ascii_hexdigit).count();
    if !(HASH_DIGITS..=MOST_DIGITS).contains(&digits) {
        return word.len();
    }
    let before = bare.len().saturating_sub(digits);
    let is_marked = bare.get(..before).is_some_and(|head| head.ends_with("0x"));
    before.saturating_sub(if is_marked { 2 } else { 0 })
}

/// A command of a shell, broken between its words so that it can still be pasted.
pub(crate) fn wrap_command(line: &str, width: usize) -> String {
    let width = width.max(NARROWEST);
    if columns(line) <= width {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len().saturating_add(16));
    let mut used = 0_usize;
    for word in words(line) {
        // A blank and a backslash have to fit behind it.
        if used > 4 && used.saturating_add(columns(word)).saturating_add(3) > width {
            out.push_str(" \\");
            used = next_line(&mut out, "    ");
        } else if used > 0 {
            out.push(' ');
            used = used.saturating_add(1);
        }
        out.push_str(word);
        used = used.saturating_add(columns(word));
    }
    out
}

/// The words of a command as they are written; blanks inside quotes end none.
fn words(line: &str) -> Vec<&str> {
    let (mut open, mut stands_alone) = (None, false);
    line.split(move |character| {
        if std::mem::take(&mut stands_alone) {
            return false;
        }
        match (open, character) {
            (None, '\\') => stands_alone = true,
            (None, '\'' | '"') => open = Some(character),
            (Some(quote), _) if quote == character => open = None,
            (None, ' ') => return true,
            _ => {}
        }
        false
    })
    .collect()
}

fn next_line(out: &mut String, margin: &str) -> usize {
    out.push('\n');
    out.push_str(margin);
    columns(margin)
}

fn ends_in_hash(word: &str) -> bool {
    let digits = word.chars().rev().take_while(char::is_ascii_hexdigit).count();
    digits >= HASH_DIGITS
}

fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// Columns that a character takes at most: what is not ASCII may take two.
const fn column(character: char) -> usize {
    if character.is_ascii() { 1 } else { 2 }
}
