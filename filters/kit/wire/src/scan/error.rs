use core::fmt;

/// Why a body is refused. Every offset counts from the start of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanError {
    /// The body is not JSON in UTF-8.
    NotJson {
        /// The first byte that cannot stand where it stands.
        offset: u64,
    },
    /// The body is not an object.
    NotObject,
    /// Arrays and objects nest too deep.
    TooDeep {
        /// How many may be open at once.
        limit: usize,
    },
    /// A parser could take another member than the one that was read for `model`: there are two, or one is
    /// written in other case.
    DuplicateModel {
        /// The first byte of the key.
        offset: u64,
    },
    /// `model` is not a string.
    ModelNotString,
    /// `model` is too long.
    ModelTooLong {
        /// How many bytes it may have.
        limit: usize,
    },
    /// The body ended before its JSON did.
    Incomplete,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { offset } => write!(f, "the body is not valid JSON at byte {offset}"),
            Self::NotObject => f.write_str("the body is not a JSON object"),
            Self::TooDeep { limit } => write!(f, "the body nests deeper than {limit} levels"),
            Self::DuplicateModel { offset } => {
                write!(f, "the body has an ambiguous 'model' at byte {offset}")
            }
            Self::ModelNotString => f.write_str("'model' is not a string"),
            Self::ModelTooLong { limit } => write!(f, "'model' is longer than {limit} bytes"),
            Self::Incomplete => f.write_str("the body ends before its JSON does"),
        }
    }
}

impl core::error::Error for ScanError {}
