//! The image list, against texts of the shapes that people deploy and against texts that hide what runs.

use std::collections::BTreeSet;

use serde_json::json;

use super::listed::{ImageList, Way};
use super::looks::{NoComposeText, check_compose_text};
use super::names::{TextVariables, Unsupplied};
use super::{Manifest, yaml};

fn list(text: &str) -> ImageList {
    ImageList::of(text, &BTreeSet::new())
}

fn names(text: &str) -> Vec<String> {
    list(text).images.into_iter().map(|image| image.name).collect()
}

#[test]
fn bug_b1_pinned_is_a_whole_digest_in_lower_case_and_nothing_that_is_filled_in() {
    let digest = "9f2c6a0b1e4d7f3a8c5b2e1d0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a";
    let pinned = |name: &str| list(&format!("services: {{a: {{image: \"{name}\"}}}}")).images[0].is_pinned();
    assert!(pinned(&format!("nginx@sha256:{digest}")));
    assert!(pinned(&format!("r.test:5000/a/b:1@sha256:{digest}")));
    for loose in [
        "nginx".to_owned(),
        format!("nginx:{digest}"),
        format!("nginx@sha256:{}", digest.trim_start_matches('9')),
        format!("nginx@sha256:{digest}0"),
        format!("nginx@sha256:{}", digest.to_uppercase()),
        format!("nginx@sha512:{digest}"),
        format!("@sha256:{digest}"),
        format!("nginx@sha256:{digest} "),
        format!("${{REGISTRY}}/nginx@sha256:{digest}"),
        format!("${{IMAGE:-nginx@sha256:{digest}}}"),
        format!("$IMAGE@sha256:{digest}"),
        format!("{{{{registry}}}}/nginx@sha256:{digest}"),
        "nginx@sha256:${DIGEST}".to_owned(),
    ] {
        assert!(!pinned(&loose), "{loose}");
    }
}

#[test]
fn bug_b29_an_alias_of_aliases_stays_small_and_a_loop_is_unreadable() {
    let mut bomb = String::from("x0: &a0 {image: acme/bomb:1}\n");
    for level in 1..40 {
        let below = level - 1;
        bomb.push_str(&format!(
            "x{level}: &a{level} {{<<: [*a{below}, *a{below}, *a{below}]}}\n"
        ));
    }
    bomb.push_str("services: {a: *a39, b: {<<: *a39}}\n");
    assert_eq!(names(&bomb), ["acme/bomb:1"]);
    let in_itself = "services: &s\n  a: {image: acme/a:1}\n  b: *s\n";
    assert_eq!(list(in_itself).unlisted[0].way, Way::Unreadable);
}

#[test]
fn a_text_that_compose_does_not_read_is_shown_as_a_guess() {
    for text in [
        "services:\n  a:\n\timage: acme/tab:1\n",
        "services:\n  a: {image: acme/tab:1\n",
        "services:\n  a:\n    image: acme/tab:1\u{0}\n",
    ] {
        let list = list(text);
        assert_eq!(list.unlisted[0].way, Way::Unreadable, "{text}");
        assert!(list.images[0].name.starts_with("acme/tab:1"), "{text}");
    }
    assert_eq!(list("just words").unlisted[0].way, Way::Unreadable);
    assert_eq!(list("").unlisted[0].way, Way::Unreadable);
}

