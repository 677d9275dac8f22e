//! Who can change what an app runs, for people: as a page of the terminal and as Markdown. Makes text, prints nothing.

use std::collections::BTreeSet;

use crate::cli::show::text::Page;
use crate::power::{Class, Domain, Minimum, Path, Power};
use crate::text::markdown;

/// Paths of one domain that are shown; all of them are in `--json`.
const MOST_SHOWN: usize = 12;
const NO_PATH: &str = "no path";
const NO_KMS: &str = "not examined: no KMS contract was named";
const NONE_FOUND: &str = "no path was found; that there is none is not proven";

/// The answer as a page.
pub(in crate::cli) fn page(page: &mut Page, power: &Power) {
    let headline = Domain::ALL.map(|domain| (domain.name(), Some(least(power, domain, Class::AnyCode))));
    page.line(&format!(
        "who can change what {} runs, at block {}",
        power.app, power.block.number
    ));
    page.facts(&headline);
    for domain in Domain::ALL {
        let shown = paths(power, domain);
        if shown.is_empty() {
            continue;
        }
        page.heading(&format!("paths by the power of: {}", domain.name()));
        for path in shown.iter().take(MOST_SHOWN) {
            page.block(&sentence(path));
            page.each(path.steps().map(|step| format!("    {step}")));
        }
        if shown.len() > MOST_SHOWN {
            page.block(&format!("and {} more, which --json tells", shown.len() - MOST_SHOWN));
        }
    }
    page.heading("who acts for whom");
    page.each(nodes(power));
    page.heading("remarkable");
    page.each(findings(power));
    page.heading("ERC-733 (a draft), what its stage 1 asks");
    page.block(&power.erc733.sentence());
    page.each(requirements(power));
    page.heading("what this says, and what it rests on");
    page.block(&soundness(power));
    page.each(power.assumptions);
    page.block(&format!("not examined: {}", power.not_examined.join("; ")));
}

/// The answer as Markdown.
pub(in crate::cli) fn document(power: &Power) -> String {
    let mut lines = vec![
        format!("# Who can change what {} runs", power.app),
        String::new(),
        format!(
            "Chain {}, block {} ({}).",
            power.chain_id, power.block.number, power.block.hash
        ),
        String::new(),
        "| by whose power | any code |".to_owned(),
        "|---|---|".to_owned(),
    ];
    let row = |domain: Domain| {
        format!(
            "| {} | {} |",
            domain.name(),
            markdown(&least(power, domain, Class::AnyCode))
        )
    };
    lines.extend(Domain::ALL.map(row));
    for domain in Domain::ALL {
        let shown = paths(power, domain);
        if shown.is_empty() {
            continue;
        }
        lines.extend([String::new(), format!("## Paths: {}", domain.name()), String::new()]);
        for path in &shown {
            lines.push(format!("- {}", markdown(&sentence(path))));
            lines.extend(path.steps().map(|step| format!("  - {}", markdown(&step))));
        }
    }
    let mut part = |title: &str, items: Vec<String>| {
        lines.extend([String::new(), format!("## {title}"), String::new()]);
        lines.extend(items.iter().map(|item| format!("- {}", markdown(item))));
    };
    part("Who acts for whom", nodes(power));
    part("Remarkable", findings(power));
    let mut erc733 = vec![power.erc733.sentence()];
    erc733.extend(requirements(power));
    part("ERC-733 (a draft), what its stage 1 asks", erc733);
    let mut rests_on = vec![soundness(power)];
    rests_on.extend(power.assumptions.map(str::to_owned));
    rests_on.push(format!("Not examined: {}", power.not_examined.join("; ")));
    part("What this says, and what it rests on", rests_on);
    lines.push(String::new());
    lines.join("\n")
}

/// The least of a domain, in words.
pub(in crate::cli) fn least(power: &Power, domain: Domain, class: Class) -> String {
    match power.least(domain, class) {
        Some(Minimum {
            notice,
            code_notice,
            parties,
        }) => format!(
            "{} of notice, the very hash public for {}, {}",
            time(notice),
            time(code_notice),
            people(parties)
        ),
        None if domain == Domain::App && power.closed => NO_PATH.to_owned(),
        None if domain == Domain::Platform && power.kms.is_none() => NO_KMS.to_owned(),
        None => NONE_FOUND.to_owned(),
    }
}

