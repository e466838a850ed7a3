//! Boxes on hosts of a LAN that a head office has certified, and the commands of whoever stands before them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::host::PORT;
use crate::lan::Lan;
use crate::proc::{Proc, until};

const SOON: Duration = Duration::from_secs(20);

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_storebox-under-test"))
}

/// A head office and one box of it on a host of the LAN.
pub(crate) struct Estate<'a> {
    lan: &'a Lan,
    host: &'static str,
    pub(crate) folder: PathBuf,
    office: String,
}

impl<'a> Estate<'a> {
    pub(crate) fn found(lan: &'a Lan, host: &'static str, folder: &Path) -> Self {
        Self::with(lan, host, folder, "")
    }

    /// The same, with further settings of the box.
    pub(crate) fn with(lan: &'a Lan, host: &'static str, folder: &Path, more: &str) -> Self {
        let office = folder.join(host).join("office").to_string_lossy().into_owned();
        let estate = Self { lan, host, folder: folder.join(host), office };
        estate.lay_out("box-1", more);
        estate.good(&["site", "new", "--office", &estate.office, "0007"]);
        estate.adopt("box-1");
        estate
    }

    /// A further box of the same site.
    pub(crate) fn further(&self, host: &'static str, node: &str, more: &str) -> Self {
        let folder = self.folder.with_file_name(host);
        let further = Self { lan: self.lan, host, folder, office: self.office.clone() };
        further.lay_out(node, more);
        further.adopt(node);
        further
    }

    /// A box whose disk is a copy of this one's, which does not run.
    pub(crate) fn copied(&self, host: &'static str, more: &str) -> Self {
        let folder = self.folder.with_file_name(host);
        let copy = Self { lan: self.lan, host, folder, office: self.office.clone() };
        copy.lay_out("box-1", more);
        let everything = format!("{}/.", self.path("data"));
        let copied = Command::new("cp").args(["-a", &everything, &copy.path("data")]).status();
        assert!(copied.is_ok_and(|copied| copied.success()), "a copy of the disk");
        copy
    }

    /// A box that serves TLS on its LAN, and nothing else.
    fn lay_out(&self, node: &str, more: &str) {
        let settings = format!(
            "role = \"store\"\nnode = \"{node}\"\ndata_dir = {:?}\n[http]\nlisten = [\"127.0.0.1:0\"]\n\
             [tls]\nlisten = [\"{}:{PORT}\"]\n{more}",
            self.path("data"),
            self.lan.address(self.host)
        );
        std::fs::create_dir_all(self.folder.join("data")).expect("a folder of the test");
        std::fs::write(self.folder.join("storebox.toml"), settings).expect("the same");
    }

    fn adopt(&self, node: &str) {
        let request = self.good(&["site", "request", node]);
        std::fs::write(self.folder.join("request"), request).expect("the same");
        let issue = ["site", "issue", "--office", &self.office, "0007", &self.path("request")];
        std::fs::write(self.folder.join("papers"), self.good(&issue)).expect("the same");
        self.good(&["site", "adopt", &self.path("papers")]);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn start(&self) -> Proc {
        let mut command = self.lan.command(self.host, &program().to_string_lossy());
        command.args(["--config", &self.path("storebox.toml"), "run"]);
        let running = Proc::start(command);
        let at = self.folder.join("data/https.addr");
        until(SOON, "a box that serves", || {
            at.exists() && self.run(self.host, &["status"]).status.success()
        });
        running
    }

    /// The program with this estate's configuration, on any host.
    pub(crate) fn run(&self, host: &str, arguments: &[&str]) -> Output {
        let mut command = self.lan.command(host, &program().to_string_lossy());
        command.args(["--config", &self.path("storebox.toml")]).args(arguments);
        command.output().expect("the program is there")
    }

    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        said(&self.run(self.host, arguments))
    }

    /// A slip without the addresses that would lead a lured newcomer to the right box after all.
    pub(crate) fn slip(&self) -> String {
        let text = self.good(&["enrol", "slip", "--by", "manager"]);
        text.split(':').take(5).collect::<Vec<_>>().join(":")
    }

    /// A newcomer on some host, lured or led to an address.
    pub(crate) fn join(&self, from: &str, name: &str, slip: &str, to: &str) -> Output {
        let (dir, address) = (self.path(name), format!("{}:{PORT}", self.lan.address(to)));
        let way = ["--slip", slip, "--address", &address];
        let who = ["enrol", "join", "--dir", &dir, "--name", name];
        self.run(from, &[&who[..], &way[..]].concat())
    }
}

/// What a command printed.
pub(crate) fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Why a command failed.
pub(crate) fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it should have been refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
