//! How the list of codes becomes an enum.

/// One line for each code: its variant, its name, its kind, what it is about.
macro_rules! codes {
    ($($variant:ident = $name:literal, $kind:ident, $about:literal;)*) => {
        /// The stable name of an outcome, a failure or a remark.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(
                #[doc = $about]
                $variant,
            )*
        }

        impl Code {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, as reports, journals and proposals write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What kind of outcome it stands for.
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$variant => Kind::$kind,)*
                }
            }

            /// One line about it.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }
        }
    };
}
pub(super) use codes;
