//! The listeners: an accept loop of our own, because a ready-made one has no patience to lose.
//!
//! `axum::serve` keeps a connection whose head never ends; here heads, bodies, unread answers, rests between
//! requests and the number of connections are all bounded (the times are in the configuration).
//! Every request that is refused gets an RFC 9457 answer, also what the framework refuses; what is no request at all
//! gets a bare 400 or 431, a log line and a count (decision 0005).
//! Over TLS a connection takes its seat before the handshake, which has as long as the head of a request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::request::{self, Parts};
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::Limited;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use storebox_proto::problem::Code;
use storebox_proto::skew;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::auth::{Ask, Caller};
use super::gate::{self, Gate};
use super::guard::{Guarded, Phase, PromptBody};
use super::problem::Refusal;
use super::rate::Rates;
use super::refused::Told;
use super::sealed::{self, Sealing};
use super::seats::Seats;
use super::shown::{Arrival, Shown};
use super::streams::{self, Standing};
use super::traffic::Traffic;
use super::{auth, correlation, refusal, refused, rings};
use crate::config::Http;
use crate::env;
use crate::login::Logins;
use crate::pass::{Claim, PROOF};
use crate::supervise::{Pulse, Supervisor};
use crate::terminal::access::Access;
use crate::trust::tls::{Tls, failure};

const PROOF_HEADER: HeaderName = HeaderName::from_static(PROOF);
/// A request head beyond this is refused by hyper with 431, no body and a log line.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Requests that are under way when the box stops may take this long.
const DRAIN: Duration = Duration::from_secs(4);
/// Imports and full refreshes of a large chain end within this.
const OPERATOR_MAX: Duration = Duration::from_secs(3600);
/// The accept loops show a sign of life this often.
const BEAT: Duration = Duration::from_secs(5);
/// Where newcomers come in.
const ENROL: &str = "/enrol/";
/// After a failed accept (no file descriptors left) the loop rests.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Through a listener on the network.
    Network(SocketAddr),
    /// Through the control socket, whose file mode lets only the operator in.
    Control,
}

impl Peer {
    /// Whether the client runs on this machine.
    pub fn is_this_machine(self) -> bool {
        match self {
            Self::Network(address) => address.ip().to_canonical().is_loopback(),
            Self::Control => true,
        }
    }
}

/// What serves all connections.
#[derive(Debug)]
pub struct Server {
    /// Who may come in.
    pub access: Access,
    /// All routes.
    pub router: Router,
    /// The times and numbers.
    pub limits: Http,
    /// What is counted.
    pub traffic: Traffic,
    /// What opens and seals.
    pub sealing: Sealing,
    /// Who is logged in.
    pub logins: Logins,
    /// How often callers may ask.
    pub rates: Rates,
    /// What browsers may.
    pub gate: Gate,
    /// What is served over TLS.
    pub secure: Option<Secure>,
}

/// Listeners that speak TLS.
#[derive(Debug)]
pub struct Secure {
    /// The box's end of it.
    pub tls: Tls,
    /// The listeners.
    pub listeners: Vec<TcpListener>,
}

impl Server {
    /// Starts an accept loop per listener.
    pub fn start(
        mut self,
        supervisor: &Supervisor,
        network: Vec<TcpListener>,
        control: UnixListener,
    ) {
        let seats = Arc::new(Seats::new(&self.limits));
        let secure = self.secure.take();
        let house = Arc::new(self);
        for listener in network {
            listen(&house, &seats, supervisor, listener, None);
        }
        if let Some(Secure { tls, listeners }) = secure {
            for listener in listeners {
                listen(&house, &seats, supervisor, listener, Some(tls.clone()));
            }
        }
        let (pulse, children) = (supervisor.pulse("http control"), supervisor.clone());
        supervisor.spawn_owner("http control", |stop| async move {
            while let Some((stream, _)) = next(&pulse, &stop, || control.accept()).await {
                let house = Arc::clone(&house);
                let visit = converse(stream, Peer::Control, None, house, stop.clone());
                children.spawn_short(visit);
            }
        });
    }

