//! A bundle on its way from hawkBit, in slices of time: between them the box looks at everything else.
//!
//! One answer is read over many slices, so that a server without ranges comes to an end as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use storebox_proto::ids::Hash32;
use storebox_proto::release::Release;

use super::words::Found;
use super::{HawkBit, HawkBitError, SILENCE_MAX, judge};
use crate::blocking::beside;
use crate::env;

/// An answer that takes longer is asked for anew from where it is.
const ONE_ANSWER_MAX: Duration = Duration::from_secs(6 * 3600);

/// What has come of one bundle.
pub(super) struct Download {
    action: String,
    /// What still comes; nothing if all was here.
    answer: Option<Response>,
    began: Instant,
    file: File,
    part: PathBuf,
    have: u64,
    is_resumed: bool,
}

impl HawkBit {
    /// Brings the bundle of a release for so long, from where it stopped; tells each piece, and whether it is whole.
    pub(in super::super) async fn fetch(
        &mut self,
        release: &Release,
        part: &Path,
        slice: Duration,
        mut piece: impl FnMut(u64, u64),
    ) -> Result<bool, HawkBitError> {
        let Some(found) = self.found.clone() else { return Ok(false) };
        let end = env::instant() + slice;
        let goes_on = |download: &Download| {
            download.action == found.action
                && env::instant().saturating_duration_since(download.began) < ONE_ANSWER_MAX
        };
        let mut download = match self.download.take().filter(goes_on) {
            Some(download) => download,
            None => self.begin(&found, release, part).await?,
        };
        while download.have < release.bytes {
            let left = end.saturating_duration_since(env::instant());
            if left.is_zero() {
                self.download = Some(download);
                return Ok(false);
            }
            match tokio::time::timeout(left, download.next()).await {
                Ok(Ok(Some(bytes))) => {
                    download.add(&bytes, release.bytes)?;
                    piece(bytes.len() as u64, download.have);
                }
                Ok(Ok(None)) => {
                    let why =
                        format!("it ended after {} of {} bytes", download.have, release.bytes);
                    return Err(HawkBitError::Answer { path: found.href, why });
                }
                Ok(Err(error)) => return Err(HawkBitError::Unreachable(error)),
                // The slice is over; a server that says nothing any more is met by the client's own limit.
                Err(_) => {}
            }
        }
        download.finish(release.digest).await.map(|()| true)
    }

    /// Nothing is fetched any more: the line is given back, and what has come stays.
    pub(in super::super) fn let_go(&mut self) {
        self.download = None;
    }

    async fn begin(
        &self,
        found: &Found,
        release: &Release,
        part: &Path,
    ) -> Result<Download, HawkBitError> {
        let (file, have) = open_part(part, release.bytes)?;
        let mut download = Download {
            action: found.action.clone(),
            answer: None,
            began: env::instant(),
            file,
            part: part.to_owned(),
            have,
            is_resumed: have > 0,
        };
        if have == release.bytes {
            return Ok(download);
        }
        let url = self.own(&found.href)?;
        let request = self.request(Method::GET, &url).header(RANGE, format!("bytes={have}-"));
        let asked = tokio::time::timeout(SILENCE_MAX, request.send()).await;
        let silent = |_| HawkBitError::Answer {
            path: url.path().to_owned(),
            why: format!("it did not come within {} s", SILENCE_MAX.as_secs()),
        };
        let answer = asked.map_err(silent)?.map_err(HawkBitError::Unreachable)?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE && have > 0 {
            // It ends before what is here.
            fs::remove_file(part)?;
            return Err(HawkBitError::Size { announced: release.bytes, is_resumed: false });
        }
        judge(&answer, &url)?;
        if !continues(&answer, have) {
            download.file.set_len(0)?;
            download.file.seek(SeekFrom::Start(0))?;
            (download.have, download.is_resumed) = (0, false);
        }
        download.answer = Some(answer);
        Ok(download)
    }
}

impl Download {
    /// The next bytes; nothing is lost where this is given up at the await.
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, reqwest::Error> {
        match &mut self.answer {
            Some(answer) => answer.chunk().await,
            None => Ok(None),
        }
    }

    fn add(&mut self, bytes: &[u8], announced: u64) -> Result<(), HawkBitError> {
        self.have += bytes.len() as u64;
        if self.have > announced {
            fs::remove_file(&self.part)?;
            return Err(HawkBitError::Size { announced, is_resumed: self.is_resumed });
        }
        Ok(self.file.write_all(bytes)?)
    }

    /// Has all of it on the disk, and compares it with what was announced.
    async fn finish(self, announced: Hash32) -> Result<(), HawkBitError> {
        let Self { file, part, is_resumed, .. } = self;
        let compared = beside(move || -> io::Result<Hash32> {
            file.sync_all()?;
            let found = sum(&part)?;
            if found != announced {
                fs::remove_file(&part)?;
            }
            Ok(found)
        });
        let found = compared.await?;
        if found == announced {
            return Ok(());
        }
        let (found, announced) = (found.to_string(), announced.to_string());
        Err(HawkBitError::Sum { found, announced, is_resumed })
    }
}

/// Whether the answer goes on where the file ends.
fn continues(answer: &Response, have: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    have == 0
        || (answer.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range.starts_with(&format!("bytes {have}-"))))
}

fn open_part(part: &Path, bytes_max: u64) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(part)?;
    let mut have = file.seek(SeekFrom::End(0))?;
    if have > bytes_max {
        file.set_len(0)?;
        have = file.seek(SeekFrom::Start(0))?;
    }
    Ok((file, have))
}

/// The SHA-256 of a file.
pub(in super::super) fn sum(path: &Path) -> io::Result<Hash32> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Hash32(hasher.finalize().into())),
            read => hasher.update(&piece[..read]),
        }
    }
}
