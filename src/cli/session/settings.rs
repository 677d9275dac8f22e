//! Second stage of the arguments: what was typed, plus environment, plus `phala.toml`, in that order of rank.
//!
//! Every value remembers where it came from, for messages.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::B256;
use url::Url;
use zeroize::Zeroizing;

use crate::chain::{FeePolicy, PolicyChange, quorum::Quorum};
use crate::cli::args::attesting::Attesting;
use crate::cli::args::values;
use crate::cli::args::{Change, Expect, Governor, Notices, PageOptions, Reach, SharedOptions};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::accept::{accepted, trust};
use crate::cli::session::environment::{API_KEY, API_PREFIX, Environment, RPC_QUORUM, RPC_URL, SERVICE_KEY};
use crate::cli::session::files::{compose_file, text_file, with_besides};
use crate::cli::session::origins::{Origins, origins};
use crate::cli::session::project::PROJECT_FILE;
pub(in crate::cli) use crate::cli::session::project::{Own, Project};
pub(in crate::cli) use crate::cli::session::workload::workload;
use crate::cloud::{ApiKey, CvmId, DEFAULT_PREFIX, patch::Patch};
use crate::code::Code;
use crate::compose::Changes;
use crate::http::{Endpoint, Network};
use crate::safe::info::Trust;
use crate::safe::service::{ServiceError, ServiceKey, Services};
use crate::signer::{Source, Unlock};
use crate::upgrade::{
    Acceptance, Limits,
    model::{Expected, Intent, Target, TimelockChoice},
    record::STATE_DIR,
};

/// Below this directory upgrades are kept and looked for.
pub(in crate::cli) const ROOT: &str = STATE_DIR;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    Project,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Project => f.write_str(PROJECT_FILE),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Sourced<T> {
    pub(in crate::cli) value: T,
    pub(in crate::cli) origin: Origin,
}

/// How cloud, chain and keys are reached.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Settings {
    pub(in crate::cli) prefix: Sourced<Url>,
    pub(in crate::cli) api_key: Option<ApiKey>,
    pub(in crate::cli) services: Services,
    /// The way to all servers.
    pub(in crate::cli) network: Network,
    /// Where the settings come from that an option, the environment or `phala.toml` says.
    pub(in crate::cli) origins: Origins,
    pub(in crate::cli) endpoints: Vec<Sourced<Url>>,
    /// Who is asked for what contracts logged besides them.
    pub(in crate::cli) histories: Option<Url>,
    /// How many of them have to agree.
    pub(in crate::cli) quorum: Quorum,
    pub(in crate::cli) signer: Option<Source>,
    /// How the page of a wallet in a browser is reached.
    pub(in crate::cli) page: PageOptions,
    pub(in crate::cli) unlock: Unlock,
    pub(in crate::cli) limits: Limits,
    pub(in crate::cli) allow_unpinned: bool,
    pub(in crate::cli) yes: bool,
    /// How what the run made live is proven at the hardware, where the command does that.
    pub(in crate::cli) attesting: Option<Attesting>,
    /// Transaction that may show that the app once allowed what runs.
    pub(in crate::cli) base_tx: Option<B256>,
    /// Where this machine remembers what its keys signed for Safes.
    pub(in crate::cli) record: Option<PathBuf>,
    /// Test builds only: time for one request to Phala Cloud; waits between attempts shrink with it.
    pub(in crate::cli) request_time: Option<Duration>,
}

impl Settings {
    /// Flag before environment before `phala.toml` before default.
    pub(in crate::cli) fn gather(typed: SharedOptions<'_>, env: &Environment, file: &Own) -> Result<Self, CliError> {
        let key = typed.source.or(typed.key.map(|key| &key.source));
        let signer = key.and_then(|key| key.signer.clone().or_else(|| file.signer.clone()));
        // Said here, before anything happens for a key that cannot be reached.
        signer.as_ref().map_or(Ok(()), Source::check_built)?;
        let endpoints = endpoints(typed.reach, env, file)?;
        let reach = typed.reach;
        Ok(Self {
            prefix: prefix(env)?,
            api_key: api_key(env)?,
            services: services(typed.notices, env, file)?,
            network: Network::default(),
            origins: origins(typed, env, file),
            quorum: quorum(reach, endpoints.len(), (env, file))?,
            endpoints,
            histories: reach.and_then(|reach| reach.logs_rpc_url.clone().or_else(|| file.logs_rpc_url.clone())),
            signer,
            page: key.map(|key| key.page).unwrap_or_default(),
            unlock: Unlock {
                password_file: key.and_then(|key| key.password_file.clone()),
                keystore_dir: env.keystore_dir(),
            },
            limits: Limits {
                finality: typed
                    .settle
                    .and_then(|settle| settle.finality().or_else(|| file.finality())),
                ..limits(typed)
            },
            allow_unpinned: reach.is_some_and(Reach::allow_unpinned),
            yes: typed.agree.is_some_and(|agree| agree.yes),
            attesting: typed.attesting.cloned(),
            base_tx: None,
            record: env.signing_record().ok(),
            request_time: env.request_time(),
        })
    }

