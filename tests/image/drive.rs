//! A drive with a volatile write cache, as the emulator's disk over NBD.
//!
//! What is written stays in the cache until it is flushed; then, and no earlier, it is in the file.
//! When the power goes, everything in the cache is lost, or a part of it that chance picks in blocks of 4 KiB, in any
//! order: so what comes after a write may be on the disk and the write itself not, as with real flash.
//! The cache is as large as that of real drives; when it is full, all of it is written, which no guest can rely on.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, bail, ensure};
use rand::{Rng, RngExt};

const BLOCK: u64 = 4096;
const CACHE_BLOCKS_MAX: usize = 16_384;
/// Longer requests are none of the emulator's.
const REQUEST_BYTES_MAX: u32 = 32 << 20;

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const ANSWER_MAGIC: u32 = 0x6744_6698;
const FIXED_NO_ZEROES: u16 = 3;
const OPT_ABORT: u32 = 2;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_UNSUPPORTED: u32 = 0x8000_0001;
/// It has flags, takes flushes, and writes that are to be flushed at once.
const ABLE: u16 = 1 | 4 | 8;
const FUA: u16 = 1;

/// What is in the cache, by the number of its block.
type Cache = BTreeMap<u64, Vec<u8>>;

struct Disk {
    file: File,
    bytes: u64,
    cache: Cache,
}

/// A drive with power; it serves one emulator until that ends.
pub(crate) struct Drive {
    disk: Arc<Mutex<Disk>>,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// What a loss of power takes from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    All,
    Half,
}

impl Drive {
    /// Serves a file at this socket.
    pub(crate) fn power_on(file: &Path, socket: &Path) -> anyhow::Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        let file = OpenOptions::new().read(true).write(true).open(file)?;
        let bytes = file.metadata()?.len();
        ensure!(bytes % BLOCK == 0, "a disk of {bytes} bytes");
        let disk = Arc::new(Mutex::new(Disk { file, bytes, cache: Cache::new() }));
        let served = Arc::clone(&disk);
        let serving = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            serve(&stream, &served)
        });
        Ok(Self { disk, serving })
    }

    /// The emulator is gone; says how many blocks were in the cache and how many of them are lost.
    pub(crate) fn lose_power(
        self,
        loss: Loss,
        rng: &mut impl Rng,
    ) -> anyhow::Result<(usize, usize)> {
        let served = self.serving.join();
        served.map_err(|_| anyhow::anyhow!("the drive broke"))?.context("serve the emulator")?;
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let held = disk.cache.len();
        disk.cache.retain(|_, _| loss == Loss::Half && rng.random_bool(0.5));
        let kept = disk.cache.len();
        disk.flush()?;
        Ok((held, held - kept))
    }
}

impl Disk {
    fn read(&self, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(bytes, at)?;
        for (number, block) in self.cached(at, bytes.len()) {
            let (from, to, piece) = overlap(number, at, bytes.len());
            bytes[to..to + piece].copy_from_slice(&block[from..from + piece]);
        }
        Ok(())
    }

    fn cached(&self, at: u64, bytes: usize) -> impl Iterator<Item = (u64, &Vec<u8>)> {
        let end = (at + bytes as u64).div_ceil(BLOCK);
        self.cache.range(at / BLOCK..end).map(|(number, block)| (*number, block))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        for number in at / BLOCK..(at + bytes.len() as u64).div_ceil(BLOCK) {
            if !self.cache.contains_key(&number) {
                let mut block = vec![0; usize::try_from(BLOCK).expect("4096 is a size")];
                self.file.read_exact_at(&mut block, number * BLOCK)?;
                self.cache.insert(number, block);
            }
            let block = self.cache.get_mut(&number).expect("it was put there above");
            let (from, to, piece) = overlap(number, at, bytes.len());
            block[from..from + piece].copy_from_slice(&bytes[to..to + piece]);
        }
        if self.cache.len() > CACHE_BLOCKS_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        for (number, block) in std::mem::take(&mut self.cache) {
            self.file.write_all_at(&block, number * BLOCK)?;
        }
        Ok(())
    }
}

