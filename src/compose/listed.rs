//! What a Docker Compose text runs, as data, and which names of images are whole. Pure.

use std::fmt;

use serde::Serialize;

use super::variables;

/// An image that the text names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedImage {
    /// As the text names it.
    pub name: String,
    /// What it is for.
    pub role: ImageRole,
    /// The services that it is for.
    pub services: Vec<String>,
    /// The variables in its name, each once.
    pub chosen_by: Vec<Choice>,
}

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageRole {
    /// Containers run it: of a service, or of what runs before one.
    Runs,
    /// Its files are mounted into a container.
    Mounted,
    /// An image that the guest builds is made from it.
    Base,
}

/// A variable in the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Its name.
    pub variable: String,
    /// What stands there when nobody sets it; nothing where that is an empty text, or Compose refuses to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The manifest lets the environment set it, so whoever seals the environment chooses; otherwise the owners who approve
    /// the text do.
    pub is_open: bool,
}

/// A way on which something runs that the list of images does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The text is none that Compose reads, so that any list of it is a guess.
    Unreadable,
    /// The guest builds an image.
    Build,
    /// Services come from another text.
    Include,
    /// A service is made from one of another text.
    Extends,
    /// A program of the guest makes the service.
    Provider,
    /// A language model is fetched.
    Model,
    /// A container speaks to the container engine, and can start others.
    Engine,
    /// A container has the rights of the guest itself.
    Privileged,
    /// The environment names the text that Compose reads.
    OtherText,
    /// Something else than Docker Compose runs the app.
    OtherRunner,
    /// The name of an image is encoded.
    Encoded,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "unreadable",
            Self::Build => "build",
            Self::Include => "include",
            Self::Extends => "extends",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Engine => "engine",
            Self::Privileged => "privileged",
            Self::OtherText => "other-text",
            Self::OtherRunner => "other-runner",
            Self::Encoded => "encoded",
        })
    }
}

/// Something that runs and is on no list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlisted {
    /// How.
    pub way: Way,
    /// One sentence with the piece of the text that says so.
    pub text: String,
}

/// What a Docker Compose text runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageList {
    /// Every image that it names, each once, in order of appearance.
    pub images: Vec<NamedImage>,
    /// What runs besides; empty where the images are all.
    pub unlisted: Vec<Unlisted>,
    /// The variables that choose what runs besides, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub besides: Vec<Choice>,
}

impl NamedImage {
    /// Whether the name fixes what runs: it ends in `@sha256:` and 64 lower-case hex digits, and holds no variable.
    pub fn is_pinned(&self) -> bool {
        is_pinned(&self.name)
    }

    /// The digest of a pinned image, `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        let (_, digest) = self.name.rsplit_once('@').filter(|_| self.is_pinned())?;
        Some(digest)
    }
}

impl fmt::Display for NamedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let what = match self.role {
            ImageRole::Runs => return Ok(()),
            ImageRole::Mounted => "mounted",
            ImageRole::Base => "what is built on the guest is made from it",
        };
        write!(f, " ({what})")
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.variable;
        match (self.is_open, &self.default) {
            (true, Some(default)) => write!(
                f,
                "{name}, which whoever seals the environment sets without an approval; `{default}` where nobody does"
            ),
            (true, None) => write!(
                f,
                "{name}, which whoever seals the environment sets without an approval"
            ),
            (false, Some(default)) => write!(
                f,
                "{name}, which the environment cannot set (it is not in allowed_envs): it is `{default}` unless the \
                 pre-launch script says otherwise"
            ),
            (false, None) => write!(
                f,
                "{name}, which the environment cannot set (it is not in allowed_envs): it is empty unless the pre-launch \
                 script says otherwise"
            ),
        }
    }
}

/// Whether a name ends in a whole digest and holds nothing that is filled in later.
fn is_pinned(name: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let whole = name
        .split_once("@sha256:")
        .filter(|(image, digest)| !image.is_empty() && digest.len() == 64 && digest.bytes().all(is_digit));
    whole.is_some() && !name.contains(['$', '{', '}']) && !name.contains(char::is_whitespace)
}

/// What stands in a name that no registry takes, where that is sure: a template that nobody filled in, or a digest that is
/// none.
pub(super) fn unusable(name: &str) -> Option<&'static str> {
    if name.contains("{{") {
        return Some("it holds a template that nobody filled in");
    }
    let digest = name.contains('@') && !variables::has_any(name) && !is_pinned(name);
    (digest && name.contains("@sha256:")).then_some("its digest is not `sha256:` and 64 lower-case hex digits")
}
