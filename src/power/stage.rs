//! What ERC-733 (a draft) asks of its stage 1, requirement by requirement: whether what was read shows that it holds or fails.
//! A stage is no title here: most of what it asks nobody reads from a chain. Pure.

use serde::Serialize;

use super::inputs::Inputs;
use super::model::{Class, Domain};
use super::paths::Path;
use super::read::{OsImage, Survey};
use crate::chain::closed::StorageCheck;
use crate::code::Code;

/// Seconds of notice that are asked for where nobody says how many: seven days, which the draft does not name.
pub const DEFAULT_NOTICE: u64 = 7 * 86_400;

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// Its number.
    pub n: u8,
    /// What it asks, in a few words.
    pub asks: &'static str,
    /// Whether it holds.
    pub state: State,
    /// Why, in a sentence.
    pub why: String,
    /// The paths that decide it.
    pub paths: Vec<String>,
}

/// Whether a requirement holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// What was read shows it.
    Holds,
    /// What was read shows that it does not.
    Fails,
    /// What was read does not tell.
    NotExamined,
}

impl State {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::NotExamined => "not examined",
        }
    }
}

/// The requirements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erc733 {
    /// The stage that is certain: 0 where a requirement fails; nothing otherwise.
    pub stage: Option<u8>,
    /// Each of them.
    pub requirements: Vec<Requirement>,
}

impl Erc733 {
    /// What follows, in one sentence.
    pub fn sentence(&self) -> String {
        let of = |state: State| {
            let some = self.requirements.iter().filter(move |one| one.state == state);
            some.map(|one| one.n.to_string()).collect::<Vec<_>>().join(", ")
        };
        match self.stage {
            Some(stage) => format!("Stage {stage}, because requirements fail: {}", of(State::Fails)),
            None => format!(
                "Stage 1 is not excluded by what was examined; not examined: {}",
                of(State::NotExamined)
            ),
        }
    }
}

/// What the answer is made from.
pub(super) struct Grounds<'a> {
    pub(super) survey: &'a Survey,
    pub(super) inputs: &'a Inputs,
    pub(super) paths: &'a [Path],
    /// Seconds of notice that are asked for.
    pub(super) notice: u64,
    /// Nobody else governs the app than whoever was found.
    pub(super) closed: bool,
}

/// The requirements by what was read.
pub(super) fn erc733(grounds: &Grounds<'_>) -> Erc733 {
    let requirements = vec![
        grounds.attested(),
        grounds.source(2, "auditable source"),
        grounds.source(3, "reproducible measurement"),
        grounds.secrets(),
        grounds.notice_of(5, "upgrades with notice", Domain::App),
        grounds.notice_of(6, "no other dependency than the hardware's makers", Domain::Platform),
        grounds.doors(),
    ];
    let fails = requirements.iter().any(|one| one.state == State::Fails);
    Erc733 {
        stage: fails.then_some(0),
        requirements,
    }
}

impl Grounds<'_> {
    fn attested(&self) -> Requirement {
        let registered = self.survey.kms.as_ref().map(|kms| kms.registered);
        let (state, why) = match (registered, &self.survey.app.storage) {
            (None, _) => (State::NotExamined, "no KMS contract was named".to_owned()),
            (Some(false), _) => (State::Fails, "the KMS contract does not know the app".to_owned()),
            (Some(true), StorageCheck::Closed { .. }) => (
                State::Holds,
                "an on-chain KMS guards it, and the list of its hashes is proven whole".to_owned(),
            ),
            (Some(true), StorageCheck::NotClosed { .. }) => (
                State::Fails,
                "its storage holds something that nothing names".to_owned(),
            ),
            (Some(true), StorageCheck::NotChecked { why }) => (
                State::NotExamined,
                format!("whether the list of its hashes is whole is not proven: {why}"),
            ),
        };
        plain(1, "attested on chain", state, why)
    }

    fn source(&self, n: u8, asks: &'static str) -> Requirement {
        let loose = &self.inputs.loose;
        match loose.is_empty() {
            true => plain(n, asks, State::NotExamined, "the source is not read here".to_owned()),
            false => plain(
                n,
                asks,
                State::Fails,
                format!("no digest fixes what runs: {}", loose.join(", ")),
            ),
        }
    }

    fn has_dev_image(&self) -> bool {
        let images = self.survey.kms.iter().flat_map(|kms| &kms.images);
        images.into_iter().any(|image| image.is == Some(OsImage::Dev))
    }

    fn secrets(&self) -> Requirement {
        let asks = "no access of the developer to secrets";
        let secrets = &self.inputs.secrets;
        let fails = |why: String| plain(4, asks, State::Fails, why);
        if self.has_dev_image() {
            return fails("the KMS allows an OS image with a login".to_owned());
        }
        if self.survey.app.any_device {
            return fails("any device may run it, with values of whoever has the device".to_owned());
        }
        match secrets.is_empty() {
            false => fails(format!("the environment may set {}", secrets.join(", "))),
            true => plain(
                4,
                asks,
                State::NotExamined,
                "what the code does with secrets is not read here".to_owned(),
            ),
        }
    }

    fn notice_of(&self, n: u8, asks: &'static str, domain: Domain) -> Requirement {
        if domain == Domain::Platform && self.survey.kms.is_none() {
            return plain(n, asks, State::NotExamined, "no KMS contract was named".to_owned());
        }
        let of = self
            .paths
            .iter()
            .filter(|path| (path.domain, path.effect) == (domain, Class::AnyCode));
        let quick: Vec<&Path> = of.clone().filter(|path| path.notice < self.notice).collect();
        let least = of.clone().map(|path| path.notice).min();
        let hash = of.map(|path| path.code_notice).min();
        let required = self.notice;
        let (state, why) = match (least, hash) {
            (Some(least), Some(hash)) => (
                if quick.is_empty() { State::Holds } else { State::Fails },
                format!(
                    "the least notice is {least} s, {required} s are asked for; the very hash is public for {hash} s"
                ),
            ),
            _ if domain == Domain::App && self.closed => (State::Holds, "there is no path".to_owned()),
            _ => (
                State::NotExamined,
                "no path was found; that there is none is not proven".to_owned(),
            ),
        };
        let paths = quick.into_iter().map(|path| path.id.clone()).collect();
        Requirement {
            n,
            asks,
            state,
            why,
            paths,
        }
    }

    fn doors(&self) -> Requirement {
        let asks = "no back door";
        let doors = [
            self.has_dev_image()
                .then(|| "the KMS allows an OS image with a login".to_owned()),
            self.survey
                .findings
                .iter()
                .find(|finding| finding.code == Code::StorageNotClosed)
                .map(|finding| finding.text.clone()),
            (!self.inputs.public.is_empty())
                .then(|| format!("the manifest shows to everybody: {}", self.inputs.public.join(", "))),
        ];
        match doors.into_iter().flatten().next() {
            Some(why) => plain(7, asks, State::Fails, why),
            None => plain(
                7,
                asks,
                State::NotExamined,
                "what the code itself opens is not read here".to_owned(),
            ),
        }
    }
}

const fn plain(n: u8, asks: &'static str, state: State, why: String) -> Requirement {
    Requirement {
        n,
        asks,
        state,
        why,
        paths: Vec::new(),
    }
}