/// A text is followed as far as 64 bytes are handed out for each of its own: honest ones are followed to their end, whatever
/// they share in the usual way, and one that would take longer is a guess.
#[test]
fn sec_m1_the_work_grows_with_the_text_whatever_it_shares() {
    let each = |one: &dyn Fn(usize) -> String| (0..4_000).map(one).collect::<String>();
    let volumes = each(&|number| format!("    - /data/{number}:/x\n"));
    let services = each(&|number| {
        format!(
            "  s{number}: {{<<: *d, image: acme/i{number}:1, volumes: *v, build: *b, pre_start: *h, environment: *e}}\n"
        )
    });
    let honest = format!(
        "x-v:\n  v: &v\n{volumes}x-b: &b {{context: .}}\nx-h: &h [{{image: acme/hook:1}}]\nx-d: &d {{restart: always}}\n\
         x-e: &e {{A: 1, B: 2}}\nservices:\n{services}"
    );
    let listed = list(&honest);
    assert_eq!(listed.images.len(), 4_001);
    assert!(
        listed.unlisted.iter().all(|one| one.way == Way::Build),
        "followed to its end"
    );

    let long = "/x${A:-b}".repeat(3_000);
    let keys = each(&|number| format!("k{number}: v, "));
    let shapes = [
        format!(
            "x-d: &d {{{keys}}}\nservices:\n{}",
            each(&|number| {
                format!("  s{number}: {{image: acme/a:1, build: {{additional_contexts: {{<<: *d}}}}}}\n")
            })
        ),
        format!(
            "x-l: &l \"{long}\"\nservices:\n{}",
            each(&|number| { format!("  s{number}: {{image: acme/a:1, volumes: [{{type: bind, source: *l}}]}}\n") })
        ),
        format!(
            "x-l: &l \"{long}\"\nservices:\n{}",
            each(&|number| {
                format!("  s{number}: {{image: acme/a:1, build: {{context: *l, dockerfile_inline: *l}}}}\n")
            })
        ),
        format!(
            "x-l: &l \"{long}\"\nservices:\n{}",
            each(&|number| {
                format!("  s{number}: {{image: acme/a:1, provider: {{type: *l, options: {{a: *l, b: *l}}}}}}\n")
            })
        ),
    ];
    for text in shapes {
        let listed = list(&text);
        assert_eq!(listed.images[0].name, "acme/a:1");
        let is_guess = listed.unlisted.last().is_some_and(|one| one.way == Way::Unreadable);
        assert!(is_guess, "{:?}", listed.unlisted.last());
        assert!(listed.unlisted.iter().all(|one| one.text.len() < 1_000));
    }
    // Fragments without a key, and documents that are the same.
    let nothing = "{}, ".repeat(20_000);
    let empty = each(&|number| format!("  s{number}: {{<<: *n, image: acme/a:1}}\n"));
    assert_eq!(names(&format!("x-n: &n [{nothing}]\nservices:\n{empty}")), ["acme/a:1"]);
    let key = "k".repeat(5_000);
    assert_eq!(
        list(&format!("? {key}\n: x\nservices: {{}}\n")).unlisted[0].way,
        Way::Unreadable
    );
}

#[test]
fn bug_b5_every_place_where_compose_fills_in_a_variable_is_known() {
    let text = "x-e: &e {MERGED: , SET: 1}\nservices:\n  a:\n    image: a:${TAG:-1}\n    command: [\"${ITEM?}\", '$PLAIN', \"$$NOT\"]\n    \
                environment:\n      <<: *e\n      BARE:\n      VALUE: \"${IN_VALUE:-}\"\n  b:\n    image: b\n    environment: [LISTED, 'SET=${X:+y}']\n    \
                build: {args: [ARG]}\nsecrets: {s: {environment: SECRET}}\n# ${COMMENT}\n";
    let found = TextVariables::of(text).unwrap();
    let gravest = |name: &str| found.all.get(name).cloned();
    assert_eq!(gravest("TAG"), Some(Unsupplied::Default("1".to_owned())));
    assert_eq!(gravest("ITEM"), Some(Unsupplied::Refused));
    for blank in ["PLAIN", "BARE", "MERGED", "LISTED", "ARG", "SECRET"] {
        assert_eq!(gravest(blank), Some(Unsupplied::Blank), "{blank}");
    }
    for quiet in ["IN_VALUE", "X"] {
        assert_eq!(gravest(quiet), Some(Unsupplied::Default(String::new())), "{quiet}");
    }
    assert_eq!(found.all.len(), 10, "{:?}", found.all);
    assert!(!found.reads_a_file);
    assert!(
        TextVariables::of("services: {a: {image: a, env_file: .env}}")
            .unwrap()
            .reads_a_file
    );
}

