//! Watches a CVM until it has a status, and prints every state on the way.
//!
//! `PHALA_CLOUD_API_KEY=… cargo run --example watching -- my-app running`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of its own, which prints and reads its environment"
)]

use std::time::Duration;

use countersign::cloud::{
    ApiKey, ApiVersion, Client, CvmId, DEFAULT_PREFIX, Options,
    watch::{News, Watch, Watched},
};
use countersign::http::{Http, Limits};
use eyre::{OptionExt as _, eyre};

#[tokio::main(flavor = "current_thread")]
async fn main() -> eyre::Result<()> {
    let mut words = std::env::args().skip(1);
    let id: CvmId = words.next().ok_or_eyre("name a CVM")?.parse()?;
    let watch = Watch {
        deadline: Some(Duration::from_secs(900)),
        ..Watch::for_target(words.next().unwrap_or_else(|| "running".to_owned()))
    };
    let mut tell = |news: News<'_>| match news {
        News::State(state) => println!("{}", state.status.as_deref().unwrap_or("silent")),
        News::Again { why } => println!("again: {why}"),
        News::Polling { why } => println!("asking in intervals: {why}"),
    };
    match client()?.watch(&id, &watch, &mut tell).await? {
        Watched::Reached(_) => Ok(()),
        Watched::TimedOut(_) => Err(eyre!("it takes too long")),
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