    /// Who asks, if it shows the secret of the store; over TLS, with the certificate of that very box.
    ///
    /// What somebody has overheard or lured out of a box is worth nothing on a connection of his own.
    fn claim(&self, head: &request::Parts, shown: Option<&Shown>) -> Option<Claim> {
        let header = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        let claim = self.access.neighbour(header, head.method.as_str(), path)?;
        shown.is_none_or(|shown| shown.is_box(&claim.node)).then_some(claim)
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        shown: Option<&Shown>,
    ) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let is_known = shown.is_some_and(|shown| shown.member().is_some());
        let page = match self.gate.check(&head, peer, shown.is_some(), is_known) {
            Ok(page) => page,
            Err(refused) => return self.disbelieve(refused, peer),
        };
        if let Some(answer) = page.preflight(&head) {
            return answer;
        }
        if sealed::is_sealed(head.uri.path()) {
            return page.dress(sealed::serve(self, head, body, peer, shown).await);
        }
        let claim = self.claim(&head, shown);
        let caller = match self.admit(&head, claim.as_ref(), peer, shown) {
            Ok(caller) => caller,
            Err(refused) => return page.dress(self.disbelieve(refused, peer)),
        };
        if let (Peer::Network(from), true) = (peer, asks_by_channel(head.uri.path())) {
            let secured = shown.map(Shown::secured);
            head.extensions.insert(Arrival { address: from.ip().to_canonical(), secured });
        }
        let standing = match &claim {
            None => Standing::of(&self.access, &self.logins, (&head, peer, shown), &caller),
            Some(_) => None,
        };
        let proof = claim.as_ref().and_then(|claim| HeaderValue::from_str(&claim.proof).ok());
        if let Some(claim) = claim {
            head.extensions.insert(claim);
        }
        let mut response = streams::until(self.serve(head, body, caller, peer).await, standing);
        response.headers_mut().extend(proof.map(|proof| (PROOF_HEADER, proof)));
        page.dress(response)
    }

    /// Refuses a caller; what says something about the LAN is counted and logged.
    fn disbelieve(&self, refused: Refusal, peer: Peer) -> Response<Body> {
        let told = refused::disbelieve(&self.traffic, refused.0.code, peer);
        let mut response = axum::response::IntoResponse::into_response(refused);
        if told {
            response.extensions_mut().insert(Told);
        }
        response
    }

    async fn serve(
        &self,
        head: Parts,
        body: Incoming,
        caller: Caller,
        peer: Peer,
    ) -> Response<Body> {
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
        let max = self.limits.body_bytes_max;
        let is_too_long = |length| usize::try_from(length).map_or(true, |length| length > max);
        let body = match peer {
            _ if body.is_end_stream() => Body::empty(),
            // The operator's imports are as large as a catalogue; they have limits of their own.
            Peer::Control => Body::new(PromptBody::new(body, OPERATOR_MAX)),
            Peer::Network(_) if length.is_some_and(is_too_long) => {
                return refusal::answer(Code::TooLarge, format!("a body may have {max} bytes"));
            }
            Peer::Network(_) => {
                Body::new(Limited::new(PromptBody::new(body, self.limits.body_timeout()), max))
            }
        };
        let patience = match peer {
            Peer::Control => OPERATOR_MAX,
            Peer::Network(_) => self.limits.request_timeout(),
        };
        self.route(Request::from_parts(head, body), caller, patience).await
    }

    /// Lets a caller in who came in the open.
    fn admit(
        &self,
        head: &request::Parts,
        claim: Option<&Claim>,
        peer: Peer,
        shown: Option<&Shown>,
    ) -> Result<Caller, Refusal> {
        let request::Parts { method, uri, headers, .. } = head;
        auth::check_url(uri)?;
        if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            let detail = "compressed bodies are not taken: send it as it is";
            return Err(Refusal::new(Code::MediaTypeUnsupported, detail));
        }
        let (path, now) = (uri.path(), env::timestamp());
        let ask = Ask { method, path, headers, claim, peer, shown, now };
        let caller = match self.gate.is_astray(head, peer) {
            true => self.let_in_astray(&ask)?,
            false => self.let_in(&ask)?,
        };
        if !rings::PATHS.contains(&path) {
            self.sealing.check_open(caller.identity.as_ref())?;
        }
        Ok(caller)
    }

    /// Finds out who asks, whether they may, and whether they ask too often.
    pub(super) fn let_in(&self, ask: &Ask<'_>) -> Result<Caller, Refusal> {
        let now = env::instant();
        self.rates.check_stranger(ask.peer, now)?;
        match auth::admit(&self.access, &self.logins, ask) {
            Ok(caller) => {
                self.rates.check(&caller, now)?;
                Ok(caller)
            }
            Err(refused) => {
                if refused.0.status == 401 {
                    self.rates.count_stranger(ask.peer, now);
                }
                Err(refused)
            }
        }
    }

    /// The same for a host that this box does not have: whoever is nobody may be a page that was turned here, and what
    /// it guesses is not held against the address that it runs at.
    fn let_in_astray(&self, ask: &Ask<'_>) -> Result<Caller, Refusal> {
        match auth::admit(&self.access, &self.logins, ask) {
            Ok(caller) if caller.identity.is_some() => {
                self.rates.check(&caller, env::instant())?;
                Ok(caller)
            }
            Err(refused) if refused.0.status != 401 => Err(refused),
            Ok(_) | Err(_) => Err(gate::astray()),
        }
    }

    /// Hands a request to its route, whose caller was let in.
    pub(super) async fn route(
        &self,
        mut request: Request<Body>,
        caller: Caller,
        patience: Duration,
    ) -> Response<Body> {
        if let Some(identity) = caller.identity {
            request.extensions_mut().insert(identity);
        }
        if let Some(person) = caller.person {
            request.extensions_mut().insert(person);
        }
        if let Some(key) = caller.key {
            request.extensions_mut().insert(key);
        }
        let has_body = !request.body().is_end_stream();
        if has_body {
            DefaultBodyLimit::max(self.limits.body_bytes_max).apply(&mut request);
        }
        let answer = self.router.clone().call(request);
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(response)) => refusal::complete(response, has_body).await,
            Ok(Err(never)) => match never {},
            Err(_) => refusal::answer(Code::Busy, "the request took too long and was given up"),
        }
    }
}

