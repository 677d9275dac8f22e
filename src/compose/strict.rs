//! Bytes that are JSON and can be read in one way only. Pure; called by the manifest and by whoever reads a file that
//! somebody else wrote.

use serde_json::Value;

use super::ComposeError;
use crate::json;

/// Parses JSON of at most `max` bytes and refuses what two readers could take for two things.
///
/// # Errors
/// Too long, a byte order mark, not UTF-8, not JSON, a duplicate key, a key that means something else in JavaScript, a lone surrogate, a number beyond every
/// float, nesting deeper than 32.
pub fn strict_json(bytes: &[u8], max: usize) -> Result<Value, ComposeError> {
    if bytes.len() > max {
        return Err(ComposeError::TooLong {
            found: bytes.len(),
            max,
        });
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(ComposeError::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(ComposeError::Utf8)?;
    json::parse(text).map_err(ComposeError::Json)
}
