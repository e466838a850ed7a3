//! An FTP server (RFC 959, RFC 2428): what three verbs need of it, in passive mode only.
//! With `ftps:`, both connections are turned to TLS before anything is said on them (RFC 4217); a server that does not
//! do so gets no password.
//!
//! A connection for each file: servers drop idle ones without a word, and few files are fetched at a time.
//! The data connection goes to the host that the control connection goes to, whatever the server names: one that
//! names another host is refused, since it could make this box knock anywhere on the LAN.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::place::FtpServer;
use super::{CONNECT_MAX, SILENT_MAX, StorageError};

/// A line of a server's answer.
const LINE_BYTES_MAX: u64 = 1024;
/// Lines of one answer; welcome messages have a dozen.
const LINES_MAX: usize = 100;
/// Appended to the name of a file that is being written.
const PART: &str = ".part";

/// By whom a server is believed over TLS, and as whom.
#[derive(Clone)]
pub(super) struct Secure {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// A connection, over TLS or not.
trait Cable: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Cable for T {}

#[derive(Clone)]
pub(super) struct Ftp {
    server: FtpServer,
    secure: Option<Secure>,
}

/// One control connection.
struct Session {
    stream: BufReader<Box<dyn Cable>>,
    secure: Option<Secure>,
    host: IpAddr,
    at: String,
}

struct Reply {
    code: u16,
    text: String,
}

impl Ftp {
    pub(super) fn new(server: FtpServer, secure: Option<Secure>) -> Self {
        Self { server, secure }
    }

    pub(super) async fn read(
        &self,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let mut session = self.enter(path).await?;
        let data = session.passive().await?;
        let reply = session.ask(&format!("RETR {}", self.path(path))).await?;
        if reply.code == 550 {
            return Ok(None);
        }
        session.accept(&reply, 100..200)?;
        let mut data = session.turn(Box::new(data)).await?;
        let mut body = BytesMut::new();
        loop {
            let read = timeout(SILENT_MAX, data.read_buf(&mut body)).await;
            let read = match read.map_err(|_| session.late())? {
                // Many servers end TLS without a word; what was cut off has another hash.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
                read => read.map_err(|error| session.broken(error))?,
            };
            if body.len() > bytes_max {
                return Err(StorageError::TooLarge { at: session.at, bytes_max });
            }
            if read == 0 {
                break;
            }
        }
        drop(data);
        let reply = session.hear().await?;
        session.accept(&reply, 200..300)?;
        session.leave().await;
        Ok(Some(body.freeze()))
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let mut session = self.enter(path).await?;
        let reply = session.ask(&format!("SIZE {}", self.path(path))).await?;
        if reply.code == 550 {
            return Ok(None);
        }
        session.accept(&reply, 200..300)?;
        session.leave().await;
        Ok(Some(reply.text.trim().parse().unwrap_or(u64::MAX)))
    }

    /// Under another name first: a transfer that is cut leaves a file that nobody reads.
    pub(super) async fn write(&self, path: &str, bytes: &Bytes) -> Result<(), StorageError> {
        let mut session = self.enter(path).await?;
        let target = self.path(path);
        for (at, _) in target.match_indices('/').skip(1) {
            // One that is there already is refused, which is as good.
            session.ask(&format!("MKD {}", &target[..at])).await?;
        }
        let data = session.passive().await?;
        let reply = session.ask(&format!("STOR {target}{PART}")).await?;
        session.accept(&reply, 100..200)?;
        let mut data = session.turn(Box::new(data)).await?;
        let sent = timeout(super::FILE_MAX, data.write_all(bytes)).await;
        sent.map_err(|_| session.late())?.map_err(|error| session.broken(error))?;
        data.shutdown().await.map_err(|error| session.broken(error))?;
        drop(data);
        let reply = session.hear().await?;
        session.accept(&reply, 200..300)?;
        self.rename(&mut session, &target).await?;
        session.leave().await;
        Ok(())
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), StorageError> {
        let mut session = self.enter(path).await?;
        let reply = session.ask(&format!("DELE {}", self.path(path))).await?;
        if reply.code != 550 {
            session.accept(&reply, 200..300)?;
        }
        session.leave().await;
        Ok(())
    }

