//! Values of arguments, as strictly as they can be read: what could be meant otherwise is refused, with what is valid.
//!
//! Libraries read more than people mean: an empty text is the number 0 to one, `1_0` ten, `0b101` five, and capitals that
//! break a checksum an address all the same. No I/O, no environment.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use jiff::Timestamp;
use url::{Host, Url};

use crate::cli::show::text::shorten;
use crate::cloud::CvmId;
use crate::compose::ComposeHash;
use crate::env::RootKey;

/// A text that a server gave earlier, such as where a list ended: whatever stands in it is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Given(pub(in crate::cli) String);

/// Where a secret is that is no key of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum SecretSource {
    Prompt,
    Env(String),
    File(PathBuf),
}

impl FromStr for SecretSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "prompt" => Ok(Self::Prompt),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err("write env:NAME, file:PATH or prompt"),
        }
    }
}

/// An endpoint of a chain, as an example of an address on the network.
pub(in crate::cli) const RPC_EXAMPLE: &str = "https://mainnet.base.org";

/// An address: 40 hex digits, with or without `0x`; capitals among small letters have to be those of EIP-55.
pub(in crate::cli) fn address(text: &str) -> Result<Address, String> {
    let digits = hex_digits(text);
    let found = digits.chars().count();
    if found != 40 || !is_hex(digits) {
        return Err(format!(
            "an address has 40 hex digits, with 0x before them, this has {}",
            of_digits(digits, found)
        ));
    }
    let address = Address::from_str(digits).map_err(|error| error.to_string())?;
    let upper = digits.bytes().any(|digit| digit.is_ascii_uppercase());
    let lower = digits.bytes().any(|digit| digit.is_ascii_lowercase());
    let correct = address.to_checksum(None);
    if upper && lower && hex_digits(&correct) != digits {
        return Err(format!(
            "its capitals are not those of the checksum (EIP-55), so a digit may be wrong: compare it with where it came \
             from; valid is one case throughout, or {correct} if these are the right digits"
        ));
    }
    Ok(address)
}

/// A port of this machine, behind the address by which a page on it is reached.
pub(in crate::cli) fn loopback_port(text: &str) -> Result<u16, String> {
    let port = text.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok());
    port.ok_or_else(|| "write 127.0.0.1:PORT: a page for a wallet is served to this machine alone".to_owned())
}

/// The address of a Safe, with or without its chain's short name before it; the text stays as it is for whoever knows the
/// chain.
pub(in crate::cli) fn safe_address(text: &str) -> Result<String, String> {
    let (prefix, bare) = match text.split_once(':') {
        Some((prefix, bare)) => (Some(prefix), bare),
        None => (None, text),
    };
    let short =
        |prefix: &str| !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if prefix.is_some_and(|prefix| !short(prefix)) {
        return Err("before the colon stands the short name of the chain, for example base:0x…".to_owned());
    }
    if !bare.starts_with("0x") {
        return Err("the address of a Safe begins with 0x and has 40 hex digits, for example base:0x…".to_owned());
    }
    address(bare).map(|_| text.to_owned())
}

/// 32 bytes: 64 hex digits, with or without `0x`.
pub(in crate::cli) fn word(text: &str) -> Result<B256, String> {
    bytes32(text, "a hash or a device id")
}

/// A compose hash, as [`word`].
pub(in crate::cli) fn compose_hash(text: &str) -> Result<ComposeHash, String> {
    bytes32(text, "a compose hash").map(|word| ComposeHash::new(word.0))
}

fn bytes32(text: &str, what: &str) -> Result<B256, String> {
    let digits = hex_digits(text);
    let found = digits.chars().count();
    if found != 64 || !is_hex(digits) {
        return Err(format!(
            "{what} has 64 hex digits, with 0x before them, this has {}",
            of_digits(digits, found)
        ));
    }
    B256::from_str(digits).map_err(|error| error.to_string())
}

