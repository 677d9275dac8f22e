//! What a person agrees to, set as text: what takes effect, where, what else is known of it, and the hashes to compare.

use crate::cli::show::text::Page;
use crate::safe::effects::Effect;
use crate::signer::{Consent, Decision, Fact, digest_facts};

/// The whole page, without the question.
pub(in crate::cli) fn page(consent: &Consent) -> Page {
    let mut page = Page::default();
    if !consent.effects.is_empty() {
        page.heading("what takes effect, by the bytes that are signed");
        effects(&mut page, &consent.effects);
        page.heading("what it is about");
    }
    let about: Vec<&Fact> = consent.subject.iter().chain(&consent.facts).collect();
    facts(&mut page, &about);
    decisions(&mut page, &consent.decisions);
    if let Some(digests) = &consent.digests {
        page.heading("compare on your device, digit by digit");
        facts(&mut page, &digest_facts(digests).iter().collect::<Vec<_>>());
    }
    page
}

/// What a general yes does not answer, with the option that does.
pub(in crate::cli) fn decisions(page: &mut Page, decisions: &[Decision]) {
    if decisions.is_empty() {
        return;
    }
    page.heading("has to be agreed to by name; --yes does not answer it");
    for one in decisions {
        page.block(&format!("--accept {one}"));
    }
}

/// One line each, in the order of the list.
pub(in crate::cli) fn effects(page: &mut Page, effects: &[Effect]) {
    for effect in effects {
        page.remark(&line(effect), effect.danger);
    }
}

/// An effect in a line that shows at its beginning whether it is dangerous.
pub(in crate::cli) fn line(effect: &Effect) -> String {
    let mark = if effect.danger { "DANGER: " } else { "" };
    format!("{mark}{}", effect.sentence)
}

fn facts(page: &mut Page, facts: &[&Fact]) {
    let rows: Vec<_> = facts
        .iter()
        .map(|fact| (fact.label(), Some(fact.value.clone())))
        .collect();
    page.facts(&rows);
}
