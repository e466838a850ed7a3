//! Printers, scales, drawers, displays and scanners that are not there.
//!
//! Each runs on a pseudo-terminal, whose path it prints, on a TCP port, or behind a gadget's device file.
//! What is typed at it happens to the device: `paper-out`, `1.250`, a barcode.

mod show;
mod stage;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use storebox_peripherals::display::Protocol;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::receipt::CodePage;
use storebox_peripherals::scale::Model;
use storebox_peripherals::scanner::Framing;
use storebox_peripherals::sim::display::DisplaySim;
use storebox_peripherals::sim::printer::PrinterSim;
use storebox_peripherals::sim::scale::ScaleSim;
use storebox_peripherals::sim::scanner::ScannerSim;
use storebox_peripherals::sim::script::{Script, ScriptError};

use stage::Power;

#[derive(Debug, Parser)]
#[command(name = "storebox-sim", about = "Simulated till devices")]
struct Cli {
    #[command(subcommand)]
    device: Device,
}

#[derive(Debug, Subcommand)]
enum Device {
    /// An ESC/POS receipt printer that draws its paper.
    Printer {
        /// The model: escpos-80, escpos-58, epson-tm-t88, epson-tm-m30, ….
        #[arg(long, default_value = "epson-tm-m30")]
        profile: String,
        /// Write each receipt as SVG into this folder.
        #[arg(long)]
        svg: Option<PathBuf>,
        /// Write each receipt as PNG into this folder.
        #[arg(long)]
        png: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// A scale.
    Scale {
        /// The protocol: toledo8217, toledo8213, dialog06, nci, sma, sics, cas_pos, cas_stream, and, and_stream.
        protocol: String,
        #[command(flatten)]
        place: Place,
    },
    /// A cash drawer on its printer; the receipts are not shown.
    Drawer {
        #[command(flatten)]
        place: Place,
    },
    /// A customer display: esc_pos, esc_pos_aures, cd5220, logic_controls.
    Display {
        /// The protocol.
        protocol: String,
        #[command(flatten)]
        place: Place,
    },
    /// A barcode scanner; each line typed is a code.
    Scanner {
        #[command(flatten)]
        place: Place,
    },
}

/// Where a device stands and what goes wrong with it.
#[derive(Debug, Clone, Args)]
struct Place {
    /// Listen on this TCP address instead of a pseudo-terminal.
    #[arg(long)]
    tcp: Option<SocketAddr>,
    /// Keep a symbolic link to the pseudo-terminal here.
    #[arg(long, conflicts_with = "tcp")]
    link: Option<PathBuf>,
    /// Be the device behind this file, such as /dev/g_printer0 or /dev/ttyGS0 of a USB gadget.
    #[arg(long, conflicts_with_all = ["tcp", "link"])]
    device: Option<PathBuf>,
    /// A step of the script, such as "500b power-cut" or "2s paper-out"; may be repeated.
    #[arg(long = "fault")]
    faults: Vec<String>,
}

/// Why the simulator ended.
#[derive(Debug, thiserror::Error)]
enum SimError {
    #[error("start the simulator: there is no {what} {name:?}")]
    Unknown { what: &'static str, name: String },
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("{doing}")]
    Io {
        doing: String,
        #[source]
        source: std::io::Error,
    },
}

fn main() -> std::process::ExitCode {
    match run(Cli::parse().device) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            show::error(&error);
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(device: Device) -> Result<(), SimError> {
    match device {
        Device::Printer { profile, svg, png, place } => {
            let script = script(&place)?;
            let profile = known("profile", &profile, Profile::named)?;
            let mut paper = show::Paper::new(svg, png, true);
            let act =
                |sim: &mut PrinterSim, text: &str| text.parse().map(|act| sim.act(act)).is_ok();
            stage::run(PrinterSim::new(profile, script), &place, act, |event| paper.take(event))
        }
        Device::Drawer { place } => {
            let script = script(&place)?;
            let mut paper = show::Paper::new(None, None, false);
            let sim = PrinterSim::new(Profile::epson_m30(), script);
            let act =
                |sim: &mut PrinterSim, text: &str| text.parse().map(|act| sim.act(act)).is_ok();
            stage::run(sim, &place, act, |event| paper.take(event))
        }
        Device::Scale { protocol, place } => {
            let script = script(&place)?;
            let model = known("scale protocol", &protocol, Model::named)?;
            let act = |sim: &mut ScaleSim, text: &str| text.parse().map(|act| sim.act(act)).is_ok();
            stage::run(ScaleSim::new(model, script), &place, act, |event| match event {})
        }
        Device::Display { protocol, place } => {
            let protocol = known("display protocol", &protocol, display_protocol)?;
            let sim = DisplaySim::new(protocol, CodePage::Cp437);
            stage::run(
                sim,
                &place,
                |_, _| false,
                |shown| {
                    show::rows(&shown.rows);
                    Ok(Power::Same)
                },
            )
        }
        Device::Scanner { place } => {
            let act = |sim: &mut ScannerSim, code: &str| {
                sim.scan(&code.replace("\\x1d", "\x1d"));
                true
            };
            stage::run(ScannerSim::new(Framing::default()), &place, act, |_| {
                show::line("acknowledged");
                Ok(Power::Same)
            })
        }
    }
}

fn script<A: std::str::FromStr + Clone>(place: &Place) -> Result<Script<A>, ScriptError> {
    Script::parse(place.faults.iter().map(String::as_str))
}

fn known<T>(
    what: &'static str,
    name: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<T, SimError> {
    find(name).ok_or_else(|| SimError::Unknown { what, name: name.to_owned() })
}

fn display_protocol(name: &str) -> Option<Protocol> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}
