//! The shape of the sources in figures: how large files are, who names whom, and where files go round in a circle.
//!
//! An arrow goes from a file to the file that holds what it names: by a `use` that is no re-export, or by a path in its
//! code. Re-exports are followed to where the name comes from. Tests are left out, and so are methods, which need types.
//! `tests/figures.sh` prints the figures, for another folder of sources too (`COUNTERSIGN_SOURCES`).

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use parse::{File, is_name, tokens};

/// The rooms whose own maps say in which order their files and folders stand, the lowest first.
const ON_FLOORS: [&str; 3] = ["chain", "cli", "upgrade"];

struct Sources {
    files: Vec<File>,
    at: BTreeMap<Vec<String>, usize>,
}

fn folder() -> PathBuf {
    std::env::var_os("COUNTERSIGN_SOURCES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), PathBuf::from)
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, found),
            false => found.push(path),
        }
    }
}

impl Sources {
    fn read() -> Self {
        let root = folder();
        let mut paths = Vec::new();
        walk(&root, &mut paths);
        paths.sort();
        let files: Vec<File> = paths.iter().filter_map(|path| File::read(&root, path)).collect();
        assert!(files.len() > 20, "the sources were not found");
        let at = files
            .iter()
            .enumerate()
            .map(|(index, file)| (file.module.clone(), index))
            .collect();
        Self { files, at }
    }
    /// The path from the crate on; `None` when it is not of this crate.
    fn whole(&self, from: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = from.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            name => {
                let here = [from, &[name.to_owned()]].concat();
                if self.at.contains_key(&here) {
                    return Some([from, path].concat());
                }
                let file = &self.files[*self.at.get(from)?];
                let import = file.uses.iter().find(|one| one.name == name && one.path != path)?;
                let import = self.whole(from, &import.path)?;
                return Some([import.as_slice(), &path[1..]].concat());
            }
        }
        while rest.first().is_some_and(|part| part == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        Some([base.as_slice(), rest].concat())
    }
    /// The file that holds what a whole path names.
    fn holder(&self, path: &[String], depth: usize) -> Option<usize> {
        let mut module = Vec::new();
        let mut rest = path;
        while let Some(next) = rest.first() {
            let inner = [module.as_slice(), std::slice::from_ref(next)].concat();
            if !self.at.contains_key(&inner) {
                break;
            }
            module = inner;
            rest = &rest[1..];
        }
        let file = *self.at.get(&module)?;
        let Some(name) = rest.first().filter(|_| depth < 12) else {
            return Some(file);
        };
        let uses = &self.files[file].uses;
        let named = uses.iter().find(|one| one.name == *name);
        if let Some(from) = named
            .and_then(|one| self.whole(&module, &one.path))
            .filter(|from| from != path)
        {
            return self.holder(&[from.as_slice(), &rest[1..]].concat(), depth + 1);
        }
        Some(file)
    }
    /// Whom each file names.
    fn arrows(&self) -> Vec<BTreeSet<usize>> {
        let of = |(index, file): (usize, &File)| {
            let imported = file.uses.iter().filter(|one| !one.exported).map(|one| &one.path);
            let named = imported
                .chain(&file.paths)
                .filter_map(|path| self.whole(&file.module, path));
            let found = named.filter_map(|path| self.holder(&path, 0));
            found.filter(|other| *other != index).collect()
        };
        self.files.iter().enumerate().map(of).collect()
    }
    fn room(&self, file: usize) -> &str {
        self.files[file].module.first().map_or("lib", String::as_str)
    }
    /// Names that a user of a room's front door can write, its public modules' included.
    fn names(&self, module: &[String]) -> usize {
        let Some(file) = self.at.get(module).map(|index| &self.files[*index]) else {
            return 0;
        };
        let inner = file.public_modules.iter();
        let inner: usize = inner
            .map(|name| 1 + self.names(&[module, std::slice::from_ref(name)].concat()))
            .sum();
        file.items + file.uses.iter().filter(|one| one.public).count() + inner
    }
}