/// A KMS's root key, in hex digits.
pub(in crate::cli) fn root_key(text: &str) -> Result<RootKey, String> {
    let valid = "a root key is a point of secp256k1 in hex digits, with or without 0x";
    let is_whole = is_hex(hex_digits(text)).then_some(text);
    let key = is_whole.ok_or_else(|| valid.to_owned())?.parse::<RootKey>();
    key.map_err(|error| format!("{error}; {valid}"))
}

/// Calldata: pairs of hex digits after `0x`; nothing after it is no data.
pub(in crate::cli) fn data(text: &str) -> Result<Bytes, String> {
    let valid = || "calldata is 0x and then pairs of hex digits; 0x alone is no data".to_owned();
    let digits = text.strip_prefix("0x").ok_or_else(valid)?;
    if !digits.is_empty() && !is_hex(digits) {
        return Err(valid());
    }
    hex::decode(digits).map(Bytes::from).ok().ok_or_else(valid)
}

/// A number of 256 bits: decimal digits, or `0x` and hex digits.
pub(in crate::cli) fn amount(text: &str) -> Result<U256, String> {
    let valid = || "a number is written in decimal digits, or as 0x and hex digits; it is below 2^256".to_owned();
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) if is_hex(digits) => (digits, 16),
        None if is_decimal(text) => (text, 10),
        _ => return Err(valid()),
    };
    U256::from_str_radix(digits, radix).ok().ok_or_else(valid)
}

/// A whole number in decimal digits, within `range`.
pub(in crate::cli) fn whole<T>(range: impl RangeBounds<T> + Clone) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display,
{
    move |text: &str| {
        let number = Some(text)
            .filter(|text| is_decimal(text))
            .and_then(|text| text.parse().ok());
        let number = number.filter(|number| range.contains(number));
        number.ok_or_else(|| format!("a whole number{} in decimal digits", limits(&range)))
    }
}

fn limits<T: Display>(range: &impl RangeBounds<T>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(least), Bound::Included(most)) => format!(" from {least} to {most}"),
        (Bound::Included(least), _) => format!(" of {least} or more"),
        _ => String::new(),
    }
}

/// A positive time: whole numbers with a unit each, the larger unit first.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    let valid = || "a duration is a positive time with units, for example 90s, 10m or 1h30m".to_owned();
    /// Units from the largest, and their milliseconds.
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut next) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let (number, after) = rest
            .split_at_checked(leading(rest, |byte| byte.is_ascii_digit()))
            .ok_or_else(valid)?;
        let (unit, after) = after
            .split_at_checked(leading(after, |byte| byte.is_ascii_lowercase()))
            .ok_or_else(valid)?;
        let at = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .filter(|at| *at >= next);
        let (at, number) = at
            .zip(Some(number).filter(|number| is_decimal(number)))
            .ok_or_else(valid)?;
        let each = UNITS.get(at).map_or(0, |(_, each)| *each);
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(each));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(valid)?;
        (rest, next) = (after, at + 1);
    }
    let span = Duration::from_millis(total);
    // What follows on a span has to be representable as a deadline.
    let representable = jiff::SignedDuration::try_from(span).is_ok();
    Some(span)
        .filter(|span| !span.is_zero() && representable)
        .ok_or_else(valid)
}

/// An http or https address with a host. The text is never repeated: it may hold a key.
pub(in crate::cli) fn web_address(text: &str) -> Result<Url, String> {
    let valid = || format!("an address on the network is http:// or https:// and a host, for example {RPC_EXAMPLE}");
    let lower = text.to_ascii_lowercase();
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| lower.strip_prefix(scheme));
    // The standard would take the path for the host.
    let begins = host.is_some_and(|host| !host.starts_with('/'));
    // The standard drops tabs and line breaks, and takes a comma for a part of a host or path.
    let one = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b',' | b'"' | b'\''));
    if !begins || !one {
        return Err(valid());
    }
    text.parse::<Url>().ok().filter(Url::has_host).ok_or_else(valid)
}

