//! Enums whose values are words of files. The list is written once: what is in it is read, is in the manual, and must be
//! dealt with by every `match`.

/// Makes an enum of words, with `ALL` of them, their `WORDS` in the same order, `as_str` and `parse`.
macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $value,)+
        }

        impl $name {
            /// All of them, in the order of the manual.
            pub const ALL: [$name; [$($word),+].len()] = [$($name::$value),+];
            /// Their words, in the same order.
            pub const WORDS: [&'static str; [$($word),+].len()] = [$($word),+];

            /// The word in files.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$value => $word,)+
                }
            }

            /// The one with this word.
            pub fn parse(word: &str) -> Option<$name> {
                $name::ALL.into_iter().zip($name::WORDS).find(|(_, known)| *known == word).map(|(value, _)| value)
            }
        }
    };
}

pub(crate) use words;
