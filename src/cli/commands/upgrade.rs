//! `upgrade`: the whole of it, when one key is enough.

use std::path::Path;

use clap::Args;

use crate::cli::args::{Agree, Allow, Change, Key, Multisig, NewDir, Reach, Settle, Watch};
use crate::cli::error::CliError;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cli::settings::{self, Project, ROOT, Settings, Typed};
use crate::cli::text::Page;
use crate::cli::view;
use crate::upgrade::{self, Goal, Step};

/// Do the whole upgrade: plan, prepare, approve with one key, prove, commit, watch
///
/// Shows the plan and prepares, then asks before anything is signed, sent or committed; --yes agrees in advance. Where a
/// single key cannot approve, it prepares, shows the call that the owner has to make, and ends with 8: go on with
/// `countersign resume` when the call is made. It can be interrupted at any time and started again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign upgrade --cvm my-app -c docker-compose.yml --signer keystore:~/key.json\n  \
    countersign upgrade --cvm my-app -c docker-compose.yml --signer env:DEPLOY_KEY --yes --json")]
pub(in crate::cli) struct Upgrade {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    dir: NewDir,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    agree: Agree,
    #[command(flatten)]
    watch: Watch,
}

impl Upgrade {
    /// What settings are made from.
    pub(in crate::cli) const fn typed(&self) -> Typed<'_> {
        Typed {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            settle: Some(&self.settle),
            key: Some(&self.key),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            watch: Some(&self.watch),
            offline: None,
        }
    }

    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = Settings::gather(self.typed(), &session.env)?;
        begin(
            session,
            &settings,
            (&self.change, &self.dir, &self.safe),
            (Goal::Live, "upgrade"),
        )
        .await
    }
}

/// Plans, shows the plan, and takes a new upgrade as far as `goal`.
pub(super) async fn begin(
    session: &Session,
    settings: &Settings,
    what: (&Change, &NewDir, &Multisig),
    goal: (Goal, &str),
) -> Result<Report, CliError> {
    let intent = settings::intent(
        what.0,
        &Project::here()?,
        what.2,
        (&session.env, &|news| session.out.progress(news)),
    )?;
    let outside = session.outside(settings)?;
    let world = outside.world();
    let plan = upgrade::plan(&world, &intent.value).await?;
    let dir = what
        .1
        .dir
        .clone()
        .unwrap_or_else(|| upgrade::Upgrade::default_dir(Path::new(ROOT), &plan));
    session.about(&dir);
    let begun = upgrade::Upgrade::begin(&dir, plan.clone(), &settings.limits);
    show(session, begun.as_ref().ok(), &plan);
    let mut upgrade = begun?;
    let outcome = upgrade.advance(&world, goal.0, &settings.limits).await?;
    Ok(session.went(&upgrade, &outcome, goal.1))
}

/// Shows what will be decided about: the plan that an upgrade was begun with, or the one that could not begin.
fn show(session: &Session, upgrade: Option<&upgrade::Upgrade>, plan: &upgrade::Plan) {
    if upgrade.is_some_and(|upgrade| upgrade.status().step == Step::Finished) {
        return;
    }
    let mut page = Page::default();
    view::plan(
        &mut page,
        upgrade.and_then(|upgrade| upgrade.state().plan()).unwrap_or(plan),
    );
    session.out.aside(page.as_str());
}
