//! One device, checked: what is not a definition never reaches a port.

use std::path::{Path, PathBuf};

use storebox_peripherals::display;
use storebox_peripherals::drawer::Sense;
use storebox_peripherals::port::{DataBits, FlowControl, Parity, SerialSettings, StopBits};
use storebox_peripherals::printer::Profile;
use storebox_peripherals::scale::dialog06::Approval;
use storebox_peripherals::scale::{Model, Setup, Unit};
use storebox_peripherals::scanner::Framing;
use storebox_peripherals::scanner::instore::{Rule, RuleSource};
use storebox_proto::ids::{DeviceId, InvalidName};

use super::approval::{self, ApprovalError};
use super::place::{Place, PlaceError};
use super::rendering::{Language, Medium};
use crate::config;

/// Drawers on one printer: its connector has two pins.
const DRAWERS_MAX: usize = 2;
/// Of what people call a till; more is cut off.
const TILL_CHARS_MAX: usize = 40;
/// Bytes around a code.
const MARK_BYTES_MAX: usize = 16;
/// Layouts of codes printed in the shop.
const RULES_MAX: usize = 64;

/// Why a definition is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// A name breaks its rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// It is somewhere that is not a place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A value is none of those that are known.
    #[error("{key} = {value:?} is not known")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// The approval of a scale cannot be used; what stands in its file is never told.
    #[error("approval_file {path}")]
    Approval {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be used.
        #[source]
        source: ApprovalError,
    },
    /// A key is needed.
    #[error("{key} must be given for {model}: its answers look alike in every unit")]
    Missing {
        /// The key.
        key: &'static str,
        /// The model that needs it.
        model: String,
    },
    /// A list is too long.
    #[error("{key} has more than {max} entries")]
    TooMany {
        /// The key.
        key: &'static str,
        /// How many it may have.
        max: usize,
    },
}

/// What a device is.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Prints receipts or labels, and opens drawers.
    Printer {
        /// What its paper is like and how it is spoken to.
        medium: Medium,
        /// The drawers on its connector, the first pin first.
        drawers: Vec<DeviceId>,
        /// What their sensor means.
        sense: Option<Sense>,
    },
    /// Weighs.
    Scale(Weighing),
    /// Shows two rows to the customer.
    Display(display::Protocol),
    /// Reads barcodes.
    Scanner {
        /// Where a code begins and ends.
        framing: Framing,
        /// How codes printed in the shop are laid out.
        rules: Vec<Rule>,
    },
}

impl What {
    /// The word for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Printer { .. } => "printer",
            Self::Scale(_) => "scale",
            Self::Display(_) => "display",
            Self::Scanner { .. } => "scanner",
        }
    }
}

/// How a scale is spoken to and believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighing {
    /// Its protocol.
    pub model: Model,
    /// What that protocol needs to be told.
    pub setup: Setup,
    /// Whether its "nothing new" confirms the weight before it; an 8217 of which that is known.
    pub confirms: bool,
}

/// A device that can be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name.
    pub id: DeviceId,
    /// The till it stands at, as people call it; empty: no till's own.
    pub till: String,
    /// Where it is.
    pub place: Place,
    /// The settings of its line, if that is a serial one.
    pub line: SerialSettings,
    /// What it is.
    pub what: What,
}

impl Definition {
    /// Makes sense of what a person wrote down.
    pub fn check(text: &config::Device) -> Result<Self, DefinitionError> {
        let id = text.id.parse()?;
        let place = text.at.parse()?;
        let what = what(text)?;
        let line = if text.line.is_empty() { usual(&what) } else { line(&text.line)? };
        let till = text.till.chars().filter(|char| !char.is_control()).take(TILL_CHARS_MAX);
        let till = till.collect::<String>().trim().to_owned();
        Ok(Self { id, till, place, line, what })
    }

    /// The names it takes: its own and those of its drawers.
    pub fn names(&self) -> Vec<&DeviceId> {
        let drawers: &[_] = match &self.what {
            What::Printer { drawers, .. } => drawers,
            What::Scale(_) | What::Display(_) | What::Scanner { .. } => &[],
        };
        std::iter::once(&self.id).chain(drawers).collect()
    }
}

