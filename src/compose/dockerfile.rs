//! The images that a Dockerfile takes from elsewhere (Dockerfile reference: `FROM`, `COPY --from`, `RUN --mount`, the `syntax`
//! directive). Pure; whoever reads a `build` section calls it.

use std::collections::BTreeSet;

/// Images that are pulled to build it, each once, in order of appearance. A stage of the file itself and `scratch` are none.
pub(super) fn images(text: &str) -> Vec<String> {
    let mut found = Found::default();
    found.take(directive(text, "syntax"));
    for instruction in instructions(text) {
        let mut words = instruction.split_whitespace();
        let mut verb = words.next().unwrap_or_default();
        if verb.eq_ignore_ascii_case("ONBUILD") {
            verb = words.next().unwrap_or_default();
        }
        match verb.to_ascii_uppercase().as_str() {
            "FROM" => {
                let mut words = words.filter(|word| !word.starts_with("--"));
                let image = words.next();
                found.take(image.filter(|image| !found.is_stage(image)));
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) {
                    found.stages.extend(words.next().map(str::to_ascii_lowercase));
                }
            }
            "COPY" | "ADD" | "RUN" => {
                for image in words.take_while(|word| word.starts_with("--")).filter_map(source) {
                    let is_number = image.bytes().all(|byte| byte.is_ascii_digit());
                    let is_here = is_number || found.is_stage(image);
                    found.take(Some(image).filter(|_| !is_here));
                }
            }
            _ => {}
        }
    }
    found.images
}

/// What was found so far.
#[derive(Default)]
struct Found {
    images: Vec<String>,
    known: BTreeSet<String>,
    stages: BTreeSet<String>,
}

impl Found {
    fn take(&mut self, image: Option<&str>) {
        let image = image.filter(|image| *image != "scratch" && !image.is_empty());
        if let Some(image) = image.filter(|image| self.known.insert((*image).to_owned())) {
            self.images.push(image.to_owned());
        }
    }

    /// Whether a stage of the file has this name (BuildKit `instructions/parse.go`, `parseBuildStageName`).
    fn is_stage(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(inside)
            && self.stages.contains(&name)
    }
}

/// What `--from=` or a mount's `from=` names. Names of options have any case, and a pair may stand in quotes.
fn source(word: &str) -> Option<&str> {
    let options = word.strip_prefix("--")?;
    let options = options.strip_prefix("mount=").unwrap_or(options);
    let mut pairs = options.split(',').map(|pair| pair.trim_matches('"'));
    let from = pairs.find_map(|pair| {
        pair.split_once('=')
            .filter(|(name, _)| name.eq_ignore_ascii_case("from"))
    })?;
    Some(from.1.trim_matches('"')).filter(|from| !from.is_empty())
}

/// The value of a directive: a comment on top of the file, which starts with `#` or `//`, or the whole top as an object of JSON
/// (BuildKit `parser/directives.go`).
fn directive<'t>(text: &'t str, wanted: &str) -> Option<&'t str> {
    let first = text.trim_start();
    if let Some(object) = first.strip_prefix('{') {
        let (_, behind) = object.split_once(&format!("\"{wanted}\""))?;
        return behind
            .trim_start()
            .strip_prefix(':')?
            .trim_start()
            .strip_prefix('"')?
            .split('"')
            .next();
    }
    let lines = text.lines().map(str::trim).skip_while(|line| line.starts_with("#!"));
    let mut comments = lines.map_while(|line| line.strip_prefix('#').or_else(|| line.strip_prefix("//")));
    let is_wanted = |pair: &(&str, &str)| pair.0.trim().eq_ignore_ascii_case(wanted);
    let found = comments.find_map(|line| line.split_once('=').filter(is_wanted))?;
    Some(found.1.trim())
}

