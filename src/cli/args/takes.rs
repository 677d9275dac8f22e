//! What options take, read from the commands themselves: by the type of their value. Pure.

use std::any::TypeId;
use std::path::PathBuf;
use std::sync::LazyLock;

use alloy::primitives::{B256, Bytes};
use clap::{Arg, Args, Command};
use url::Url;

use super::also::Also;
use super::probing::Probing;
use super::values::{Given, SecretSource, Template};
use super::vouched::{ImageIs, TrustCode};
use super::{Caps, KeySource, Notices, Offline, Reach, Settle};
use crate::cloud::CvmId;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::env::RootKey;
use crate::signer::Source;
use crate::upgrade::{Acceptance, rollback::Earlier};

/// A header of a request, which names hashes and signatures.
type Header = (String, String);

/// What the value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Takes {
    /// A hash, or other hex digits that are public.
    Hex,
    /// An address on the network, which may hold a key.
    Address,
    /// A CVM.
    Cvm,
    /// A code, or one with a value.
    Code,
    /// Where a key is.
    Key,
    /// Where a secret is.
    Secret,
    /// A file that is read.
    File,
    /// A file that is written.
    Out,
    /// Nothing follows it.
    Nothing,
    /// Anything else.
    Other,
}

impl Takes {
    /// Whether hex digits there are public.
    pub(in crate::cli) const fn is_public(&self) -> bool {
        matches!(self, Self::Hex | Self::Code)
    }

    /// What an argument takes.
    pub(in crate::cli) fn of(arg: &Arg) -> Self {
        let of = |one: TypeId| arg.get_value_parser().type_id() == one;
        let is_written = arg.get_long().is_some_and(|name| name.ends_with("out"));
        let hashes = [TypeId::of::<B256>(), TypeId::of::<ComposeHash>(), TypeId::of::<Bytes>()];
        let public = [
            TypeId::of::<ImageIs>(),
            TypeId::of::<TrustCode>(),
            TypeId::of::<RootKey>(),
            TypeId::of::<Given>(),
            TypeId::of::<Earlier>(),
        ];
        let known = [
            (!arg.get_action().takes_values(), Self::Nothing),
            (hashes.into_iter().chain(public).any(of), Self::Hex),
            (of(TypeId::of::<Header>()), Self::Hex),
            (of(TypeId::of::<Url>()) || of(TypeId::of::<Template>()), Self::Address),
            (of(TypeId::of::<CvmId>()), Self::Cvm),
            (of(TypeId::of::<Code>()) || of(TypeId::of::<Acceptance>()), Self::Code),
            (of(TypeId::of::<Source>()), Self::Key),
            (of(TypeId::of::<SecretSource>()), Self::Secret),
            (of(TypeId::of::<PathBuf>()) && is_written, Self::Out),
            (of(TypeId::of::<PathBuf>()) || of(TypeId::of::<Also>()), Self::File),
        ];
        let found = known.into_iter().find_map(|(is_so, takes)| is_so.then_some(takes));
        found.unwrap_or(Self::Other)
    }
}

/// What the options of this name take, `--long` or `-s`, in whichever commands have one.
pub(in crate::cli) fn taken(root: &Command, option: &str) -> Vec<Takes> {
    let is_named = |arg: &&Arg| match option.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long)),
        None => {
            let mut letters = option.strip_prefix('-').unwrap_or_default().chars();
            letters.next().is_some_and(|letter| arg.get_short() == Some(letter))
        }
    };
    let mut found: Vec<Takes> = root.get_arguments().filter(is_named).map(Takes::of).collect();
    found.extend(root.get_subcommands().flat_map(|below| taken(below, option)));
    found
}

/// Whether nothing follows the options that take this.
pub(in crate::cli) fn is_flag(taken: &[Takes]) -> bool {
    !taken.is_empty() && taken.iter().all(|one| *one == Takes::Nothing)
}

/// Options that the next step needs as well: how the chain is reached, when a block stays, which key signs and what it may
/// cost, and that no chain is asked.
pub(in crate::cli) static CARRIED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let all = [
        args::<Reach>(),
        args::<Settle>(),
        args::<KeySource>(),
        args::<Caps>(),
        args::<Offline>(),
    ];
    all.iter().flatten().filter_map(name).collect()
});

/// Options whose value is an address on the network that may hold a key.
pub(in crate::cli) static ADDRESSES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let all = [args::<Reach>(), args::<Notices>(), args::<Probing>()];
    let addresses = all.iter().flatten().filter(|arg| Takes::of(arg) == Takes::Address);
    addresses.filter_map(name).collect()
});

/// A set of options, without what is there for tests.
fn args<A: Args>() -> Vec<Arg> {
    let command = A::augment_args(Command::new(""));
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .cloned()
        .collect()
}

/// Its long name, with its hyphens.
fn name(arg: &Arg) -> Option<String> {
    Some(format!("--{}", arg.get_long()?))
}
