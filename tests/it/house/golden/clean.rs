//! What differs from one run to the next gets a name; everything else stays as it is, to the byte.

use std::fmt::Write as _;

/// Texts that are known to vary, with the name that stands in their place.
#[derive(Debug, Default)]
pub struct Names(Vec<(String, String)>);

impl Names {
    /// `text` is called `name` from now on, unless it has a name already.
    pub fn call(&mut self, text: impl Into<String>, name: impl Into<String>) -> bool {
        let text = text.into();
        let new = !text.is_empty() && self.0.iter().all(|(known, _)| *known != text);
        if new {
            self.0.push((text, name.into()));
            self.0.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
        new
    }
    /// `text` with names in the place of what varies.
    pub fn clean(&self, text: &str) -> String {
        let known = self
            .0
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        patterns(&known)
    }
}

/// Replaces what is known by its form: times, seconds since 1970, sums of records, numbers that servers count up.
fn patterns(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let begins_word = !out.ends_with(|c: char| c.is_ascii_alphanumeric());
        let forms: &[(Form, &str)] = if begins_word { &FORMS } else { &[] };
        let found = forms.iter().find_map(|(form, name)| Some((form(rest)?, *name)));
        let length = match found {
            Some((length, name)) => {
                out.push_str(name);
                length
            }
            None => {
                out.push(first);
                first.len_utf8()
            }
        };
        rest = rest.split_at(length).1;
    }
    out
}

/// How long what varies is at the beginning of a text, if that is what stands there.
type Form = fn(&str) -> Option<usize>;

const FORMS: [(Form, &str); 10] = [
    (time, "<time>"),
    (|text| clock(text, 10), "<seconds>"),
    (|text| clock(text, 13), "<milliseconds>"),
    (first_sum, "…"),
    (|text| field(text, "checksum\": \"0x", 64), "checksum\": \"…"),
    (|text| field(text, "values\":\"0x", 64), "values\":\"…"),
    (|text| field(text, "prev\":\"", 64), "prev\":\"…"),
    (|text| field(text, "sum\":\"", 64), "sum\":\"…"),
    (|text| field(text, "corr_", 6), "corr_<n>"),
    (|text| field(text, "req_", 6), "req_<n>"),
];

/// `2026-11-29T06:46:41.123Z`, also with a space, without seconds' fraction, without a zone.
fn time(text: &str) -> Option<usize> {
    let shape = "dddd-dd-ddTdd:dd:dd";
    let fits = |(shape, c): (char, char)| match shape {
        'd' => c.is_ascii_digit(),
        'T' => c == 'T' || c == ' ',
        other => c == other,
    };
    let fitting = shape.chars().zip(text.chars()).take_while(|pair| fits(*pair)).count();
    if fitting < shape.len() {
        return None;
    }
    let tail = text.split_at(fitting).1;
    let fraction = tail
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(tail.len());
    let zone = usize::from(tail.split_at(fraction).1.starts_with('Z'));
    Some(fitting + fraction + zone)
}

/// So many digits that are a time in this decade.
fn clock(text: &str, length: usize) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let number = text.split_at(digits).0;
    let all = digits == length && number.chars().all(|c| c.is_ascii_digit());
    (all && (number.starts_with("17") || number.starts_with("18"))).then_some(digits)
}

/// The sum that a line of the record of signatures begins with.
fn first_sum(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    (digits == 64 && text.split_at(digits).1.starts_with(" {")).then_some(digits)
}

/// A label and so many hex digits after it.
fn field(text: &str, label: &str, digits: usize) -> Option<usize> {
    let value = text.strip_prefix(label)?;
    let found = value.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(value.len());
    (found == digits).then_some(label.len() + digits)
}

/// JSON in its own order, broken into lines where it is long. Text that is none stays as it is.
pub fn readable(text: &str) -> String {
    let mut parser = Parser {
        rest: text.trim_start(),
    };
    match parser.value() {
        Some(node) if parser.rest.trim().is_empty() => {
            let mut out = String::new();
            node.write(&mut out, 0);
            out.push('\n');
            out
        }
        _ => text.to_owned(),
    }
}

/// JSON as it was written: numbers and strings are not read, names stay in their order.
enum Node<'t> {
    Scalar(&'t str),
    List(Vec<Self>),
    Object(Vec<(&'t str, Self)>),
}

struct Parser<'t> {
    rest: &'t str,
}

const WIDTH: usize = 110;

impl<'t> Parser<'t> {
    fn eat(&mut self, token: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?.trim_start();
        Some(())
    }
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
    fn value(&mut self) -> Option<Node<'t>> {
        match self.rest.chars().next()? {
            '{' => self.object(),
            '[' => self.list(),
            '"' => Some(Node::Scalar(self.string()?)),
            _ => {
                let end = self.rest.find([',', '}', ']', '\n', ' ']).unwrap_or(self.rest.len());
                (end > 0).then(|| Node::Scalar(self.take(end)))
            }
        }
    }
    fn string(&mut self) -> Option<&'t str> {
        let mut escaped = true;
        for (at, c) in self.rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(self.take(at + 1)),
                _ => {}
            }
        }
        None
    }
    fn list(&mut self) -> Option<Node<'t>> {
        self.eat('[')?;
        let mut items = Vec::new();
        while self.eat(']').is_none() {
            if !items.is_empty() {
                self.eat(',')?;
            }
            items.push(self.value()?);
        }
        Some(Node::List(items))
    }
    fn object(&mut self) -> Option<Node<'t>> {
        self.eat('{')?;
        let mut members = Vec::new();
        while self.eat('}').is_none() {
            if !members.is_empty() {
                self.eat(',')?;
            }
            let name = self.string()?;
            self.eat(':')?;
            members.push((name, self.value()?));
        }
        Some(Node::Object(members))
    }
}

impl Node<'_> {
    fn flat(&self) -> String {
        let join = |parts: Vec<String>| parts.join(", ");
        match self {
            Self::Scalar(text) => (*text).to_owned(),
            Self::List(items) => format!("[{}]", join(items.iter().map(Node::flat).collect())),
            Self::Object(members) => {
                let each = members.iter().map(|(name, node)| format!("{name}: {}", node.flat()));
                format!("{{{}}}", join(each.collect()))
            }
        }
    }
    fn write(&self, out: &mut String, depth: usize) {
        let flat = self.flat();
        let (open, close, parts): (_, _, Vec<(String, &Node<'_>)>) = match self {
            Self::List(items) if flat.len() > WIDTH => {
                ('[', ']', items.iter().map(|node| (String::new(), node)).collect())
            }
            Self::Object(members) if flat.len() > WIDTH => {
                let named = members.iter().map(|(name, node)| (format!("{name}: "), node));
                ('{', '}', named.collect())
            }
            _ => return out.push_str(&flat),
        };
        let margin = "  ".repeat(depth);
        writeln!(out, "{open}").unwrap();
        for (index, (name, node)) in parts.iter().enumerate() {
            write!(out, "{margin}  {name}").unwrap();
            node.write(out, depth + 1);
            out.push_str(if index + 1 < parts.len() { ",\n" } else { "\n" });
        }
        write!(out, "{margin}{close}").unwrap();
    }
}