/// Instructions with their continued lines joined; comments and the texts that stand below `<<NAME` are none.
fn instructions(text: &str) -> Vec<String> {
    let escape = match directive(text, "escape") {
        Some("`") => '`',
        _ => '\\',
    };
    let mut whole: Vec<String> = Vec::new();
    let mut goes_on = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let end = line.strip_suffix(escape);
        let part = end.unwrap_or(line);
        match whole.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.push(' ');
                last.push_str(part);
            }
            None => whole.push(part.to_owned()),
        }
        goes_on = end.is_some();
        let ended = whole.last().filter(|_| !goes_on).map(|last| here_documents(last));
        for name in ended.into_iter().flatten() {
            lines.by_ref().find(|line| line.trim_start_matches('\t') == name);
        }
    }
    whole
}

/// The names that end the texts below an instruction, in their order (BuildKit `parser/parser.go`, `heredocsFromLine`).
fn here_documents(instruction: &str) -> Vec<String> {
    let mut words = instruction
        .split_whitespace()
        .skip_while(|word| word.eq_ignore_ascii_case("ONBUILD"));
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    let words = words.filter(|_| matches!(verb.as_str(), "RUN" | "COPY" | "ADD"));
    let names = words.filter_map(|word| {
        let name = word
            .trim_start_matches(|character: char| character.is_ascii_digit())
            .strip_prefix("<<")?;
        let name = name.strip_prefix('-').unwrap_or(name).trim_matches(['"', '\'']);
        (!name.is_empty() && !name.contains('<')).then(|| name.to_owned())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::images;

    #[test]
    fn every_image_from_elsewhere_is_named_once_and_stages_are_not() {
        let text = "# syntax=docker/dockerfile:1.7\n# another comment\nARG V=3\nFROM --platform=linux/amd64 golang:1.22 AS Build\n\
                    RUN --mount=type=bind,from=busybox:1,source=/a,target=/b go build\nfrom \\\n  debian:12-slim\n\
                    COPY --from=build /a /a\nCOPY --from=ghcr.io/x/y@sha256:0 /b /b\nCOPY --from=0 /c /c\nFROM scratch\nFROM golang:1.22\n";
        assert_eq!(
            images(text),
            [
                "docker/dockerfile:1.7",
                "golang:1.22",
                "busybox:1",
                "debian:12-slim",
                "ghcr.io/x/y@sha256:0"
            ]
        );
    }

    #[test]
    fn what_only_looks_like_a_line_that_goes_on_or_like_a_stage_hides_no_image() {
        for (text, expected) in [
            ("RUN a`\nFROM acme/b:1\n", vec!["acme/b:1"]),
            (
                "# escape=`\nRUN a\\\nFROM acme/b:1\nCOPY `\n  --from=acme/c:1 a b\n",
                vec!["acme/b:1", "acme/c:1"],
            ),
            (
                "RUN <<EOF\nFROM acme/text:1\nx \\\nEOF\nFROM acme/b:1\n",
                vec!["acme/b:1"],
            ),
            (
                "COPY <<-\"A\" <<B /x\nFROM t\n\tA\nFROM t\nB\nFROM acme/b:1\n",
                vec!["acme/b:1"],
            ),
            ("FROM a AS 4711\nFROM 4711\n", vec!["a", "4711"]),
            ("FROM a AS acme/b:1\nFROM acme/b:1\n", vec!["a", "acme/b:1"]),
            (
                "#!/usr/bin/x\n// syntax = acme/front:1\nFROM scratch\n",
                vec!["acme/front:1"],
            ),
            ("{\"syntax\": \"acme/front:1\"}\nFROM scratch\n", vec!["acme/front:1"]),
            (
                "RUN --mount=type=bind,FROM=acme/b:1 x\nCOPY --From=acme/c:1 a b\n",
                vec!["acme/b:1", "acme/c:1"],
            ),
            ("RUN --mount=type=bind,\"from=acme/b:1\" x\n", vec!["acme/b:1"]),
            ("ONBUILD COPY --from=acme/b:1 a b\n", vec!["acme/b:1"]),
        ] {
            assert_eq!(images(text), expected, "{text}");
        }
    }

    #[test]
    fn a_file_that_names_nothing_has_no_image() {
        assert!(images("").is_empty());
        assert!(images("RUN echo FROM nginx\n# FROM nginx\nFROM\n").is_empty());
    }
}
