//! Which characters deceive. Pure.

/// Whether a character can make a text look like another one: what a terminal obeys, what turns the direction, what is not
/// seen, and what is seen as an ordinary blank.
///
/// Control characters (ANSI, OSC; C0 and C1), Unicode's bidirectional and other format characters (UAX 9,
/// CVE-2021-42574), everything that is ignored by default (`Default_Ignorable_Code_Point`), fillers, blanks other than the
/// space, separators of lines and paragraphs, private use, and what is no character.
pub(crate) const fn is_deceptive(character: char) -> bool {
    match character {
        ' '..='~' => false,
        // C0, DEL and C1 controls, the blank that does not break, the soft hyphen.
        '\0'..='\u{a0}' | '\u{ad}' => true,
        // Joiners, fillers and vowels that are not seen; format characters of scripts; Ogham's blank.
        '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' => {
            true
        }
        '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' => true,
        // Blanks, zero widths, separators, directions, invisible operators.
        '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' => true,
        '\u{2800}' | '\u{3000}' | '\u{3164}' => true,
        // Private use, variation selectors, byte order mark, fillers, specials, what is no character.
        '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' => true,
        '\u{fff0}'..='\u{fffc}' | '\u{fffe}' | '\u{ffff}' => true,
        '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{16fe4}' | '\u{1bca0}'..='\u{1bca3}' => true,
        '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' => true,
        // Tags, more variation selectors, private use.
        '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}' => true,
        _ => false,
    }
}