fn what(text: &config::Device) -> Result<What, DefinitionError> {
    let unknown = |key, value: &str| DefinitionError::Value { key, value: value.to_owned() };
    let model = text.model.as_str();
    Ok(match text.kind.as_str() {
        "printer" => What::Printer {
            medium: medium(model).ok_or_else(|| unknown("model", model))?,
            drawers: drawers(&text.drawers)?,
            sense: match text.drawer_high.as_str() {
                "" => None,
                "open" => Some(Sense::HighIsOpen),
                "closed" => Some(Sense::HighIsClosed),
                other => return Err(unknown("drawer_high", other)),
            },
        },
        "scale" => What::Scale(Weighing {
            model: Model::named(model).ok_or_else(|| unknown("model", model))?,
            setup: setup(text)?,
            confirms: match text.nothing_new.as_str() {
                "" => false,
                "confirms" => true,
                other => return Err(unknown("nothing_new", other)),
            },
        }),
        "display" => {
            let word = serde_json::Value::String(model.to_owned());
            let protocol = serde_json::from_value(word).map_err(|_| unknown("model", model))?;
            What::Display(protocol)
        }
        "scanner" if model.is_empty() => {
            What::Scanner { framing: framing(text)?, rules: rules(&text.in_store)? }
        }
        "scanner" => return Err(unknown("model", model)),
        other => return Err(unknown("kind", other)),
    })
}

/// An 8217 tells kilograms from pounds by its digits, so a wrong unit is seen; an 8213 does not.
fn setup(text: &config::Device) -> Result<Setup, DefinitionError> {
    let refuse = |key, value: &str| DefinitionError::Value { key, value: value.to_owned() };
    let model = Model::named(&text.model);
    let is_toledo = matches!(model, Some(Model::Toledo8217 | Model::Toledo8213));
    let unit = match text.unit.as_str() {
        "" if model == Some(Model::Toledo8213) => {
            return Err(DefinitionError::Missing { key: "unit", model: text.model.clone() });
        }
        "" => None,
        "kg" if is_toledo => Some(Unit::Kilogram),
        "lb" if is_toledo => Some(Unit::Pound),
        // Every other protocol names its unit in each answer.
        other => return Err(refuse("unit", other)),
    };
    if text.tare_cr && model != Some(Model::Toledo8217) {
        return Err(refuse("tare_cr", "true"));
    }
    let approval = approved(&text.approval_file)?;
    Ok(Setup { unit, tare_ends_in_cr: text.tare_cr, approval })
}

fn approved(path: &Path) -> Result<Option<Approval>, DefinitionError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let refuse = |source| DefinitionError::Approval { path: path.to_owned(), source };
    approval::read(path).map(Some).map_err(refuse)
}

fn medium(model: &str) -> Option<Medium> {
    let (language, profile) = match model {
        "zpl" => (Language::Zpl, Profile::generic_80()),
        "star-80" => (Language::Star, Profile::star_80()),
        name => (Language::EscPos, Profile::named(name)?),
    };
    Some(Medium { language, profile })
}

fn drawers(names: &[String]) -> Result<Vec<DeviceId>, DefinitionError> {
    if names.len() > DRAWERS_MAX {
        return Err(DefinitionError::TooMany { key: "drawers", max: DRAWERS_MAX });
    }
    names.iter().map(|name| Ok(name.parse()?)).collect()
}

/// `none` for a suffix means that a pause ends a code.
fn framing(text: &config::Device) -> Result<Framing, DefinitionError> {
    let read = |key, mark: &str| match mark.len() {
        0..=MARK_BYTES_MAX => Ok(mark.as_bytes().to_vec()),
        _ => Err(DefinitionError::TooMany { key, max: MARK_BYTES_MAX }),
    };
    let usual = Framing::default();
    let suffix = match text.suffix.as_str() {
        "" => usual.suffix.clone(),
        "none" => Vec::new(),
        mark => read("suffix", mark)?,
    };
    let prefix = read("prefix", &text.prefix)?;
    Ok(Framing { prefix, suffix, acknowledge: text.acknowledge, ..usual })
}

fn rules(texts: &[String]) -> Result<Vec<Rule>, DefinitionError> {
    if texts.len() > RULES_MAX {
        return Err(DefinitionError::TooMany { key: "in_store", max: RULES_MAX });
    }
    let read = |text: &String| {
        let (pattern, decimals) = text.split_once(':')?;
        let (pattern, decimals) = (pattern.to_owned(), decimals.parse().ok()?);
        Rule::new(&RuleSource { pattern, decimals, unit: Unit::Kilogram }).ok()
    };
    let refuse = |text: &String| DefinitionError::Value { key: "in_store", value: text.clone() };
    texts.iter().map(|text| read(text).ok_or_else(|| refuse(text))).collect()
}

fn usual(what: &What) -> SerialSettings {
    match what {
        What::Scale(weighing) => weighing.model.usual_settings(),
        What::Printer { .. } => SerialSettings::eight_none(115_200),
        What::Display(_) | What::Scanner { .. } => SerialSettings::eight_none(9600),
    }
}