/// Starts the accept loop of one listener on the network.
fn listen(
    house: &Arc<Server>,
    seats: &Arc<Seats>,
    supervisor: &Supervisor,
    listener: TcpListener,
    tls: Option<Tls>,
) {
    let address = listener.local_addr().map_or_else(|_| "?".to_owned(), |a| a.to_string());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let name = format!("{scheme} {address}");
    let (house, seats) = (Arc::clone(house), Arc::clone(seats));
    let (pulse, children) = (supervisor.pulse(name.as_str()), supervisor.clone());
    supervisor.spawn_owner(name, |stop| async move {
        while let Some((stream, from)) = next(&pulse, &stop, || listener.accept()).await {
            let Some(seat) = Seats::take(&seats, from.ip()) else {
                house.traffic.turned_away();
                continue;
            };
            // Answers are written whole; waiting for more to send would only delay them.
            let _ = stream.set_nodelay(true);
            let (house, stop, tls) = (Arc::clone(&house), stop.clone(), tls.clone());
            children.spawn_short(async move {
                match tls {
                    Some(tls) => greet(stream, from, tls, house, stop).await,
                    None => converse(stream, Peer::Network(from), None, house, stop).await,
                }
                drop(seat);
            });
        }
    });
}

/// Shakes hands, within the time of a request head, and goes on with what the client has shown.
async fn greet(
    stream: TcpStream,
    from: SocketAddr,
    tls: Tls,
    house: Arc<Server>,
    stop: CancellationToken,
) {
    let handshake = TlsAcceptor::from(tls.config()).accept(stream);
    let failed = match tokio::time::timeout(house.limits.head_timeout(), handshake).await {
        Ok(Ok(stream)) => {
            let Some(secured) = tls.secured(stream.get_ref().1) else { return };
            let shown = Shown::new(tls, secured);
            shown.enter(&house.access).await;
            return converse(stream, Peer::Network(from), Some(shown), house, stop).await;
        }
        Ok(Err(error)) => failure(&error),
        Err(_) => "handshake_slow",
    };
    if let Some(count) = house.traffic.disbelieved(failed) {
        tracing::info!(code = failed, count, %from, "no TLS connection came about");
    }
}

