//! The revisions of the protocol.

use serde::{Deserialize, Serialize};
use weir_schema::mcp::Revision;

/// A revision of the protocol, by its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Version {
    #[serde(rename = "2024-11-05")]
    V2024_11_05,
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

impl Version {
    /// All of them, the newest first.
    pub(crate) const ALL: [Self; 5] =
        [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];

    /// The newest that begins with `initialize`.
    pub(crate) const NEWEST_LEGACY: Self = Self::V2025_11_25;

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// What the configuration says.
    pub(crate) fn of(revision: Revision) -> Self {
        match revision {
            Revision::V2025_03_26 => Self::V2025_03_26,
            Revision::V2025_06_18 => Self::V2025_06_18,
            Revision::V2025_11_25 => Self::V2025_11_25,
            Revision::V2026_07_28 => Self::V2026_07_28,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Whether each request stands for itself, without `initialize`.
    pub(crate) fn is_modern(self) -> bool {
        self >= Self::V2026_07_28
    }
}
