//! A receipt printer in the machine's USB port: what is sent to it is its paper.
//!
//! The emulator carries USB over a socket in the protocol of the usbredir project (version 0.7); on this side of it is
//! a printer of the USB class with one pipe in each direction. The guest sees a real device: its own driver finds it,
//! its own kernel makes `/dev/usb/lp0`. The printer has nothing to say, like one without a status pipe.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use storebox_tests::wait;

const HELLO: u32 = 0;
const DEVICE_CONNECT: u32 = 1;
const INTERFACES: u32 = 4;
const ENDPOINTS: u32 = 5;
const SET_CONFIGURATION: u32 = 6;
const GET_CONFIGURATION: u32 = 7;
const CONFIGURATION_IS: u32 = 8;
const SET_ALTERNATIVE: u32 = 9;
const GET_ALTERNATIVE: u32 = 10;
const ALTERNATIVE_IS: u32 = 11;
const CANCEL: u32 = 21;
const CONTROL: u32 = 100;
const BULK: u32 = 101;

/// What a USB 3 port wants of its other end: the length of packets is told, ids have 64 bits, lengths 32.
const ABLE: u32 = 1 << 4 | 1 << 5 | 1 << 6;
/// The head of a packet to or from a pipe.
const PIPE_HEAD: usize = 10;
const HELLO_BYTES: usize = 64;
const PACKET_BYTES_MAX: u32 = 1 << 20;
const FULL_SPEED: u8 = 1;
const PRINTER_CLASS: u8 = 7;
const BULK_TYPE: u8 = 2;
const NO_TYPE: u8 = 255;
const OUT: u8 = 0x01;
const IN: u8 = 0x82;
const OK: u8 = 0;
const CANCELLED: u8 = 1;
const STALLED: u8 = 4;

const DEVICE: [u8; 18] = [18, 1, 0x00, 0x02, 0, 0, 0, 64, 0xb8, 0x04, 0x02, 0x02, 0, 1, 1, 2, 3, 1];
const CONFIGURATION: [u8; 32] = [
    9,
    2,
    32,
    0,
    1,
    1,
    0,
    0xc0,
    0, // one interface, powered by itself
    9,
    4,
    0,
    0,
    2,
    PRINTER_CLASS,
    1,
    2,
    0, // a printer with a pipe in each direction
    7,
    5,
    OUT,
    BULK_TYPE,
    64,
    0,
    0, //
    7,
    5,
    IN,
    BULK_TYPE,
    64,
    0,
    0,
];
const STRINGS: [&str; 3] = ["Storebox", "trial printer", "TRIAL1"];
const ABOUT: &str = "MFG:Storebox;MDL:trial printer;CLS:PRINTER;";

/// The printer; it is unplugged with the machine.
pub(crate) struct Printer {
    paper: Arc<Mutex<Vec<u8>>>,
}

impl Printer {
    /// One that waits at this socket for a machine.
    pub(crate) fn at(socket: &Path) -> anyhow::Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        let paper = Arc::new(Mutex::new(Vec::new()));
        let printed = Arc::clone(&paper);
        // What breaks it is seen by whoever waits for paper.
        std::thread::spawn(move || -> anyhow::Result<()> {
            let (stream, _) = listener.accept()?;
            let told = print(&mut Port { stream, is_open: false }, &printed);
            if let Err(error) = &told {
                crate::figures::say(&format!("the printer broke: {error:#}"));
            }
            told
        });
        Ok(Self { paper })
    }

    /// What was printed so far.
    pub(crate) fn paper(&self) -> String {
        let paper = self.paper.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&paper).into_owned()
    }

    /// Waits until these words are on the paper.
    pub(crate) async fn await_words(&self, words: &str, patience: Duration) -> anyhow::Result<()> {
        let waited =
            wait::until(words, patience, || std::future::ready(Ok(self.paper().contains(words))));
        waited.await.with_context(|| format!("the paper says {:?}", self.paper()))
    }
}

struct Port {
    stream: UnixStream,
    /// Both sides have told what they are able to.
    is_open: bool,
}

struct Packet {
    kind: u32,
    id: u64,
    body: Vec<u8>,
}

impl Port {
    fn send(&mut self, kind: u32, id: u64, body: &[u8]) -> anyhow::Result<()> {
        let length = u32::try_from(body.len())?;
        let mut packet = [kind, length].map(u32::to_le_bytes).concat();
        packet.extend_from_slice(&id.to_le_bytes()[..if self.is_open { 8 } else { 4 }]);
        packet.extend_from_slice(body);
        Ok(self.stream.write_all(&packet)?)
    }

    /// The next packet; nothing once the machine is gone.
    fn receive(&mut self) -> anyhow::Result<Option<Packet>> {
        let mut head = [0; 16];
        let length = if self.is_open { 16 } else { 12 };
        match self.stream.read_exact(&mut head[..length]) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            read => read?,
        }
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (kind, length) = (number(0), number(4));
        let id = u64::from(number(12)) << 32 | u64::from(number(8));
        ensure!(length <= PACKET_BYTES_MAX, "a packet of {length} bytes");
        let mut body = vec![0; usize::try_from(length)?];
        self.stream.read_exact(&mut body)?;
        Ok(Some(Packet { kind, id, body }))
    }
}

