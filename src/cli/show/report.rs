//! How a command ended, for programs (`countersign.result/1`) and for people. Makes text, prints nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::show::advice::{Advice, OtherStep};
use crate::cli::show::markdown;
use crate::cli::show::text::{Page, escape};
use crate::cli::show::view;
use crate::code::Code;
use crate::upgrade::{
    self, Stop, Warning,
    record::{Effect, Effects, State, Status, Step},
};

/// Name and version of the result's format.
pub(in crate::cli) const SCHEMA: &str = "countersign.result/1";

/// Effects of an upgrade whose journal cannot be read.
pub(in crate::cli) const NOTHING_READ: Effects = Effects {
    prepare: Effect::Maybe,
    approval: Effect::Maybe,
    transaction: Effect::Maybe,
    commit: Effect::Maybe,
    live: Effect::Maybe,
};

/// What is certain before anything was begun.
const NO_EFFECTS: &str = "Nothing was prepared, signed, sent or committed.";
/// What is certain when the journal cannot be read.
pub(in crate::cli) const UNREADABLE: &str =
    "What was prepared, signed, sent or committed cannot be read from the journal.";
/// Commands that are about no upgrade: they change nothing anywhere, or say themselves what they did.
const WITHOUT_EFFECTS: [&str; 20] = [
    "app",
    "arguments",
    "attest",
    "attestations",
    "completions",
    "cvm",
    "explain",
    "hash",
    "help",
    "instance-types",
    "kms",
    "man",
    "nodes",
    "power",
    "review",
    "safe",
    "schema",
    "verify",
    "webhook",
    "workspace",
];

/// Result of every command with `--json`: exactly one such object on stdout, whether it succeeded or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "countersign.result/1")]
struct Envelope {
    /// Name and version of this format.
    schema: String,
    /// Whether the goal of the command is reached; the same as `exit == 0`, but for `--pending-ok`.
    ok: bool,
    /// Exit status of the process.
    exit: u8,
    /// Stable upper-case name of what happened; `OK` when the goal is reached.
    code: String,
    /// What comes next for the upgrade where there is one, otherwise the command.
    step: String,
    /// What happened, in one sentence.
    message: String,
    /// What is certain about effects.
    effects: Effects,
    /// What is known, as far as it is known.
    facts: Facts,
    /// What a person should know.
    warnings: Vec<Warning>,
    /// What to change first, when the next command alone is not enough.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    hint: Option<String>,
    /// The next command, for whoever reads this.
    next: Option<String>,
    /// What others have to do, with which file.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    others: Vec<OtherStep>,
    /// Whether the same command can be run again without harm.
    safe_to_rerun: bool,
    /// The page as Markdown, with `--format markdown`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    page: Option<String>,
    /// The command's own result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    data: Option<Value>,
}

/// What is known: of the upgrade, and of the answer that ended the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(in crate::cli) struct Facts {
    #[serde(flatten)]
    pub(in crate::cli) upgrade: upgrade::record::Facts,
    /// Directory of the upgrade.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) dir: Option<String>,
    /// Records in its journal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) journal_records: Option<u64>,
    /// Its proposal, where a file was named or one was written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) proposal: Option<String>,
    /// Where each setting comes from that an option, the environment or a file says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(in crate::cli) settings: BTreeMap<String, String>,
    /// Its evidence, once it is over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) evidence: Option<String>,
    /// Images that it ran before, in the order of its services.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) images_before: Option<Vec<String>>,
    /// Images that it is to run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) images_after: Option<Vec<String>>,
    /// Phala Cloud's own error code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) vendor_code: Option<String>,
    /// Phala Cloud's name for the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(in crate::cli) request_id: Option<String>,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Report {
    pub(in crate::cli) exit: Exit,
    pub(in crate::cli) code: Code,
    pub(in crate::cli) step: String,
    pub(in crate::cli) message: String,
    /// Why, from the nearest cause to the farthest.
    pub(in crate::cli) causes: Vec<String>,
    /// What is certain about effects, in a sentence; nothing for a command that can have none.
    pub(in crate::cli) certain: Option<String>,
    /// A verification that failed.
    pub(in crate::cli) stop: Option<Box<Stop>>,
    pub(in crate::cli) effects: Effects,
    pub(in crate::cli) facts: Facts,
    pub(in crate::cli) warnings: Vec<Warning>,
    /// How many of them, from the first, an earlier command of the same upgrade told.
    pub(in crate::cli) recalled: usize,
    pub(in crate::cli) hint: Option<String>,
    pub(in crate::cli) next: Option<String>,
    pub(in crate::cli) others: Vec<OtherStep>,
    pub(in crate::cli) data: Option<Value>,
    /// The result for people.
    pub(in crate::cli) page: Page,
    /// The result as it is: a script, a manual page, a schema.
    pub(in crate::cli) raw: Option<String>,
    /// The page is wanted as Markdown.
    pub(in crate::cli) is_markdown: bool,
    /// That something is waited for counts as success, as `--pending-ok` says.
    pub(in crate::cli) pending_ok: bool,
}