    /// Takes in what was agreed to by code.
    pub(in crate::cli) fn agree(&mut self, accepted: &[Acceptance]) {
        for one in accepted {
            self.limits.accepted.agree(one.clone());
        }
        let limits = &mut self.limits;
        limits.supersede |= limits.accepted.covers(Code::UpdatePending, None);
        limits.trust.old_versions |= limits.accepted.covers(Code::SafeOldVersion, None);
        for code in [Code::SafeUnknownCode, Code::SafeOwnerUnknown] {
            let trusted = limits.accepted.values(code);
            let hashes = trusted.filter_map(|hash| hash.parse::<B256>().ok());
            limits.trust.code.extend(hashes);
        }
    }

    /// What `phala.toml` decides, in a line: whoever wrote that file chose it.
    pub(in crate::cli) fn of_the_file(&self) -> Option<String> {
        let decided = self.origins.iter().filter(|(_, from)| **from == PROJECT_FILE);
        let names: Vec<&str> = decided.map(|(name, _)| *name).collect();
        let endpoints = self.endpoints.iter().filter(|one| one.origin == Origin::Project);
        let endpoints: Vec<String> = endpoints
            .map(|one| Endpoint::new(one.value.clone()).to_string())
            .collect();
        let asked = (!endpoints.is_empty()).then(|| format!("; the endpoints are {}", endpoints.join(", ")));
        let told = || {
            format!(
                "`{PROJECT_FILE}` says {}{}",
                names.join(", "),
                asked.unwrap_or_default()
            )
        };
        (!names.is_empty()).then(told)
    }

    /// The endpoints' addresses.
    pub(in crate::cli) fn urls(&self) -> Vec<Url> {
        self.endpoints.iter().map(|endpoint| endpoint.value.clone()).collect()
    }
}

/// The key without a line break at its end. Quotes are no part of one: a shell or a file that kept them would send them.
fn api_key(env: &Environment) -> Result<Option<ApiKey>, CliError> {
    let Some(text) = env.secret(API_KEY) else {
        return Ok(None);
    };
    let key = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    let quoted = key.contains(['"', '\'', '`']);
    let key = Some(key).filter(|_| !quoted).map(ApiKey::new);
    key.and_then(Result::ok).map(Some).ok_or_else(bad_api_key)
}

fn services(typed: Option<&Notices>, env: &Environment, file: &Own) -> Result<Services, ServiceError> {
    let end = ['\r', '\n'];
    let text = |text: Zeroizing<String>| Zeroizing::new(text.trim_end_matches(end).to_owned());
    let key = env.secret(SERVICE_KEY).map(text).map(ServiceKey::new).transpose()?;
    let named = typed.and_then(|typed| typed.service_url.clone());
    let of_file = typed.and_then(|_| file.service_url.clone()).filter(|_| named.is_none());
    // A file that came with a project says where to ask, and gets no key of whoever works there.
    let key = key.filter(|_| of_file.is_none());
    let url = named.or(of_file);
    Ok(Services::new(url, key))
}

fn bad_api_key() -> CliError {
    CliError::Input {
        code: Code::InputApiKey,
        message: format!("`{API_KEY}` holds characters that no API key has"),
        hint: format!("set `{API_KEY}` again, without quotes or line breaks inside it"),
    }
}

fn prefix(env: &Environment) -> Result<Sourced<Url>, CliError> {
    let (text, origin) = match env.text(API_PREFIX) {
        Some(text) => (text, Origin::Variable(API_PREFIX)),
        None => (DEFAULT_PREFIX.to_owned(), Origin::Default),
    };
    Ok(Sourced {
        value: web_address(&text, API_PREFIX, DEFAULT_PREFIX)?,
        origin,
    })
}

