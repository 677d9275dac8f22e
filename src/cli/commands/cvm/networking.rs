//! `ports`, `network-config`, `firewall-status`, `name`, `scheduled-delete`.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::inside::nothing_to_wait_for;
use super::order::Terms;
use crate::cli::act::api::{Api, On, get, named, record, show};
use crate::cli::args::Agree;
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::{
    CvmId,
    inventory::networking::{NetworkChange, NetworkConfig, Port, PortWanted},
    provision::CvmName,
};
use crate::code::Code;

/// List the ports of a CVM that its node passes on, or replace them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign cvm ports --cvm my-app\n  \
    countersign cvm ports 443/tcp 53/udp --cvm my-app --yes")]
pub(super) struct Ports {
    /// Pass on this port of the guest, and none that is not named; for example 443/tcp
    #[arg(value_name = "PORT")]
    ports: Vec<PortWanted>,
    /// Pass on none
    #[arg(long, conflicts_with = "ports")]
    none: bool,
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
    #[command(flatten)]
    agree: Agree,
}

/// Show where a CVM fetches its keys and which gateways lead to it, or change that; no owner is asked
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign cvm network-config my-app\n  \
    countersign cvm network-config my-app --gateway-url https://gateway.example.org --restart --yes")]
pub(super) struct NetworkConfigArgs {
    /// Fetch keys here; repeat it. No hash covers it
    #[arg(long, value_name = "URL", value_parser = values::web_address)]
    kms_url: Vec<url::Url>,
    /// Be reached by this gateway; repeat it
    #[arg(long, value_name = "URL", value_parser = values::web_address)]
    gateway_url: Vec<url::Url>,
    /// Restart the CVM for it [default: from its next start on]
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    terms: Terms,
}

/// Say whether a CVM's node can keep a firewall for it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm firewall-status my-app")]
pub(super) struct FirewallStatus {
    #[command(flatten)]
    on: On,
}

/// Give a CVM another name
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Example:\n  countersign cvm name my-app new-name --yes"
)]
pub(super) struct Rename {
    #[command(flatten)]
    on: On,
    /// The new name
    #[arg(value_name = "NAME")]
    name: CvmName,
    #[command(flatten)]
    agree: Agree,
}

/// Say when a CVM is deleted with all its data, or that it is not
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:\n  countersign cvm scheduled-delete my-app 2026-12-31T00:00:00Z --yes\n  \
    countersign cvm scheduled-delete --cvm my-app --never --yes"
)]
pub(super) struct ScheduledDelete {
    #[command(flatten)]
    on: On,
    /// When, in UTC
    #[arg(value_name = "TIME", required_unless_present = "never", value_parser = values::moment)]
    at: Option<Timestamp>,
    /// Not at all
    #[arg(long, conflicts_with = "at")]
    never: bool,
    #[command(flatten)]
    agree: Agree,
}

fn row(port: &Port) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    vec![
        format!("{}/{}", number(port.vm_port), or(&port.protocol)),
        format!("{}:{}", or(&port.host_address), number(port.host_port)),
    ]
}

impl Ports {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = named(self.cvm.as_ref())?;
        let api = Api::new(session, Some(&self.agree))?;
        let (ports, message) = if self.ports.is_empty() && !self.none {
            (api.cloud.ports(&id).await?, "read")
        } else {
            let wanted: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
            let wanted = match wanted.is_empty() {
                true => "none".to_owned(),
                false => wanted.join(", "),
            };
            api.ask(
                "Replace the ports of this CVM that its node passes on?",
                &[("CVM", id.to_string()), ("ports", wanted)],
            )?;
            (api.cloud.set_ports(&id, &self.ports).await?, "the ports were replaced")
        };
        let mut report = Report::done("cvm ports", message);
        report.facts.upgrade.cvm = Some(id.to_string());
        report
            .page
            .table(&["PORT", "AT"], &ports.iter().map(row).collect::<Vec<_>>());
        report.data = Some(json!({ "items": ports }));
        Ok(report)
    }
}

