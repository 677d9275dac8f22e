//! `safe delegates`: who may propose for a Safe in an owner's name, at the Safe Transaction Service.

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::place::place;
use crate::cli::act::advance::{SignedNotice, agree};
use crate::cli::args::values;
use crate::cli::args::{Agree, KeySource, Notices, SharedOptions};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Commands as _};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::service::{Act, Delegate, DelegateList, Delegation, Label, Notice};
use crate::signer::{Acting, Fact, Name};
use crate::upgrade::Warning;

/// Who may propose for a Safe in an owner's name, at the Safe Transaction Service
///
/// A delegate's proposals show in Safe{Wallet} as if an owner had made them; a delegate agrees to nothing and counts for no
/// signature. A pipeline that only proposes needs the key of a delegate, and no owner's.
#[derive(Debug, Args)]
pub(super) struct Delegates {
    #[command(subcommand)]
    command: DelegatesCommand,
}

#[derive(Debug, Subcommand)]
enum DelegatesCommand {
    /// Show who may propose
    #[command(
        after_help = "Example:\n  countersign safe delegates list base:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    )]
    List(List),
    /// Let somebody propose in your name; your key signs that for the service, and nothing else
    #[command(
        after_help = "Example:\n  countersign safe delegates add base:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed \
        0x1234567890123456789012345678901234567890 --label ci --signer ledger"
    )]
    Add(Add),
    /// Let somebody propose in your name no longer
    #[command(
        after_help = "Example:\n  countersign safe delegates remove base:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed \
        0x1234567890123456789012345678901234567890 --signer ledger"
    )]
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Place {
    /// The Safe, with or without the prefix of its chain
    #[arg(value_name = "SAFE", value_parser = values::safe_address)]
    safe: String,
    /// Chain of the Safe, when its address has no prefix
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(1..))]
    chain_id: Option<u64>,
    #[command(flatten)]
    notices: Notices,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// Only those of this owner
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    delegator: Option<Address>,
}

#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    place: Place,
    /// Who may propose
    #[arg(value_name = "DELEGATE", value_parser = values::address)]
    delegate: Address,
    /// Name by which the service lists them
    #[arg(long, value_name = "TEXT", value_parser = label)]
    label: Label,
    #[command(flatten)]
    key: KeySource,
    #[command(flatten)]
    agree: Agree,
}

#[derive(Debug, Args)]
struct Remove {
    #[command(flatten)]
    place: Place,
    /// Who may propose no longer
    #[arg(value_name = "DELEGATE", value_parser = values::address)]
    delegate: Address,
    /// The owner in whose name, when it is the delegate who signs [default: the key's address]
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    delegator: Option<Address>,
    /// Take away what is for all Safes of the owner as well
    #[arg(long)]
    all_safes: bool,
    #[command(flatten)]
    key: KeySource,
    #[command(flatten)]
    agree: Agree,
}

fn label(text: &str) -> Result<Label, &'static str> {
    Label::new(text).ok_or("a label has 1 to 50 characters, and is not blank")
}

impl Delegates {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            DelegatesCommand::List(list) => list.run(session).await,
            DelegatesCommand::Add(add) => add.run(session).await,
            DelegatesCommand::Remove(remove) => remove.run(session).await,
        }
    }
}

impl Place {
    /// Chain and address: the prefix and `--chain-id` have to agree.
    fn read(&self) -> Result<(u64, Address), CliError> {
        place(&self.safe, self.chain_id)
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let (chain_id, safe) = self.place.read()?;
        let typed = SharedOptions {
            notices: Some(&self.place.notices),
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let service = session.service(&settings, chain_id)?;
        let owners = match self.delegator {
            Some(owner) => vec![owner],
            None => service.safe(safe).await?.map(|safe| safe.owners).unwrap_or_default(),
        };
        let DelegateList { mut found, unasked } = service.delegates_for(safe, &owners).await?;
        found.retain(|one| self.delegator.is_none_or(|owner| owner == one.delegator));
        let mut report = Report::done("safe delegates", format!("{} may propose", found.len()));
        for one in &found {
            report.page.heading(&one.delegate.to_string());
            report.page.facts(&[
                ("in the name of", Some(one.delegator.to_string())),
                ("called", Some(one.label.clone()).filter(|label| !label.is_empty())),
                ("for", one.safe.is_none().then(|| "all Safes of this owner".to_owned())),
                ("until", one.expires.map(|until| until.to_string())),
            ]);
        }
        report.data = Some(json!({
            "service": service.host(),
            "safe": safe,
            "chainId": chain_id,
            "delegates": found.iter().map(shown).collect::<Vec<_>>(),
        }));
        report.warnings.extend(left_out(&service.host(), &unasked));
        view::remarks(&mut report.page, "warnings", &report.warnings);
        Ok(report)
    }
}

/// That what nobody asked for was left out.
fn left_out(host: &str, unasked: &[Delegate]) -> Option<Warning> {
    let Delegate {
        delegate,
        delegator,
        safe,
        ..
    } = unasked.first()?;
    let count = unasked.len();
    let place = safe.map_or_else(String::new, |safe| format!(" for the Safe {safe}"));
    Some(Warning {
        code: Code::ServiceUnasked,
        text: format!(
            "{host} lists {count} delegates that it was not asked for, which were left out: the first is {delegate} in the \
             name of {delegator}{place}"
        ),
    })
}

fn shown(one: &Delegate) -> Value {
    json!({
        "delegate": one.delegate,
        "delegator": one.delegator,
        "label": one.label,
        "allSafes": one.safe.is_none(),
        "expires": one.expires.map(|until| until.to_string()),
    })
}

impl Add {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let (chain_id, safe) = self.place.read()?;
        let settings = session.settings(typed(&self.place, &self.key, &self.agree))?;
        session.service(&settings, chain_id)?;
        let outside = session.outside(&settings);
        let world = outside.world();
        let signer = world.open_signer("change who may propose").await?;
        // Its time begins here: whoever unlocks a key needs some first.
        let service = session.service(&settings, chain_id)?;
        let one = Delegation {
            safe: Some(safe),
            delegate: self.delegate,
            delegator: signer.address(),
        };
        let there = service.delegation(&one).await?;
        let same = there.is_some_and(|found| self.label.is_that_of(&found));
        if !same {
            let notice = notice(chain_id, self.delegate);
            let mut facts = facts(&service.host(), chain_id, &one, &notice);
            facts.push(Fact::new(Name::Label, self.label.as_str()));
            let signing = SignedNotice {
                question: "Let this account propose in your name?",
                what: "adding a delegate",
                acting: Acting::signs(signer.address(), chain_id),
            };
            agree(&world, signing, facts)?;
            let signature = signer.sign_notice(&notice).await?;
            service.add_delegate(&one, &self.label, &signature).await?;
        }
        let message = if same {
            format!("{} may propose already", self.delegate)
        } else {
            format!("{} may propose in the name of {}", self.delegate, one.delegator)
        };
        Ok(report(message, &one, !same))
    }
}

