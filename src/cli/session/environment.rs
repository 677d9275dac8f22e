//! The environment of this process: the only place that reads it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::show::output::Color;
use crate::code::Code;
use crate::fsutil;

pub(super) const API_KEY: &str = "PHALA_CLOUD_API_KEY";
pub(super) const API_PREFIX: &str = "PHALA_CLOUD_API_PREFIX";
pub(in crate::cli) const RPC_URL: &str = "ETH_RPC_URL";
pub(super) const RPC_QUORUM: &str = "ETH_RPC_QUORUM";
pub(super) const SERVICE_KEY: &str = "SAFE_TRANSACTION_SERVICE_API_KEY";
const NO_COLOR: &str = "NO_COLOR";
const FORCE_COLOR: &str = "CLICOLOR_FORCE";
/// Where a runner of GitHub Actions reads the outputs of a step, and what its summary shows.
const RUNNER_FILES: [&str; 2] = ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"];
const HOME: &str = "HOME";
const TEMPORARY: &str = "TMPDIR";
/// Where a browser can be shown, other than on a Mac.
const DISPLAYS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];
/// A folder of the home directory that confined browsers (snap, flatpak) can read.
const DOWNLOADS: &str = "Downloads";
const STATE_HOME: &str = "XDG_STATE_HOME";
/// Where state is kept when the environment does not say (XDG Base Directory Specification).
const DEFAULT_STATE: &str = ".local/state";
const CACHE_HOME: &str = "XDG_CACHE_HOME";
/// Where what can be made again is kept when the environment does not say (XDG Base Directory Specification).
const DEFAULT_CACHE: &str = ".cache";
/// Names of CVMs, below the folder for that.
const CVM_NAMES: &str = "countersign/cvms";
/// The record of what was signed for Safes, below the folder for state.
const SIGNED: &str = "countersign/signed";

/// The process environment, or what a test puts in its place.
pub(in crate::cli) struct Environment(Box<Lookup>);

