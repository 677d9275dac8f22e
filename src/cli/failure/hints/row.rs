//! One row of the tables of hints.

use std::borrow::Cow;

use crate::cli::failure::verdict::Next;
use crate::code::Code;

/// Code, next step, hint.
pub(super) type Row = (Code, Next, &'static str);

macro_rules! hints {
    ($($code:ident, $next:expr, $hint:literal;)*) => {
        pub(super) static ROWS: &[$crate::cli::failure::hints::row::Row] = &[$((crate::code::Code::$code, $next, $hint)),*];
    };
}
pub(super) use hints;

/// The step that repeats the command with `more`.
pub(super) const fn with(more: &'static str) -> Next {
    Next::With(Cow::Borrowed(more))
}