/// Tarjan's search for groups of files each of which reaches every other.
struct Search<'a> {
    arrows: &'a [BTreeSet<usize>],
    /// In which order files were met.
    number: Vec<Option<usize>>,
    /// The earliest file on the stack that each one reaches.
    lowest: Vec<usize>,
    stack: Vec<usize>,
    count: usize,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn visit(&mut self, node: usize) {
        self.number[node] = Some(self.count);
        self.lowest[node] = self.count;
        self.count += 1;
        self.stack.push(node);
        for next in &self.arrows[node] {
            match self.number[*next] {
                None => {
                    self.visit(*next);
                    self.lowest[node] = self.lowest[node].min(self.lowest[*next]);
                }
                Some(number) if self.stack.contains(next) => self.lowest[node] = self.lowest[node].min(number),
                Some(_) => {}
            }
        }
        if Some(self.lowest[node]) == self.number[node] {
            let begin = self.stack.iter().position(|one| *one == node).unwrap();
            let group = self.stack.split_off(begin);
            if group.len() > 1 {
                self.found.push(group);
            }
        }
    }
}

/// Groups of files each of which reaches every other, the largest first.
fn circles(arrows: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut search = Search {
        arrows,
        number: vec![None; arrows.len()],
        lowest: vec![0; arrows.len()],
        stack: Vec::new(),
        count: 0,
        found: Vec::new(),
    };
    for node in 0..arrows.len() {
        if search.number[node].is_none() {
            search.visit(node);
        }
    }
    search.found.sort_by_key(|group| std::cmp::Reverse(group.len()));
    search.found
}

/// Numbers of the lines that are a doc comment and open with what only the comment above them explains.
fn leaning_lines(text: &str) -> Vec<usize> {
    let numbered = text.lines().map(str::trim).zip(1..);
    let leaning = numbered.filter(|(line, _)| line.starts_with("/// The same") || line.starts_with("//! The same"));
    leaning.map(|(_, number)| number).collect()
}

#[test]
fn no_comment_opens_with_the_same() {
    let sample = "//! The same map.\n/// A map.\n// The same.\n    /// The same.\nconst TEXT: &str = \"/// The same\";";
    assert_eq!(leaning_lines(sample), [1, 4]);

    let mut paths = Vec::new();
    walk(&folder(), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    assert!(paths.len() > 20, "the sources were not found");
    let mut found = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = leaning_lines(&text);
        found.extend(lines.iter().map(|line| format!("{}:{line}", path.display())));
    }
    assert!(found.is_empty(), "say what these are about by themselves: {found:#?}");
}

#[test]
fn no_files_go_round_in_a_circle() {
    let sources = Sources::read();
    let name = |file: &usize| sources.files[*file].path.as_str();
    let circles = circles(&sources.arrows());
    let named: Vec<Vec<&str>> = circles.iter().map(|circle| circle.iter().map(name).collect()).collect();
    assert_eq!(named, Vec::<Vec<&str>>::new());
}

#[test]
fn no_file_is_longer_than_600_lines_before_its_tests() {
    const MOST: usize = 600;
    let sources = Sources::read();
    let long = sources.files.iter().filter(|file| file.lines > MOST);
    let named: Vec<(&str, usize)> = long.map(|file| (file.path.as_str(), file.lines)).collect();
    assert_eq!(named, Vec::new());
}

/// The floor of each name in the map of a room: the table in the head of its `mod.rs`.
fn floors(room: &str) -> BTreeMap<String, usize> {
    let head = std::fs::read_to_string(folder().join(room).join("mod.rs")).unwrap();
    let rows = head.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let named = rows.enumerate().flat_map(|(floor, row)| {
        let names = row.split(" |").next().unwrap_or_default().split('`');
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        names.map(move |name| (name.to_owned(), floor))
    });
    named.collect()
}

