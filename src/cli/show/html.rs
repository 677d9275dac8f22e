//! Pages for browsers: the items of a [`Page`] as HTML, in the order in which a terminal shows them, with what they come to at
//! the top as well. Pure.
//!
//! All words go through one door ([`crate::text::html`]); the tags are those below, and none has an attribute that a word
//! could be in.

use super::text::{Item, Mood, Page};
use crate::text::html;

/// Hexadecimal digits of a hash.
const HASH: usize = 64;
/// Digits of a hash that devices show together.
const GROUP: usize = 4;

/// What an item stands in together with its neighbours of the same kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Facts,
    Remarks,
    Text,
    None,
}

/// Pages one after the other, as the content of an element.
pub(in crate::cli) fn content(pages: &[&Page]) -> String {
    let mut out = String::new();
    for page in pages {
        for item in page.items() {
            if let Item::Verdict(mood, text) = item {
                verdict(&mut out, *mood, text);
            }
        }
    }
    for page in pages {
        sections(&mut out, page.items());
    }
    out
}

/// Everything up to the next heading can be folded away below it.
fn sections(out: &mut String, items: &[Item]) {
    let is_heading = |item: &Item| matches!(item, Item::Heading(_));
    let begins = items.iter().position(is_heading).unwrap_or(items.len());
    let (before, mut rest) = items.split_at(begins);
    body(out, before);
    while let Some((Item::Heading(heading), after)) = rest.split_first() {
        let ends = after.iter().position(is_heading).unwrap_or(after.len());
        let (inside, next) = after.split_at(ends);
        // A verdict that stands behind the last section is no part of it.
        let own = inside.iter().position(|item| matches!(item, Item::Verdict(..)));
        let (inside, behind) = inside.split_at(own.unwrap_or(inside.len()));
        if inside.iter().all(is_blank) {
            out.push_str(&format!("<h2>{}</h2>\n", html(heading)));
        } else {
            out.push_str(&format!(
                "<details open><summary><h2>{}</h2></summary>\n",
                html(heading)
            ));
            body(out, inside);
            out.push_str("</details>\n");
        }
        body(out, behind);
        rest = next;
    }
}

fn body(out: &mut String, items: &[Item]) {
    let mut open = Group::None;
    for item in items.iter().filter(|item| !is_blank(item)) {
        let group = group(item);
        if group != open {
            close(out, open);
            out.push_str(match group {
                Group::Facts => "<dl>\n",
                Group::Remarks => "<ul>\n",
                Group::Text => "<pre>",
                Group::None => "",
            });
            open = group;
        }
        one(out, item);
    }
    close(out, open);
}

fn close(out: &mut String, group: Group) {
    out.push_str(match group {
        Group::Facts => "</dl>\n",
        Group::Remarks => "</ul>\n",
        Group::Text => "</pre>\n",
        Group::None => "",
    });
}

const fn group(item: &Item) -> Group {
    match item {
        Item::Fact { .. } => Group::Facts,
        Item::Remark { .. } => Group::Remarks,
        Item::Theirs(_) | Item::Below(_) => Group::Text,
        Item::Line(_) | Item::Heading(_) | Item::Verdict(..) | Item::Command(_) | Item::Row(_) => Group::None,
    }
}

fn one(out: &mut String, item: &Item) {
    match item {
        Item::Line(text) | Item::Heading(text) => out.push_str(&format!("<p>{}</p>\n", words(text))),
        Item::Verdict(mood, text) => verdict(out, *mood, text),
        Item::Fact { name, value, .. } => {
            out.push_str(&format!(
                "<div><dt>{}</dt><dd>{}</dd></div>\n",
                html(name),
                words(value)
            ));
        }
        Item::Remark { text, danger: true } => out.push_str(&format!("<li class=\"danger\">{}</li>\n", words(text))),
        Item::Remark { text, danger: false } => out.push_str(&format!("<li>{}</li>\n", words(text))),
        Item::Theirs(text) => {
            let text = html(text);
            out.push_str(&match text.chars().next() {
                Some('+') => format!("<ins>{text}</ins>\n"),
                Some('-') => format!("<del>{text}</del>\n"),
                _ => format!("{text}\n"),
            });
        }
        Item::Below(text) => out.push_str(&format!("{}\n", html(text))),
        Item::Command(text) => out.push_str(&format!("<pre>{}</pre>\n", html(text))),
        Item::Row(row) if row.is_head() => {}
        Item::Row(row) => out.push_str(&format!("<p>{}</p>\n", words(&row.cells().join("  ")))),
    }
}

fn verdict(out: &mut String, mood: Mood, text: &str) {
    let class = match mood {
        Mood::Clean => "clean",
        Mood::Unchecked => "unchecked",
        Mood::NotNow => "not-now",
        Mood::Stop => "stop",
    };
    out.push_str(&format!("<p class=\"verdict {class}\">{}</p>\n", words(text)));
}