/// Where a block and a request overlap: from where in the block, from where in the request, how long.
fn overlap(number: u64, at: u64, bytes: usize) -> (usize, usize, usize) {
    let (block, end) = (number * BLOCK, at + bytes as u64);
    let (first, last) = (block.max(at), (block + BLOCK).min(end));
    let size = |value: u64| usize::try_from(value).expect("a request fits the memory");
    (size(first - block), size(first - at), size(last - first))
}

fn serve(stream: &UnixStream, disk: &Mutex<Disk>) -> anyhow::Result<()> {
    let (mut from, mut to) = (BufReader::new(stream), BufWriter::new(stream));
    let bytes = disk.lock().unwrap_or_else(PoisonError::into_inner).bytes;
    if !greet(&mut from, &mut to, bytes)? {
        return Ok(());
    }
    loop {
        match answer(&mut from, &mut to, disk) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // Killed.
            Err(error) if is_end(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn is_end(error: &anyhow::Error) -> bool {
    let ends = [ErrorKind::UnexpectedEof, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    error.downcast_ref::<std::io::Error>().is_some_and(|error| ends.contains(&error.kind()))
}

/// Tells what there is; whether the emulator wants it.
fn greet(from: &mut impl Read, to: &mut impl Write, bytes: u64) -> anyhow::Result<bool> {
    to.write_all(&MAGIC.to_be_bytes())?;
    to.write_all(&OPTION_MAGIC.to_be_bytes())?;
    to.write_all(&FIXED_NO_ZEROES.to_be_bytes())?;
    to.flush()?;
    let _flags: [u8; 4] = take(from)?;
    loop {
        ensure!(u64::from_be_bytes(take(from)?) == OPTION_MAGIC, "an option");
        let option = u32::from_be_bytes(take(from)?);
        let length = u32::from_be_bytes(take(from)?);
        ensure!(length <= REQUEST_BYTES_MAX, "an option of {length} bytes");
        std::io::copy(&mut from.take(u64::from(length)), &mut std::io::sink())?;
        let mut reply = |kind: u32, data: &[u8]| -> anyhow::Result<()> {
            to.write_all(&REPLY_MAGIC.to_be_bytes())?;
            to.write_all(&option.to_be_bytes())?;
            to.write_all(&kind.to_be_bytes())?;
            to.write_all(&u32::try_from(data.len())?.to_be_bytes())?;
            to.write_all(data)?;
            Ok(to.flush()?)
        };
        match option {
            OPT_INFO | OPT_GO => {
                let mut export = vec![0, 0];
                export.extend_from_slice(&bytes.to_be_bytes());
                export.extend_from_slice(&ABLE.to_be_bytes());
                reply(REP_INFO, &export)?;
                reply(REP_ACK, &[])?;
                if option == OPT_GO {
                    return Ok(true);
                }
            }
            OPT_ABORT => {
                reply(REP_ACK, &[])?;
                return Ok(false);
            }
            _ => reply(REP_UNSUPPORTED, &[])?,
        }
    }
}

/// Does what one request asks for; whether there may be more.
fn answer(from: &mut impl Read, to: &mut impl Write, disk: &Mutex<Disk>) -> anyhow::Result<bool> {
    ensure!(u32::from_be_bytes(take(from)?) == REQUEST_MAGIC, "a request");
    let flags = u16::from_be_bytes(take(from)?);
    let kind = u16::from_be_bytes(take(from)?);
    let cookie: [u8; 8] = take(from)?;
    let at = u64::from_be_bytes(take(from)?);
    let length = u32::from_be_bytes(take(from)?);
    ensure!(length <= REQUEST_BYTES_MAX, "a request of {length} bytes");
    let mut data = vec![0; usize::try_from(length)?];
    let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
    match kind {
        0 => disk.read(at, &mut data)?,
        1 => {
            from.read_exact(&mut data)?;
            disk.write(at, &data)?;
            if flags & FUA != 0 {
                disk.flush()?;
            }
            data.clear();
        }
        2 => return Ok(false),
        3 => {
            disk.flush()?;
            data.clear();
        }
        other => bail!("a request of kind {other}"),
    }
    drop(disk);
    to.write_all(&ANSWER_MAGIC.to_be_bytes())?;
    to.write_all(&0_u32.to_be_bytes())?;
    to.write_all(&cookie)?;
    to.write_all(&data)?;
    to.flush()?;
    Ok(true)
}

fn take<const N: usize>(from: &mut impl Read) -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
