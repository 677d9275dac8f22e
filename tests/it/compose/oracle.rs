//! The image list, for texts of the shapes that people deploy, and beside readers that are not ours: npm `yaml` always, and go-yaml, the reader of Docker Compose itself, where
//! `make oracle` names the program that asks it (`COUNTERSIGN_ORACLE`). What go-yaml said of a fixed sample stands in
//! `tests/vectors/compose_go.jsonl`, which `make oracle` writes anew.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use countersign::compose::{ImageList, ImageRole, Manifest, Way, check_compose_text};
use serde_json::{Value, json};

use crate::support::repository;

/// Texts that are compared with each run of the tests, and in a thorough one.
const SAMPLE: usize = 400;
const ALL: usize = 10_000;
/// Texts of which the vectors say what go-yaml reads.
const IN_VECTORS: usize = 250;
/// Of so many texts in a hundred the readers have to see a service: otherwise nothing was compared.
const LEAST_READ: usize = 55;

/// What a reader sees in a text.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    images: BTreeSet<String>,
    ways: BTreeSet<String>,
}

/// Texts that look like Docker Compose texts in every style that YAML has, the same in each run.
struct Texts {
    state: u64,
    /// Anchors of mappings, of texts and of whole maps of services that stand before, to be named by aliases.
    mappings: Vec<String>,
    texts: Vec<String>,
    count: usize,
}

impl Texts {
    fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            mappings: Vec::new(),
            texts: Vec::new(),
            count: 0,
        }
    }

    /// A number below `bound` (xorshift, so that every run has the same texts).
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn text(mut self) -> String {
        let mut text = String::new();
        if self.one_in(8) {
            text.push_str("# a comment: image: none\n");
        }
        for document in 0..=usize::from(self.one_in(6)) {
            if document > 0 {
                self.mappings.clear();
                self.texts.clear();
                text.push_str("---\n");
            }
            for _ in 0..self.below(3) {
                let name = format!("x-{}", self.next());
                let section = self.section(&name);
                text.push_str(&section);
            }
            if self.one_in(12) {
                text.push_str("include: [other.yml]\n");
            }
            let services = self.services();
            text.push_str(&services);
            if self.one_in(12) {
                text.push_str("models:\n  llm: {model: ai/small}\n");
            }
        }
        match self.below(12) {
            0 => text.replace('\n', "\r\n"),
            1 => text.trim_end().to_owned(),
            2 => text.replace("image: ", "image:\t"),
            _ => text,
        }
    }

    fn next(&mut self) -> usize {
        self.count += 1;
        self.count
    }

    /// A fragment at the top, which is of no effect by itself.
    fn section(&mut self, name: &str) -> String {
        let anchor = self.anchor();
        if self.one_in(3) {
            let image = format!("acme/text{}:1", self.count);
            self.texts.push(anchor.clone());
            return format!("{name}: &{anchor} {image}\n");
        }
        let body = self.body(2);
        self.mappings.push(anchor.clone());
        format!("{name}: &{anchor}\n{body}")
    }

    fn anchor(&mut self) -> String {
        format!("a{}", self.next())
    }

    fn services(&mut self) -> String {
        if self.one_in(10) {
            return self.flow_services();
        }
        let key = self.key("services");
        let mut text = format!("{key}:\n");
        for _ in 0..=self.below(3) {
            let name = self
                .pick(&["web", "db", "api", "\"quoted\"", "'single'", "cache"])
                .to_owned();
            if text.contains(&format!("\n  {name}:")) {
                continue;
            }
            match self.below(7) {
                0 if !self.mappings.is_empty() => {
                    let anchor = self.known();
                    text.push_str(&format!("  {name}: *{anchor}\n"));
                }
                1 => {
                    let anchor = self.anchor();
                    let body = self.body(4);
                    self.mappings.push(anchor.clone());
                    text.push_str(&format!("  {name}: &{anchor}\n{body}"));
                }
                2 => {
                    let image = self.image();
                    text.push_str(&format!("  {name}: {{image: {image}, restart: always}}\n"));
                }
                _ => {
                    let body = self.body(4);
                    text.push_str(&format!("  {name}:\n{body}"));
                }
            }
        }
        text
    }

    fn flow_services(&mut self) -> String {
        let (one, other) = (self.image(), self.image());
        format!("{{\"services\": {{\"web\": {{\"image\": {one}, \"tty\": true}}, db: {{image: {other} }}}}}}\n")
    }

    fn known(&mut self) -> String {
        let index = self.below(self.mappings.len());
        self.mappings[index].clone()
    }

    fn key(&mut self, name: &str) -> String {
        match self.below(6) {
            0 => format!("\"{name}\""),
            1 => format!("'{name}'"),
            2 => format!("!!str {name}"),
            _ => name.to_owned(),
        }
    }

    /// The lines of a mapping as services are.
    fn body(&mut self, indent: usize) -> String {
        let margin = " ".repeat(indent);
        let mut lines = Vec::new();
        if self.one_in(4) {
            lines.push(format!("{margin}# image: acme/comment:1"));
        }
        if !self.mappings.is_empty() && self.one_in(3) {
            lines.push(self.merge(&margin));
        }
        if !self.one_in(6) {
            let (key, image) = (self.key("image"), self.image());
            lines.push(match self.below(12) {
                0 => format!("{margin}? {key}\n{margin}: {image}"),
                1 => format!("{margin}{key}: >-\n{margin}  acme/folded{}:1", self.next()),
                2 => format!("{margin}{key} : {image} # image: acme/behind:1"),
                _ => format!("{margin}{key}: {image}"),
            });
        }
        let more = self.more(&margin);
        lines.extend(more);
        if self.one_in(3) {
            let at = self.below(lines.len() + 1);
            lines.insert(at, format!("{margin}restart: always"));
        }
        if lines.iter().all(|line| line.trim_start().starts_with('#')) {
            lines.push(format!("{margin}tty: true"));
        }
        lines.join("\n") + "\n"
    }

    fn merge(&mut self, margin: &str) -> String {
        let (one, other) = (self.known(), self.known());
        match self.below(5) {
            0 => format!("{margin}<<: [*{one}, *{other}]"),
            1 => format!("{margin}<<: {{image: acme/merged{}:1}}", self.next()),
            2 => format!("{margin}\"<<\": *{one}"),
            3 => format!(
                "{margin}<<:\n{margin}  - *{one}\n{margin}  - {{image: acme/listed{}:1}}",
                self.next()
            ),
            _ => format!("{margin}<<: *{one}"),
        }
    }

    /// What else a service may have.
    fn more(&mut self, margin: &str) -> Vec<String> {
        let number = self.next();
        let mut lines = match self.below(16) {
            0 => vec![format!("{margin}build: .")],
            1 => vec![format!(
                "{margin}build:\n{margin}  dockerfile_inline: |\n{margin}    FROM acme/base{number}:1"
            )],
            2 => vec![format!("{margin}extends: {{file: other.yml, service: x}}")],
            3 => vec![format!("{margin}extends: web")],
            4 => vec![format!("{margin}provider: {{type: model}}")],
            5 => vec![format!("{margin}pre_start:\n{margin}- {{image: acme/hook{number}:1}}")],
            6 => vec![format!(
                "{margin}volumes:\n{margin}  - type: image\n{margin}    source: acme/files{number}:1"
            )],
            7 => vec![format!(
                "{margin}command: |\n{margin}  image: acme/command:1\n\n{margin}  x: y"
            )],
            8 => vec![format!("{margin}command: [sh, -c, \"echo image: acme/words:1\"]")],
            _ => Vec::new(),
        };
        if self.one_in(4) {
            let anchor = self.anchor();
            let place = self.pick(&["environment", "labels", "x-more"]).to_owned();
            let image = self.image();
            self.mappings.push(anchor.clone());
            lines.push(format!(
                "{margin}{place}: &{anchor}\n{margin}  image: {image}\n{margin}  A: b"
            ));
        }
        lines
    }

    fn image(&mut self) -> String {
        let number = self.next();
        match self.below(12) {
            0 if !self.texts.is_empty() => {
                let index = self.below(self.texts.len());
                format!("*{} ", self.texts[index])
            }
            1 => format!("\"acme/double{number}:1\""),
            2 => format!("'acme/single{number}:1'"),
            3 => format!("!!str acme/tagged{number}:1"),
            4 => format!("\"acme/\\u0065scaped{number}:1\""),
            5 => {
                let anchor = self.anchor();
                self.texts.push(anchor.clone());
                format!("&{anchor} acme/anchored{number}:1")
            }
            6 => format!("\"${{IMAGE{number}:-acme/chosen:1}}\""),
            _ => format!("acme/plain{number}:1"),
        }
    }
}

fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|seed| Texts::new(u64::try_from(seed).unwrap() + 1).text())
        .collect()
}

/// The list of a text whose variables of `open` the environment may set.
fn listed(text: &str, open: &BTreeSet<&str>) -> ImageList {
    let manifest = json!({ "docker_compose_file": text, "allowed_envs": open });
    Manifest::from_map(manifest.as_object().unwrap().clone()).image_list()
}

/// What we see; nothing where the text is none that Compose reads.
fn ours(text: &str) -> Option<Seen> {
    let list = listed(text, &BTreeSet::new());
    if list.unlisted.iter().any(|one| one.way == Way::Unreadable) {
        return None;
    }
    // Bases of what is built stand in Dockerfiles, which the other readers do not read.
    let named = list.images.iter().filter(|image| !image.name.starts_with("acme/base"));
    let ways = list
        .unlisted
        .iter()
        .map(|one| json!(one.way).as_str().unwrap().to_owned());
    Some(Seen {
        images: named.map(|image| image.name.clone()).collect(),
        ways: ways.collect(),
    })
}

fn theirs(said: &Value) -> Option<Seen> {
    let set = |name: &str| -> BTreeSet<String> {
        let all = said[name].as_array().into_iter().flatten();
        all.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    (said["ok"] == true).then(|| Seen {
        images: set("images"),
        ways: set("ways"),
    })
}

/// Asks another reader: a text a line, an answer a line.
fn ask(mut command: Command, texts: &[String]) -> Vec<Value> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the reader starts");
    let lines: String = texts.iter().map(|text| format!("{}\n", json!(text))).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where another reader sees services, we see the same images and the same ways besides; where it refuses the text, nothing
/// runs, and what we say does not matter.
fn compare(texts: &[String], answers: &[Value]) {
    assert_eq!(texts.len(), answers.len());
    let mut read = 0;
    for (text, said) in texts.iter().zip(answers) {
        let Some(theirs) = theirs(said) else { continue };
        read += 1;
        assert_eq!(ours(text), Some(theirs), "{text}");
    }
    assert!(
        read * 100 >= texts.len() * LEAST_READ,
        "only {read} of {} texts were read by both",
        texts.len()
    );
}

fn vectors() -> PathBuf {
    repository().join("tests/vectors/compose_go.jsonl")
}

#[test]
fn bug_b2_generated_texts_name_the_images_that_npm_yaml_finds() {
    let is_thorough = std::env::var_os("COUNTERSIGN_THOROUGH").is_some();
    let texts = texts(if is_thorough { ALL } else { SAMPLE });
    let mut node = Command::new("node");
    node.arg("compose_images.mjs")
        .current_dir(repository().join("tests/node"));
    compare(&texts, &ask(node, &texts));
}

#[test]
fn bug_b2_generated_texts_name_the_images_that_go_yaml_finds() {
    if let Some(program) = std::env::var_os("COUNTERSIGN_ORACLE") {
        let texts = texts(ALL);
        let answers = ask(Command::new(program), &texts);
        compare(&texts, &answers);
        let lines = texts.iter().zip(&answers).take(IN_VECTORS);
        let lines: String = lines
            .map(|(text, said)| format!("{}\n", json!({"text": text, "said": said})))
            .collect();
        std::fs::write(vectors(), lines).unwrap();
    }
    let kept = std::fs::read_to_string(vectors()).unwrap();
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), IN_VECTORS);
    let texts: Vec<String> = kept
        .iter()
        .map(|one| one["text"].as_str().unwrap().to_owned())
        .collect();
    let answers: Vec<Value> = kept.iter().map(|one| one["said"].clone()).collect();
    compare(&texts, &answers);
}