impl Report {
    /// A warning for people and programs.
    pub(in crate::cli) fn warn(&mut self, code: Code, text: impl Into<String>) {
        self.warnings.push(Warning {
            code,
            text: text.into(),
        });
    }

    /// A command that reached its goal.
    pub(in crate::cli) fn done(command: &str, message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Done,
            code: Code::Ok,
            step: command.to_owned(),
            message: message.into(),
            causes: Vec::new(),
            certain: Some(NO_EFFECTS.to_owned())
                .filter(|_| !WITHOUT_EFFECTS.iter().any(|name| command.starts_with(name))),
            stop: None,
            effects: Effects::default(),
            facts: Facts::default(),
            warnings: Vec::new(),
            recalled: 0,
            hint: None,
            next: None,
            others: Vec::new(),
            data: None,
            page: Page::default(),
            raw: None,
            is_markdown: false,
            pending_ok: false,
        }
    }

    /// Tells the verdict beside the command's own result.
    pub(in crate::cli) fn set_verdict(&mut self, verdict: &upgrade::Verdict) {
        self.set_data("verdict", verdict);
    }

    /// Tells something beside the command's own result.
    pub(in crate::cli) fn set_data(&mut self, name: &str, value: &impl Serialize) {
        let told = serde_json::to_value(value).unwrap_or_default();
        match &mut self.data {
            Some(Value::Object(data)) => {
                data.insert(name.to_owned(), told);
            }
            Some(_) => {}
            none @ None => *none = Some(serde_json::json!({ name: told })),
        }
    }

    /// What comes next, for the reader and for others.
    pub(in crate::cli) fn advise(&mut self, advice: Advice) {
        self.next = advice.next;
        self.others = advice.others;
    }

    /// Takes over what an upgrade knows.
    pub(in crate::cli) fn know(&mut self, status: Status, dir: &std::path::Path) {
        self.step = step_name(&status);
        self.certain = Some(certain(&status));
        self.effects = status.effects;
        self.facts.upgrade = status.facts;
        self.facts.dir = Some(dir.display().to_string());
        self.facts.journal_records = Some(status.records);
    }

    /// Names the images before and after, and the files of the upgrade's directory, or those of none.
    pub(in crate::cli) fn know_files(&mut self, state: &State, dir: Option<&std::path::Path>) {
        let files = dir.map(|dir| view::files(&state.status(), dir)).unwrap_or_default();
        (self.facts.proposal, self.facts.evidence) = files;
        self.facts.dir = dir.map(|dir| dir.display().to_string());
        if dir.is_none() {
            self.facts.journal_records = None;
        }
        self.know_images(state.code());
    }

    /// Names the images before and after.
    pub(in crate::cli) fn know_images(&mut self, code: Option<&upgrade::model::CodeChange>) {
        self.facts.images_before = code.map(|code| code.manifest.images());
        self.facts.images_after = code.map(|code| code.manifest_after().images());
    }

    /// What the process ends with.
    pub(in crate::cli) fn status(&self) -> Exit {
        match self.exit {
            Exit::Pending if self.pending_ok => Exit::Done,
            exit => exit,
        }
    }

    /// Whether it is told as a failure: on stderr, with what is certain and what to do.
    pub(in crate::cli) const fn is_failure(&self) -> bool {
        !matches!(self.exit, Exit::Done | Exit::Pending) || self.stop.is_some()
    }

    /// How it ended in a sentence or two, for a page that says nothing else.
    pub(in crate::cli) fn ending(&self) -> String {
        let more = if self.is_failure() {
            self.hint.as_deref()
        } else {
            Some("this page can be closed")
        };
        more.map_or_else(|| self.message.clone(), |more| format!("{}: {more}", self.message))
    }

    /// The one object for programs.
    pub(in crate::cli) fn json(&self) -> String {
        let envelope = Envelope {
            schema: SCHEMA.to_owned(),
            ok: self.exit == Exit::Done,
            exit: self.status().code(),
            code: self.code.name().to_owned(),
            step: self.step.clone(),
            message: self.sentence(),
            effects: self.effects,
            facts: self.facts.clone(),
            warnings: self.warnings.clone(),
            hint: self.hint.clone(),
            next: self.next.clone(),
            others: self.others.clone(),
            safe_to_rerun: self.exit.safe_to_rerun(),
            page: self.markdown(),
            data: self.data.clone(),
        };
        // No map key here is anything but a string, so this cannot fail; a bare object is still an object.
        serde_json::to_string(&envelope).unwrap_or_else(|_| "{}".to_owned())
    }

    /// The result for people, on stdout, with what comes after it.
    pub(in crate::cli) fn whole(&self) -> Page {
        let mut page = self.page.clone();
        page.append(self.after());
        page
    }

    /// What is said beside the result: how it ended where the page does not say so, and what comes next.
    pub(in crate::cli) fn after(&self) -> Page {
        let mut page = Page::default();
        if self.page.is_empty() || self.exit != Exit::Done {
            page.line(&self.sentence());
        }
        if let Some(hint) = &self.hint {
            page.line(&format!("hint: {hint}"));
        }
        for other in &self.others {
            other.tell(&mut page);
        }
        if let Some(next) = &self.next {
            page.command("next", next);
        }
        page
    }

    /// The result as Markdown, where that is wanted.
    pub(in crate::cli) fn markdown(&self) -> Option<String> {
        self.is_markdown.then(|| self.markdown_page())
    }

    /// The result as Markdown: how it ended, what is on its page, what was found besides, what comes next.
    pub(in crate::cli) fn markdown_page(&self) -> String {
        let mut head = Page::default();
        head.line(&format!("{} (exit {})", self.code, self.exit.code()));
        if let Some(stop) = &self.stop {
            head.line(&format!("{} does not match", stop.what)).facts(&[
                ("expected", Some(stop.expected.clone())),
                ("found", Some(stop.found.clone())),
            ]);
            head.each(&stop.details);
        }
        let mut end = Page::default();
        end.each(
            self.unshown()
                .iter()
                .map(|warning| format!("{} ({})", warning.text, warning.code)),
        );
        if let Some(certain) = self.certain.as_ref().filter(|_| self.exit != Exit::Done) {
            end.line(certain);
        }
        if let Some(hint) = &self.hint {
            end.line(&format!("hint: {hint}"));
        }
        for other in &self.others {
            other.tell(&mut end);
        }
        if let Some(next) = &self.next {
            end.command("next", next);
        }
        let parts: String = [&head, &self.page, &end].map(markdown::content).concat();
        format!(
            "# {}\n\n{}\n",
            crate::text::markdown(&self.sentence()),
            parts.trim_end()
        )
    }

    /// The warnings that were told by no earlier command, and stand nowhere on the page, in its sentence or in what stopped
    /// it.
    pub(in crate::cli) fn unshown(&self) -> Vec<&Warning> {
        let mut shown = self.page.text(None);
        shown.push_str(&self.sentence());
        if let Some(stop) = &self.stop {
            shown.push_str(&escape(&stop.details.join("\n")));
        }
        let is_new = |warning: &&Warning| warning.text.lines().any(|line| !shown.contains(&escape(line)));
        self.warnings.iter().skip(self.recalled).filter(is_new).collect()
    }

    /// A failure for people, on stderr.
    pub(in crate::cli) fn failure_text(&self, color: bool, width: Option<usize>) -> String {
        let mut page = Page::default();
        if let Some(stop) = &self.stop {
            page.facts(&[
                ("expected", Some(stop.expected.clone())),
                ("found", Some(stop.found.clone())),
            ]);
            page.each(&stop.details);
        }
        if let Some(certain) = &self.certain {
            page.line(certain);
        }
        if let Some(hint) = &self.hint {
            page.line(&format!("hint: {hint}"));
        }
        if let Some(next) = &self.next {
            page.command("next", next);
        }
        let (mark, rest) = match &self.stop {
            Some(stop) => ("STOP", format!("  {} does not match", stop.what)),
            None => ("error", format!(": {}", self.sentence())),
        };
        let mut whole = Page::default();
        whole.line(&format!("{mark}{rest} ({})", self.code)).append(page);
        whole.painted(width, color)
    }

    /// What happened, with its causes, on one line.
    pub(in crate::cli) fn sentence(&self) -> String {
        std::iter::once(&self.message)
            .chain(&self.causes)
            .map(|part| escape(part))
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// The step in the words of the published format.
pub(in crate::cli) fn step_name(status: &Status) -> String {
    match serde_json::to_value(status.step) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

/// What is certain about effects, in one sentence.
pub(in crate::cli) fn certain(status: &Status) -> String {
    use upgrade::record::Effect::{Done, Maybe, None};
    let effects = &status.effects;
    if status.facts.cvm.is_none() && !status.facts.policy.is_empty() {
        return certain_of_policy(status);
    }
    if status.facts.factory.is_some() {
        return certain_of_deployment(status);
    }
    let transaction = || {
        let name = status
            .facts
            .transaction_hash
            .map_or_else(|| "A transaction".to_owned(), |hash| format!("Transaction {hash}"));
        let sent = if status.step > Step::Broadcast {
            "was sent"
        } else {
            "may have been sent"
        };
        format!("{name} {sent} and is not final; nothing was committed.")
    };
    let told = match (
        effects.live,
        effects.commit,
        effects.transaction,
        effects.approval,
        effects.prepare,
    ) {
        (Done, ..) if status.facts.makes.is_some() => "Phala Cloud says: The new CVM runs.",
        (Done, Maybe, ..) => {
            "Phala Cloud reports that the CVM runs the new hash; it answered no commit of this upgrade."
        }
        (_, Done, ..) if status.facts.makes.is_some() => "The commit was accepted and a CVM made; it does not run yet.",
        (Done, ..) => "Phala Cloud says: The CVM runs the new hash.",
        (_, Done, ..) => "The commit was accepted; the CVM does not report the new hash yet.",
        (_, Maybe, ..) => "The commit was sent, and whether it was accepted is not known yet.",
        (_, None, Done, ..) => "The hash is allowed on chain; nothing was committed.",
        (_, None, Maybe, ..) => return transaction(),
        (_, None, None, ..) if status.facts.ready_at.is_some() => {
            "The timelock has scheduled the change; the hash is not allowed yet, and nothing was committed."
        }
        (_, None, None, Done, _) if !status.facts.approved_by.is_empty() => {
            "Owners approved the Safe transaction on chain; it was not executed, and nothing was committed."
        }
        (_, None, None, Done, _) if status.facts.signed_by.as_ref().is_some_and(Vec::is_empty) => {
            match status.rejection_signed {
                true => "Owners signed the rejection; nothing was committed.",
                false => "Owners of a Safe that is an owner itself signed for it; nothing was committed.",
            }
        }
        (_, None, None, Done, _) => "The call was signed and not sent; nothing was committed.",
        (_, None, None, Maybe, _) => "A signature was asked for; nothing was sent or committed.",
        (_, None, None, None, Done) => "An update is prepared in the cloud; nothing was signed, sent or committed.",
        (_, None, None, None, Maybe) => {
            "An update may be prepared in the cloud; nothing was signed, sent or committed."
        }
        (_, None, None, None, None) => NO_EFFECTS,
    };
    told.to_owned()
}

/// Sentence about what is certain where only the app's policy changes.
fn certain_of_policy(status: &Status) -> String {
    use upgrade::record::Effect::{Done, Maybe, None};
    let told = match (status.effects.transaction, status.effects.approval) {
        (Done, _) => "The change is in force on chain.",
        (Maybe, _) => return on_its_way(status),
        (None, _) if status.facts.ready_at.is_some() => {
            "The timelock has scheduled the change; it is not in force yet."
        }
        (None, Done) if !status.facts.approved_by.is_empty() => {
            "Owners approved the Safe transaction on chain; it was not executed."
        }
        (None, Done) if status.rejection_signed => "Owners signed the rejection.",
        (None, Done) => "The change was signed and not sent.",
        (None, Maybe) => "A signature was asked for; nothing was sent.",
        (None, None) => "The change is proposed; nothing was signed or sent.",
    };
    told.to_owned()
}

/// Sentence about what is certain where a new app is made.
fn certain_of_deployment(status: &Status) -> String {
    use upgrade::record::Effect::{Done, Maybe, None};
    let told = match (status.effects.transaction, status.effects.approval) {
        (Done, _) => "The app is made, and is what was asked for.",
        (Maybe, _) => return on_its_way(status),
        (None, Done) => "The call was signed and not sent.",
        (None, Maybe) => "A signature was asked for; nothing was sent.",
        (None, None) => "A new app is intended; nothing was signed or sent.",
    };
    told.to_owned()
}

fn on_its_way(status: &Status) -> String {
    let hash = status.facts.transaction_hash;
    let name = hash.map_or_else(|| "A transaction".to_owned(), |hash| format!("Transaction {hash}"));
    let sent = if status.step > Step::Broadcast {
        "was sent"
    } else {
        "may have been sent"
    };
    format!("{name} {sent} and is not final.")
}

/// The published JSON Schema of the result.
pub(in crate::cli) fn json_schema() -> Value {
    schemars::schema_for!(Envelope).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::record::Effect;

    fn other() -> upgrade::record::OtherFacts {
        upgrade::record::OtherFacts {
            cvm: Some("x".to_owned()),
            app: alloy::primitives::Address::ZERO,
            compose_hash: Some(crate::compose::ComposeHash::new([7; 32])),
            policy: Vec::new(),
            proved: true,
        }
    }

    fn facts() -> Facts {
        let word = alloy::primitives::B256::repeat_byte(7);
        let hash = crate::compose::ComposeHash::new([7; 32]);
        let text = || Some("x".to_owned());
        Facts {
            settings: BTreeMap::from([text().zip(text()).unwrap()]),
            upgrade: upgrade::record::Facts {
                update: text(),
                route: text(),
                makes: text(),
                new_cvm: text(),
                cvm: text(),
                app: Some(alloy::primitives::Address::ZERO),
                factory: Some(alloy::primitives::Address::ZERO),
                chain_id: Some(1),
                owner: Some(alloy::primitives::Address::ZERO),
                previous_compose_hash: Some(hash),
                compose_hash: Some(hash),
                policy: vec![crate::chain::PolicyChange::AddDevice(word)],
                others: vec![other()],
                safe_tx_hash: Some(word),
                safe_nonce: Some("7".to_owned()),
                signed_by: Some(vec![alloy::primitives::Address::ZERO]),
                approved_by: vec![alloy::primitives::Address::ZERO],
                unproven: vec![alloy::primitives::Address::ZERO],
                threshold: Some(2),
                waiting_for: vec![alloy::primitives::Address::ZERO],
                safe_url: text(),
                operation_id: Some(word),
                ready_at: Some(jiff::Timestamp::UNIX_EPOCH),
                transaction_hash: Some(word),
                nonce: Some(1),
                block_number: Some(1),
                block_hash: Some(word),
                token_expires: Some(jiff::Timestamp::UNIX_EPOCH),
                correlation_id: text(),
            },
            dir: text(),
            journal_records: Some(1),
            proposal: text(),
            evidence: text(),
            images_before: Some(vec!["x".to_owned()]),
            images_after: Some(vec!["x".to_owned()]),
            vendor_code: text(),
            request_id: text(),
        }
    }

    fn full() -> Envelope {
        let text = || Some("x".to_owned());
        Envelope {
            schema: SCHEMA.to_owned(),
            ok: true,
            exit: 0,
            code: "OK".to_owned(),
            step: "finished".to_owned(),
            message: "done".to_owned(),
            effects: Effects {
                prepare: Effect::Done,
                approval: Effect::Maybe,
                ..Effects::default()
            },
            facts: facts(),
            warnings: vec![Warning {
                code: Code::Ok,
                text: "x".to_owned(),
            }],
            hint: text(),
            next: text(),
            others: vec![OtherStep::new("somebody", None, vec!["x".to_owned()])],
            safe_to_rerun: true,
            page: text(),
            data: Some(Value::Null),
        }
    }

    /// The schema of a property, through one reference.
    fn property<'a>(root: &'a Value, of: &'a Value, name: &str) -> &'a Value {
        let found = &of["properties"][name];
        match found["$ref"].as_str() {
            Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => found,
        }
    }

    fn names(object: &Value) -> Vec<&String> {
        object.as_object().unwrap().keys().collect()
    }

    #[test]
    fn the_published_schema_knows_every_field_that_is_printed() {
        let schema = json_schema();
        let printed = serde_json::to_value(full()).unwrap();
        for name in names(&printed) {
            assert!(schema["properties"].get(name).is_some(), "{name} is not in the schema");
        }
        for part in ["facts", "effects"] {
            let described = property(&schema, &schema, part);
            for name in names(&printed[part]) {
                assert!(
                    described["properties"].get(name).is_some(),
                    "{part}.{name} is not in the schema"
                );
            }
        }
    }

    #[test]
    fn what_is_certain_is_told_for_every_combination_of_effects() {
        let all = [Effect::None, Effect::Maybe, Effect::Done];
        for (transaction, commit) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
            let effects = Effects {
                prepare: Effect::Done,
                approval: Effect::Done,
                transaction,
                commit,
                live: Effect::None,
            };
            let status = Status {
                step: Step::Wait,
                effects,
                facts: upgrade::record::Facts::default(),
                records: 1,
                rejection_signed: false,
            };
            let said = certain(&status);
            assert_eq!(
                said.contains("nothing was committed"),
                commit == Effect::None,
                "{effects:?}: {said}"
            );
            assert_eq!(
                said.contains("not known yet"),
                commit == Effect::Maybe,
                "{effects:?}: {said}"
            );
        }
    }

    #[test]
    fn what_is_certain_of_a_change_of_policy_names_neither_cloud_nor_commit() {
        let all = [Effect::None, Effect::Maybe, Effect::Done];
        for (transaction, approval) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
            let status = Status {
                step: Step::Wait,
                effects: Effects {
                    approval,
                    transaction,
                    ..Effects::default()
                },
                facts: upgrade::record::Facts {
                    policy: vec![crate::chain::PolicyChange::AllowAnyDevice(true)],
                    ..upgrade::record::Facts::default()
                },
                records: 1,
                rejection_signed: false,
            };
            let said = certain(&status);
            for word in ["commit", "cloud", "hash"] {
                assert!(!said.contains(word), "{said}");
            }
            assert_eq!(
                said.contains("in force on chain"),
                transaction == Effect::Done,
                "{said}"
            );
        }
    }

    #[test]
    fn inv4_exit_code_and_ok_never_contradict_each_other() {
        for exit in Exit::ALL {
            let mut report = Report::done("x", "y");
            report.exit = exit;
            let value: Value = serde_json::from_str(&report.json()).unwrap();
            assert_eq!(value["ok"], exit == Exit::Done);
            assert_eq!(value["exit"], exit.code());
        }
    }

    #[test]
    fn what_is_waited_for_is_no_failure_where_that_was_agreed_and_nothing_else_is_excused() {
        for exit in Exit::ALL {
            let mut report = Report::done("x", "y");
            (report.exit, report.pending_ok) = (exit, true);
            let value: Value = serde_json::from_str(&report.json()).unwrap();
            let ends = if exit == Exit::Pending { 0 } else { exit.code() };
            assert_eq!(
                (&value["exit"], report.status().code()),
                (&serde_json::json!(ends), ends)
            );
            assert_eq!(value["ok"], exit == Exit::Done, "waiting is not reaching the goal");
        }
    }

    #[test]
    fn a40_foreign_text_is_harmless_in_both_shapes() {
        let evil = "\u{1b}]0;x\u{7}\u{202e}";
        let mut report = Report::done("x", evil);
        report.exit = Exit::State;
        report.causes = vec![evil.to_owned()];
        report.hint = Some(evil.to_owned());
        report.next = Some(evil.to_owned());
        let hazard = |text: &str| text.chars().any(|c| c != '\n' && crate::text::is_deceptive(c));
        assert!(!hazard(&report.failure_text(false, None)) && !hazard(&report.whole().text(None)));
        assert!(!hazard(&crate::cli::show::text::harmless_json(&report.json())));
    }
}
