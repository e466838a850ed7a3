//! A read-only device whose every block is checked against the root hash before it is used.
//!
//! The kernel's device mapper does the work (Documentation/admin-guide/device-mapper/verity.rst);
//! here are the three requests that set it up, with the bytes of `struct dm_ioctl` written out. The
//! tree of hashes lies right behind the file system, on the same partition.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

const CONTROL: &str = "/dev/mapper/control";
const NAME: &str = "root";
/// The first device that is mapped.
const DEVICE: &str = "/dev/dm-0";
const BLOCK_BYTES: u64 = 4096;
const SECTORS_PER_BLOCK: u64 = BLOCK_BYTES / 512;

const STRUCT_BYTES: usize = 312;
const SPEC_BYTES: usize = 40;
/// Room for the one target and its parameters.
const BUFFER_BYTES: usize = 1024;
const READ_ONLY: u32 = 1;

/// The numbers of the requests (linux/dm-ioctl.h).
#[derive(Clone, Copy)]
enum Request {
    Create = 3,
    Remove = 4,
    Resume = 6,
    Load = 9,
}

/// What the command line says of the root: `storebox.verity=BLOCKS:HASH:SALT`.
pub(crate) struct Verity {
    blocks: u64,
    hash: String,
    salt: String,
}

impl Verity {
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let wrong = || format!("storebox.verity={word} is not BLOCKS:HASH:SALT");
        let mut parts = word.split(':');
        let mut next = || parts.next().ok_or_else(wrong);
        let (blocks, hash, salt) = (next()?, next()?, next()?);
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let blocks = blocks.parse().ok().filter(|&blocks| blocks > 0 && blocks < 1 << 32);
        match blocks {
            Some(blocks) if hex(hash) && hex(salt) => {
                Ok(Self { blocks, hash: hash.to_owned(), salt: salt.to_owned() })
            }
            Some(_) | None => Err(wrong()),
        }
    }

    fn table(&self, number: &str) -> String {
        let Self { blocks, hash, salt } = self;
        // Version, data, hashes, their block sizes, blocks of data, first block of the hashes.
        format!("1 {number} {number} 4096 4096 {blocks} {blocks} sha256 {hash} {salt}")
    }
}

/// Maps the partition; says under which name.
pub(crate) fn open(verity: &Verity, number: &str) -> Result<String, String> {
    let control = control()?;
    ask(&control, Request::Create, &[])?;
    let loaded = ask(&control, Request::Load, &target(verity, number))
        .and_then(|()| ask(&control, Request::Resume, &[]));
    if let Err(error) = loaded {
        let _ = ask(&control, Request::Remove, &[]);
        return Err(error);
    }
    Ok(DEVICE.to_owned())
}

/// Takes the mapping away again.
pub(crate) fn close() -> Result<(), String> {
    ask(&control()?, Request::Remove, &[])
}

fn control() -> Result<File, String> {
    let opened = OpenOptions::new().read(true).write(true).open(CONTROL);
    opened.map_err(|error| format!("open {CONTROL}: {error}"))
}

/// `struct dm_target_spec` and its parameters.
fn target(verity: &Verity, number: &str) -> Vec<u8> {
    let table = verity.table(number);
    let mut spec = vec![0; SPEC_BYTES];
    spec[8..16].copy_from_slice(&(verity.blocks * SECTORS_PER_BLOCK).to_ne_bytes());
    spec[24..30].copy_from_slice(b"verity");
    spec.extend(table.as_bytes());
    spec.push(0);
    spec
}

fn ask(control: &File, request: Request, target: &[u8]) -> Result<(), String> {
    let mut buffer = [0_u8; BUFFER_BYTES];
    let mut put = |at: usize, value: u32| buffer[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    put(0, 4); // the version of the interface
    put(12, 1024); // BUFFER_BYTES
    put(16, 312); // STRUCT_BYTES
    put(20, u32::from(!target.is_empty()));
    put(28, READ_ONLY);
    buffer[48..48 + NAME.len()].copy_from_slice(NAME.as_bytes());
    buffer[STRUCT_BYTES..STRUCT_BYTES + target.len()].copy_from_slice(target);
    let number = 3 << 30 | 312 << 16 | 0xfd << 8 | request as libc::c_ulong;
    #[expect(unsafe_code, reason = "no crate that is small enough for an initrd asks this")]
    // The kernel reads and writes no more than the size in the buffer, which outlives the call.
    let answer = unsafe { libc::ioctl(control.as_raw_fd(), number, buffer.as_mut_ptr()) };
    Errno::result(answer)
        .map(|_| ())
        .map_err(|error| format!("ask the device mapper ({}): {error}", request as u32))
}
