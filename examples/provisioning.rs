//! Makes a new CVM that Phala's own KMS guards: provision, commit, wait until it runs.
//!
//! `PHALA_CLOUD_API_KEY=… cargo run --example provisioning -- my-app docker-compose.yml`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of its own, which prints, reads its environment and a file"
)]

use std::time::Duration;

use countersign::cloud::{
    ApiKey, ApiVersion, Client, CloudError, CvmId, DEFAULT_PREFIX, Options,
    provision::{CommitProvision, Provision},
    settle::{Goal, Settle, Settled},
};
use countersign::http::{Http, Limits};
use eyre::{OptionExt as _, eyre};
use serde_json::Map;

#[tokio::main(flavor = "current_thread")]
async fn main() -> eyre::Result<()> {
    let mut words = std::env::args().skip(1);
    let name = words.next().ok_or_eyre("give a name")?;
    let compose = std::fs::read_to_string(words.next().ok_or_eyre("give a Docker Compose file")?)?;
    let client = client()?;
    let manifest = Map::from_iter([("docker_compose_file".to_owned(), compose.into())]);
    let wanted = Provision {
        instance_type: Some("tdx.small".to_owned()),
        ..Provision::new(name.parse()?, manifest)
    };
    let made = client.provision(&wanted).await?;
    println!("compose hash {}", made.compose_hash);
    let app = made
        .app_id
        .ok_or_eyre("an on-chain KMS guards it: deploy the app's contract first")?;
    // An environment would be sealed for `made.env_pubkey` here.
    let commit = CommitProvision::new(app, made.compose_hash);
    let cvm = match client.commit_provision(&commit).await {
        Ok(cvm) => cvm,
        Err(CloudError::Refused(problem)) if problem.is_app_id_conflict() => {
            return Err(eyre!("this app id runs another compose hash"));
        }
        Err(error) => return Err(error.into()),
    };
    let id: CvmId = cvm.uuid.ok_or_eyre("a CVM without a UUID")?.parse()?;
    let settle = Settle {
        goal: Goal::Status("running".to_owned()),
        pace: Duration::from_secs(1),
        time: Duration::from_secs(900),
    };
    match client.settle(&id, &settle, &mut |_| {}).await? {
        Settled::Done(_) => println!("{id} runs"),
        Settled::Failed(why) => return Err(eyre!(why)),
        Settled::Waiting(_) => return Err(eyre!("it takes too long")),
    }
    Ok(())
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