#[test]
fn bug_b6_other_files_are_refused_with_a_word_about_what_they_look_like() {
    let refused = |text: &str| check_compose_text(text).unwrap_err();
    let manifest = r#"{"manifest_version":2,"name":"","runner":"docker-compose","docker_compose_file":"services:\n"}"#;
    assert_eq!(refused(manifest), NoComposeText::Manifest);
    assert_eq!(
        refused("A=1\nexport B=\"x y\"\n# note\n\nC='1\n2'\n"),
        NoComposeText::Dotenv
    );
    assert_eq!(
        refused("DATABASE_URL=postgres://app:hunter2@db.test/app\n"),
        NoComposeText::Dotenv
    );
    assert_eq!(refused("<!DOCTYPE html><html></html>"), NoComposeText::Html);
    for answer in [
        "404: Not Found",
        "404: Not Found\n",
        "Not Found",
        "403 Forbidden\n",
        "Access denied",
    ] {
        assert_eq!(refused(answer), NoComposeText::Answer, "{answer}");
    }
}

#[test]
fn bug_b6_broken_texts_are_refused_with_the_line_or_with_what_is_missing() {
    let refused = |text: &str| check_compose_text(text).unwrap_err();
    let merged = "services:\n  a:\n<<<<<<< HEAD\n    image: a:1\n=======\n    image: a:2\n>>>>>>> x\n";
    assert_eq!(refused(merged), NoComposeText::Conflict { line: 3 });
    assert_eq!(
        refused("services:\n\tapp:\n\t\timage: nginx:1.28\n"),
        NoComposeText::Tab { line: 2 }
    );
    for cut in [
        "services:\n  app:\n    image: nginx\n    ports: [\"80:80",
        "services:\n  app:\n    image: \"ngi",
        "services:\n  app:\n    ima",
        "services:\n  app:\n    image:",
    ] {
        assert!(
            matches!(
                refused(cut),
                NoComposeText::Cut { .. } | NoComposeText::NothingRuns { .. }
            ),
            "{cut}: {:?}",
            refused(cut)
        );
    }
    for nothing in [
        "services: {}\n",
        "services:\n",
        "version: '3'\n",
        "web:\n  image: nginx\n",
        "- a\n- b\n",
        "services: [a]\n",
        "services:\n  a: b\n",
        "services:\n  a:\n    ports: []\n",
    ] {
        assert!(
            matches!(refused(nothing), NoComposeText::NothingRuns { .. }),
            "{nothing}: {:?}",
            refused(nothing)
        );
    }
    for image in [
        "nginx@sha256:aaaa",
        "nginx@sha256:{{DIGEST}}",
        "{{IMAGE}}:1",
        "nginx@sha256:",
    ] {
        let text = format!("services: {{a: {{image: \"{image}\"}}}}");
        assert!(matches!(refused(&text), NoComposeText::Image { .. }), "{image}");
    }
}

#[test]
fn no_refusal_of_a_file_with_secrets_repeats_what_stands_in_it() {
    let secret = "hunter2";
    for text in [
        format!("DATABASE_URL=postgres://app:{secret}@db.test/app\n"),
        format!("A={secret}\n: {secret}\nB=1\nC=1\n"),
        format!("{secret} not found"),
        format!("{secret}: 1\n{secret}: 2\n"),
        format!("{secret}\n{secret}\n"),
        format!("PASSWORD: {secret}\n"),
        format!("services: {{a: {secret}}}\n"),
    ] {
        let said = check_compose_text(&text).unwrap_err().to_string();
        assert!(!said.contains(secret), "{text}: {said}");
    }
}

#[test]
fn line_ends_of_yaml_1_1_end_lines_and_control_characters_make_a_text_unreadable() {
    for end in yaml::OLD_BREAKS {
        let text = format!("services:\n  a:\n    # note{end}    image: acme/hidden:1\n");
        assert_eq!(names(&text), ["acme/hidden:1"]);
    }
    for control in ['\u{7f}', '\u{1b}', '\u{9b}', '\u{feff}', '\u{fffe}'] {
        let text = format!("services:\n  a:\n    image: acme/a:1 # {control}\n");
        assert_eq!(list(&text).unlisted[0].way, Way::Unreadable, "{control:?}");
    }
}

