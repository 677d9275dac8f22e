//! What a review shows of one app: who asks for what, what changes of the manifest, the hash, the contract.

use crate::cli::show::changes::{in_order, kinds};
use crate::cli::show::text::{Page, escape};
use crate::cli::show::view::{uncovered, yes_no};
use crate::cli::show::words::{chain, moment};
use crate::compose::{FieldChange, ImageRole, Unlisted, Verification};
use crate::text;
use crate::upgrade::model::{Target, Uncovered};
use crate::upgrade::review::{AppNow, Asked, HashCheck, Image, ImageChange, OtherApp, Review};

/// One of the apps that a transaction changes.
pub(super) struct OneApp<'a> {
    asked: &'a Asked,
    images: &'a [Image],
    unlisted: &'a [Unlisted],
    changes: &'a [FieldChange],
    uncovered: &'a [Uncovered],
    compose_hash: Option<&'a HashCheck>,
    app: &'a AppNow,
    /// How to name a file of one's own.
    option: String,
}

impl<'a> OneApp<'a> {
    pub(super) fn first(review: &'a Review) -> Self {
        Self {
            asked: &review.asked,
            images: &review.images,
            unlisted: &review.unlisted,
            changes: &review.changes,
            uncovered: &review.uncovered,
            compose_hash: review.compose_hash.as_ref(),
            app: &review.app,
            option: "-c".to_owned(),
        }
    }

    pub(super) fn other(other: &'a OtherApp) -> Self {
        let cvm = other.asked.cvm.as_deref().unwrap_or("CVM");
        Self {
            asked: &other.asked,
            images: &other.images,
            unlisted: &other.unlisted,
            changes: &other.changes,
            uncovered: &other.uncovered,
            compose_hash: other.compose_hash.as_ref(),
            app: &other.app,
            option: format!("--also {}=FILE", escape(cvm)),
        }
    }

    /// What is asked, in the order in which it is read.
    pub(super) fn content(&self, page: &mut Page) {
        asked(page, self.asked);
        kinds(page, self.changes);
        if let Some(check) = self.compose_hash {
            images(page, self.images);
            unlisted(page, self.unlisted);
            changes(page, self.changes);
            uncovered(page, self.uncovered);
            compose_hash(page, check, &self.option);
        } else {
            changes(page, self.changes);
            uncovered(page, self.uncovered);
        }
    }

    /// The app's contract.
    pub(super) fn contract(&self, page: &mut Page, several: bool) {
        contract(page, self.app, several);
    }
}

fn asked(page: &mut Page, asked: &Asked) {
    let expiry = asked.token_expires.map(|expires| match asked.token_expired {
        true => format!("{expires} (dead: whoever commits prepares again, and the same hash has to come out)"),
        false => moment(expires),
    });
    let placement = asked.target.as_ref().and_then(Target::placement);
    let from = placement.and_then(|placement| placement.from);
    let before = placement.map(|placement| match placement.before.as_slice() {
        [] => "none, when it was planned".to_owned(),
        some => format!("{}, when it was planned", some.join(", ")),
    });
    page.heading("who asks for what");
    page.facts(&[
        ("upgrade", Some(asked.update.clone())),
        (
            "CVM",
            asked
                .cvm
                .as_ref()
                .map(|cvm| match asked.cvm_name.as_ref().filter(|name| *name != cvm) {
                    Some(name) => format!("{} ({})", text::name(name), text::name(cvm)),
                    None => text::name(cvm),
                }),
        ),
        ("UUID", asked.cvm_uuid.as_deref().map(text::name)),
        ("makes", asked.target.as_ref().and_then(made)),
        ("from revision", from.map(|hash| hash.to_string())),
        ("the app's CVMs", before),
        ("on device", asked.device.map(|device| device.to_string())),
        ("OS image", asked.os_image.map(|image| image.to_string())),
        (
            "ends by",
            asked
                .without_token
                .then(|| "hash and transaction in headers, without the commit token".to_owned()),
        ),
        ("app", Some(asked.app.to_string())),
        ("chain", Some(chain(asked.chain_id))),
        (
            "KMS",
            asked.kms.map(|kms| crate::cli::show::view::kms(asked.chain_id, kms)),
        ),
        ("cloud", asked.cloud.clone()),
        ("approved by", Some(asked.route.to_string())),
        ("prepared", asked.prepared_at.map(moment)),
        ("token expires", expiry),
    ]);
}

