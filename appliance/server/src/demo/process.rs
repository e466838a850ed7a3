//! Boxes as real processes: this very executable with `run`, each in its own directory, on free ports.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client;
use crate::env;

/// How long a box may take to answer after its start.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long a box may take to stop; then it is killed.
const STOP_MAX: Duration = Duration::from_secs(12);
/// Between two looks at something that is about to happen.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The end of a log that is shown with a failure.
const LOG_TAIL_LINES: usize = 20;

/// Why a box does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or process could not be made.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The process ended on its own.
    #[error("box {node} ended ({status}); the end of its log:\n{log}")]
    Ended {
        /// Which.
        node: String,
        /// How.
        status: ExitStatus,
        /// Its last lines.
        log: String,
    },
    /// It runs but does not answer.
    #[error("box {node} is not ready after {READY_MAX:?}; the end of its log:\n{log}")]
    NotReady {
        /// Which.
        node: String,
        /// Its last lines.
        log: String,
    },
    /// A command of the box failed.
    #[error("storebox {command}: {status}\n{said}")]
    Command {
        /// Its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// A request to a box failed.
    #[error("ask box {node} for {path}")]
    Request {
        /// Which.
        node: String,
        /// For what.
        path: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A box answered something else than it should.
    #[error("box {node} answers {path} with {answer}")]
    Answer {
        /// Which.
        node: String,
        /// To what.
        path: String,
        /// With what.
        answer: String,
    },
}

fn system<T>(what: impl FnOnce() -> String, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::System { what: what(), source })
}

/// One box: its directory, its configuration, and its process while it runs.
pub struct Process {
    node: String,
    executable: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    control: reqwest::Client,
}

impl Process {
    /// Lays out a box under `folder`; `settings` is the rest of its configuration file.
    pub fn lay_out(
        executable: &Path,
        folder: &Path,
        node: &str,
        settings: &str,
    ) -> Result<Self, Error> {
        let folder = folder.join(node);
        let data = folder.join("data");
        system(|| format!("create {data:?}"), fs::create_dir_all(&data))?;
        let data_text = toml::Value::String(data.to_string_lossy().into_owned());
        let text = format!("node = \"{node}\"\ndata_dir = {data_text}\n{settings}");
        let config = folder.join("storebox.toml");
        system(|| format!("write {config:?}"), fs::write(&config, text))?;
        let node = node.to_owned();
        let control = client::builder()
            .unix_socket(data.join("control.sock"))
            .build()
            .map_err(|source| Error::Request { node: node.clone(), path: String::new(), source })?;
        Ok(Self { node, executable: executable.to_owned(), folder, child: None, control })
    }

    /// The directory that the box keeps everything in.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the process and waits until it answers.
    pub async fn start(&mut self) -> Result<SocketAddr, Error> {
        let log = self.folder.join("log");
        let open = || File::options().create(true).append(true).open(&log);
        let output = system(|| format!("open {log:?}"), open())?;
        let errors = system(|| format!("open {log:?}"), output.try_clone())?;
        let address_file = self.data().join("http.addr");
        let _ = fs::remove_file(&address_file);
        let child = self
            .command()
            .arg("run")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn();
        self.child = Some(system(|| format!("start {:?}", self.executable), child)?);
        let begun = env::instant();
        loop {
            self.check_alive()?;
            if let Some(address) = read_address(&address_file)
                && self.control("GET", "/healthz", None).await.is_ok()
            {
                return Ok(address);
            }
            if begun.elapsed() > READY_MAX {
                return Err(Error::NotReady { node: self.node.clone(), log: self.log_tail() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The number of the process while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Fails if the process ended on its own.
    pub fn check_alive(&mut self) -> Result<(), Error> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match system(|| "ask for a process".to_owned(), child.try_wait())? {
            None => Ok(()),
            Some(status) => {
                self.child = None;
                Err(Error::Ended { node: self.node.clone(), status, log: self.log_tail() })
            }
        }
    }

    /// Pulls the plug: no warning, nothing is finished.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops the box as the service manager does.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = i32::try_from(child.id()).expect("Linux numbers processes below 2^22");
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let begun = env::instant();
        while begun.elapsed() < STOP_MAX {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Runs a command of the program against this box and returns what it printed.
    pub fn ask(&self, arguments: &[&str]) -> Result<String, Error> {
        let run = || self.command().args(arguments).stdin(Stdio::null()).output();
        let output = tokio::task::block_in_place(run);
        let output = system(|| format!("start {:?}", self.executable), output)?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            return Ok(said);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let said = format!("{said}\n{complaint}");
        Err(Error::Command { command: arguments.join(" "), status: output.status, said })
    }

    /// Asks as the operator, through the control socket.
    pub async fn control(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let failed =
            |source| Error::Request { node: self.node.clone(), path: path.to_owned(), source };
        let method = method.parse().expect("methods are literals");
        let mut request = self.control.request(method, format!("http://box{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(failed)?;
        if status.is_success() {
            return Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null));
        }
        let answer = format!("{status} {}", String::from_utf8_lossy(&bytes));
        Err(self.odd_answer(path, answer))
    }

    /// The error of an answer that is not what it should be.
    pub fn odd_answer(&self, path: &str, answer: String) -> Error {
        Error::Answer { node: self.node.clone(), path: path.to_owned(), answer }
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.arg("--config").arg(self.folder.join("storebox.toml"));
        command
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_address(file: &Path) -> Option<SocketAddr> {
    fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}