/// Value of a variable by its name.
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(in crate::cli) fn process() -> Self {
        Self(Box::new(|name| std::env::var(name).ok()))
    }

    /// A fixed environment.
    #[cfg(test)]
    pub(in crate::cli) fn fixed(pairs: &[(&str, &str)]) -> Self {
        let pairs: std::collections::BTreeMap<String, String> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self(Box::new(move |name| pairs.get(name).cloned()))
    }

    /// A variable; an empty one counts as not set, as pipelines leave it.
    pub(in crate::cli) fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// A variable as it is, an empty one too.
    pub(in crate::cli) fn as_it_is(&self, name: &str) -> Option<Zeroizing<String>> {
        (self.0)(name).map(Zeroizing::new)
    }

    /// A variable that holds a secret.
    pub(in crate::cli) fn secret(&self, name: &str) -> Option<Zeroizing<String>> {
        self.text(name).map(Zeroizing::new)
    }

    /// Where there are colours, where no option says so: <https://no-color.org> outranks <https://bixense.com/clicolors>.
    pub(in crate::cli) fn color(&self, typed: Color) -> Color {
        let forced = || self.text(FORCE_COLOR).is_some_and(|value| value != "0");
        match typed {
            Color::Auto if self.text(NO_COLOR).is_some() => Color::Never,
            Color::Auto if forced() => Color::Always,
            typed => typed,
        }
    }

    /// The files in which a runner reads the outputs of a step, and what its summary shows.
    pub(in crate::cli) fn runner_files(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        let [outputs, summary] = RUNNER_FILES.map(|name| self.text(name).map(PathBuf::from));
        (outputs, summary)
    }

    /// Whether a browser can be opened here.
    pub(super) fn has_display(&self) -> bool {
        cfg!(target_os = "macos") || DISPLAYS.iter().any(|name| self.text(name).is_some())
    }

    /// A folder whose files a browser can read, also one that sees little of the home directory.
    pub(super) fn folder_for_browsers(&self) -> Option<PathBuf> {
        let home = self.text(HOME).map(PathBuf::from).filter(|path| path.is_absolute())?;
        let downloads = home.join(DOWNLOADS);
        Some(if fsutil::is_there(&downloads) { downloads } else { home })
    }

    /// Milliseconds for one request; never outside test builds.
    pub(super) fn request_time(&self) -> Option<Duration> {
        if !cfg!(feature = "failpoints") {
            return None;
        }
        let text = self.text("COUNTERSIGN_REQUEST_MS")?;
        text.parse().ok().map(Duration::from_millis)
    }

    /// The record of what was signed for Safes: one for all upgrades, since a Safe has one sequence of nonces.
    pub(in crate::cli) fn signing_record(&self) -> Result<PathBuf, CliError> {
        // The specification wants a path that is not absolute ignored.
        let state = self
            .text(STATE_HOME)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let home = || self.text(HOME).map(|home| Path::new(&home).join(DEFAULT_STATE));
        let state = state.or_else(home).ok_or_else(|| CliError::Usage {
            code: Code::UsageNoHome,
            message: format!(
                "there is no place for the record of signatures: neither `{STATE_HOME}` nor `{HOME}` is set"
            ),
            hint: format!("set `{STATE_HOME}` to a folder that stays"),
            next: Next::Again,
        })?;
        Ok(state.join(SIGNED))
    }

    /// The names of CVMs that were met, for completion.
    pub(super) fn cvm_names(&self) -> Option<PathBuf> {
        let cache = self
            .text(CACHE_HOME)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let home = || self.text(HOME).map(|home| Path::new(&home).join(DEFAULT_CACHE));
        Some(cache.or_else(home)?.join(CVM_NAMES))
    }

    /// Names of the keys in Foundry's keystore folder; none where it cannot be read.
    pub(in crate::cli) fn accounts(&self) -> Vec<String> {
        let found = self.keystore_dir().map(|dir| fsutil::list(&dir));
        let files = found.and_then(Result::ok).unwrap_or_default();
        let names = files.iter().filter_map(|file| file.file_name()?.to_str());
        names.filter(|name| !name.starts_with('.')).map(str::to_owned).collect()
    }

    /// Whether Phala Cloud or the Safe Transaction Service can be asked with a key.
    pub(in crate::cli) fn has_keys(&self) -> (bool, bool) {
        (self.text(API_KEY).is_some(), self.text(SERVICE_KEY).is_some())
    }

    /// A directory that nobody else has, below that for what goes away.
    pub(in crate::cli) fn passing(&self) -> PathBuf {
        let root = self
            .text(TEMPORARY)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let name = format!(
            "countersign-{}-{}",
            std::process::id(),
            jiff::Timestamp::now().as_nanosecond()
        );
        root.unwrap_or_else(|| PathBuf::from("/tmp")).join(name)
    }

    /// Foundry's keystore folder, for `account:NAME`.
    pub(super) fn keystore_dir(&self) -> Option<PathBuf> {
        self.text(HOME)
            .map(|home| Path::new(&home).join(".foundry").join("keystores"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m23_the_record_of_signatures_is_below_the_folder_for_state() {
        let at = |pairs: &[(&str, &str)]| Environment::fixed(pairs).signing_record();
        let home = (HOME, "/home/me");
        let default = Path::new("/home/me/.local/state/countersign/signed");
        assert_eq!(at(&[home]).unwrap(), default);
        assert_eq!(at(&[home, (STATE_HOME, "state")]).unwrap(), default);
        assert_eq!(at(&[home, (STATE_HOME, "")]).unwrap(), default);
        let named = at(&[home, (STATE_HOME, "/var/state")]).unwrap();
        assert_eq!(named, Path::new("/var/state/countersign/signed"));
        let none = at(&[]).unwrap_err();
        assert!(matches!(
            none,
            CliError::Usage {
                code: Code::UsageNoHome,
                ..
            }
        ));
    }
}