/// As [`web_address`], where nobody on the way reads what is asked: plain http stays on this machine.
pub(in crate::cli) fn private_address(text: &str) -> Result<Url, String> {
    let url = web_address(text)?;
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "http" if !is_here => {
            Err("an address is http:// or https:// and a host, and plain http stays on this machine".to_owned())
        }
        _ => Ok(url),
    }
}

/// A moment (RFC 3339).
pub(in crate::cli) fn moment(text: &str) -> Result<Timestamp, String> {
    let read = text.parse::<Timestamp>().ok();
    read.ok_or_else(|| "a time is written with its date, for example 2026-11-29T12:00:00Z in UTC".to_owned())
}

/// An address with a place for a number.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Template(String);

impl Template {
    /// The address, with `{nonce}` in it.
    pub(in crate::cli) fn text(&self) -> &str {
        &self.0
    }
}

/// An http or https address with `{nonce}` in it, once.
pub(in crate::cli) fn template(text: &str) -> Result<Template, String> {
    web_address(text)?;
    match text.matches("{nonce}").count() {
        1 => Ok(Template(text.to_owned())),
        _ => Err("the address has to say once, by {nonce}, where the number stands".to_owned()),
    }
}

/// A CVM by one of its names. Where that is an app id, it is read as [`address`] is.
pub(in crate::cli) fn cvm(text: &str) -> Result<CvmId, String> {
    const VALID: &str = "a CVM is named by its name, UUID, app id or instance id";
    if text.trim() != text || text.starts_with("0X") {
        return Err(format!(
            "blanks around it, or 0X before it, are no part of a name; {VALID}"
        ));
    }
    let id: CvmId = text.parse().map_err(|error| format!("{error}; {VALID}"))?;
    if id.app().is_some() {
        address(text.strip_prefix("app_").unwrap_or(text))?;
    }
    Ok(id)
}