#[test]
fn the_manifest_says_which_variables_the_environment_may_set() {
    let manifest = json!({
        "docker_compose_file": "services: {a: {image: \"${A}/x:${B:-1}\"}}",
        "allowed_envs": ["A"],
    });
    let list = Manifest(manifest.as_object().unwrap().clone()).image_list();
    let choices: Vec<(&str, bool)> = list.images[0]
        .chosen_by
        .iter()
        .map(|choice| (choice.variable.as_str(), choice.is_open))
        .collect();
    assert_eq!(choices, [("A", true), ("B", false)]);
    for (manifest, way) in [
        (json!({"name": "x"}), Way::Unreadable),
        (json!({"runner": "docker-compose"}), Way::Unreadable),
        (
            json!({"runner": "bash", "bash_script": "curl x.test | sh"}),
            Way::OtherRunner,
        ),
    ] {
        let list = Manifest(manifest.as_object().unwrap().clone()).image_list();
        let ways: Vec<Way> = list.unlisted.iter().map(|one| one.way).collect();
        assert_eq!(ways, [way], "{manifest}");
    }
}

#[test]
fn bug_b1_a_variable_that_chooses_what_runs_besides_the_images_is_named() {
    let text = "include: [{path: \"${OVERLAY}/more.yml\"}]\nmodels: {m: {model: \"${MODEL:-ai/small}\"}}\nservices:\n  \
                a: {build: {context: \"https://git.test/x.git#${REF}\", args: [BARE, SET=1, \"FED=${FED}\"]}}\n  \
                b: {build: {context: ., args: {EMPTY: , OTHER: x}}}\n  c: {extends: {file: \"${FILE}\", service: x}}\n  \
                d: {provider: {type: \"${TOOL}\", options: {v: \"${OPTION}\"}}}\n  \
                e: {image: \"nginx:${TAG}\", environment: [\"PLAIN=${PLAIN}\"], privileged: \"${TRUST}\"}\n";
    let list = ImageList::of(text, &BTreeSet::from(["REF", "COMPOSE_FILE"]));
    let chosen: Vec<(&str, bool)> = list.besides.iter().map(|one| (&*one.variable, one.is_open)).collect();
    let expected = [
        ("BARE", false),
        ("EMPTY", false),
        ("FED", false),
        ("FILE", false),
        ("MODEL", false),
        ("OPTION", false),
        ("OVERLAY", false),
        ("REF", true),
        ("TOOL", false),
        ("TRUST", false),
        ("COMPOSE_FILE", true),
    ];
    assert_eq!(chosen, expected);
    assert_eq!(list.besides[4].default.as_deref(), Some("ai/small"));
    // Of a text that nobody reads, any of its variables may.
    let guess = ImageList::of("services: {a: {image: ${A}\n${B}", &BTreeSet::new());
    let chosen: Vec<&str> = guess.besides.iter().map(|one| &*one.variable).collect();
    assert_eq!(chosen, ["A", "B"]);
}

#[test]
fn bug_b20_rights_of_the_guest_itself_are_named_in_each_form() {
    for strong in [
        "privileged: true",
        "privileged: \"${TRUST:-false}\"",
        "cap_add: [CAP_SYS_ADMIN]",
        "cap_add: [net_admin, all]",
        "pid: host",
        "post_start: [{command: x, privileged: true}]",
    ] {
        let ways: Vec<Way> = list(&format!("services: {{a: {{image: a, {strong}}}}}"))
            .unlisted
            .iter()
            .map(|one| one.way)
            .collect();
        assert_eq!(ways, [Way::Privileged], "{strong}");
    }
    for plain in [
        "privileged: false",
        "cap_add: [NET_ADMIN]",
        "pid: service:b",
        "post_start: [{command: x}]",
    ] {
        assert!(
            list(&format!("services: {{a: {{image: a, {plain}}}}}"))
                .unlisted
                .is_empty(),
            "{plain}"
        );
    }
}

#[test]
fn bug_b1_the_reader_of_a_dockerfile_is_an_image_too_and_a_name_too_long_is_none() {
    for args in ["[BUILDKIT_SYNTAX=acme/front:1]", "{BUILDKIT_SYNTAX: acme/front:1}"] {
        assert_eq!(
            names(&format!("services: {{a: {{build: {{context: ., args: {args}}}}}}}")),
            ["acme/front:1"]
        );
    }
    let long = format!("services: {{a: {{image: \"acme/{}\"}}}}", "x".repeat(100_000));
    let long = list(&long);
    assert!(long.images.is_empty());
    assert_eq!(long.unlisted[0].way, Way::Unreadable);
    assert!(long.unlisted[0].text.len() < 500);
}

