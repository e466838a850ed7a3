//! Judging passwords and tokens.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use sha2::Sha256;
use storebox_proto::estate::channel::Right as ChannelRight;
use storebox_proto::ids::{Hash32, NodeId, SiteId, TerminalId};
use storebox_proto::limits::{LOGIN_NAME_BYTES_MAX, PASSWORD_BYTES_MAX};
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;
use storebox_proto::token::{
    Attempts, Claims, Confirmation, Grounds, Locked, Right, Rights, TokenError,
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::audit::{Audit, Entry, What};
use super::password::{self, Hashed, Pepper};
use super::users::{self, InChannel, User};
use crate::config;
use crate::env;
use crate::masterdata::Masterdata;

/// Passwords that are judged at once: each takes 19 MiB and a core for 50 ms.
const JUDGED_MAX: usize = 2;
/// Logins that wait for their turn; beyond that the answer is `busy`.
const WAITING_MAX: usize = 16;

/// What a box needs to judge logins.
#[derive(Debug)]
pub struct Settings<'a> {
    /// Where it keeps the audit.
    pub data_dir: &'a Path,
    /// Its name.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// The box's key; that of tokens is made from it.
    pub key: &'a SigningKey,
    /// The pepper of the site, if there is one.
    pub pepper: Option<Zeroizing<[u8; 32]>>,
    /// Times, and what a person is needed for.
    pub times: config::Login,
}

/// Where somebody logs in.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The till.
    pub till: &'a TerminalId,
    /// The key of the certificate that it shows; the token is bound to it.
    pub key: Option<Hash32>,
}

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user's id.
    pub user: String,
    /// The user's name.
    pub name: String,
    /// What the roles allow together.
    pub rights: Rights,
    /// In the channel of the till, if that is bounded.
    pub channel: Option<ChannelRight>,
    /// What the token says.
    pub claims: Claims,
}

/// A new token.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The token.
    pub token: String,
    /// Whose.
    pub person: Person,
}

/// Why nobody is logged in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Wrong name or password, or not allowed here: which of them is nobody's business.
    #[error("user or password is wrong, or the user may not work here")]
    Refused,
    /// Too many wrong passwords.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Too many at once.
    #[error("too many people log in at once; try again")]
    Busy,
    /// The box has no pepper or masterdata, so no password can be judged.
    #[error("this box cannot judge passwords: {0}")]
    Unable(&'static str),
    /// The login cannot be renewed.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl LoginError {
    /// What a box answers.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused => Code::LoginRefused,
            Self::Locked(_) => Code::LoginLocked,
            Self::Busy => Code::Busy,
            Self::Unable(_) => Code::ReplicaEmpty,
            Self::Token(error) => error.code(),
        }
    }
}

/// Who is logged in, and who may; cheap to clone.
#[derive(Debug, Clone)]
pub struct Logins {
    inner: Arc<Inner>,
}

struct Inner {
    node: NodeId,
    site: SiteId,
    key: SigningKey,
    pepper: Option<Pepper>,
    times: config::Login,
    masterdata: OnceLock<Masterdata>,
    attempts: Mutex<Attempts>,
    judging: Semaphore,
    waiting: AtomicUsize,
    audit: Audit,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Logins({} at {} …)", self.node, self.site)
    }
}

