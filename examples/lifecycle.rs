//! Shuts a CVM down and starts it again, each time until it is carried out.
//!
//! `PHALA_CLOUD_API_KEY=… cargo run --example lifecycle -- my-app`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of its own, which prints and reads its environment"
)]

use std::time::Duration;

use countersign::cloud::{
    ApiKey, ApiVersion, Client, Cvm, CvmId, DEFAULT_PREFIX, Options,
    settle::{Goal, Settle, Settled},
};
use countersign::http::{Http, Limits};
use eyre::{OptionExt as _, eyre};

#[tokio::main(flavor = "current_thread")]
async fn main() -> eyre::Result<()> {
    let id: CvmId = std::env::args().nth(1).ok_or_eyre("name a CVM")?.parse()?;
    let client = client()?;
    let cvm = client.cvm(&id).await?;
    println!("{} is {}", cvm.name.unwrap_or_default(), cvm.status.unwrap_or_default());
    client.shutdown(&id).await?;
    wait(&client, &id, "stopped").await?;
    client.start(&id).await?;
    wait(&client, &id, "running").await
}

async fn wait(client: &Client, id: &CvmId, status: &str) -> eyre::Result<()> {
    let settle = Settle {
        goal: Goal::Status(status.to_owned()),
        pace: Duration::from_secs(1),
        time: Duration::from_secs(900),
    };
    let mut tell = |cvm: &Cvm| println!("  {}", cvm.status.as_deref().unwrap_or("silent"));
    match client.settle(id, &settle, &mut tell).await? {
        Settled::Done(_) => Ok(()),
        Settled::Failed(why) => Err(eyre!(why)),
        Settled::Waiting(_) => Err(eyre!("it takes too long")),
    }
}

fn client() -> eyre::Result<Client> {
    let prefix = std::env::var("PHALA_CLOUD_API_PREFIX");
    let options = Options {
        prefix: prefix.as_deref().unwrap_or(DEFAULT_PREFIX).parse()?,
        api_key: Some(ApiKey::new(std::env::var("PHALA_CLOUD_API_KEY")?.into())?),
        version: ApiVersion::NEWEST,
    };
    Ok(Client::new(Http::new(Limits::default()), options))
}