#[test]
fn files_use_only_the_floors_below_their_own() {
    let sources = Sources::read();
    for room in ON_FLOORS {
        use_only_what_is_below(&sources, room);
    }
}

fn use_only_what_is_below(sources: &Sources, room: &str) {
    let floors = floors(room);
    assert!(floors.len() > 8, "the map of `{room}` was not found");
    // The room's own front door stands above all floors.
    let floor = |file: usize| {
        let module = &sources.files[file].module;
        let name = module.get(1).filter(|_| module[0] == room)?;
        Some(*floors.get(name).unwrap_or_else(|| panic!("`{name}` is not in the map")))
    };
    for (from, others) in sources.arrows().iter().enumerate() {
        for (own, other, to) in others.iter().filter_map(|to| Some((floor(from)?, floor(*to)?, *to))) {
            let (from, to) = (&sources.files[from].path, &sources.files[to].path);
            assert!(other <= own, "{from} uses {to}, which stands above it");
        }
    }
}

/// What several commands do stands below them.
#[test]
fn no_command_uses_another() {
    let sources = Sources::read();
    let command = |file: usize| match sources.files[file].module.as_slice() {
        [room, floor, name, ..] if room == "cli" && floor == "commands" => Some(name.as_str()),
        _ => None,
    };
    let all: BTreeSet<&str> = (0..sources.files.len()).filter_map(command).collect();
    assert!(all.len() > 20, "the commands were not found: {all:?}");
    for (from, others) in sources.arrows().iter().enumerate() {
        for (own, other) in others.iter().filter_map(|to| Some((command(from)?, command(*to)?))) {
            assert_eq!(own, other, "{}", sources.files[from].path);
        }
    }
}

/// A method of `Run`: its name, the words of what it gives, and those of its body.
struct Method<'a> {
    name: &'a str,
    gives: &'a [String],
    body: &'a [String],
}

/// Where the bracket at `open` closes.
fn closing(tokens: &[String], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 1 => return at,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

fn methods_of_run(tokens: &[String]) -> Vec<Method<'_>> {
    let mut found = Vec::new();
    let blocks = tokens.iter().enumerate().filter(|(_, token)| *token == "impl");
    for (begin, _) in blocks.filter(|(at, _)| is_of(&tokens[at + 1..], "Run")) {
        let open = begin + tokens[begin..].iter().position(|token| token == "{").unwrap();
        let end = closing(tokens, open);
        let mut at = open;
        while let Some(next) = tokens[at..end].iter().position(|token| token == "fn") {
            let name = at + next + 1;
            let params = name + tokens[name..].iter().position(|token| token == "(").unwrap();
            let gives = closing(tokens, params) + 1;
            let body = gives + tokens[gives..].iter().position(|token| token == "{").unwrap();
            at = closing(tokens, body);
            found.push(Method {
                name: &tokens[name],
                gives: &tokens[gives..body],
                body: &tokens[body..at],
            });
        }
    }
    found
}

/// Methods that are called on a run in `tokens`; on `self` only where that is one.
fn called<'a>(tokens: &'a [String], on: &[&str]) -> BTreeSet<&'a str> {
    let of_run = |words: &[String]| match (words[1].as_str(), words[3].as_str()) {
        (".", "(") => on.contains(&words[0].as_str()),
        ("::", _) => ["Self", "Run"].contains(&words[0].as_str()) && on.contains(&"self"),
        _ => false,
    };
    let found = tokens.windows(4).filter(|words| of_run(words));
    found.map(|words| words[2].as_str()).collect()
}