    /// Some servers replace the target, others want it gone first.
    async fn rename(&self, session: &mut Session, target: &str) -> Result<(), StorageError> {
        for attempt in 0..2 {
            let reply = session.ask(&format!("RNFR {target}{PART}")).await?;
            session.accept(&reply, 300..400)?;
            let reply = session.ask(&format!("RNTO {target}")).await?;
            if reply.code < 400 {
                return Ok(());
            }
            if attempt == 1 {
                return session.accept(&reply, 200..300);
            }
            session.ask(&format!("DELE {target}")).await?;
        }
        Ok(())
    }

    async fn enter(&self, path: &str) -> Result<Session, StorageError> {
        let FtpServer { host, port, user, secret, .. } = &self.server;
        let scheme = if self.secure.is_some() { "ftps" } else { "ftp" };
        let at = format!("{scheme}://{host}:{port}{}", self.path(path));
        let connected = timeout(CONNECT_MAX, TcpStream::connect((host.as_str(), *port))).await;
        let late = |_| StorageError::Late { at: at.clone(), within_s: CONNECT_MAX.as_secs() };
        let broken = |error: std::io::Error| StorageError::Unreachable {
            at: at.clone(),
            source: Box::new(error),
        };
        let stream = connected.map_err(late)?.map_err(broken)?;
        let host = stream.peer_addr().map_err(broken)?.ip();
        let stream: Box<dyn Cable> = Box::new(stream);
        let secure = self.secure.clone();
        let mut session = Session { stream: BufReader::new(stream), secure, host, at };
        let reply = session.hear().await?;
        session.accept(&reply, 200..300)?;
        if self.secure.is_some() {
            session = session.over_tls().await?;
        }
        let reply = session.ask(&format!("USER {user}")).await?;
        if (300..400).contains(&reply.code) {
            let reply = session.ask(&format!("PASS {secret}")).await?;
            session.let_in(&reply)?;
        } else {
            session.let_in(&reply)?;
        }
        let protect: &[&str] = if self.secure.is_some() { &["PBSZ 0", "PROT P"] } else { &[] };
        for command in protect.iter().chain(&["TYPE I"]) {
            let reply = session.ask(command).await?;
            session.accept(&reply, 200..300)?;
        }
        Ok(session)
    }

    fn path(&self, path: &str) -> String {
        let root = &self.server.root;
        if root.is_empty() { format!("/{path}") } else { format!("/{root}/{path}") }
    }
}

impl Session {
    /// Turns the control connection to TLS.
    async fn over_tls(mut self) -> Result<Self, StorageError> {
        let reply = self.ask("AUTH TLS").await?;
        self.accept(&reply, 200..300)?;
        // What was said before TLS must not be taken for something said within it.
        if !self.stream.buffer().is_empty() {
            return Err(self.broken(ErrorKind::InvalidData.into()));
        }
        let Self { stream, secure, host, at } = self;
        let open: Box<dyn Cable> = Box::new(tokio::io::empty());
        let session = Self { stream: BufReader::new(open), secure, host, at };
        let stream = BufReader::new(session.turn(stream.into_inner()).await?);
        Ok(Self { stream, ..session })
    }

    /// A connection over TLS, if this server is spoken to so.
    async fn turn(&self, cable: Box<dyn Cable>) -> Result<Box<dyn Cable>, StorageError> {
        let Some(Secure { config, name }) = &self.secure else { return Ok(cable) };
        let connector = TlsConnector::from(Arc::clone(config));
        let turned = timeout(CONNECT_MAX, connector.connect(name.clone(), cable)).await;
        let turned = turned.map_err(|_| self.late())?.map_err(|error| self.broken(error))?;
        Ok(Box::new(turned))
    }

    async fn ask(&mut self, command: &str) -> Result<Reply, StorageError> {
        let line = format!("{command}\r\n");
        let sent = timeout(SILENT_MAX, self.stream.get_mut().write_all(line.as_bytes())).await;
        sent.map_err(|_| self.late())?.map_err(|error| self.broken(error))?;
        self.hear().await
    }