impl NetworkConfigArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm network-config")?;
        let texts = |urls: &[url::Url]| (!urls.is_empty()).then(|| urls.iter().map(ToString::to_string).collect());
        let change = NetworkChange {
            kms_urls: texts(&self.kms_url),
            gateway_urls: texts(&self.gateway_url),
            restart: self.restart,
        };
        if change.kms_urls.is_none() && change.gateway_urls.is_none() && !change.restart {
            let config = order.api.cloud.network_config(&order.id).await?;
            let mut report = Report::done("cvm network-config", "read; no hash covers it");
            report.facts.upgrade.cvm = Some(order.id.to_string());
            shown(&mut report, &config);
            return Ok(report);
        }
        let told = |urls: &Option<Vec<String>>| urls.as_ref().map_or("as they are".to_owned(), |urls| urls.join(", "));
        let question = match &change.kms_urls {
            Some(_) => "Have this CVM fetch its keys elsewhere? No hash covers it, and the app's owner is not asked.",
            None => "Change which gateways lead to this CVM? No hash covers it, and the app's owner is not asked.",
        };
        order.ask(
            question,
            &[
                ("KMS", told(&change.kms_urls)),
                ("gateways", told(&change.gateway_urls)),
                ("restart", change.restart.to_string()),
            ],
        )?;
        let since = order.before().await?;
        let config = order.api.cloud.set_network_config(&order.id, &change).await?;
        let mut report = order.taken("the addresses were taken");
        shown(&mut report, &config);
        if change.kms_urls.is_some() {
            report.warn(
                Code::KmsUrlsUncovered,
                "where the guest fetches its keys changed: no hash covers it and no owner approved it, so hold its attestation \
                 against the KMS that you know",
            );
        }
        if change.restart {
            return order.carried_out(report, &order.id, since.next("running")).await;
        }
        Ok(nothing_to_wait_for(report, &order.waiting))
    }
}

fn shown(report: &mut Report, config: &NetworkConfig) {
    for url in &config.kms_urls {
        report.page.line(&format!("keys from {url}"));
    }
    for url in &config.gateway_urls {
        report.page.line(&format!("reached by {url}"));
    }
    for port in &config.ports {
        report.page.line(&row(port).join("  at "));
    }
    report.data = Some(json!(config));
}

impl FirewallStatus {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let firewall = Api::new(session, None)?.cloud.firewall_status(&id).await?;
        let mut report = Report::done("cvm firewall-status", "read");
        report.facts.upgrade.cvm = Some(id.to_string());
        let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
        report.page.facts(&[
            ("available", firewall.available.map(yes)),
            ("reason", firewall.reason.clone()),
        ]);
        report.data = Some(json!(firewall));
        Ok(report)
    }
}

impl Rename {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let api = Api::new(session, Some(&self.agree))?;
        api.ask(
            "Give this CVM another name?",
            &[("CVM", id.to_string()), ("name", self.name.to_string())],
        )?;
        // Some servers know it by this one of its ids alone here.
        let cvm = api.cloud.cvm(&id).await?;
        let own = cvm.raw.get("id").and_then(serde_json::Value::as_str);
        let own = own
            .filter(|own| own.starts_with("cvm_"))
            .and_then(|own| own.parse().ok());
        api.cloud.set_name(&own.unwrap_or(id), &self.name).await?;
        let renamed: CvmId = self.name.to_string().parse()?;
        let mut report = Report::done("cvm name", "the CVM has its new name");
        report.facts.upgrade.cvm = Some(renamed.to_string());
        report.next = Some(get(&renamed));
        Ok(report)
    }
}

impl ScheduledDelete {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let api = Api::new(session, Some(&self.agree))?;
        let question = match self.at {
            Some(_) => "Have this CVM deleted then, with all its data, for good?",
            None => "Have this CVM not deleted?",
        };
        let at = self.at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        api.ask(question, &[("CVM", id.to_string()), ("deleted", at)])?;
        let cvm = api.cloud.schedule_delete(&id, self.at).await?;
        let mut report = Report::done(
            "cvm scheduled-delete",
            match self.at {
                Some(_) => "the CVM is to be deleted",
                None => "the CVM is not to be deleted",
            },
        );
        report.facts.upgrade.cvm = Some(id.to_string());
        show(&mut report.page, &cvm);
        report.data = Some(record(&cvm));
        report.next = Some(get(&id));
        Ok(report)
    }
}