/// Several paths that differ in the call alone.
struct Shown<'p> {
    first: &'p Path,
    all: Vec<&'p Path>,
}

impl Shown<'_> {
    fn steps(&self) -> impl Iterator<Item = String> {
        self.first.steps.iter().map(|step| {
            let to = step.to.map_or_else(String::new, |to| format!(" on {to}"));
            format!("after {}: {} ({}) {}{to}", time(step.at), step.by, step.role, step.call)
        })
    }
}

fn paths(power: &Power, domain: Domain) -> Vec<Shown<'_>> {
    let mut shown: Vec<Shown<'_>> = Vec::new();
    for path in power.paths.iter().filter(|path| path.domain == domain) {
        let same = |other: &&mut Shown<'_>| {
            let first = other.first;
            (first.effect, &first.parties, first.notice, &first.announced)
                == (path.effect, &path.parties, path.notice, &path.announced)
        };
        match shown.iter_mut().find(same) {
            Some(known) => known.all.push(path),
            None => shown.push(Shown {
                first: path,
                all: vec![path],
            }),
        }
    }
    shown
}

fn sentence(shown: &Shown<'_>) -> String {
    let path = shown.first;
    let calls: BTreeSet<&str> = shown.all.iter().map(|path| path.call).collect();
    let hash = shown.all.iter().map(|path| path.code_notice).min().unwrap_or_default();
    let who: Vec<String> = path.parties.iter().map(ToString::to_string).collect();
    let who = if who.is_empty() {
        "anybody".to_owned()
    } else {
        who.join(" with ")
    };
    let ids: Vec<&str> = shown.all.iter().map(|path| path.id.as_str()).collect();
    let exact = if path.notice_exact {
        ""
    } else {
        ", estimated from blocks"
    };
    let mut text = format!(
        "{}  {} by {who}: {} of notice{exact}, the very hash public for {} ({}; {})",
        ids.join(" "),
        path.effect.name(),
        time(path.notice),
        time(hash),
        calls.into_iter().collect::<Vec<_>>().join(", "),
        path.confidence.name(),
    );
    if let Some(announced) = &path.announced {
        text.push_str(&format!("; announced by {announced}"));
    }
    for veto in &path.vetoes {
        let by: Vec<String> = veto.by.iter().map(ToString::to_string).collect();
        text.push_str(&format!("; each of {} can stop it by {}", by.join(", "), veto.how));
    }
    text
}

fn nodes(power: &Power) -> Vec<String> {
    let told = power.nodes.iter().map(|node| {
        let version = node
            .version
            .as_ref()
            .map_or_else(String::new, |version| format!(" {version}"));
        format!(
            "{}  {}{version}, {}",
            node.address,
            node.label(),
            node.confidence.name()
        )
    });
    told.collect()
}

fn findings(power: &Power) -> Vec<String> {
    if power.findings.is_empty() {
        return vec!["nothing".to_owned()];
    }
    let told = power.findings.iter();
    told.map(|finding| format!("{}  {}", finding.code, finding.text))
        .collect()
}

fn requirements(power: &Power) -> Vec<String> {
    let told = power.erc733.requirements.iter();
    told.map(|one| format!("{}. {}: {} ({})", one.n, one.asks, one.state.name(), one.why))
        .collect()
}

fn soundness(power: &Power) -> String {
    format!(
        "at block {} nobody but those who are named makes it so sooner than is said here, provided that:",
        power.block.number
    )
}

/// Seconds in words, and as they are.
fn time(seconds: u64) -> String {
    match (seconds / 3_600, seconds % 3_600) {
        (0, _) => format!("{seconds} s"),
        (hours, 0) => format!("{hours} h ({seconds} s)"),
        (hours, _) => format!("more than {hours} h ({seconds} s)"),
    }
}

fn people(count: usize) -> String {
    match count {
        0 => "nobody in particular".to_owned(),
        1 => "1 party".to_owned(),
        count => format!("{count} parties"),
    }
}
