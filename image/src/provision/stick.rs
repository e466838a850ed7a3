//! What happens to the provisioning file on its volume: put there, taken in, answered, wiped.
//!
//! The box takes a file in two steps, [`load`] and [`complete`]: between them it applies what it
//! read. A power cut in between leaves the file where it is, and applying it again is harmless.

use std::io::{Read, Seek, Write};

use super::volume::{FILE, RESULT, Volume, VolumeError};
use super::{Provision, Rejected};

#[derive(Debug, thiserror::Error)]
pub enum StickError {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

/// Checks a file and puts it on the volume in place of any that is there.
pub fn put<F: Read + Write + Seek>(
    volume: &Volume<F>,
    name: &str,
    bytes: &[u8],
) -> Result<Provision, StickError> {
    let provision = Provision::parse(name, bytes)?;
    wipe(volume)?;
    volume.write(FILE, bytes)?;
    Ok(provision)
}

/// Reads the file, if there is one. A file with errors is answered on the volume and stays there.
pub fn load<F: Read + Write + Seek>(volume: &Volume<F>) -> Result<Option<Provision>, StickError> {
    let Some(name) = volume.provisioning()? else { return Ok(None) };
    match Provision::parse(&name, &volume.read(&name)?) {
        Ok(provision) => Ok(Some(provision)),
        Err(rejected) => {
            volume.write(RESULT, answer(&rejected).as_bytes())?;
            Err(rejected.into())
        }
    }
}

/// The box has what it read: says so on the volume and wipes the file.
pub fn complete<F: Read + Write + Seek>(
    volume: &Volume<F>,
    provision: &Provision,
) -> Result<(), StickError> {
    wipe(volume)?;
    let text = taken(provision) + "The file was wiped because it held a secret.\r\n";
    Ok(volume.write(RESULT, text.as_bytes())?)
}

/// The box has what it read but for one thing, for which the file stays.
pub fn hold<F: Read + Write + Seek>(
    volume: &Volume<F>,
    provision: &Provision,
    but: &str,
) -> Result<(), StickError> {
    Ok(volume.write(RESULT, format!("{}But {but}\r\n", taken(provision)).as_bytes())?)
}

fn taken(provision: &Provision) -> String {
    let Provision { node, store, site, .. } = provision;
    format!("Taken in.\r\nThis box is {node} in store {store} of {site}.\r\n")
}

/// Wipes the file; says whether there was one.
pub fn wipe<F: Read + Write + Seek>(volume: &Volume<F>) -> Result<bool, StickError> {
    let Some(name) = volume.provisioning()? else { return Ok(false) };
    volume.wipe(&name)?;
    Ok(true)
}

/// The reasons as the technician reads them in RESULT.TXT.
pub(crate) fn answer(rejected: &Rejected) -> String {
    let mut text = format!("NOT taken in: {}\r\n", rejected.file);
    for problem in &rejected.problems {
        text += &format!("  {problem}\r\n");
    }
    text + "Nothing was changed. Correct the file and start the box again.\r\n"
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::super::volume::{Window, format};
    use super::*;

    const BYTES: u64 = 16 << 20;
    const EXAMPLE: &str = include_str!("../../storebox.example.toml");

    fn formatted() -> Cursor<Vec<u8>> {
        let mut disk = Cursor::new(vec![0; usize::try_from(BYTES).unwrap()]);
        format(&mut Window::new(&mut disk, 0, BYTES), 1).unwrap();
        disk
    }

    fn open(disk: &mut Cursor<Vec<u8>>) -> Volume<&mut Cursor<Vec<u8>>> {
        Volume::open(Window::new(disk, 0, BYTES)).unwrap()
    }

    #[test]
    fn a_file_is_put_loaded_answered_and_leaves_no_secret() {
        let mut disk = formatted();
        let volume = open(&mut disk);
        assert_eq!(load(&volume).unwrap(), None);
        let put = put(&volume, "desk.toml", EXAMPLE.as_bytes()).unwrap();
        assert_eq!(load(&volume).unwrap(), Some(put.clone()));
        complete(&volume, &put).unwrap();
        assert_eq!(load(&volume).unwrap(), None);
        assert!(volume.read(RESULT).unwrap().starts_with(b"Taken in."));
        volume.close().unwrap();
        let secret = put.token.expose().as_bytes();
        assert!(!disk.get_ref().windows(secret.len()).any(|window| window == secret));
    }

    #[test]
    fn a_wrong_file_is_answered_with_line_and_key_and_stays() {
        let mut disk = formatted();
        let volume = open(&mut disk);
        let wrong = EXAMPLE.replace("\"0421\"", "\"Laden 0421\"").replace('\n', "\r\n");
        volume.write("STOREBOX.TOML", wrong.as_bytes()).unwrap();
        assert!(matches!(load(&volume), Err(StickError::Rejected(_))));
        let answer = String::from_utf8(volume.read(RESULT).unwrap()).unwrap();
        assert!(answer.contains("line 8: store: must be 1 to 32 of a-z"), "{answer}");
        assert!(volume.provisioning().unwrap().is_some());
    }

    #[test]
    fn a_wrong_file_is_not_put_and_the_old_one_stays() {
        let mut disk = formatted();
        let volume = open(&mut disk);
        put(&volume, "a.toml", EXAMPLE.as_bytes()).unwrap();
        assert!(put(&volume, "b.toml", b"format = 1").is_err());
        assert!(load(&volume).unwrap().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_damaged_volume_never_panics(
            hits in prop::collection::vec(
                (prop_oneof![11_usize..64, 512_usize..700, 0_usize..60_000], any::<u8>()),
                1..12,
            ),
        ) {
            let mut disk = formatted();
            put(&open(&mut disk), "a.toml", EXAMPLE.as_bytes()).unwrap();
            for (at, byte) in hits {
                disk.get_mut()[at] = byte;
            }
            if let Ok(volume) = Volume::open(Window::new(&mut disk, 0, BYTES)) {
                let _ = load(&volume);
                let _ = wipe(&volume);
            }
        }
    }
}