/// The next connection, or nothing when the box stops.
async fn next<T, F>(
    pulse: &Pulse,
    stop: &CancellationToken,
    mut accept: impl FnMut() -> F,
) -> Option<T>
where
    F: Future<Output = std::io::Result<T>>,
{
    enum Event<T> {
        Stop,
        Beat,
        Came(std::io::Result<T>),
    }
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => Event::Stop,
            came = accept() => Event::Came(came),
            () = tokio::time::sleep(BEAT) => Event::Beat,
        };
        pulse.beat();
        match event {
            Event::Stop => return None,
            Event::Beat => {}
            Event::Came(Ok(connection)) => return Some(connection),
            Event::Came(Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// One connection from its first byte to its last; dropping it closes the connection.
async fn converse<S>(
    stream: S,
    peer: Peer,
    shown: Option<Shown>,
    house: Arc<Server>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let phase = Phase::new();
    let limits = &house.limits;
    let stream = Guarded::new(stream, phase.clone(), limits.head_timeout(), limits.write_timeout());
    let visit = Visit { house: Arc::clone(&house), peer, shown, phase };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout())
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), visit);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN, connection).await.unwrap_or(Ok(()))
        }
    };
    match ended {
        Err(error) if error.is_parse() => {
            // hyper has answered 400 or 431 with an empty body: what came is no request that could be refused.
            house.traffic.not_understood();
            tracing::info!(%error, ?peer, "what came is not HTTP");
        }
        Err(error) => tracing::debug!(%error, ?peer, "connection ended"),
        Ok(()) => {}
    }
}

struct Visit {
    house: Arc<Server>,
    peer: Peer,
    shown: Option<Shown>,
    phase: Phase,
}

impl hyper::service::Service<Request<Incoming>> for Visit {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.phase.enter();
        let (house, peer, phase) = (Arc::clone(&self.house), self.peer, self.phase.clone());
        let shown = self.shown.clone();
        let timed = is_of_a_till(request.uri()).then(env::instant);
        let correlation = correlation::brought(request.headers()).cloned();
        Box::pin(async move {
            let mut response = house.answer(request, peer, shown.as_ref()).await;
            house.traffic.answered(response.status());
            if let Some(&code) = response.extensions().get::<Code>() {
                let told = response.extensions().get::<Told>().is_some();
                refused::tell(&house.traffic, code, peer, told, correlation.as_ref());
            }
            let version = HeaderValue::from(skew::API);
            response.headers_mut().insert(HeaderName::from_static(skew::HEADER), version);
            if let Some(correlation) = correlation {
                correlation::give_back(response.headers_mut(), correlation);
            }
            if let Some(began) = timed {
                house.traffic.waits().count(env::instant().saturating_duration_since(began));
            }
            phase.leave();
            Ok(response)
        })
    }
}

/// Whether the answer depends on what the connection itself has shown.
fn asks_by_channel(path: &str) -> bool {
    path.starts_with(ENROL) || rings::PATHS.contains(&path)
}

/// Whether a till stands still until this is answered, and not because it wants to wait.
fn is_of_a_till(uri: &axum::http::Uri) -> bool {
    let path = uri.path();
    path.starts_with("/v1/models/") || (path == "/v1/transactions" && uri.query().is_none())
}