    /// One answer, which may have many lines; the last one counts.
    async fn hear(&mut self) -> Result<Reply, StorageError> {
        for _ in 0..LINES_MAX {
            let mut line = Vec::new();
            let mut bounded = (&mut self.stream).take(LINE_BYTES_MAX);
            let read = timeout(SILENT_MAX, bounded.read_until(b'\n', &mut line)).await;
            let read = read.map_err(|_| self.late())?.map_err(|error| self.broken(error))?;
            if read == 0 {
                return Err(self.broken(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let line = String::from_utf8_lossy(&line);
            let code = line.get(..3).and_then(|code| code.parse().ok());
            if let (Some(code), Some(b' ' | b'\r' | b'\n')) = (code, line.as_bytes().get(3)) {
                return Ok(Reply { code, text: line.get(4..).unwrap_or_default().to_owned() });
            }
        }
        Err(StorageError::TooLarge { at: self.at.clone(), bytes_max: LINES_MAX })
    }

    /// A data connection, by the newer command and else by the older one.
    async fn passive(&mut self) -> Result<TcpStream, StorageError> {
        let reply = self.ask("EPSV").await?;
        let address = if reply.code == 229 {
            let port = reply.text.split('|').nth(3).and_then(|port| port.parse().ok());
            port.map(|port| SocketAddr::new(self.host, port))
        } else {
            let reply = self.ask("PASV").await?;
            self.accept(&reply, 200..300)?;
            named(&reply.text)
        };
        let address = address.ok_or(StorageError::Status { at: self.at.clone(), status: 227 })?;
        if address.ip() != self.host {
            let (at, to) = (self.at.clone(), address.to_string());
            return Err(StorageError::Redirected { at, to });
        }
        let connected = timeout(CONNECT_MAX, TcpStream::connect(address)).await;
        connected.map_err(|_| self.late())?.map_err(|error| self.broken(error))
    }

    fn let_in(&self, reply: &Reply) -> Result<(), StorageError> {
        // 530 is FTP's word for what HTTP calls 401, and the tiers know that one.
        let status = if reply.code == 530 { 401 } else { reply.code };
        let (at, ok) = (self.at.clone(), (200..300).contains(&reply.code));
        if ok { Ok(()) } else { Err(StorageError::Status { at, status }) }
    }

    fn accept(&self, reply: &Reply, codes: std::ops::Range<u16>) -> Result<(), StorageError> {
        let (at, status) = (self.at.clone(), reply.code);
        if codes.contains(&status) { Ok(()) } else { Err(StorageError::Status { at, status }) }
    }

    /// Whether the server says goodbye does not matter.
    async fn leave(mut self) {
        let _ = timeout(CONNECT_MAX, self.stream.get_mut().write_all(b"QUIT\r\n")).await;
    }

    fn late(&self) -> StorageError {
        StorageError::Late { at: self.at.clone(), within_s: SILENT_MAX.as_secs() }
    }

    fn broken(&self, source: std::io::Error) -> StorageError {
        StorageError::Unreachable { at: self.at.clone(), source: Box::new(source) }
    }
}

/// The address in an answer such as `Entering passive mode (192,0,2,1,200,10).`
fn named(text: &str) -> Option<SocketAddr> {
    let inside = text.split(['(', ')']).nth(1).unwrap_or(text);
    let numbers: Option<Vec<u8>> =
        inside.split(',').map(|number| number.trim().parse().ok()).collect();
    let [a, b, c, d, high, low] = numbers?[..] else { return None };
    Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passive_address_is_read_and_nonsense_is_not() {
        let read = named("Entering passive mode (192,0,2,1,200,10).");
        assert_eq!(read, Some("192.0.2.1:51210".parse().unwrap()));
        for bad in ["", "(1,2,3)", "(1,2,3,4,5,600)", "(a,b,c,d,e,f)", "(1,2,3,4,5,6,7)"] {
            assert_eq!(named(bad), None, "{bad}");
        }
    }
}
