//! Pages as Markdown: the items of a [`Page`], in the order in which a terminal shows them. Pure.
//!
//! All words go through one door ([`crate::text::markdown`], or [`crate::text::fenced`] for texts of several lines), so that
//! none of them is a link, a tag or a heading.

use super::text::{Item, Page};
use crate::evidence::row;
use crate::text::{fenced, markdown};

/// What an item stands in together with its neighbours of the same kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Facts,
    Remarks,
    Rows,
    Theirs,
    Below,
    Alone,
}

/// The page, each block after an empty line.
pub(in crate::cli) fn content(page: &Page) -> String {
    let items: Vec<&Item> = page.items().iter().filter(|item| !is_blank(item)).collect();
    let together = |a: &&Item, b: &&Item| block(a) == block(b) && block(a) != Block::Alone;
    items
        .chunk_by(together)
        .filter_map(|chunk| Some(set(block(chunk.first()?), chunk) + "\n\n"))
        .collect()
}

fn set(block: Block, items: &[&Item]) -> String {
    let lines = || items.iter().map(|item| line(item)).collect::<Vec<_>>().join("\n");
    match block {
        Block::Facts => format!("| fact | value |\n| --- | --- |\n{}", lines()),
        Block::Below => fenced("text", &lines()),
        Block::Theirs => fenced("diff", &lines()),
        Block::Rows | Block::Remarks | Block::Alone => lines(),
    }
}

fn line(item: &Item) -> String {
    match item {
        Item::Line(text) => markdown(text),
        Item::Heading(text) => format!("## {}", markdown(text)),
        Item::Verdict(_, text) => format!("**{}**", markdown(text)),
        Item::Fact { name, value, .. } => row(name, value),
        Item::Remark { text, danger: true } => format!("- **{}**", markdown(text.trim())),
        Item::Remark { text, danger: false } => format!("- {}", markdown(text.trim())),
        Item::Theirs(text) | Item::Below(text) => text.clone(),
        Item::Row(row) => {
            let cells = |set: fn(&String) -> String| row.cells().iter().map(set).collect::<Vec<_>>().join(" | ");
            let line = format!("| {} |", cells(|cell| markdown(cell)));
            match row.is_head() {
                true => format!("{line}\n| {} |", cells(|_| "---".to_owned())),
                false => line,
            }
        }
        Item::Command(text) => match text.split_once(": ") {
            Some((word, command)) => format!("{}:\n\n{}", markdown(word), fenced("sh", command)),
            None => fenced("sh", text),
        },
    }
}

const fn block(item: &Item) -> Block {
    match item {
        Item::Fact { .. } => Block::Facts,
        Item::Remark { .. } => Block::Remarks,
        Item::Row(_) => Block::Rows,
        Item::Theirs(_) => Block::Theirs,
        Item::Below(_) => Block::Below,
        Item::Line(_) | Item::Heading(_) | Item::Verdict(..) | Item::Command(_) => Block::Alone,
    }
}

fn is_blank(item: &Item) -> bool {
    matches!(item, Item::Line(text) if text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::text::Mood;

    #[test]
    fn items_become_tables_lists_and_fences() {
        let mut page = Page::default();
        page.line("One <b>line</b>").heading("images");
        page.facts(&[("a|b", Some("x|y".to_owned())), ("c", Some("d".to_owned()))]);
        page.each(["- old", "+ new"]).theirs("-a\n+```\n");
        page.command("next", "countersign sign 'a b'")
            .verdict(Mood::Stop, "It must *not* go on");
        let told = content(&page);
        for part in [
            "One &lt;b&gt;line&lt;/b&gt;\n\n## images\n\n| fact | value |\n| --- | --- |\n| a&#124;b | x&#124;y |\n| c | d |\n\n",
            "- \\- old\n- \\+ new\n\n````diff\n-a\n+```\n````\n\n",
            "next:\n\n```sh\ncountersign sign 'a b'\n```\n\n",
            "**It must \\*not\\* go on**\n\n",
        ] {
            assert!(told.contains(part), "{part}\nis not in\n{told}");
        }
    }

    #[test]
    fn a_stranger_writes_no_markdown() {
        let evil = "x\n\n# h\n[l](http://a.test) <img src=x> ![i](u) @team `c` | ```";
        let mut page = Page::default();
        page.line(evil)
            .heading(evil)
            .block(evil)
            .theirs(evil)
            .command("next", evil);
        page.facts(&[("name", Some(evil.to_owned()))]).each([evil]);
        let (mut fence, mut shown) = (None::<String>, 0);
        for line in content(&page).lines() {
            let ticks: String = line.chars().take_while(|c| *c == '`').collect();
            match &fence {
                Some(open) if ticks == *open && line == ticks => fence = None,
                Some(_) => {}
                None if ticks.len() >= 3 => fence = Some(ticks),
                None => {
                    shown += 1;
                    assert!(
                        !line.starts_with("# ") && !line.contains("<img") && !line.contains("](http"),
                        "{line}"
                    );
                    assert!(!line.contains("@team"), "{line}");
                }
            }
        }
        assert!(fence.is_none() && shown > 8);
    }
}
