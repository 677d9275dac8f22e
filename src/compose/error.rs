//! Why a manifest or a hash is refused.

/// Why a manifest or a hash was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// Not 64 hex digits.
    #[error("a compose hash has 64 hex digits, this has {found}: `{text}`")]
    HashLength {
        /// Digits found, without `0x`.
        found: usize,
        /// The text, shortened.
        text: String,
    },
    /// 64 characters, but not all of them hex digits.
    #[error("a compose hash has only hex digits: `{text}`")]
    HashDigits {
        /// The text, shortened.
        text: String,
    },
    /// Too long to be what it should be.
    #[error("{found} bytes of JSON, and at most {max} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A byte order mark, which some tools hash and others do not.
    #[error("the JSON starts with a byte order mark; save it without one")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("the JSON is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// Not JSON, or JSON that two readers could take for two things: a key twice, a lone surrogate, a number
    /// beyond every float, nesting without end.
    #[error("the JSON cannot be read in one way only")]
    Json(#[source] serde_json::Error),
    /// JSON, but no object.
    #[error("a manifest is a JSON object, and this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// More text for the guest than is read from a proposal.
    #[error("the `user_config` has {found} bytes, and at most {max} are taken")]
    UserConfigTooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// More text than Phala Cloud takes.
    #[error("the Docker Compose text and the pre-launch script have {found} bytes, and at most {max} are taken")]
    ChangesTooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
}
