//! `cvm`: what Phala Cloud itself can do with a CVM, one operation at a time.

mod allowed;
mod compose_file;
mod create;
mod envs;
mod go_on;
mod health;
mod ids;
mod inside;
mod life;
mod list;
mod networking;
mod order;
mod patch;
mod redeploy;
mod replicate;
mod texts;
mod watch;

use clap::{Args, Subcommand};

use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;

/// Use Phala Cloud's own operations on CVMs
///
/// What changes anything asks first, or takes --yes; --wait waits until it is carried out. What the compose hash covers is
/// changed at once only without an on-chain KMS; with one, the answer names the hash and the upgrade to go on with.
#[derive(Debug, Args)]
pub(in crate::cli) struct Cvm {
    #[command(subcommand)]
    command: CvmCommand,
}

#[derive(Debug, Subcommand)]
enum CvmCommand {
    List(list::List),
    Get(list::Get),
    Manifest(list::ShowManifest),
    Create(Box<create::Create>),
    Start(life::Start),
    Stop(life::Stop),
    Shutdown(life::Shutdown),
    Restart(life::Restart),
    Delete(life::Delete),
    Replicate(replicate::Replicate),
    Watch(watch::Watch),
    Patch(Box<patch::PatchArgs>),
    Resources(patch::Resources),
    Visibility(patch::VisibilityArgs),
    Listed(patch::Listed),
    OsImage(texts::OsImageArgs),
    OsImages(texts::OsImages),
    PreLaunchScript(texts::PreLaunchScript),
    DockerCompose(texts::DockerCompose),
    ComposeFile(Box<compose_file::ComposeFile>),
    Envs(Box<envs::EnvsArgs>),
    InstanceId(ids::InstanceId),
    InstanceIds(ids::InstanceIds),
    Stats(health::Stats),
    Network(health::Network),
    Attestation(health::Attestation),
    Operations(health::Operations),
    Cancel(life::Cancel),
    IsAllowed(allowed::IsAllowedArgs),
    Status(allowed::Status),
    BatchStop(allowed::BatchStop),
    Composition(inside::Composition),
    UserConfig(inside::UserConfig),
    SshKeys(inside::SshKeysArgs),
    Ports(networking::Ports),
    NetworkConfig(networking::NetworkConfigArgs),
    FirewallStatus(networking::FirewallStatus),
    Name(networking::Rename),
    ScheduledDelete(networking::ScheduledDelete),
    Redeploy(redeploy::Redeploy),
}

impl Cvm {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            CvmCommand::List(args) => args.run(session).await,
            CvmCommand::Get(args) => args.run(session).await,
            CvmCommand::Manifest(args) => args.run(session).await,
            CvmCommand::Create(args) => args.run(session).await,
            CvmCommand::Start(args) => args.run(session).await,
            CvmCommand::Stop(args) => args.run(session).await,
            CvmCommand::Shutdown(args) => args.run(session).await,
            CvmCommand::Restart(args) => args.run(session).await,
            CvmCommand::Delete(args) => args.run(session).await,
            CvmCommand::Replicate(args) => args.run(session).await,
            CvmCommand::Watch(args) => args.run(session).await,
            CvmCommand::Patch(args) => args.run(session).await,
            CvmCommand::Resources(args) => args.run(session).await,
            CvmCommand::Visibility(args) => args.run(session).await,
            CvmCommand::Listed(args) => args.run(session).await,
            CvmCommand::OsImage(args) => args.run(session).await,
            CvmCommand::OsImages(args) => args.run(session).await,
            CvmCommand::PreLaunchScript(args) => args.run(session).await,
            CvmCommand::DockerCompose(args) => args.run(session).await,
            CvmCommand::ComposeFile(args) => args.run(session).await,
            CvmCommand::Envs(args) => args.run(session).await,
            CvmCommand::InstanceId(args) => args.run(session).await,
            CvmCommand::InstanceIds(args) => args.run(session).await,
            CvmCommand::Stats(args) => args.run(session).await,
            CvmCommand::Network(args) => args.run(session).await,
            CvmCommand::Attestation(args) => args.run(session).await,
            CvmCommand::Operations(args) => args.run(session).await,
            CvmCommand::Cancel(args) => args.run(session).await,
            CvmCommand::IsAllowed(args) => args.run(session).await,
            CvmCommand::Status(args) => args.run(session).await,
            CvmCommand::BatchStop(args) => args.run(session).await,
            CvmCommand::Composition(args) => args.run(session).await,
            CvmCommand::UserConfig(args) => args.run(session).await,
            CvmCommand::SshKeys(args) => args.run(session).await,
            CvmCommand::Ports(args) => args.run(session).await,
            CvmCommand::NetworkConfig(args) => args.run(session).await,
            CvmCommand::FirewallStatus(args) => args.run(session).await,
            CvmCommand::Name(args) => args.run(session).await,
            CvmCommand::ScheduledDelete(args) => args.run(session).await,
            CvmCommand::Redeploy(args) => args.run(session).await,
        }
    }
}