fn is_blank(item: &Item) -> bool {
    matches!(item, Item::Line(text) if text.is_empty())
}

/// A text whose hashes stand in groups, as devices show them; what is copied of them has no blanks.
fn words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        let (before, from) = rest.split_at(at);
        let after = from.strip_prefix("0x").unwrap_or_default();
        let length = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (digits, next) = after.split_at(length);
        out.push_str(&html(before));
        if length == HASH {
            out.push_str("<code class=\"hash\"><span>0x</span>");
            for group in digits.as_bytes().chunks(GROUP) {
                out.push_str(&format!("<span>{}</span>", String::from_utf8_lossy(group)));
            }
            out.push_str("</code>");
        } else {
            out.push_str(&format!("<code>0x{digits}</code>"));
        }
        rest = next;
    }
    out.push_str(&html(rest));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: [&str; 28] = [
        "<h2>",
        "</h2>",
        "<details open>",
        "</details>",
        "<summary>",
        "</summary>",
        "<dl>",
        "</dl>",
        "<div>",
        "</div>",
        "<dt>",
        "</dt>",
        "<dd>",
        "</dd>",
        "<ul>",
        "</ul>",
        "<li>",
        "<li class=\"danger\">",
        "</li>",
        "<pre>",
        "</pre>",
        "<ins>",
        "</ins>",
        "<del>",
        "</del>",
        "<p>",
        "</p>",
        "<p class=\"verdict stop\">",
    ];
    const HOSTILE: [&str; 9] = [
        "<img src=x onerror=alert(1)>",
        "</pre><script>alert(1)</script>",
        "\"><svg onload=alert(1)>",
        "' autofocus onfocus='x",
        "&lt;b&gt; &#60;script&#62;",
        "a\u{202e}gnp\u{2066}x",
        "zero\u{200b}width\u{feff}",
        "+<ins>\n-</del>\n<!-- -->",
        "0x<script>0xdead<b>",
    ];

    fn without_tags(text: &str) -> String {
        let mut left = text.to_owned();
        for tag in TAGS
            .iter()
            .chain(&["<code>", "</code>", "<code class=\"hash\">", "<span>", "</span>"])
        {
            left = left.replace(tag, "");
        }
        left
    }

    #[test]
    fn no_word_of_a_stranger_is_more_than_text_on_a_page_for_a_browser() {
        for hostile in HOSTILE {
            let mut page = Page::default();
            page.line(hostile)
                .heading(hostile)
                .facts(&[(hostile, Some(hostile.to_owned()))]);
            page.block(hostile)
                .each([hostile])
                .remark(hostile, true)
                .theirs(hostile);
            page.theirs_below(hostile, hostile)
                .command(hostile, hostile)
                .verdict(Mood::Stop, hostile);
            let left = without_tags(&content(&[&page]));
            assert!(!left.contains(['<', '>', '"', '\'']), "{left}");
            assert!(
                !left.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}']),
                "{left}"
            );
            assert!(!left.replace("&amp;", "").contains("&#60"), "{left}");
        }
    }

    /// What is left of HTML without its tags and entities, and of text without its indentation.
    #[test]
    fn both_renderers_say_the_same_words_in_the_same_order() {
        let hash = format!("0x{}", "0a".repeat(32));
        let mut page = Page::default();
        page.line("first").heading("kinds of <change>").facts(
            &[("a", Some("1 & 2")), ("hash", Some(&*hash))].map(|(name, value)| (name, value.map(ToOwned::to_owned))),
        );
        page.heading("alone")
            .theirs("+a\n-b\n c")
            .remark("DANGER: it's", true)
            .command("next", "countersign sign 'x'");
        page.verdict(Mood::Stop, &format!("STOP: {hash}"));
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = without_tags(&content(&[&page]));
        let shown = shown
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#39;", "'")
            .replace("&amp;", "&");
        let verdict = format!("STOP: {hash}");
        let (before, inside) = shown.split_at(shown.find('\n').unwrap());
        assert_eq!(before, verdict, "what it comes to stands first");
        let text = page.text(None);
        // Name and value have nothing between them where there are two elements.
        let squeezed = |text: &str| plain(text).replace(' ', "");
        assert_eq!(squeezed(inside), squeezed(&text));
    }

    #[test]
    fn a_hash_stands_in_groups_of_four_and_an_address_in_one_piece() {
        let shown = words(&format!("a 0x{} b 0x{}", "0123".repeat(16), "11".repeat(20)));
        assert_eq!(shown.matches("<span>0123</span>").count(), 16);
        assert!(
            shown.ends_with(&format!(" b <code>0x{}</code>", "11".repeat(20))),
            "{shown}"
        );
    }
}