/// The CVM that is made from the one that is named.
fn made(target: &Target) -> Option<String> {
    let (word, placement) = (target.word()?, target.placement()?);
    Some(format!("another CVM: {word} on {placement}"))
}

fn images(page: &mut Page, images: &[Image]) {
    page.heading("images, before (-) and after (+)");
    if images.is_empty() {
        page.block("none is named in the Docker Compose text");
    }
    for image in images {
        let sign = match image.change {
            ImageChange::Gone => '-',
            ImageChange::New => '+',
            ImageChange::Kept => ' ',
        };
        let role = match image.role {
            ImageRole::Runs => "",
            ImageRole::Mounted => "   (mounted)",
            ImageRole::Base => "   (what is built on the guest is made from it)",
        };
        let loose = match (image.digest.is_none(), image.chosen_by.is_empty()) {
            (true, true) => "   NO DIGEST: the hash does not fix what runs",
            (true, false) => "   CHOSEN BY A VARIABLE: the hash does not fix what runs",
            _ => "",
        };
        page.block(&format!("{sign} {}{role}{loose}", text::name(&image.name)));
        for choice in image.chosen_by.iter().filter(|_| image.change != ImageChange::Gone) {
            page.block(&format!("    by {}", text::name(&choice.to_string())));
        }
    }
}

/// What runs and is no image of the list: nobody who reads the list alone knows of it.
fn unlisted(page: &mut Page, unlisted: &[Unlisted]) {
    if unlisted.is_empty() {
        return;
    }
    page.heading("NOT ALL THAT RUNS IS AN IMAGE OF THIS LIST");
    for one in unlisted {
        page.block(&text::name(&one.text));
    }
}

fn changes(page: &mut Page, changes: &[FieldChange]) {
    if changes.is_empty() {
        page.heading("the manifest does not change");
    }
    for change in in_order(changes) {
        page.heading(&format!("change of {}", change.field));
        page.theirs(&change.text_diff());
    }
}

fn compose_hash(page: &mut Page, check: &HashCheck, option: &str) {
    let how = match (&check.verified, &check.local) {
        (Verification::Verified { .. }, None) => {
            format!(
                "recomputed here from the proposal's own manifest; name your own file by {option} to compare it as well"
            )
        }
        (Verification::Verified { .. }, Some(local)) if local.differences.is_empty() => {
            "recomputed here, with your own files".to_owned()
        }
        (Verification::Verified { .. }, Some(_)) => "YOUR FILES GIVE ANOTHER ONE".to_owned(),
        _ => "NOT RECOMPUTED: no known form of the manifest before gives the hash that runs".to_owned(),
    };
    let local = check.local.as_ref();
    let list = |names: &[String]| Some(names.join(", ")).filter(|text| !text.is_empty());
    page.heading("compose hash");
    page.facts(&[
        (
            "before",
            check
                .before
                .map(|hash| format!("{hash} (the proposal says that it runs now)")),
        ),
        ("to be allowed", Some(check.after.to_string())),
        ("checked", Some(how)),
        ("pre-launch", Some(check.launch_script.to_string())),
        ("yours", local.and_then(|local| list(&local.compared))),
        ("the proposal's", local.and_then(|local| list(&local.from_proposal))),
    ]);
    for change in local.map(|local| local.differences.as_slice()).unwrap_or_default() {
        page.heading(&format!("{} of yours (-) and of the proposal (+)", change.field));
        page.theirs(&change.text_diff());
    }
}

fn contract(page: &mut Page, app: &AppNow, several: bool) {
    let state = &app.state;
    page.heading(if app.now {
        "the app's contract, now"
    } else {
        "the app's contract, as it was when the update was prepared"
    });
    page.facts(&[
        ("app", several.then(|| state.app.to_string())),
        ("owner", Some(state.owner.to_string())),
        (
            "pending owner",
            state
                .pending_owner
                .filter(|owner| !owner.is_zero())
                .map(|owner| format!("{owner} CAN TAKE IT OVER")),
        ),
        ("hash allowed", state.hash_allowed.map(yes_no)),
        ("device allowed", state.device_allowed.map(yes_no)),
        ("at block", Some(format!("{} {}", state.block.number, state.block.hash))),
    ]);
}
