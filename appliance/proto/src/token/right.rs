//! What a person may do at a till beyond looking things up.

use serde::{Deserialize, Serialize};

/// One right of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Hand in tickets and everything else that is accounted for.
    Sell,
    /// Print.
    Print,
    /// Use scales, displays and scanners.
    Weigh,
    /// Open a drawer without a sale.
    Drawer,
    /// Decide what machines cannot: prints in doubt, printers that are to go on.
    Manage,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sell, Self::Print, Self::Weigh, Self::Drawer, Self::Manage];

    /// The word in records, files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sell => "sell",
            Self::Print => "print",
            Self::Weigh => "weigh",
            Self::Drawer => "drawer",
            Self::Manage => "manage",
        }
    }

    /// The right of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.as_str() == word)
    }

    fn bit(self) -> u8 {
        match self {
            Self::Sell => 1,
            Self::Print => 2,
            Self::Weigh => 4,
            Self::Drawer => 8,
            Self::Manage => 16,
        }
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// With this one too.
    #[must_use]
    pub fn with(self, right: Right) -> Self {
        Self(self.0 | right.bit())
    }

    /// With all of these too.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is among them.
    pub fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// The words of those that are there.
    pub fn words(self) -> Vec<&'static str> {
        Right::ALL.into_iter().filter(|right| self.has(*right)).map(Right::as_str).collect()
    }
}
