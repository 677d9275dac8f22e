//! The variables in a text that Compose fills in: `$NAME`, `${NAME}`, `${NAME:-default}` and their kin (compose-go
//! `template/template.go`). Pure. Reading a text takes as long as the text, however deep its defaults nest.

use std::ops::Range;

/// A variable that a text refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference<'t> {
    pub(super) name: &'t str,
    /// Where it stands in the text, bytes.
    at: Range<usize>,
    /// What stands there when nobody sets it.
    pub(super) otherwise: Otherwise<'t>,
    /// It stands inside the default of another one.
    pub(super) is_inner: bool,
}

/// What becomes of a variable that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise<'t> {
    /// Nothing: Compose fills in an empty text and goes on.
    Blank,
    /// The default after `-` or `:-`.
    Default(&'t str),
    /// `?` or `:?`: Compose refuses to start.
    Refused,
    /// `+` or `:+`: the text is there only where the variable is set.
    Dropped,
}

/// A `${` that has not ended, or a `{` inside of one.
struct Open<'t> {
    /// Of a variable: its number among the references, and what it begins with.
    variable: Option<(usize, &'t str)>,
}

/// Every variable of a text in the order of appearance. `$$` is a dollar sign and no variable; a `$` that Compose cannot
/// read is left out, since Compose refuses such a text.
pub(super) fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found: Vec<Reference<'_>> = Vec::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{', '}']) {
        let here = rest.get(at..).unwrap_or_default();
        let behind = here.get(1..).unwrap_or_default();
        rest = behind;
        if here.starts_with('{') {
            if !open.is_empty() {
                open.push(Open { variable: None });
            }
        } else if here.starts_with('}') {
            if let Some(Open {
                variable: Some((index, start)),
            }) = open.pop()
                && let Some(reference) = found.get_mut(index)
            {
                let length = start.len().saturating_sub(here.len());
                reference.otherwise = otherwise(start.get(..length).unwrap_or_default());
                reference.at.end = text.len().saturating_sub(behind.len());
            }
        } else if let Some(escaped) = behind.strip_prefix('$') {
            rest = escaped;
        } else {
            let braced = behind.strip_prefix('{');
            let start = braced.unwrap_or(behind);
            let name = name(start);
            if name.is_empty() {
                continue;
            }
            rest = start.get(name.len()..).unwrap_or_default();
            if braced.is_some() {
                open.push(Open {
                    variable: Some((found.len(), rest)),
                });
            }
            let outer = open.len().saturating_sub(usize::from(braced.is_some()));
            let end = match braced {
                Some(_) => text.len(),
                None => text.len().saturating_sub(rest.len()),
            };
            found.push(Reference {
                name,
                at: text.len().saturating_sub(here.len())..end,
                otherwise: Otherwise::Blank,
                is_inner: outer > 0,
            });
        }
    }
    found
}

/// Whether Compose may fill in something here.
pub(super) fn has_any(text: &str) -> bool {
    !references(text).is_empty()
}

/// A text with the defaults in the place of its variables, as far as they have some.
pub(super) fn by_default(text: &str) -> String {
    let (mut filled, mut copied) = (String::new(), 0);
    for reference in references(text).iter().filter(|reference| !reference.is_inner) {
        filled.push_str(text.get(copied..reference.at.start).unwrap_or_default());
        if let Otherwise::Default(value) = reference.otherwise {
            filled.push_str(value);
        }
        copied = reference.at.end;
    }
    filled.push_str(text.get(copied..).unwrap_or_default());
    filled
}

/// A name at the start of a text: letters, digits and underscores, no digit first.
fn name(text: &str) -> &str {
    let is_inside = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|character| !is_inside(character)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// What stands between the name and the closing brace.
fn otherwise(text: &str) -> Otherwise<'_> {
    let text = text.strip_prefix(':').unwrap_or(text);
    match text.chars().next() {
        Some('-') => Otherwise::Default(text.get(1..).unwrap_or_default()),
        Some('?') => Otherwise::Refused,
        Some('+') => Otherwise::Dropped,
        _ => Otherwise::Blank,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(&str, Otherwise<'_>)> {
        references(text)
            .iter()
            .map(|reference| (reference.name, reference.otherwise))
            .collect()
    }

    #[test]
    fn every_form_that_compose_fills_in_is_a_reference_and_an_escaped_dollar_is_none() {
        assert_eq!(read("$A-${B}"), [("A", Otherwise::Blank), ("B", Otherwise::Blank)]);
        assert_eq!(
            read("${A:-x@sha256:0}/${B-}"),
            [("A", Otherwise::Default("x@sha256:0")), ("B", Otherwise::Default(""))]
        );
        assert_eq!(
            read("${A:?set it}${B?}${C:+c}${D+d}"),
            [
                ("A", Otherwise::Refused),
                ("B", Otherwise::Refused),
                ("C", Otherwise::Dropped),
                ("D", Otherwise::Dropped)
            ]
        );
        assert_eq!(read("$$A $${B} $ $1 ${1} {A} $$$C"), [("C", Otherwise::Blank)]);
        assert_eq!(
            read("${A:-${B:-c}}d"),
            [("A", Otherwise::Default("${B:-c}")), ("B", Otherwise::Default("c"))]
        );
        assert_eq!(read("${A:-{x}}y}"), [("A", Otherwise::Default("{x}"))]);
        assert_eq!(
            read("${A"),
            [("A", Otherwise::Blank)],
            "what has no end is named all the same"
        );
    }

    #[test]
    fn defaults_take_the_place_of_their_variables() {
        assert_eq!(by_default("${S:-/var/run/docker.sock}:/x"), "/var/run/docker.sock:/x");
        assert_eq!(by_default("/${A-run}/$B/${C}x"), "/run//x");
        assert_eq!(by_default("a${A:-${B:-b}}c$D-${E?e}${F:-f}"), "a${B:-b}c-f");
    }

    #[test]
    fn a_default_in_a_default_without_end_takes_no_longer_than_its_text() {
        let deep = "${A:-".repeat(100_000);
        assert_eq!(references(&deep).len(), 100_000);
    }
}