fn endpoints(reach: Option<&Reach>, env: &Environment, file: &Own) -> Result<Vec<Sourced<Url>>, CliError> {
    let typed = reach.map(|reach| reach.rpc_url.as_slice()).unwrap_or_default();
    if let Some(text) = env.text(RPC_URL).filter(|_| typed.is_empty()) {
        return Ok(vec![Sourced {
            value: web_address(&text, RPC_URL, values::RPC_EXAMPLE)?,
            origin: Origin::Variable(RPC_URL),
        }]);
    }
    let (typed, origin) = match typed.is_empty() {
        true => (file.rpc_url.as_slice(), Origin::Project),
        false => (typed, Origin::Flag("--rpc-url")),
    };
    let mut named: Vec<Url> = Vec::new();
    for url in typed {
        // One that is named twice would agree with itself.
        let known = named.iter().map(|known| Endpoint::new(known.clone()));
        let own = Endpoint::new(url.clone());
        match known.clone().find(|known| known.server() == own.server()) {
            None => named.push(url.clone()),
            Some(known) if known.is_same_as(&own) => {}
            Some(known) => return Err(one_server(&known, &own)),
        }
    }
    Ok(named.into_iter().map(|value| Sourced { value, origin }).collect())
}

/// Two accounts of one server: its word would count twice.
fn one_server(known: &Endpoint, own: &Endpoint) -> CliError {
    CliError::Usage {
        code: Code::UsageOneServer,
        message: format!("two endpoints are of one server, {known} and {own}: it would agree with itself"),
        hint: "name one address of each server by --rpc-url: what is behind the host makes no other server".to_owned(),
        next: Next::Command("--help"),
    }
}

/// How many of the endpoints have to agree, and until when one that is missing is waited for.
fn quorum(reach: Option<&Reach>, named: usize, elsewhere: (&Environment, &Own)) -> Result<Quorum, CliError> {
    let (env, file) = elsewhere;
    let typed = reach.and_then(|reach| reach.quorum);
    let told = env.text(RPC_QUORUM).filter(|_| typed.is_none() && reach.is_some());
    let told = told.map(|text| values::whole::<usize>(1..)(&text)).transpose();
    let needed = typed.or(told.map_err(|why| CliError::Input {
        code: Code::InputQuorum,
        message: format!("`{RPC_QUORUM}` is not {why}"),
        hint: format!("set `{RPC_QUORUM}` to how many endpoints have to agree, or leave it out: then all have to"),
    })?);
    let needed = needed.or_else(|| file.quorum().filter(|_| reach.is_some()));
    if let Some(needed) = needed.filter(|needed| named > 0 && *needed > named) {
        return Err(CliError::Usage {
            code: Code::UsageQuorum,
            message: format!("{needed} endpoints have to agree, and {named} were named"),
            hint: "name more endpoints with --rpc-url, or let fewer agree with --quorum".to_owned(),
            next: Next::Again,
        });
    }
    Ok(Quorum {
        needed,
        until: reach.and_then(|reach| tokio::time::Instant::now().checked_add(reach.timeout)),
        notice: Some(crate::cli::show::output::notice),
        ..Quorum::default()
    })
}

/// An http or https address; the text is not repeated, since it may hold a key. A line break at its end is none of it:
/// files and pipelines leave one.
fn web_address(text: &str, name: &'static str, example: &str) -> Result<Url, CliError> {
    let url = values::web_address(text.trim_end_matches(['\r', '\n'])).ok();
    url.ok_or_else(|| CliError::Input {
        code: Code::InputAddress,
        message: format!("`{name}` holds no http or https address"),
        hint: format!("set `{name}` to one address, without quotes, such as {example}"),
    })
}

fn limits(typed: SharedOptions<'_>) -> Limits {
    Limits {
        timeout: typed.reach.map_or(Duration::ZERO, |reach| reach.timeout),
        fees: FeePolicy {
            ceiling: typed.key.and_then(|key| key.caps.max_fee).map(|fee| fee.0),
            most: typed.key.and_then(|key| key.caps.max_cost).map(|cost| cost.0),
        },
        accepted: accepted(typed),
        supersede: typed.allow.is_some_and(|allow| allow.supersede),
        nonce: typed.key.and_then(|key| key.nonce),
        new_nonce: typed.key.is_some_and(|key| key.new_nonce),
        no_wait: typed.watch.is_some_and(|watch| watch.no_wait && !watch.does_wait),
        trust: typed.safe.map(trust).unwrap_or_default(),
        safe_nonce: typed.safe.and_then(|safe| safe.safe_nonce),
        offline: typed.offline.is_some_and(|typed| typed.offline),
        expected_safe_tx: typed.reviewed.and_then(|typed| typed.expect_safe_tx_hash),
        ..Limits::default()
    }
}

