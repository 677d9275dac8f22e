//! Upgrades a CVM by the library alone: plans, begins, and goes on until the CVM reports the new hash or somebody else has
//! to act. Run again, it goes on where it was.
//!
//! `PHALA_CLOUD_API_KEY=… ETH_RPC_URL=… OWNER_KEY=0x… cargo run --example upgrade -- my-app docker-compose.yml`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of its own, which prints, reads its environment and a file"
)]

use std::path::Path;

use countersign::chain::quorum::Quorum;
use countersign::cloud::{ApiKey, ApiVersion, Client, DEFAULT_PREFIX, Options, patch::Patch};
use countersign::http::{Http, Limits};
use countersign::safe::service::Services;
use countersign::signer::{Ask, AskError, Consent, Source, Unlock};
use countersign::upgrade::{self, Goal, Outcome, Reached, Upgrade, World, model::Intent};
use eyre::OptionExt as _;
use zeroize::Zeroizing;

#[tokio::main(flavor = "current_thread")]
async fn main() -> eyre::Result<()> {
    let mut words = std::env::args().skip(1);
    let cvm = words.next().ok_or_eyre("name a CVM")?.parse()?;
    let mut patch = Patch::default();
    let compose = words.next().ok_or_eyre("give a Docker Compose file")?;
    patch.changes.docker_compose_file = Some(std::fs::read_to_string(compose)?);

    let http = Http::new(Limits::default());
    let prefix = std::env::var("PHALA_CLOUD_API_PREFIX");
    let options = Options {
        prefix: prefix.as_deref().unwrap_or(DEFAULT_PREFIX).parse()?,
        api_key: Some(ApiKey::new(std::env::var("PHALA_CLOUD_API_KEY")?.into())?),
        version: ApiVersion::NEWEST,
    };
    let world = World {
        cloud: &Client::new(http.clone(), options),
        http: &http,
        endpoints: &[std::env::var("ETH_RPC_URL")?.parse()?],
        histories: None,
        quorum: &Quorum::default(),
        services: &Services::default(),
        reached: Reached::default(),
        allow_unpinned: false,
        signer: Some(&Source::Env("OWNER_KEY".to_owned())),
        unlock: &Unlock::default(),
        root: Path::new(".countersign"),
        base_tx: None,
        record: None,
        ask: &Agreed,
    };

    let limits = upgrade::Limits::default();
    let plan = upgrade::plan(&world, &Intent::new(cvm, patch)).await?;
    let dir = Upgrade::default_dir(world.root, &plan);
    let mut upgrade = Upgrade::begin(&dir, plan, &limits)?;
    match upgrade.advance(&world, Goal::Live, &limits).await? {
        Outcome::Reached => println!("the CVM runs what {} allows", dir.display()),
        Outcome::Pending(pending) => println!("{}: {}", pending.code, pending.what),
    }
    Ok(())
}

/// Agrees to whatever needs no decision, and shows what it is asked.
struct Agreed;

impl Ask for Agreed {
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, AskError> {
        Err(AskError::Nobody(prompt.to_owned()))
    }

    fn variable(&self, name: &str) -> Option<Zeroizing<String>> {
        std::env::var(name).ok().map(Zeroizing::new)
    }

    fn consent(&self, what: &Consent) -> Result<bool, AskError> {
        println!("{}", what.question);
        Ok(what.decisions.is_empty())
    }

    fn agrees_unseen(&self) -> bool {
        true
    }

    fn tell(&self, news: &str) {
        println!("{news}");
    }
}
