//! Cloud, chain, key and person as the library sees them.

use std::path::Path;
use std::time::Duration;

use crate::cli::session::person::Person;
use crate::cli::session::settings::{ROOT, Settings};
use crate::cloud::{ApiVersion, Client, Options, Spoken};
use crate::http::{Http, Limits, RetryPolicy};
use crate::signer::Source;
use crate::upgrade::{Reached, World};

/// Cloud, chain, key and person as a [`World`] borrows them.
#[derive(Debug)]
pub(in crate::cli) struct Outside<'a> {
    http: Http,
    cloud: Client,
    endpoints: Vec<url::Url>,
    signer: Option<Source>,
    person: Person<'a>,
    settings: &'a Settings,
    reached: Reached,
}

impl<'a> Outside<'a> {
    /// Connects settings to the outside; does no I/O.
    pub(super) fn new(http: Http, spoken: Spoken, settings: &'a Settings, person: Person<'a>) -> Self {
        let options = Options {
            prefix: settings.prefix.value.clone(),
            api_key: settings.api_key.clone(),
            version: ApiVersion::NEWEST,
        };
        tracing::info!(
            host = settings.prefix.value.host_str().unwrap_or_default(),
            from = %settings.prefix.origin,
            api_key = settings.api_key.is_some(),
            endpoints = settings.endpoints.len(),
            "settings"
        );
        Self {
            cloud: Client::new(patient(&http, settings), options).sharing(spoken),
            http,
            endpoints: settings.urls(),
            signer: settings.signer.clone(),
            person,
            settings,
            reached: Reached::default(),
        }
    }

    /// Phala Cloud alone.
    pub(in crate::cli) const fn cloud(&self) -> &Client {
        &self.cloud
    }

    /// What the library sees of the outside.
    pub(in crate::cli) fn world(&self) -> World<'_> {
        World {
            cloud: &self.cloud,
            http: &self.http,
            endpoints: &self.endpoints,
            histories: self.settings.histories.as_ref(),
            quorum: &self.settings.quorum,
            services: &self.settings.services,
            reached: self.reached.clone(),
            allow_unpinned: self.settings.allow_unpinned,
            signer: self.signer.as_ref(),
            base_tx: self.settings.base_tx,
            unlock: &self.settings.unlock,
            root: Path::new(ROOT),
            record: self.settings.record.as_deref(),
            ask: &self.person,
        }
    }
}

/// The client for Phala Cloud: a request, and what a server asks to wait, ends with the time that the user gave.
pub(super) fn patient(http: &Http, settings: &Settings) -> Http {
    let (http, policy) = match settings.request_time {
        None => (http.clone(), RetryPolicy::default()),
        Some(time) => quick(http, time),
    };
    // A commit may take twice the usual time.
    let deadline = Some(settings.limits.timeout.max(http.limits().total * 2));
    let http = http.with_retries(RetryPolicy { deadline, ..policy });
    match settings.quorum.until {
        None => http,
        Some(end) => http.until(end),
    }
}

/// First wait between two attempts in tests.
const QUICK: Duration = Duration::from_millis(33);

/// Limits and waits for tests that let requests run into them.
fn quick(http: &Http, time: Duration) -> (Http, RetryPolicy) {
    let usual = Limits::default();
    let limits = Limits {
        connect: usual.connect.min(time / 2),
        total: time,
        ..usual
    };
    let policy = RetryPolicy {
        base: (time / 60).min(QUICK),
        cap: (time / 4).min(QUICK * 16),
        ..RetryPolicy::default()
    };
    (http.clone().with_limits(limits), policy)
}
