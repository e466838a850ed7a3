//! A serial port: settings through `serialport`, bytes through a non-blocking descriptor.
//!
//! Two descriptors are open on the same terminal.
//! The `serialport` one holds the settings, the exclusive lock and the modem lines; the other
//! moves bytes, because `serialport`'s own writes block past their time-out.
//! Settings belong to the terminal and not to the descriptor, so the one governs the other.
//!
//! After a hang-up drop the port at once: while a descriptor stays open, a replugged adapter comes
//! back under another name.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::libc::{O_NOCTTY, O_NONBLOCK};
use serde::{Deserialize, Serialize};
use serialport::{ClearBuffer, SerialPort as _, TTYPort};

use super::{OpenError, Port, PortError, Want, descriptor};

/// How many bits a character has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataBits {
    /// Seven, as most scales use together with parity.
    Seven,
    /// Eight.
    Eight,
}

/// The parity bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// No parity bit.
    None,
    /// Odd parity.
    Odd,
    /// Even parity.
    Even,
}

/// How many stop bits follow a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopBits {
    /// One.
    One,
    /// Two.
    Two,
}

/// How a device that cannot keep up says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowControl {
    /// It cannot say so.
    None,
    /// RTS/CTS wires; a printer's DTR must be wired to this host's CTS.
    Hardware,
    /// XON and XOFF characters, swallowed by the kernel.
    XonXoff,
}

/// A serial line's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialSettings {
    /// Bits per second.
    pub baud: u32,
    /// Bits per character.
    pub data_bits: DataBits,
    /// Parity.
    pub parity: Parity,
    /// Stop bits.
    pub stop_bits: StopBits,
    /// Flow control.
    pub flow: FlowControl,
}

impl SerialSettings {
    /// Eight bits, no parity, one stop bit, no flow control.
    #[must_use]
    pub const fn eight_none(baud: u32) -> Self {
        Self {
            baud,
            data_bits: DataBits::Eight,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow: FlowControl::None,
        }
    }

    /// Seven bits and the given parity, one stop bit, no flow control.
    #[must_use]
    pub const fn seven(baud: u32, parity: Parity) -> Self {
        Self {
            baud,
            data_bits: DataBits::Seven,
            parity,
            stop_bits: StopBits::One,
            flow: FlowControl::None,
        }
    }
}

/// An opened and configured serial port, held exclusively.
#[derive(Debug)]
pub struct SerialPort {
    bytes: File,
    settings: TTYPort,
    applied: bool,
}

impl SerialPort {
    /// Opens, locks and configures a terminal.
    pub fn open(path: &Path, settings: &SerialSettings) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        // Opened before the lock: once it is exclusive, an unprivileged second open is refused.
        let bytes = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_NONBLOCK | O_NOCTTY)
            .open(path)
            .map_err(|error| OpenError::from_io(&name, error))?;
        let held = builder(&name, settings)
            .open_native()
            .map_err(|error| serial_open_error(&name, error))?;
        // A pseudo-terminal silently stays at eight bits without parity; a real UART obeys.
        let applied = held.data_bits().ok() == Some(data_bits(settings.data_bits))
            && held.parity().ok() == Some(parity(settings.parity))
            && held.baud_rate().ok() == Some(settings.baud);
        Ok(Self { bytes, settings: held, applied })
    }

    /// Whether reading the settings back showed what was asked for.
    ///
    /// `false` on a pseudo-terminal with seven bits; on a real port it means the adapter refused.
    #[must_use]
    pub fn settings_applied(&self) -> bool {
        self.applied
    }
}

impl Port for SerialPort {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        descriptor::read(&mut self.bytes, into)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        descriptor::write(&mut self.bytes, bytes)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        descriptor::wait(&self.bytes, want, up_to)
    }

    fn undelivered(&mut self) -> Option<usize> {
        self.settings.bytes_to_write().ok().and_then(|count| usize::try_from(count).ok())
    }

    fn discard_input(&mut self) -> Result<(), PortError> {
        self.settings.clear(ClearBuffer::Input).map_err(|error| PortError::Io {
            doing: "discard input of",
            source: std::io::Error::other(error),
        })
    }
}

impl Drop for SerialPort {
    fn drop(&mut self) {
        // Without this, closing waits for bytes a dead device will never take (30 s by default).
        if let Err(error) = self.settings.clear(ClearBuffer::All) {
            tracing::debug!(%error, "clear serial buffers before close");
        }
    }
}

fn builder(name: &str, settings: &SerialSettings) -> serialport::SerialPortBuilder {
    serialport::new(name, settings.baud)
        .data_bits(data_bits(settings.data_bits))
        .parity(parity(settings.parity))
        .stop_bits(match settings.stop_bits {
            StopBits::One => serialport::StopBits::One,
            StopBits::Two => serialport::StopBits::Two,
        })
        .flow_control(match settings.flow {
            FlowControl::None => serialport::FlowControl::None,
            FlowControl::Hardware => serialport::FlowControl::Hardware,
            FlowControl::XonXoff => serialport::FlowControl::Software,
        })
        .timeout(Duration::from_millis(1))
}

fn data_bits(bits: DataBits) -> serialport::DataBits {
    match bits {
        DataBits::Seven => serialport::DataBits::Seven,
        DataBits::Eight => serialport::DataBits::Eight,
    }
}

fn parity(parity: Parity) -> serialport::Parity {
    match parity {
        Parity::None => serialport::Parity::None,
        Parity::Odd => serialport::Parity::Odd,
        Parity::Even => serialport::Parity::Even,
    }
}

fn serial_open_error(name: &str, error: serialport::Error) -> OpenError {
    // The library hides the system's number; both ways of being locked read alike to it.
    let text = error.to_string();
    if text.contains("busy") || text.contains("lock") || text.contains("temporarily unavailable") {
        return OpenError::Busy { name: name.to_owned() };
    }
    OpenError::Io { name: name.to_owned(), source: std::io::Error::other(error) }
}