/// The methods by which the loop takes its steps: what it calls of a run, and what gives how far it came.
fn steps_of<'a>(files: &[(&str, &'a [Method<'a>])]) -> BTreeSet<&'a str> {
    let (_, own) = files
        .iter()
        .find(|(path, _)| path.ends_with("steps/advance.rs"))
        .unwrap();
    let taken: BTreeSet<&str> = own.iter().flat_map(|one| called(one.body, &["self", "run"])).collect();
    let others = files.iter().filter(|(path, _)| !path.ends_with("steps/advance.rs"));
    let gives = |one: &Method<'_>| match one.gives.iter().position(|token| token == "Result") {
        Some(at) => ["Outcome", "ControlFlow"].contains(&one.gives[at + 2].as_str()),
        None => false,
    };
    let steps = others.flat_map(|(_, methods)| *methods);
    steps
        .filter(|one| gives(one) && taken.contains(one.name))
        .map(|one| one.name)
        .collect()
}

/// The loop alone takes steps: one that took another would leave the records unasked in between.
#[test]
fn no_step_takes_another() {
    let sources = Sources::read();
    let of_upgrade = sources.files.iter().filter(|file| file.path.starts_with("upgrade/"));
    let words: Vec<(&str, Vec<String>)> = of_upgrade
        .map(|file| (file.path.as_str(), tokens(&file.text)))
        .collect();
    let methods: Vec<(&str, Vec<Method<'_>>)> = words
        .iter()
        .map(|(path, tokens)| (*path, methods_of_run(tokens)))
        .collect();
    let methods: Vec<(&str, &[Method<'_>])> = methods.iter().map(|(path, all)| (*path, all.as_slice())).collect();
    let steps = steps_of(&methods);
    for known in [
        "prepare",
        "freeze",
        "approve_on_chain",
        "broadcast",
        "wait",
        "commit",
        "watch",
    ] {
        assert!(steps.contains(known), "`{known}` was not found: {steps:?}");
    }
    let named = |path: &str, tokens: &[String], on: &[&str]| -> Vec<String> {
        let found = called(tokens, on).into_iter().filter(|name| steps.contains(name));
        found.map(|name| format!("{path} takes `{name}`")).collect()
    };
    let mut found = Vec::new();
    for (path, tokens) in words.iter().filter(|(path, _)| !path.ends_with("steps/advance.rs")) {
        found.extend(named(path, tokens, &["run"]));
    }
    for (path, all) in methods.iter().filter(|(path, _)| !path.ends_with("steps/advance.rs")) {
        found.extend(all.iter().flat_map(|one| named(path, one.body, &["self"])));
    }
    assert_eq!(found, Vec::<String>::new());

    let text = "impl Run<'_> { async fn go(&mut self) -> Result<Outcome, E> { self.wait().await?; other.wait(); Self::watch(self) } }";
    let sample = tokens(text);
    let one = &methods_of_run(&sample)[0];
    assert_eq!(
        (one.name, called(one.body, &["self"])),
        ("go", BTreeSet::from(["wait", "watch"]))
    );
}

/// Functions whose signature takes a tuple apart: what has so many parts has a struct that names them.
fn apart(tokens: &[String]) -> Vec<&str> {
    let functions = tokens.iter().enumerate().filter(|(_, token)| *token == "fn");
    let named = functions.filter(|(at, _)| tokens.get(at + 1).is_some_and(|next| is_name(next)));
    let closes = |at: usize| !["-", "="].contains(&tokens[at - 1].as_str());
    let is_apart = |name: usize| {
        let (mut depth, mut angles, mut begins) = (0_usize, 0_usize, false);
        for (at, token) in tokens.iter().enumerate().skip(name + 1) {
            // What stands between the name and its parameters is generic.
            match token.as_str() {
                "<" => angles += 1,
                ">" if closes(at) => angles = angles.saturating_sub(1),
                _ if depth == 0 && (angles > 0 || token != "(") => {}
                "(" if begins => return true,
                "(" | "[" | "{" => {
                    begins = depth == 0;
                    depth += 1;
                }
                ")" | "]" | "}" if depth == 1 => return false,
                ")" | "]" | "}" => depth -= 1,
                "," => begins = depth == 1 && angles == 0,
                "&" | "mut" => {}
                _ => begins = false,
            }
        }
        false
    };
    let found = named.filter(|(at, _)| is_apart(at + 1));
    found.map(|(at, _)| tokens[at + 1].as_str()).collect()
}

#[test]
fn no_signature_takes_a_tuple_apart() {
    let sample = tokens(
        "fn a((x, y): (u8, u8)) {} fn b<T: Fn(u8) -> (u8, u8)>(&self, f: T, &(x, y): &(u8, u8)) {} \
         fn c(x: (u8, u8), y: BTreeMap<u8, (u8, u8)>, [z, w]: [u8; 2]) -> Vec<(u8, u8)> { f(|(x, y)| x, (1, 2)) } \
         fn d(mut self, mut x: u8) {} fn e(x: u8, mut rest: impl FnMut(u8, (u8, u8)) -> u8, (y, z): Pair) {}",
    );
    assert_eq!(apart(&sample), ["a", "b", "e"]);

    let mut paths = Vec::new();
    walk(&folder(), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    assert!(paths.len() > 20, "the sources were not found");
    let mut found = Vec::new();
    for path in &paths {
        let tokens = tokens(&std::fs::read_to_string(path).unwrap());
        found.extend(apart(&tokens).iter().map(|name| format!("{}: {name}", path.display())));
    }
    assert!(found.is_empty(), "name the parts: {found:#?}");
}

#[test]
fn an_arrow_a_circle_and_a_re_export_are_found() {
    let read = |module: &str, text: &str| {
        let mut file = File {
            path: module.to_owned(),
            module: module
                .split('/')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            lines: 0,
            text: text.to_owned(),
            uses: Vec::new(),
            paths: Vec::new(),
            items: 0,
            public_modules: Vec::new(),
        };
        file.parse();
        file
    };
    let files = vec![
        read("", "pub mod a; pub mod b;"),
        read(
            "a",
            "mod inner; pub use inner::{Thing, other as Renamed}; pub fn here() {}",
        ),
        read(
            "a/inner",
            "use super::here; // use crate::b::No;\n pub struct Thing; fn f() -> &'static str { \"crate::b::No\" }",
        ),
        read(
            "b",
            "use crate::a::{Renamed, Thing as T}; fn f(c: char) { if c == '\"' { crate::b::c::go() } }",
        ),
        read(
            "b/c",
            "use std::fmt; pub(crate) use super::Never; use crate::b::*; fn go() {}",
        ),
    ];
    let at = files
        .iter()
        .enumerate()
        .map(|(index, file)| (file.module.clone(), index))
        .collect();
    let sources = Sources { files, at };
    let arrows: Vec<Vec<usize>> = sources
        .arrows()
        .into_iter()
        .map(|to| to.into_iter().collect())
        .collect();
    assert_eq!(arrows, [vec![], vec![], vec![1], vec![2, 4], vec![3]]);
    assert_eq!(circles(&sources.arrows()), [vec![3, 4]]);
    assert_eq!(sources.names(&["a".to_owned()]), 3);
}

/// Everything that is counted, as text.
#[test]
#[ignore = "prints the figures: tests/figures.sh"]
fn figures() {
    let sources = Sources::read();
    let mut out = String::new();
    sizes(&sources, &mut out);
    blocks(&sources, &mut out);
    graph(&sources, &mut out);
    phrases(&sources, &mut out);
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes()).unwrap();
}

fn sizes(sources: &Sources, out: &mut String) {
    let mut lines: Vec<usize> = sources.files.iter().map(|file| file.lines).collect();
    lines.sort_unstable();
    let longest = sources.files.iter().max_by_key(|file| file.lines).unwrap();
    let (files, median) = (lines.len(), lines[lines.len() / 2]);
    writeln!(out, "lines without tests      {}", lines.iter().sum::<usize>()).unwrap();
    writeln!(
        out,
        "files                    {files}, median {median} lines, longest {} ({})",
        longest.lines, longest.path
    )
    .unwrap();
}

/// Blocks of inherent methods of the types that are spread over many files.
fn blocks(sources: &Sources, out: &mut String) {
    for name in ["Run", "Upgrade", "State"] {
        let mut by_folder: BTreeMap<&str, usize> = BTreeMap::new();
        for file in &sources.files {
            let tokens = tokens(&file.text);
            let count = tokens
                .iter()
                .enumerate()
                .filter(|(at, token)| *token == "impl" && is_of(&tokens[at + 1..], name))
                .count();
            if count > 0 {
                *by_folder
                    .entry(file.path.rsplit_once('/').map_or("", |(folder, _)| folder))
                    .or_default() += count;
            }
        }
        let total: usize = by_folder.values().sum();
        writeln!(out, "{:<24} {total}: {by_folder:?}", format!("blocks `impl {name}`")).unwrap();
    }
}

/// Whether what follows `impl` is a block of inherent methods of the type.
fn is_of(tokens: &[String], name: &str) -> bool {
    let head: Vec<&String> = tokens.iter().take_while(|token| *token != "{").collect();
    let plain = head
        .iter()
        .skip_while(|token| !is_name(token))
        .find(|token| **token == name);
    let first = head.iter().position(|token| *token == name);
    let before_is_generic = first.is_some_and(|at| at == 0 || head[..at].last().is_some_and(|token| *token == ">"));
    plain.is_some() && before_is_generic && !head.iter().any(|token| *token == "for")
}

fn graph(sources: &Sources, out: &mut String) {
    let arrows = sources.arrows();
    let count: usize = arrows.iter().map(BTreeSet::len).sum();
    let mut rooms = BTreeSet::new();
    let mut across = 0;
    for (from, to) in arrows
        .iter()
        .enumerate()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, *to)))
    {
        let (one, other) = (sources.room(from), sources.room(to));
        if one != other {
            across += 1;
            rooms.insert((one, other));
        }
    }
    writeln!(out, "arrows between files     {count}, {across} of them between rooms").unwrap();
    writeln!(out, "arrows between rooms     {}", rooms.len()).unwrap();
    let circles = circles(&arrows);
    let sizes: Vec<usize> = circles.iter().map(Vec::len).collect();
    writeln!(
        out,
        "circles of files         {}, {} files in them: {sizes:?}",
        sizes.len(),
        sizes.iter().sum::<usize>()
    )
    .unwrap();
    for group in &circles {
        let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
        for file in group {
            *folders.entry(sources.room(*file)).or_default() += 1;
        }
        writeln!(out, "  {folders:?}, for example {}", sources.files[group[0]].path).unwrap();
    }
    let all: BTreeSet<&str> = (0..sources.files.len()).map(|file| sources.room(file)).collect();
    let names: Vec<(&str, usize)> = all
        .iter()
        .map(|room| (*room, sources.names(&[(*room).to_owned()])))
        .collect();
    let total: usize = names.iter().map(|(_, count)| count).sum();
    writeln!(out, "public names             {total}: {names:?}").unwrap();
}

fn phrases(sources: &Sources, out: &mut String) {
    let lines = || sources.files.iter().flat_map(|file| file.text.lines()).map(str::trim);
    let route = |line: &&str| {
        let subject = line.split("match ").nth(1).filter(|_| !line.starts_with("//"));
        subject.and_then(|rest| rest.split(" {").next()).is_some_and(|subject| {
            subject.trim_end_matches("()").ends_with("route")
                || subject.contains(".route,")
                || subject.contains("route)")
        })
    };
    writeln!(out, "`match` on a route       {}", lines().filter(route).count()).unwrap();
    let mut opening = 0;
    for file in &sources.files {
        let mut before = "";
        for line in file.text.lines().map(str::trim) {
            let is_comment = line.starts_with("///") || line.starts_with("//!");
            opening += usize::from(
                is_comment && !before.starts_with("//") && line.split_at(3).1.trim().starts_with("The same"),
            );
            before = line;
        }
    }
    writeln!(out, "comments \"The same…\"     {opening}").unwrap();
}
