//! The images that a Dockerfile takes from elsewhere (Dockerfile reference: `FROM`, `COPY --from`, `RUN --mount`, the `syntax`
//! directive). Pure; whoever reads a `build` section calls it.

use std::collections::BTreeSet;

/// Images that are pulled to build it, each once, in order of appearance. A stage of the file itself and `scratch` are none.
pub(super) fn images(text: &str) -> Vec<String> {
    let mut stages: BTreeSet<String> = BTreeSet::new();
    let mut found: Vec<String> = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut take = |image: &str, stages: &BTreeSet<String>| {
        let is_number = image.bytes().all(|byte| byte.is_ascii_digit());
        let is_here = is_number || image == "scratch" || stages.contains(&image.to_ascii_lowercase());
        if !is_here && known.insert(image.to_owned()) {
            found.push(image.to_owned());
        }
    };
    if let Some(image) = syntax(text) {
        take(image, &stages);
    }
    for instruction in instructions(text) {
        let mut words = instruction.split_whitespace();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "FROM" => {
                let mut words = words.filter(|word| !word.starts_with("--"));
                if let Some(image) = words.next() {
                    take(image, &stages);
                }
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) {
                    stages.extend(words.next().map(str::to_ascii_lowercase));
                }
            }
            "COPY" | "ADD" | "RUN" => words
                .take_while(|word| word.starts_with("--"))
                .filter_map(source)
                .for_each(|image| take(image, &stages)),
            _ => {}
        }
    }
    found
}

/// What `--from=` or a mount's `from=` names.
fn source(word: &str) -> Option<&str> {
    let options = word.strip_prefix("--mount=").or_else(|| word.strip_prefix("--"))?;
    let from = options.split(',').find_map(|option| option.strip_prefix("from="))?;
    Some(from.trim_matches('"')).filter(|from| !from.is_empty())
}

/// The image of `# syntax=`, which reads the file itself: a comment on top of it.
fn syntax(text: &str) -> Option<&str> {
    let comments = text.lines().map(str::trim).take_while(|line| line.starts_with('#'));
    let mut directives = comments.filter_map(|line| line.trim_start_matches('#').split_once('='));
    let (_, image) = directives.find(|(name, _)| name.trim().eq_ignore_ascii_case("syntax"))?;
    Some(image.trim()).filter(|image| !image.is_empty())
}

/// Instructions with their continued lines joined; comments are none.
fn instructions(text: &str) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let end = line.strip_suffix(['\\', '`']);
        let part = end.unwrap_or(line);
        match whole.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.push(' ');
                last.push_str(part);
            }
            None => whole.push(part.to_owned()),
        }
        goes_on = end.is_some();
    }
    whole
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
    fn a_file_that_names_nothing_has_no_image() {
        assert!(images("").is_empty());
        assert!(images("RUN echo FROM nginx\n# FROM nginx\nFROM\n").is_empty());
    }
}