/// A text that is not blank.
pub(in crate::cli) fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(
            "it has to be a text that is not empty or blank; leave the option out where nothing is meant".to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// A text that a server gave.
pub(in crate::cli) fn given(text: &str) -> Result<Given, String> {
    filled(text).map(Given)
}

fn hex_digits(text: &str) -> &str {
    text.strip_prefix("0x").unwrap_or(text)
}

fn is_hex(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Decimal digits that mean the same to everybody: a zero in front means octal to some.
fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

fn leading(text: &str, wanted: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| wanted(*byte)).count()
}

fn of_digits(digits: &str, found: usize) -> String {
    if is_hex(digits) {
        format!("{found}")
    } else if digits.trim().is_empty() {
        "none".to_owned()
    } else {
        format!("other characters: {}", shorten(digits))
    }
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::ffi::OsString;
    use std::path::PathBuf;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::also::Also;
    use crate::cli::args::owner_name::OwnerName;
    use crate::cli::args::tree::CommandTree;
    use crate::cli::args::vouched::{ImageIs, TrustCode};
    use crate::cli::args::{Coins, Gwei, Tag};
    use crate::cli::failure::{Commands as _, Next, arguments};
    use crate::cli::root::Cli;
    use crate::cli::session::next::CommandLine;
    use crate::env::EnvName;
    use crate::signer::Source;

    use crate::upgrade::rollback::Earlier;

    const CHECKSUM: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const WRONG_CAPITALS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed";

    /// What the values of one type may not be, a value that is good, and words of what the refusal names as valid.
    struct Kind {
        bad: Vec<String>,
        good: &'static str,
        valid: &'static str,
    }

    fn kind(bad: &[&str], good: &'static str, valid: &'static str) -> Kind {
        let blank = ["", " ", "\t", "\u{a0}"];
        let bad = blank.iter().chain(bad).map(|text| (*text).to_owned()).collect();
        Kind { bad, good, valid }
    }

    const NOT_NUMBERS: [&str; 16] = [
        "1_0", "0b101", "0o7", "0x", "0X10", "+5", "-1", "007", "00", "1e3", "1.0", "1,000", " 5", "5 ", "five", "٣",
    ];

    fn number() -> Kind {
        let mut kind = kind(&NOT_NUMBERS, "3", "decimal digits");
        kind.bad.push("0x10".to_owned());
        kind.bad.push("18446744073709551616".to_owned());
        kind
    }

    fn text_of(digits: usize) -> String {
        "a".repeat(digits)
    }

    /// The kind of an option or argument, by the type of what it is parsed to; `None`: there is no wrong value of this kind
    /// but one that does not exist, or only listed ones are taken.
    fn kind_of(arg: &clap::Arg) -> Option<Kind> {
        let of_numbers = of_hex(arg).or_else(|| of_numbers(arg));
        of_numbers.or_else(|| of_attestations(arg)).or_else(|| of_names(arg))
    }

    fn of_hex(arg: &clap::Arg) -> Option<Kind> {
        let parser = arg.get_value_parser().type_id();
        let is = |id: TypeId| parser == id;
        if is(TypeId::of::<Address>()) || arg.get_id() == "safe" {
            let short = format!("0x{}", text_of(39));
            let long = format!("0x{}", text_of(41));
            let capital = format!("0X{}", text_of(40));
            let blank = format!(" {CHECKSUM}");
            return Some(kind(
                &[
                    "0x",
                    "0x0",
                    "0",
                    WRONG_CAPITALS,
                    &short,
                    &long,
                    &capital,
                    &blank,
                    "vitalik.eth",
                ],
                CHECKSUM,
                "40 hex digits|EIP-55|short name",
            ));
        }
        if is(TypeId::of::<B256>()) || is(TypeId::of::<ComposeHash>()) {
            let (short, long) = (format!("0x{}", text_of(63)), format!("0x{}", text_of(65)));
            let (capital, mark) = (format!("0X{}", text_of(64)), format!("0x{}_", text_of(63)));
            return Some(kind(&["0x", "0", &short, &long, &capital, &mark], "", "64 hex digits"));
        }
        if is(TypeId::of::<TrustCode>()) || is(TypeId::of::<ImageIs>()) {
            let hash = text_of(64);
            let (other, short) = (format!("0x{hash}=roles"), format!("0x{}=app", text_of(63)));
            return Some(kind(&["x", "=", "=app", &other, &short], "", "app|dev|64 hex digits"));
        }
        if is(TypeId::of::<Earlier>()) {
            let (short, capital) = (format!("0x{}", text_of(63)), format!("0X{}", text_of(64)));
            let bad = ["0x", "0x0", &short, &capital, "a/b", "..", "a?b"];
            return Some(kind(&bad, "rev_1", "64 hex digits"));
        }
        if is(TypeId::of::<RootKey>()) {
            return Some(kind(&["0x", "0", "0X04", "0x_4"], "", "hex digits"));
        }
        if is(TypeId::of::<Bytes>()) {
            return Some(kind(&["0", "00", "0X00", "0x0", "0x_0", "0x0g"], "0x", "hex digits"));
        }
        None
    }

    fn of_numbers(arg: &clap::Arg) -> Option<Kind> {
        let parser = arg.get_value_parser().type_id();
        let is = |id: TypeId| parser == id;
        if is(TypeId::of::<U256>()) {
            let mut kind = kind(&NOT_NUMBERS, "3", "decimal digits");
            kind.bad.push(U256::MAX.to_string() + "0");
            kind.bad.push(format!("0x1{}", "0".repeat(64)));
            return Some(kind);
        }
        if ["u64", "u32", "usize"].contains(&number_type(arg)) {
            return Some(number());
        }
        if is(TypeId::of::<Gwei>()) {
            let mut kind = kind(&NOT_NUMBERS, "3", "number of gwei");
            kind.bad.retain(|bad| bad != "1.0");
            return Some(kind);
        }
        if is(TypeId::of::<Coins>()) {
            let mut kind = kind(&NOT_NUMBERS, "3", "number of the chain's coin");
            kind.bad.retain(|bad| bad != "1.0");
            return Some(kind);
        }
        if is(TypeId::of::<crate::http::Rate>()) {
            let bad = [
                "5", "5/h", "/s", "0/s", "-1/s", "1e3/s", "05/s", "5 /s", "1_0/s", "5/S", "٣/s",
            ];
            return Some(kind(&bad, "5/s", "requests a second or minute"));
        }
        if is(TypeId::of::<Duration>()) {
            let bad = [
                "10",
                "0s",
                "5",
                "+5s",
                "-5m",
                "1_0s",
                "0x5s",
                "010s",
                "10M",
                "PT5M",
                "5m1h",
                "5s5s",
                "5 s",
                "1.5h",
                "forever",
                "99999999999999999999s",
            ];
            return Some(kind(&bad, "10m", "for example 90s"));
        }
        None
    }

    fn of_names(arg: &clap::Arg) -> Option<Kind> {
        let parser = arg.get_value_parser().type_id();
        let is = |id: TypeId| parser == id;
        if is(TypeId::of::<Url>()) {
            let bad = [
                "mainnet.base.org",
                "//mainnet.base.org",
                "https:mainnet.base.org",
                "https://",
                "http:///x",
                "wss://x.test",
                "ftp://x.test",
                "https://a.test,https://b.test",
                "\"https://a.test\"",
                "https://a.test\n",
                " https://a.test",
                "https://a .test",
                "https:\\\\a.test",
            ];
            return Some(kind(&bad, "https://a.test", "http:// or https://"));
        }
        if is(TypeId::of::<CvmId>()) {
            let (capital, blank) = (format!("0X{}", text_of(40)), " my-app");
            return Some(kind(
                &[WRONG_CAPITALS, &capital, blank, "a/b", ".."],
                "my-app",
                "name, UUID|EIP-55",
            ));
        }
        if is(TypeId::of::<Also>()) {
            return Some(kind(
                &["=x.yml", WRONG_CAPITALS, "my-app="],
                "my-app",
                "name, UUID|EIP-55|Compose file",
            ));
        }
        if is(TypeId::of::<OwnerName>()) {
            let bad = ["alice", "=0x12", "alice=", "alice=0x12"];
            return Some(kind(
                &bad,
                "a=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                "a name and an address|address",
            ));
        }
        if is(TypeId::of::<Source>()) {
            return Some(kind(
                &["env:", "file:", "metamask", "PROMPT", "ledger:", "ledger:0x1"],
                "prompt",
                "keystore:PATH",
            ));
        }
        if is(TypeId::of::<EnvName>()) {
            return Some(kind(&["1A", "A-B", " A"], "A", "letter"));
        }
        if is(TypeId::of::<bool>()) {
            return Some(kind(&["True", "1", "yes", "TRUE"], "true", "true, false"));
        }
        if is(TypeId::of::<String>()) || is(TypeId::of::<Given>()) {
            return Some(kind(&[], "x", "not empty"));
        }
        None
    }

    fn of_attestations(arg: &clap::Arg) -> Option<Kind> {
        let parser = arg.get_value_parser().type_id();
        let is = |id: TypeId| parser == id;
        if is(TypeId::of::<Template>()) {
            let bad = [
                "https://a.test",
                "a.test/{nonce}",
                "https://a.test/{nonce}/{nonce}",
                "ftp://x.test/{nonce}",
            ];
            return Some(kind(&bad, "https://a.test/{nonce}", "http:// or https://|{nonce}"));
        }
        if is(TypeId::of::<Timestamp>()) {
            let bad = [
                "tomorrow",
                "2026-11-29",
                " 2026-11-29T12:00:00Z",
                "1764460800",
                "2026-13-01T00:00:00Z",
            ];
            return Some(kind(&bad, "2026-11-29T12:00:00Z", "in UTC"));
        }
        None
    }

    /// The name of a number's type, or nothing.
    fn number_type(arg: &clap::Arg) -> &'static str {
        let parser = arg.get_value_parser().type_id();
        if parser == TypeId::of::<u64>() {
            "u64"
        } else if parser == TypeId::of::<u32>() {
            "u32"
        } else if parser == TypeId::of::<usize>() {
            "usize"
        } else {
            ""
        }
    }

    /// Types whose values are not read here: files by the file system, listed words by clap, others by tests of their own.
    fn is_elsewhere(arg: &clap::Arg) -> bool {
        let parser = arg.get_value_parser().type_id();
        let listed = !arg.get_possible_values().is_empty();
        listed
            || parser == TypeId::of::<PathBuf>()
            || parser == TypeId::of::<Tag>()
            || ELSEWHERE.contains(&arg.get_id().as_str())
    }

    /// Arguments with a type of their own, all of which refuse an empty and a blank text.
    const ELSEWHERE: [&str; 18] = [
        "kms_id",
        "kms",
        "chain",
        "listen",
        "secret_from",
        "second_factor_from",
        "safe_version",
        "operation",
        "shutdown_timeout",
        "header",
        "label",
        "id",
        "form",
        "name",
        "event",
        "revision",
        "workspace",
        "ports",
    ];

    fn leaves(command: &clap::Command, words: &[String], found: &mut Vec<(Vec<String>, clap::Command)>) {
        for inner in command.get_subcommands() {
            let mut words = words.to_vec();
            words.push(inner.get_name().to_owned());
            match inner.has_subcommands() {
                true => leaves(inner, &words, found),
                false => found.push((words, inner.clone())),
            }
        }
    }

    /// The command line with `bad` for `arg`, good values for the arguments before it.
    fn line(words: &[String], command: &clap::Command, arg: &clap::Arg, bad: &str) -> Vec<String> {
        let mut line = vec!["countersign".to_owned()];
        line.extend_from_slice(words);
        match arg.get_long() {
            Some(long) => line.push(format!("--{long}={bad}")),
            None => {
                let before = command
                    .get_positionals()
                    .take_while(|other| other.get_id() != arg.get_id());
                line.extend(before.map(|other| kind_of(other).map_or("x", |kind| kind.good).to_owned()));
                // Behind two hyphens, a command whose first value may be missing takes what follows for its last one.
                line.extend((!command.is_allow_missing_positional_set()).then(|| "--".to_owned()));
                line.push(bad.to_owned());
                // Where the one behind it has to be there, a value alone is for that one.
                let after = command
                    .get_positionals()
                    .skip_while(|other| other.get_id() != arg.get_id());
                line.extend(
                    after
                        .skip(1)
                        .map(|other| kind_of(other).map_or("x", |kind| kind.good).to_owned()),
                );
            }
        }
        line
    }

    #[test]
    fn bug_b12_bug_b18_every_value_that_could_be_meant_otherwise_is_refused_by_every_command_with_what_is_valid() {
        let tree: &'static CommandTree = Box::leak(Box::new(CommandTree::of::<Cli>()));
        let mut all = Vec::new();
        leaves(tree.whole(), &[], &mut all);
        // Parsing again and again by one tree, which takes longer to make than all else here.
        let mut root = Cli::command();
        let (mut wrong, mut tried) = (Vec::new(), 0);
        for (words, command) in &all {
            for arg in command
                .get_arguments()
                .filter(|arg| !arg.is_global_set() && arg.get_action().takes_values())
            {
                let bad = match kind_of(arg) {
                    Some(kind) => kind,
                    None if is_elsewhere(arg) => kind(&[], "", ""),
                    None => {
                        wrong.push(format!("{words:?} {}: a type that no table knows", arg.get_id()));
                        continue;
                    }
                };
                let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
                for value in bad.bad.iter().filter(|value| !is_path || value.is_empty()) {
                    tried += 1;
                    let line = line(words, command, arg, value);
                    let Err(error) = root.try_get_matches_from_mut(&line) else {
                        wrong.push(format!("{line:?} is taken"));
                        continue;
                    };
                    let (said, verdict) = (arguments::sentence(&error), arguments::verdict(&error));
                    let typed: Vec<OsString> = line.iter().map(OsString::from).collect();
                    let commands = CommandLine::new(&typed, tree);
                    if commands.command(&verdict.next) == commands.command(&Next::Again) {
                        wrong.push(format!("{line:?}: what comes next is what failed"));
                    }
                    assert_eq!(verdict.exit, crate::cli::exit::Exit::Usage);
                    let told = bad.valid.split('|').any(|valid| said.contains(valid));
                    if verdict.code != "USAGE_INVALID_VALUE" || !(told || value.is_empty()) {
                        wrong.push(format!("{line:?}: {} {said}", verdict.code));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(tried > 5_000, "only {tried} values were tried");
    }

    #[test]
    fn values_as_people_write_them_are_read() {
        let lower = CHECKSUM.to_ascii_lowercase();
        let bare = CHECKSUM.strip_prefix("0x").unwrap();
        let upper = format!("0x{}", bare.to_ascii_uppercase());
        for good in [CHECKSUM, &lower, &upper, bare] {
            assert_eq!(address(good).unwrap().to_checksum(None), CHECKSUM, "{good}");
        }
        assert_eq!(
            safe_address(&format!("base:{CHECKSUM}")).unwrap(),
            format!("base:{CHECKSUM}")
        );
        assert_eq!(amount("0"), Ok(U256::ZERO));
        assert_eq!(amount("0x0A"), Ok(U256::from(10)));
        assert_eq!(amount(&U256::MAX.to_string()), Ok(U256::MAX));
        assert_eq!(data("0x"), Ok(Bytes::new()));
        assert_eq!(data("0x0aFF"), Ok(Bytes::from_static(&[10, 255])));
        assert_eq!(whole::<u64>(1..)("8453"), Ok(8453));
        assert!(whole::<u32>(1..=500)("501").unwrap_err().contains("from 1 to 500"));
        assert!(whole::<u32>(1..)("0").unwrap_err().contains("1 or more"));
        for (text, seconds) in [("90s", 90), ("1h30m", 5_400), ("1d", 86_400), ("10m", 600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("600ms"), Ok(Duration::from_millis(600)));
        for good in [
            "http://127.0.0.1:8545",
            "HTTPS://a.test/v2/key?x=1",
            "http://[::1]:1",
            "https://u:p@a.test",
        ] {
            assert!(web_address(good).is_ok(), "{good}");
        }
        for good in ["my-app", "two words", &lower, bare, &format!("app_{bare}")] {
            assert!(cvm(good).is_ok(), "{good}");
        }
        let wrong = WRONG_CAPITALS.strip_prefix("0x").unwrap();
        assert!(cvm(&format!("app_{wrong}")).is_err());
    }

    #[test]
    fn bug_b18_wrong_capitals_are_refused_with_the_right_ones() {
        let said = address(WRONG_CAPITALS).unwrap_err();
        assert!(said.contains("EIP-55") && said.contains(CHECKSUM), "{said}");
    }

    #[test]
    fn plain_http_is_asked_on_this_machine_only() {
        for good in [
            "https://a.test/x",
            "http://127.0.0.1:1",
            "http://[::1]/",
            "http://localhost:8080/healthz",
        ] {
            assert!(private_address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.test",
            "http://10.0.0.1",
            "http://localhost.a.test",
            "ftp://127.0.0.1",
        ] {
            assert!(private_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_refusal_of_an_address_on_the_network_repeats_it() {
        for bad in ["https://a.test/CANARY,https://b.test", "wss://CANARY.test", "CANARY"] {
            assert!(!web_address(bad).unwrap_err().contains("CANARY"));
        }
    }
}
