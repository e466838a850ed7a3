//! Head office, two sites, boxes and tills with real certificates, judged and refused.

mod judged;
mod theft;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use storebox_proto::ids::SiteId;
use storebox_proto::time::Timestamp;
use storebox_proto::trust::{Kind, Member};
use tempfile::TempDir;

use super::house::{self, House};
use super::office::Office;
use super::paper;
use crate::env;

pub(super) const DAY: i64 = 86_400_000;

/// A chain of stores in a directory.
pub(super) struct Estate {
    dir: TempDir,
}

pub(super) fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

pub(super) fn later(days: i64) -> Timestamp {
    Timestamp::from_unix_ms(env::believable().unix_ms() + days * DAY)
}

pub(super) fn member(site_name: &str, kind: Kind, name: &str) -> Member {
    Member { site: site(site_name), kind, name: name.parse().unwrap() }
}

impl Estate {
    /// With the sites 0007 and 0008.
    pub(super) fn new() -> Self {
        let estate = Self { dir: tempfile::tempdir().unwrap() };
        let mut office = Office::found(&estate.path("office"), later(0)).unwrap();
        for name in ["0007", "0008"] {
            office.new_site(&site(name), later(0)).unwrap();
        }
        estate
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn office(&self) -> Office {
        Office::open(&self.path("office"), later(0)).unwrap()
    }

    /// A box that head office has certified.
    pub(super) fn new_box(&self, site_name: &str, name: &str) -> Arc<House> {
        let data_dir = self.path(name);
        let request = house::request(&data_dir, name, Vec::new()).unwrap();
        let papers = self.office().issue(&site(site_name), &request, later(0)).unwrap();
        house::adopt(&data_dir, &papers, later(0)).unwrap();
        self.house(name)
    }

    pub(super) fn house(&self, name: &str) -> Arc<House> {
        Arc::new(House::open(&self.path(name), false).unwrap().unwrap())
    }
}

/// A till with a key of its own, let in by this box.
pub(super) fn till(house: &House, name: &str) -> (KeyPair, Vec<CertificateDer<'static>>) {
    let key = KeyPair::generate().unwrap();
    let who = Member {
        site: house.member.site.clone(),
        kind: Kind::Terminal,
        name: name.parse().unwrap(),
    };
    let chain = house.door.certify(&who, &paper::public(&key), later(0)).unwrap();
    (key, chain)
}
