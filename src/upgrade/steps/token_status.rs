//! What the server says of a commit token. Data only.

/// What the server says of a commit token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upgrade) enum TokenStatus {
    /// Good: it made nothing.
    Live,
    /// Used.
    Used,
    /// Replaced by a later one, or expired: of no use any more.
    Dead,
    /// It does not say, or the token is not here.
    Unknown,
}