impl Logins {
    /// Nobody can log in before [`Logins::read_from`].
    pub fn new(settings: Settings<'_>) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, settings.key.as_bytes())
            .expand(b"storebox/token-key/v1", &mut *seed)
            .expect("32 bytes are one hash");
        let inner = Inner {
            node: settings.node,
            site: settings.site,
            key: SigningKey::from_bytes(&seed),
            pepper: settings.pepper,
            times: settings.times,
            masterdata: OnceLock::new(),
            attempts: Mutex::default(),
            judging: Semaphore::new(JUDGED_MAX),
            waiting: AtomicUsize::new(0),
            audit: Audit::open(settings.data_dir),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Where users, roles and keys are looked up; said once, when the replicas are open.
    pub fn read_from(&self, masterdata: Masterdata) {
        let _ = self.inner.masterdata.set(masterdata);
    }

    /// Rights for which a person has to be logged in.
    pub fn required(&self) -> &[Right] {
        &self.inner.times.required
    }

    /// Somebody types a name and a password at a till.
    pub async fn login(
        &self,
        user: &str,
        password: Zeroizing<String>,
        place: Place<'_>,
        at: Timestamp,
        now: Instant,
    ) -> Result<LoggedIn, LoginError> {
        let till = place.till;
        // No user is called so, and what is counted and written down stays small.
        if user.len() > LOGIN_NAME_BYTES_MAX {
            return Err(LoginError::Refused);
        }
        let begun = self.attempts().begin(user, till.as_str(), now);
        let outcome = match begun {
            Ok(()) => self.judge(user, password, at).await,
            Err(locked) => Err(locked.into()),
        };
        let what = match &outcome {
            Ok(_) => What::In,
            Err(LoginError::Locked(_)) => What::Locked,
            Err(LoginError::Refused | LoginError::Token(_)) => What::Refused,
            Err(LoginError::Busy | LoginError::Unable(_)) => {
                self.attempts().undo(user, till.as_str(), now);
                return self.unjudged(outcome);
            }
        };
        self.note(at, user, till, what).await;
        let known = outcome?;
        self.attempts().forgive(user, till.as_str());
        self.issue(known, place, at, at)
    }

    /// The next token of somebody who is logged in: until the shift is over, and as the user is now.
    pub fn renew(&self, person: &Person, at: Timestamp) -> Result<LoggedIn, LoginError> {
        let masterdata = self.masterdata()?;
        let user = users::by_id(masterdata, &person.user, &self.inner.site, at);
        let user = user.ok_or(TokenError::Outdated)?;
        let key = person.claims.cnf.map(|cnf| cnf.spki);
        let place = Place { till: &person.claims.till, key };
        self.issue(user, place, person.claims.login, at)
    }

    /// Somebody leaves; the token ends by itself, and a till forgets it at once.
    pub async fn leave(&self, person: &Person, at: Timestamp) {
        self.note(at, &person.user, &person.claims.till, What::Out).await;
    }

    /// Whose token this is, if it is believed here and now.
    pub fn who(&self, token: &str, at: Timestamp) -> Result<Person, TokenError> {
        let inner = &self.inner;
        let masterdata = inner.masterdata.get().ok_or(TokenError::KeyUnknown)?;
        let grounds = Grounds { site: &inner.site, now: at, shift_ms: millis(inner.times.shift()) };
        let own = inner.key.verifying_key();
        let claims = Claims::check(token, &grounds, |kid| match kid == Claims::key_id(&own) {
            true => Some((inner.node.clone(), own)),
            false => users::token_key(masterdata, kid),
        })?;
        let user = users::by_id(masterdata, &claims.sub, &inner.site, at);
        let user = user.filter(|user| user.version == claims.uv).ok_or(TokenError::Outdated)?;
        self.person(masterdata, user, claims)
    }

    /// The hash of a password, for a user's record.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, LoginError> {
        let pepper = self.pepper()?.clone();
        let salt = env::random();
        self.aside(move || password::hash(&password, &pepper, salt))
            .await?
            .ok_or(LoginError::Refused)
    }

    /// The record by which other boxes of the site believe the tokens of this one.
    pub fn key_record(&self) -> serde_json::Value {
        let public = self.inner.key.verifying_key();
        serde_json::json!({
            "id": Claims::key_id(&public),
            "node": self.inner.node,
            "publicKey": hex::encode(public.as_bytes()),
        })
    }

    /// What happened of late, newest first.
    pub fn audit(&self) -> Vec<Entry> {
        self.inner.audit.newest()
    }

    fn unjudged(&self, outcome: Result<User, LoginError>) -> Result<LoggedIn, LoginError> {
        Err(outcome.err().unwrap_or(LoginError::Busy))
    }

    async fn judge(
        &self,
        name: &str,
        password: Zeroizing<String>,
        at: Timestamp,
    ) -> Result<User, LoginError> {
        let user = users::by_name(self.masterdata()?, name, &self.inner.site, at);
        let known = user.as_ref().and_then(|user| user.password.clone());
        let hashed = known.unwrap_or_else(Hashed::nobody);
        let pepper = self.pepper()?.clone();
        let fits = password.len() <= PASSWORD_BYTES_MAX;
        let right = self.aside(move || fits && hashed.is(&password, &pepper)).await?;
        user.filter(|user| right && user.password.is_some()).ok_or(LoginError::Refused)
    }

    fn issue(
        &self,
        user: User,
        place: Place<'_>,
        login: Timestamp,
        at: Timestamp,
    ) -> Result<LoggedIn, LoginError> {
        let inner = &self.inner;
        let later = |from: Timestamp, by: Duration| {
            Timestamp::from_unix_ms(from.unix_ms().saturating_add(millis(by)))
        };
        let end = later(login, inner.times.shift());
        if at >= end {
            return Err(TokenError::Expired(end).into());
        }
        let claims = Claims {
            iss: inner.node.clone(),
            sub: user.id.clone(),
            site: inner.site.clone(),
            till: place.till.clone(),
            roles: user.roles.clone(),
            uv: user.version,
            login,
            iat: at,
            exp: later(at, inner.times.token()).min(end),
            cnf: place.key.map(|spki| Confirmation { spki }),
        };
        let token = claims.sign(&inner.key);
        let person = self.person(self.masterdata()?, user, claims)?;
        Ok(LoggedIn { token, person })
    }

    fn person(
        &self,
        masterdata: &Masterdata,
        user: User,
        claims: Claims,
    ) -> Result<Person, TokenError> {
        let till = claims.till.as_str();
        let channel = match users::in_channel(masterdata, till, &user.id, &user.roles) {
            InChannel::Free => None,
            InChannel::May(right) => Some(right),
            InChannel::Nothing => return Err(TokenError::Outdated),
        };
        let rights = users::rights(masterdata, &user.roles);
        Ok(Person { user: user.id, name: user.name, rights, channel, claims })
    }

    /// Does what takes long, a few at once; who waits too far back is told to come again.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LoginError> {
        let inner = &self.inner;
        let _turn = Turn::take(&inner.waiting).ok_or(LoginError::Busy)?;
        let permit = inner.judging.acquire().await.map_err(|_| LoginError::Busy)?;
        let done = tokio::task::spawn_blocking(work).await;
        drop(permit);
        done.map_err(|_| LoginError::Busy)
    }

    async fn note(&self, at: Timestamp, user: &str, till: &TerminalId, what: What) {
        let (audit, user, till) = (self.inner.audit.clone(), user.to_owned(), till.to_string());
        let noted = tokio::task::spawn_blocking(move || audit.note(at, &user, &till, what));
        if noted.await.is_err() {
            tracing::warn!("the box stopped before a login was written down");
        }
    }

    fn masterdata(&self) -> Result<&Masterdata, LoginError> {
        self.inner.masterdata.get().ok_or(LoginError::Unable("it has no masterdata yet"))
    }

    fn pepper(&self) -> Result<&Pepper, LoginError> {
        self.inner.pepper.as_ref().ok_or(LoginError::Unable("its vault is locked"))
    }

    /// Plain counters: whole even if a thread died while holding the lock.
    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.inner.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait.
struct Turn<'a>(&'a AtomicUsize);

impl<'a> Turn<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let turn = Self(waiting);
        (before < WAITING_MAX + JUDGED_MAX).then_some(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