#[test]
fn sec_h5_variables_that_are_no_list_leave_it_open_what_the_environment_may_set() {
    for names in [json!("TAG"), json!({"TAG": true}), json!(["A", 1])] {
        let manifest = json!({"docker_compose_file": "services: {a: {image: \"a:${TAG}\"}}", "allowed_envs": names});
        let list = Manifest(manifest.as_object().unwrap().clone()).image_list();
        assert_eq!(list.unlisted[0].way, Way::Unreadable, "{names}");
    }
}

#[test]
fn bug_b6_an_image_that_is_no_name_is_refused_and_told() {
    for image in ["{acme/a: acme/a:1}", "[acme/a:1]", "\"\""] {
        let text = format!("services: {{a: {{image: {image}}}}}\n");
        assert!(
            matches!(check_compose_text(&text), Err(NoComposeText::NothingRuns { .. })),
            "{image}"
        );
        assert_eq!(list(&text).unlisted[0].way, Way::Unreadable, "{image}");
    }
}

#[test]
fn what_is_reset_runs_nothing() {
    for body in [
        "image: !reset acme/a:1",
        "build: !reset .",
        "image: acme/a:1}}\n---\nservices: {a: {image: !reset ~",
        "build: .}}\n---\nservices: {a: {build: !reset ~",
    ] {
        let text = format!("services: {{a: {{{body}}}}}\n");
        let checked = check_compose_text(&text);
        assert!(
            matches!(checked, Err(NoComposeText::NothingRuns { .. })),
            "{body}: {checked:?}"
        );
    }
    for later in [
        "services: {a: {image: !reset acme/a:1}}\n---\nservices: {a: {image: acme/b:1}}\n",
        // Nothing may leave what was said before.
        "services: {a: {build: .}}\n---\nservices: {a: {build: ~}}\n",
        "services: {a: {image: acme/a:1}}\n---\nservices: {a: {image: ~}}\n",
    ] {
        assert_eq!(check_compose_text(later), Ok(()), "{later}");
    }
    assert_eq!(
        list("services: {a: {image: acme/a:1}}\n---\nservices: {a: {image: ~}}\n")
            .images
            .len(),
        1
    );
}

#[test]
fn bug_b6_a_text_that_compose_reads_is_not_refused_for_its_looks() {
    for text in [
        "services: {error: {image: \"acme/error-not-found:1\"}}",
        "services: # all\n  a: {image: a, environment: [\"A=1\"]}\n",
        "services:\n  a:\n    image: a\n    command: |\n      <<<<<<< HEAD\n      =======\n",
        "services: {a: {image: a, command: \"x\n=======\ny\"}}",
    ] {
        assert_eq!(check_compose_text(text), Ok(()), "{text}");
    }
}

#[test]
fn services_that_are_made_from_one_another_and_from_no_code_run_nothing() {
    let nothing = [
        "a: {extends: a}",
        "a: {extends: b}\n  b: {extends: {service: c}}\n  c: {extends: a}",
        "x: {image: x}\n  a: {extends: b}\n  b: {extends: a}",
        "a: {extends: nobody}",
        "a: {extends: {}}",
        "a: {extends: \"${A}\"}",
        "a: {extends: {service: b, file: null}}\n  b: {extends: a}",
    ];
    for services in nothing {
        let text = format!("services:\n  {services}\n");
        let checked = check_compose_text(&text);
        assert!(
            matches!(checked, Err(NoComposeText::NothingRuns { .. })),
            "{text}: {checked:?}"
        );
    }
    let code = [
        "a: {extends: b}\n  b: {extends: {service: c}}\n  c: {image: c}",
        "a: {extends: b}\n  b: {build: .}",
        "a: {extends: b}\n  b: {extends: {file: other.yml, service: a}}",
        "a: {extends: a, image: a}",
        "a: {extends: \"${A}\"}\n  b: {image: b}",
    ];
    for services in code {
        let text = format!("services:\n  {services}\n");
        assert_eq!(check_compose_text(&text), Ok(()), "{text}");
    }
    // A chain of any length takes a time in proportion to it.
    let links: String = (0..20_000)
        .map(|at| format!("  s{at}: {{extends: s{}}}\n", at + 1))
        .collect();
    let long = format!("services:\n{links}  s20000: {{image: x}}\n");
    assert_eq!(check_compose_text(&long), Ok(()));
}
