//! Every scale protocol by its name: one line for each new one.

use serde::{Deserialize, Serialize};

use super::and::And;
use super::cas::{CasPos, CasStream};
use super::dialog06::{Approval, Dialog06, DialogScale};
use super::nci::Nci;
use super::sics::Sics;
use super::sma::Sma;
use super::toledo::{Toledo8213, Toledo8217};
use super::{Pace, Scale, Unit, Weigher};
use crate::port::{Parity, SerialSettings};

/// A scale protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Mettler-Toledo 8217.
    Toledo8217,
    /// Mettler-Toledo 8213.
    Toledo8213,
    /// Checkout-Dialog 06, and 02 and 04.
    Dialog06,
    /// NCI / Weigh-Tronix.
    Nci,
    /// SMA SCP-0499.
    Sma,
    /// MT-SICS.
    Sics,
    /// CAS AP-1.
    CasPos,
    /// The CAS 22-byte stream.
    CasStream,
    /// A&D standard format, on request.
    And,
    /// A&D standard format, streamed.
    AndStream,
}

/// What some protocols need to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// The scale's unit, where its answers name none; kilograms if not given.
    pub unit: Option<Unit>,
    /// Whether an 8217 wants a carriage return after tare commands.
    pub tare_ends_in_cr: bool,
    /// The provisioned numbers of a Dialog 06 approval.
    pub approval: Option<Approval>,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Toledo8217,
        Self::Toledo8213,
        Self::Dialog06,
        Self::Nci,
        Self::Sma,
        Self::Sics,
        Self::CasPos,
        Self::CasStream,
        Self::And,
        Self::AndStream,
    ];

    /// The name it is configured by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Toledo8217 => "toledo8217",
            Self::Toledo8213 => "toledo8213",
            Self::Dialog06 => "dialog06",
            Self::Nci => "nci",
            Self::Sma => "sma",
            Self::Sics => "sics",
            Self::CasPos => "cas_pos",
            Self::CasStream => "cas_stream",
            Self::And => "and",
            Self::AndStream => "and_stream",
        }
    }

    /// The protocol of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// A driver for it.
    #[must_use]
    pub fn driver(self, setup: &Setup, pace: Pace) -> Box<dyn Weigher> {
        let unit = setup.unit.unwrap_or(Unit::Kilogram);
        // A scale that speaks by itself is never asked.
        let listen = Pace { every: None, ..pace };
        match self {
            Self::Toledo8217 => {
                let tare_ends_in_cr = setup.tare_ends_in_cr;
                Box::new(Scale::new(Toledo8217 { unit, tare_ends_in_cr }, pace))
            }
            Self::Toledo8213 => Box::new(Scale::new(Toledo8213 { unit }, pace)),
            Self::Dialog06 => {
                Box::new(DialogScale::new(Dialog06 { approval: setup.approval.clone() }))
            }
            Self::Nci => Box::new(Scale::new(Nci, pace)),
            Self::Sma => Box::new(Scale::new(Sma, pace)),
            Self::Sics => Box::new(Scale::new(Sics, pace)),
            Self::CasPos => Box::new(Scale::new(CasPos, pace)),
            Self::CasStream => Box::new(Scale::new(CasStream, listen)),
            Self::And => Box::new(Scale::new(And { streams: false }, pace)),
            Self::AndStream => Box::new(Scale::new(And { streams: true }, listen)),
        }
    }

    /// The line settings such scales usually leave the factory with.
    #[must_use]
    pub fn usual_settings(self) -> SerialSettings {
        match self {
            Self::Toledo8217 | Self::Toledo8213 | Self::Nci => {
                SerialSettings::seven(9600, Parity::Even)
            }
            Self::Dialog06 => SerialSettings::seven(9600, Parity::Odd),
            Self::And | Self::AndStream => SerialSettings::seven(2400, Parity::Even),
            Self::Sma | Self::Sics | Self::CasPos | Self::CasStream => {
                SerialSettings::eight_none(9600)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_is_found_by_its_name() {
        for model in Model::ALL {
            assert_eq!(Model::named(model.name()), Some(model));
            let json = serde_json::to_string(&model).unwrap();
            assert_eq!(json, format!("\"{}\"", model.name()));
        }
    }
}