/// How a timelock is asked.
pub(in crate::cli) const fn timelock(governor: &Governor) -> TimelockChoice {
    TimelockChoice {
        proposer: governor.proposer,
        delay: governor.delay,
    }
}

/// What changes of the app's policy besides: devices first, since a hash that is taken away must not be the last one.
fn policy(change: &Change) -> Vec<PolicyChange> {
    let devices = change.add_device.iter().map(|device| PolicyChange::AddDevice(*device));
    let hashes = change.remove_hash.iter();
    let hashes = hashes.map(|hash| PolicyChange::RemoveComposeHash(B256::from(*hash.as_bytes())));
    devices.chain(hashes).collect()
}

/// What is typed of a change, and what is known besides.
pub(in crate::cli) struct Wanted<'a> {
    pub(in crate::cli) change: &'a Change,
    pub(in crate::cli) project: &'a Project,
    pub(in crate::cli) trust: &'a Trust,
    pub(in crate::cli) governor: &'a Governor,
}

/// What is wanted: from flags, and from `phala.toml` where a flag is missing.
pub(in crate::cli) fn intent(
    wanted: &Wanted<'_>,
    env: &Environment,
    tell: &dyn Fn(&str),
) -> Result<Sourced<Intent>, CliError> {
    let Wanted {
        change,
        project,
        trust,
        governor,
    } = *wanted;
    let cvm = cvm(change.cvm.as_ref(), project)?;
    let patch = patch(change, project)?;
    let left = project.left_alone(change);
    if !left.is_empty() {
        tell(&format!("not taken from `{PROJECT_FILE}`: {}", left.join(", ")));
    }
    let env = workload(&change.workload, env, tell)?;
    if patch == Patch::default() && env.is_none() {
        return Err(CliError::Usage {
            code: Code::UsageNothingToChange,
            message: "nothing changes: no compose file was named, and no other change".to_owned(),
            hint: "name what changes, for example a compose file".to_owned(),
            next: Next::with("--compose docker-compose.yml"),
        });
    }
    let intent = Intent {
        cvm: cvm.value,
        target: Target::Cvm,
        patch,
        env,
        confirm: change.confirm,
        policy: policy(change),
        revoke_old: change.revoke_old,
        trust: trust.clone(),
        timelock: timelock(governor),
        expected: expected(&change.expect, project),
    };
    Ok(Sourced {
        value: intent,
        origin: cvm.origin,
    })
}

/// What has to hold: flags before `phala.toml`.
pub(in crate::cli) fn expected(expect: &Expect, project: &Project) -> Expected {
    Expected {
        hash: None,
        chain_id: None,
        device: None,
        app: expect.app.or(project.app),
        kms: project.kms,
        pending_owner: expect.expect_pending_owner,
        strict: expect.strict,
    }
}

/// The CVM: flag before `phala.toml`.
pub(in crate::cli) fn cvm(typed: Option<&CvmId>, project: &Project) -> Result<Sourced<CvmId>, CliError> {
    if let Some(id) = typed {
        return Ok(Sourced {
            value: id.clone(),
            origin: Origin::Flag("--cvm"),
        });
    }
    let Some(text) = project.cvm() else {
        return Err(CliError::Usage {
            code: Code::UsageNoCvm,
            message: "no CVM was named".to_owned(),
            hint: format!("name it by --cvm, or in `{PROJECT_FILE}`"),
            next: Next::with("--cvm NAME"),
        });
    };
    let value = values::cvm(text).map_err(|why| CliError::Input {
        code: Code::InputProjectFile,
        message: format!("`{PROJECT_FILE}` names no CVM: {why}"),
        hint: format!("correct `{PROJECT_FILE}`, or name the CVM by --cvm"),
    })?;
    Ok(Sourced {
        value,
        origin: Origin::Project,
    })
}

fn patch(change: &Change, project: &Project) -> Result<Patch, CliError> {
    let compose = change.compose.as_ref().or(project.compose_file.as_ref());
    let names = change.allowed_env.as_ref();
    let patch = Patch {
        changes: Changes {
            docker_compose_file: compose.map(|path| compose_file(path)).transpose()?,
            pre_launch_script: change
                .pre_launch_script
                .as_ref()
                .map(|path| text_file(path))
                .transpose()?,
            allowed_envs: names.map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
            public_logs: change.public_logs,
            public_sysinfo: change.public_sysinfo,
            public_tcbinfo: change.public_tcbinfo,
        },
        vcpu: change.vcpu,
        memory: change.memory,
        disk_size: change.disk_size,
        image: change.image.clone(),
        ..Patch::default()
    };
    with_besides(patch, &change.besides)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
