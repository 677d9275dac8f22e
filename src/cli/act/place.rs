//! Which app is meant, and what Phala Cloud knows of it.

use alloy::primitives::{Address, B256};
use clap::Args;

use crate::chain::AppQuery;
use crate::cli::args::values;
use crate::cli::args::{Reach, SharedOptions};
use crate::cli::failure::error::CliError;
use crate::cli::session::settings::{self, Project, Settings};
use crate::cli::session::{Outside, Session};
use crate::cloud::CvmId;
use crate::code::Code;
use crate::upgrade::UpgradeError;

/// An app, by its address or by one of its CVMs.
#[derive(Debug, Args)]
pub(in crate::cli) struct Place {
    /// App id = address of the app's contract [default: the CVM's]
    #[arg(value_name = "ADDRESS", conflicts_with = "cvm", value_parser = values::address)]
    app: Option<Address>,
    /// CVM whose app it is; Phala Cloud is asked for its addresses [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
    /// Chain of the app, when only its address is given
    #[arg(long, value_name = "N", requires = "app", value_parser = values::whole::<u64>(1..))]
    chain_id: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

/// An app, by its address or by one of its CVMs, for commands whose own arguments stand where the address would.
#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// App id = address of the app's contract [default: the CVM's]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "cvm", value_parser = values::address)]
    app: Option<Address>,
    /// CVM whose app it is; Phala Cloud is asked for its addresses [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
    /// Chain of the app, when only its address is given
    #[arg(long, value_name = "N", requires = "app", value_parser = values::whole::<u64>(1..))]
    chain_id: Option<u64>,
}

/// The app that was meant.
pub(in crate::cli) struct Found {
    pub(in crate::cli) chain_id: u64,
    /// The app, and of its CVM the KMS, the hash that it runs, the device and the OS image.
    pub(in crate::cli) query: AppQuery,
    /// Name or id of the CVM that was named.
    pub(in crate::cli) cvm: Option<String>,
    /// That CVM.
    pub(in crate::cli) id: Option<CvmId>,
}

impl Place {
    pub(in crate::cli) fn settings(&self, session: &Session) -> Result<Settings, CliError> {
        let mut settings = session.settings(SharedOptions {
            reach: Some(&self.reach),
            ..SharedOptions::default()
        })?;
        settings.quorum.partial = true;
        Ok(settings)
    }

    /// From the arguments, and from the cloud where those do not say it.
    pub(in crate::cli) async fn find(&self, outside: &Outside<'_>) -> Result<Found, CliError> {
        Found::of(outside, self.app, self.chain_id, self.cvm.as_ref()).await
    }
}

impl Named {
    /// From the arguments, and from the cloud where those do not say it.
    pub(in crate::cli) async fn find(&self, outside: &Outside<'_>) -> Result<Found, CliError> {
        Found::of(outside, self.app, self.chain_id, self.cvm.as_ref()).await
    }
}

impl Found {
    async fn of(
        outside: &Outside<'_>,
        app: Option<Address>,
        chain_id: Option<u64>,
        cvm: Option<&CvmId>,
    ) -> Result<Self, CliError> {
        let bare = |app: Address, kms| AppQuery {
            app,
            kms,
            hash: None,
            running: None,
            device: None,
            os_image: None,
            kind: true,
        };
        if let (Some(app), Some(chain_id)) = (app, chain_id) {
            return Ok(Self {
                chain_id,
                query: bare(app, None),
                cvm: None,
                id: None,
            });
        }
        let world = outside.world();
        world.greet();
        if let Some(app) = app {
            let kms = world.cloud.app_kms_info(app).await?.kms;
            return Ok(Self {
                chain_id: kms.chain_id.ok_or_else(off_chain)?,
                query: bare(app, kms.kms_contract),
                cvm: None,
                id: None,
            });
        }
        let named = settings::cvm(cvm, &Project::here()?)?.value;
        let cvm = world.cloud.cvm(&named).await?;
        let app = cvm.app_id.or(cvm.kms.app_contract).ok_or_else(off_chain)?;
        let query = AppQuery {
            hash: cvm.compose_hash.map(|hash| B256::from(*hash.as_bytes())),
            device: cvm.device_id,
            os_image: cvm.os_image_hash,
            ..bare(app, cvm.kms.kms_contract)
        };
        Ok(Self {
            chain_id: cvm.kms.chain_id.ok_or_else(off_chain)?,
            query,
            cvm: Some(cvm.name.unwrap_or_else(|| named.to_string())),
            id: Some(named),
        })
    }
}

fn off_chain() -> CliError {
    CliError::from(UpgradeError::Decide {
        code: Code::KmsOffchain,
        message: "no on-chain KMS guards it, so there is no contract to read".to_owned(),
        source: None,
    })
}
