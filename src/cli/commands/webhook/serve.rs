//! `webhook serve`: deliveries of Phala Cloud, checked and printed once each.

use std::net::SocketAddr;
use std::ops::ControlFlow;

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::verify::told;
use crate::cli::args::values::{self, SecretSource};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::text::harmless_json;
use crate::code::Code;
use crate::webhook::{Event, Received, WebhookError, serve};

/// Receive deliveries, check them, and print each event once, as a line of JSON
///
/// Speaks plain HTTP: let whatever has your certificate pass https on to it, with the body byte for byte as it came. An
/// event that is delivered again within two hours is answered and not printed again. Nothing is run, and no commit token
/// is printed; whoever reads the lines decides. With --json the events stand in the one object at the end, which takes
/// --count.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign webhook serve --secret-from file:hook.secret | while read -r event; do ...; done\n  \
    countersign webhook serve --secret-from env:WEBHOOK_SECRET --event cvm.update.pending_approval --count 1 --json")]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Where the webhook's secret is: env:NAME, file:PATH or prompt (never the secret itself)
    #[arg(long, value_name = "SOURCE", default_value = "prompt")]
    secret_from: SecretSource,
    /// Print events of this kind only, for example cvm.updated; repeat it [default: all]
    #[arg(long = "event", value_name = "EVENT", value_parser = values::filled)]
    events: Vec<String>,
    /// End after so many events [default: when it is stopped]
    #[arg(long, value_name = "N", value_parser = values::whole::<u32>(1..=1000))]
    count: Option<u32>,
}

/// What was received so far.
#[derive(Debug, Default)]
struct Tally {
    printed: u32,
    refused: u64,
    /// Events for the one object at the end.
    kept: Vec<Value>,
}

impl Serve {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        if session.out.is_json() && self.count.is_none() {
            return Err(CliError::Usage {
                code: Code::UsageJsonStream,
                message: "--json prints one object at the end, and without --count there is no end".to_owned(),
                hint: "leave --json out: every event is a line of JSON anyway".to_owned(),
                next: Next::with("--count 1"),
            });
        }
        let secret = self.secret_from.read(session)?;
        let listener = TcpListener::bind(self.listen).await.map_err(|error| CliError::Input {
            code: Code::InputListen,
            message: format!("cannot listen on {}: {error}", self.listen),
            hint: "name another address by --listen; port 0 takes a free one".to_owned(),
        })?;
        let address = listener.local_addr().unwrap_or(self.listen);
        session.out.progress(&format!("listening on http://{address}"));
        if !address.ip().is_loopback() {
            session
                .out
                .progress("others can reach this address, and it speaks plain HTTP");
        }
        let mut tally = Tally::default();
        serve(&listener, &secret, |received| tally.take(received, &self, session)).await?;
        let mut report = Report::done("webhook serve", format!("received {} events", tally.printed));
        report.raw = Some(String::new());
        report.data = Some(json!({ "items": tally.kept, "refused": tally.refused }));
        Ok(report)
    }
}

impl Tally {
    fn take(&mut self, received: Received<'_>, wanted: &Serve, session: &Session) -> Result<ControlFlow<()>, CliError> {
        match received {
            Received::Event(event) if wanted.wants(event) => self.print(event, session)?,
            Received::Refused(error) => self.tell(error, session),
            _ => {}
        }
        let is_enough = wanted.count.is_some_and(|count| self.printed >= count);
        Ok(if is_enough {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn print(&mut self, event: &Event, session: &Session) -> Result<(), CliError> {
        let told = told(event);
        self.printed = self.printed.saturating_add(1);
        if session.out.is_json() {
            self.kept.push(told);
            return Ok(());
        }
        session
            .out
            .line(&harmless_json(&told.to_string()))
            .map_err(CliError::Output)
    }

    /// Strangers can make as many requests as they like, so not every one is a line.
    fn tell(&mut self, error: &WebhookError, session: &Session) {
        self.refused = self.refused.saturating_add(1);
        if self.refused.is_power_of_two() {
            session
                .out
                .progress(&format!("refused {} so far; the last because {error}", self.refused));
        }
    }
}

impl Serve {
    fn wants(&self, event: &Event) -> bool {
        self.events.is_empty() || self.events.contains(&event.name)
    }
}