/// What the first lines of a text say of it (`#= KIND VALUE`), and what the list says, in the same words.
struct Case {
    name: String,
    text: String,
    expected: BTreeSet<String>,
    open: BTreeSet<String>,
}

fn cases() -> Vec<Case> {
    let folder = repository().join("tests/vectors/compose");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let notes = text.split(['\n', '\r']).map_while(|line| line.strip_prefix("#= "));
        let (open, expected): (Vec<&str>, Vec<&str>) = notes.partition(|note| note.starts_with("open "));
        Case {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            expected: expected.into_iter().map(str::to_owned).collect(),
            open: open
                .iter()
                .flat_map(|note| note.trim_start_matches("open ").split(','))
                .map(str::to_owned)
                .collect(),
            text,
        }
    };
    files.into_iter().map(read).collect()
}

fn told(list: &ImageList) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for image in &list.images {
        let role = match image.role {
            ImageRole::Runs => "runs",
            ImageRole::Mounted => "mounted",
            ImageRole::Base => "base",
        };
        let pinned = if image.is_pinned() { " (pinned)" } else { "" };
        told.insert(format!("{role} {}{pinned}", image.name));
        for choice in &image.chosen_by {
            let default = choice
                .default
                .as_ref()
                .map_or_else(String::new, |default| format!("={default}"));
            told.insert(format!("chosen {}{default}", choice.variable));
        }
    }
    for one in &list.unlisted {
        told.insert(match one.way {
            Way::Unreadable => "unreadable".to_owned(),
            way => format!("way {}", json!(way).as_str().unwrap()),
        });
    }
    told
}

#[test]
fn bug_b1_bug_b2_bug_b7_bug_b20_sec_h5_every_image_and_every_way_around_the_list_of_real_shapes_is_named() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    for case in cases {
        let open: BTreeSet<&str> = case.open.iter().map(String::as_str).collect();
        let list = listed(&case.text, &open);
        assert_eq!(told(&list), case.expected, "{}", case.name);
        for choice in list.images.iter().flat_map(|image| &image.chosen_by) {
            assert_eq!(choice.is_open, open.contains(&*choice.variable), "{}", case.name);
        }
        for one in &list.unlisted {
            assert!(
                one.text.len() > 20 && !one.text.contains('\n'),
                "{}: {}",
                case.name,
                one.text
            );
        }
    }
}

#[test]
fn bug_b6_every_real_shape_that_compose_runs_is_taken_from_a_file() {
    for case in cases() {
        let is_refused = [
            "mpc-node",
            "short-digest",
            "upper-digest",
            "undefined-alias",
            "key-twice",
        ];
        let checked = check_compose_text(&case.text);
        assert_eq!(
            checked.is_err(),
            is_refused.contains(&&*case.name),
            "{}: {checked:?}",
            case.name
        );
    }
}
