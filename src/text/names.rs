//! Letters that pose as those of another script (UTS 39). Pure.
//!
//! A word that mixes Latin letters with letters that look like them, or two such scripts, is nobody's language: the
//! foreign ones are written out. A name all of whose letters look like Latin ones is written out where it is a name that
//! something is known by.

use super::deceptive::is_deceptive;

/// Letters of other scripts that are drawn as a Latin letter is.
const TWINS: &str =
    "аеорсухіјѕһԁԛԝӏԍꙇьгԌАВЕЗНІЈКМОРЅТУХҮԚԜҺοαιυρνκωγηΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲјօսհոցզԱՍՕᴀᴄᴇᴏᴛᴜᴠᴡᴢꓐꓑꓒꓓꓔꓗꓙꓚꓝꓟꓠꓡꓢꓣꓪꓫꓬꓮꓰꓲꓳꓴ";

/// Each character, and whether it poses as one of the other script that its word is written in.
pub(super) fn marked(text: &str) -> Vec<(char, bool)> {
    let mut out: Vec<(char, bool)> = Vec::with_capacity(text.len());
    let mut word = Word::default();
    for character in text.chars() {
        if character.is_alphanumeric() || is_deceptive(character) && !character.is_control() {
            word.take(character);
            out.push((character, false));
            continue;
        }
        word.close(&mut out);
        out.push((character, false));
    }
    word.close(&mut out);
    out
}

/// Letters and digits in a row; what is not seen does not end it.
#[derive(Default)]
struct Word {
    length: usize,
    latin: bool,
    first: Option<Script>,
    mixed: bool,
}

impl Word {
    const fn take(&mut self, character: char) {
        self.length = self.length.saturating_add(1);
        if character.is_ascii_alphabetic() {
            self.latin = true;
        }
        let Some(script) = script(character) else { return };
        match self.first {
            None => self.first = Some(script),
            Some(first) if first as u8 != script as u8 => self.mixed = true,
            Some(_) => {}
        }
    }

    /// Marks the posing letters of the word that `out` ends with, and begins another.
    fn close(&mut self, out: &mut [(char, bool)]) {
        let word = std::mem::take(self);
        if word.first.is_none() || !(word.latin || word.mixed) {
            return;
        }
        for (character, poses) in out.iter_mut().rev().take(word.length) {
            *poses = script(*character).is_some();
        }
    }
}

/// A script whose letters are taken for Latin ones.
#[derive(Clone, Copy)]
enum Script {
    Greek,
    Cyrillic,
    Armenian,
    Cherokee,
    Coptic,
    Lisu,
    /// Letters of phonetics, mathematics and typewriters.
    Variant,
}

const fn script(character: char) -> Option<Script> {
    match character {
        '\0'..='\u{24f}' => None,
        '\u{250}'..='\u{2af}' | '\u{1d00}'..='\u{1dbf}' => Some(Script::Variant),
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Some(Script::Greek),
        '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{2de0}'..='\u{2dff}' | '\u{a640}'..='\u{a69f}' => {
            Some(Script::Cyrillic)
        }
        '\u{530}'..='\u{58f}' => Some(Script::Armenian),
        '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => Some(Script::Cherokee),
        '\u{2c80}'..='\u{2cff}' => Some(Script::Coptic),
        '\u{a4d0}'..='\u{a4ff}' => Some(Script::Lisu),
        '\u{2100}'..='\u{2188}' | '\u{ff10}'..='\u{ff5a}' | '\u{1d400}'..='\u{1d7ff}' => Some(Script::Variant),
        _ => None,
    }
}

/// Whether a letter is drawn as a Latin one is.
pub(super) fn is_twin(character: char) -> bool {
    TWINS.contains(character) || matches!(script(character), Some(Script::Variant))
}