fn print(port: &mut Port, paper: &Mutex<Vec<u8>>) -> anyhow::Result<()> {
    let mut hello = b"storebox trial printer".to_vec();
    hello.resize(HELLO_BYTES, 0);
    hello.extend_from_slice(&ABLE.to_le_bytes());
    port.send(HELLO, 0, &hello)?;
    let Some(theirs) = port.receive()? else { return Ok(()) };
    let able = theirs.body.get(HELLO_BYTES..HELLO_BYTES + 4);
    let able = able.and_then(|able| able.try_into().ok()).map(u32::from_le_bytes);
    ensure!(theirs.kind == HELLO && able.unwrap_or(0) & ABLE == ABLE, "an older emulator");
    port.is_open = true;
    port.send(ENDPOINTS, 0, &endpoints())?;
    port.send(INTERFACES, 0, &interfaces())?;
    let device = [FULL_SPEED, 0, 0, 0, DEVICE[8], DEVICE[9], DEVICE[10], DEVICE[11]];
    port.send(DEVICE_CONNECT, 0, &device)?;
    while let Some(packet) = port.receive()? {
        answer(port, &packet, paper)?;
    }
    Ok(())
}

fn answer(port: &mut Port, packet: &Packet, paper: &Mutex<Vec<u8>>) -> anyhow::Result<()> {
    let Packet { kind, id, body } = packet;
    match *kind {
        SET_CONFIGURATION | GET_CONFIGURATION => port.send(CONFIGURATION_IS, *id, &[OK, 1]),
        SET_ALTERNATIVE | GET_ALTERNATIVE => port.send(ALTERNATIVE_IS, *id, &[OK, 0, 0]),
        CONTROL => control(port, *id, body),
        BULK if body.first() == Some(&OUT) => {
            let data = body.get(PIPE_HEAD..).context("a packet to a pipe has a head")?;
            paper.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
            let mut head = body[..PIPE_HEAD].to_vec();
            head[1] = OK;
            port.send(BULK, *id, &head)
        }
        // It has nothing to say, until nobody asks any more.
        BULK => Ok(()),
        CANCEL => port.send(BULK, *id, &[IN, CANCELLED, 0, 0, 0, 0, 0, 0, 0, 0]),
        // What the emulator tells of itself, and resets.
        _ => Ok(()),
    }
}

/// Answers a question about the printer.
fn control(port: &mut Port, id: u64, body: &[u8]) -> anyhow::Result<()> {
    ensure!(body.len() >= 10, "a control packet has a head of ten bytes");
    let (request, to, value) = (body[1], body[2], [body[4], body[5]]);
    let length = usize::from(u16::from_le_bytes([body[8], body[9]]));
    let told = match (to, request, value) {
        (0x80, 6, [_, 1]) => Some(DEVICE.to_vec()),
        (0x80, 6, [_, 2]) => Some(CONFIGURATION.to_vec()),
        (0x80, 6, [number, 3]) => string(number),
        (0x80, 0, _) => Some(vec![1, 0]),
        // Class requests: who it is, how it is (selected, no error, paper is there), start anew.
        (0xa1, 0, _) => {
            let length = u16::try_from(ABOUT.len() + 2)?;
            Some([&length.to_be_bytes(), ABOUT.as_bytes()].concat())
        }
        (0xa1, 1, _) => Some(vec![0x18]),
        (0x21, 2, _) | (0x02, 1, _) => Some(Vec::new()),
        _ => None,
    };
    let mut head = body[..10].to_vec();
    head[3] = if told.is_some() { OK } else { STALLED };
    let mut told = told.unwrap_or_default();
    told.truncate(length);
    head[8..10].copy_from_slice(&u16::try_from(told.len())?.to_le_bytes());
    port.send(CONTROL, id, &[head, told].concat())
}

fn string(number: u8) -> Option<Vec<u8>> {
    let text: Vec<u8> = match number {
        0 => vec![0x09, 0x04],
        _ => {
            let text = STRINGS.get(usize::from(number) - 1)?;
            text.encode_utf16().flat_map(u16::to_le_bytes).collect()
        }
    };
    let length = u8::try_from(text.len() + 2).ok()?;
    Some([&[length, 3], text.as_slice()].concat())
}

/// Kind, interval, interface and packet size of all 32 ends: 16 out, 16 in.
fn endpoints() -> Vec<u8> {
    let places =
        [(0, 0), (usize::from(OUT), BULK_TYPE), (16, 0), (16 + usize::from(IN & 15), BULK_TYPE)];
    let mut kinds = [NO_TYPE; 32];
    let mut sizes = [0_u16; 32];
    for (at, kind) in places {
        kinds[at] = kind;
        sizes[at] = 64;
    }
    let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    [&kinds, &[0; 32], &[0; 32], sizes.as_slice()].concat()
}

/// One interface: a printer that answers in both directions.
fn interfaces() -> Vec<u8> {
    let first = |value: u8| {
        let mut all = [0; 32];
        all[0] = value;
        all
    };
    let classes = [first(0), first(PRINTER_CLASS), first(1), first(2)].concat();
    [1_u32.to_le_bytes().as_slice(), &classes].concat()
}