/// `9600 7E1 rts`.
fn line(text: &str) -> Result<SerialSettings, DefinitionError> {
    let read = || {
        let mut words = text.split_whitespace();
        let baud = words.next()?.parse().ok().filter(|baud| (110..=4_000_000).contains(baud))?;
        let (data_bits, parity, stop_bits) = match words.next()?.as_bytes() {
            [bits, parity, stop] => (
                match bits {
                    b'7' => DataBits::Seven,
                    b'8' => DataBits::Eight,
                    _ => return None,
                },
                match parity {
                    b'N' => Parity::None,
                    b'E' => Parity::Even,
                    b'O' => Parity::Odd,
                    _ => return None,
                },
                match stop {
                    b'1' => StopBits::One,
                    b'2' => StopBits::Two,
                    _ => return None,
                },
            ),
            _ => return None,
        };
        let flow = match words.next() {
            None => FlowControl::None,
            Some("rts") => FlowControl::Hardware,
            Some("xon") => FlowControl::XonXoff,
            Some(_) => return None,
        };
        let settings = SerialSettings { baud, data_bits, parity, stop_bits, flow };
        words.next().is_none().then_some(settings)
    };
    read().ok_or_else(|| DefinitionError::Value { key: "line", value: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: &str, model: &str) -> config::Device {
        let text = |text: &str| text.to_owned();
        let (id, at) = (text("counter"), text("/dev/ttyS0"));
        config::Device { id, at, kind: text(kind), model: text(model), ..Default::default() }
    }

    #[test]
    fn each_kind_gets_the_line_that_is_usual_for_it() {
        for (kind, model, baud) in [
            ("printer", "epson-tm-m30", 115_200),
            ("printer", "zpl", 115_200),
            ("scale", "toledo8217", 9600),
            ("scale", "and", 2400),
            ("display", "cd5220", 9600),
            ("scanner", "", 9600),
        ] {
            let checked = Definition::check(&device(kind, model)).unwrap();
            assert_eq!((checked.what.kind(), checked.line.baud), (kind, baud));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        let refusal = |change: &dyn Fn(&mut config::Device)| {
            let mut text = device("printer", "escpos-80");
            change(&mut text);
            Definition::check(&text).unwrap_err().to_string()
        };
        assert!(refusal(&|text| text.kind = "toaster".into()).contains("kind = \"toaster\""));
        assert!(refusal(&|text| text.model = "abacus".into()).contains("model = \"abacus\""));
        assert!(refusal(&|text| text.line = "9600 9N1".into()).contains("line = \"9600 9N1\""));
        assert!(refusal(&|text| text.id = "Counter 1".into()).contains("device"));
        assert!(refusal(&|text| text.at = "usb:zz".into()).contains("usb:zz"));
        assert!(refusal(&|text| text.drawers = vec!["a".into(); 3]).contains("drawers"));
    }

    #[test]
    fn a_scale_whose_answers_name_no_unit_is_told_it() {
        let setup = |model: &str, unit: &str| {
            let text = config::Device { unit: unit.to_owned(), ..device("scale", model) };
            match Definition::check(&text).map(|checked| checked.what) {
                Ok(What::Scale(weighing)) => Ok(weighing.setup.unit),
                Ok(_) => panic!("it is a scale"),
                Err(error) => Err(error.to_string()),
            }
        };
        assert_eq!(setup("toledo8217", ""), Ok(None));
        assert_eq!(setup("toledo8217", "lb"), Ok(Some(Unit::Pound)));
        assert_eq!(setup("toledo8213", "kg"), Ok(Some(Unit::Kilogram)));
        assert!(setup("toledo8213", "").unwrap_err().contains("unit must be given"));
        assert!(setup("toledo8213", "stone").unwrap_err().contains("unit = \"stone\""));
        assert!(setup("sma", "lb").is_err(), "its answers name their unit");
        let text = config::Device { tare_cr: true, ..device("scale", "toledo8217") };
        let checked = Definition::check(&text).unwrap().what;
        assert!(matches!(checked, What::Scale(weighing) if weighing.setup.tare_ends_in_cr));
    }

    #[test]
    fn a_scanners_marks_are_read_as_they_are_written_down() {
        let framed = |prefix: &str, suffix: &str| {
            let marks = (prefix.to_owned(), suffix.to_owned());
            let (prefix, suffix) = marks;
            let text = config::Device { prefix, suffix, ..device("scanner", "") };
            match Definition::check(&text).map(|checked| checked.what) {
                Ok(What::Scanner { framing, .. }) => Some((framing.prefix, framing.suffix)),
                _ => None,
            }
        };
        assert_eq!(framed("", ""), Some((Vec::new(), b"\r".to_vec())));
        assert_eq!(framed("\u{2}", "\u{3}"), Some((vec![2], vec![3])));
        assert_eq!(framed("", "none"), Some((Vec::new(), Vec::new())));
        assert_eq!(framed(&"x".repeat(17), ""), None);
    }

    #[test]
    fn a_line_is_read_whole_or_not_at_all() {
        assert_eq!(line("9600 7E1 rts").unwrap().flow, FlowControl::Hardware);
        for text in ["", "9600", "fast 8N1", "9600 8N1 rts x", "9600 8N3", "9600 8N1 dtr"] {
            assert!(line(text).is_err(), "{text}");
        }
    }
}