impl Remove {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let (chain_id, safe) = self.place.read()?;
        let settings = session.settings(typed(&self.place, &self.key, &self.agree))?;
        session.service(&settings, chain_id)?;
        let outside = session.outside(&settings);
        let world = outside.world();
        let signer = world.open_signer("change who may propose").await?;
        // Its time begins here: whoever unlocks a key needs some first.
        let service = session.service(&settings, chain_id)?;
        let of_all = Delegation {
            safe: None,
            delegate: self.delegate,
            delegator: self.delegator.unwrap_or(signer.address()),
        };
        let here = Delegation {
            safe: Some(safe),
            ..of_all
        };
        // Whoever may propose for all Safes may do it for this one.
        let for_all = service.delegation(&of_all).await?.is_some();
        let one = if for_all && self.all_safes { of_all } else { here };
        let there = one == of_all || service.delegation(&here).await?.is_some();
        if there {
            let notice = notice(chain_id, self.delegate);
            let facts = facts(&service.host(), chain_id, &one, &notice);
            let signing = SignedNotice {
                question: "Let this account propose no longer?",
                what: "removing a delegate",
                acting: Acting::signs(signer.address(), chain_id),
            };
            agree(&world, signing, facts)?;
            let signature = signer.sign_notice(&notice).await?;
            service.remove_delegate(&one, &signature).await?;
        }
        let told = if there { "any longer" } else { "anyhow" };
        let message = format!(
            "{} may not propose in the name of {} {told}",
            self.delegate, one.delegator
        );
        let mut report = report(message, &one, there);
        if for_all && !self.all_safes {
            report.exit = Exit::State;
            report.code = Code::DelegateOfAllSafes;
            report.message = format!(
                "{} may still propose in the name of {}, for all of their Safes",
                self.delegate, one.delegator
            );
            let said = failure::by_code(report.code);
            report.hint = Some(said.hint);
            report.next = Some(session.typed().command(&said.next));
        }
        Ok(report)
    }
}

fn typed<'a>(place: &'a Place, key: &'a KeySource, agree: &'a Agree) -> SharedOptions<'a> {
    SharedOptions {
        notices: Some(&place.notices),
        source: Some(key),
        agree: Some(agree),
        ..SharedOptions::default()
    }
}

fn notice(chain_id: u64, delegate: Address) -> Notice {
    Notice::new(chain_id, Act::Delegate { delegate }, Timestamp::now())
}

/// What is agreed to, the hashes as devices show them.
fn facts(host: &str, chain_id: u64, one: &Delegation, notice: &Notice) -> Vec<Fact> {
    vec![
        Fact::new(Name::Service, host),
        Fact::new(Name::Chain, chain_id),
        Fact::new(
            Name::Safe,
            one.safe
                .map_or_else(|| "all Safes of the owner".to_owned(), |safe| safe.to_string()),
        ),
        Fact::new(Name::Delegate, one.delegate),
        Fact::new(Name::Delegator, one.delegator),
        Fact::new(Name::DomainHash, notice.domain()),
        Fact::new(Name::MessageHash, notice.message()),
    ]
}

fn report(message: String, one: &Delegation, changed: bool) -> Report {
    let mut report = Report::done("safe delegates", message);
    report.data = Some(json!({
        "safe": one.safe,
        "delegate": one.delegate,
        "delegator": one.delegator,
        "changed": changed,
    }));
    report
}
