//! A person logs in at a till, stays logged in, and leaves.
//!
//! The token that comes back goes into `Authorization: Bearer …` instead of the till's own, to this box or to any other
//! of the site: it says who and at which till, and no box keeps a session.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json, body::Body};
use serde::{Deserialize, Serialize};
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::auth::ShownKey;
use super::identity::Identity;
use super::problem::Refusal;
use crate::env;
use crate::login::{LoggedIn, LoginError, Logins, Person, Place};

/// A name and a password.
const CREDENTIALS_BYTES_MAX: usize = 4096;

/// The routes of this file.
pub fn routes(logins: Logins) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(login, session, leave))
        .routes(routes!(renew))
        .layer(DefaultBodyLimit::max(CREDENTIALS_BYTES_MAX))
        .with_state(logins)
}

/// Name and password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The user's search key or id.
    user: String,
    /// The password or PIN.
    #[schema(value_type = String)]
    password: Zeroizing<String>,
}

/// Somebody who is logged in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Session {
    /// The token; absent where none was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The user's id.
    user: String,
    /// The user's name.
    name: String,
    /// At which till.
    till: String,
    /// What the roles allow: `sell`, `print`, `weigh`, `drawer`, `manage`.
    rights: Vec<&'static str>,
    /// `read-only` or `write`, if the till's channel bounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    /// When the token ends.
    #[schema(value_type = String)]
    expires: Timestamp,
    /// Milliseconds until then, for a till whose clock is wrong.
    life_ms: u64,
}

impl Session {
    fn of(person: &Person, token: Option<String>, at: Timestamp) -> Self {
        let claims = &person.claims;
        Self {
            token,
            user: person.user.clone(),
            name: person.name.clone(),
            till: claims.till.to_string(),
            rights: person.rights.words(),
            channel: person.channel.map(|right| right.as_str()),
            expires: claims.exp,
            life_ms: u64::try_from(claims.exp.unix_ms() - at.unix_ms()).unwrap_or(0),
        }
    }
}

/// A person logs in at the till that asks.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = Credentials,
    responses((status = 200, description = "The token and what it allows.", body = Session),
              (status = 401, description = "login_refused"), (status = 429, description = "login_locked")))]
async fn login(
    State(logins): State<Logins>,
    Extension(identity): Extension<Identity>,
    shown: Option<Extension<ShownKey>>,
    Json(Credentials { user, password }): Json<Credentials>,
) -> Result<Json<Session>, Response<Body>> {
    let Identity::Terminal(till) = identity else {
        let refused = Refusal::new(Code::Forbidden, "persons log in at a till");
        return Err(refused.into_response());
    };
    let now = (env::timestamp(), env::instant());
    let place = Place { till: &till, key: shown.map(|Extension(ShownKey(key))| key) };
    let outcome = logins.login(&user, password, place, now.0, now.1).await;
    outcome.map(|made| told(made, now.0)).map_err(refused)
}

/// The next token, before this one ends.
#[utoipa::path(post, path = "/v1/session/renew", tag = "session",
    responses((status = 200, description = "The next token.", body = Session),
              (status = 401, description = "token_expired, token_outdated")))]
async fn renew(
    State(logins): State<Logins>,
    person: Option<Extension<Person>>,
) -> Result<Json<Session>, Response<Body>> {
    let person = known(person).map_err(IntoResponse::into_response)?;
    let at = env::timestamp();
    logins.renew(&person, at).map(|made| told(made, at)).map_err(refused)
}

/// Who is logged in with this token.
#[utoipa::path(get, path = "/v1/session", tag = "session",
    responses((status = 200, description = "Who.", body = Session),
              (status = 409, description = "person_required")))]
async fn session(person: Option<Extension<Person>>) -> Result<Json<Session>, Refusal> {
    Ok(Json(Session::of(&known(person)?, None, env::timestamp())))
}

/// The person leaves; the till forgets the token.
#[utoipa::path(delete, path = "/v1/session", tag = "session",
    responses((status = 204, description = "Noted.")))]
async fn leave(
    State(logins): State<Logins>,
    person: Option<Extension<Person>>,
) -> Result<StatusCode, Refusal> {
    logins.leave(&known(person)?, env::timestamp()).await;
    Ok(StatusCode::NO_CONTENT)
}

fn known(person: Option<Extension<Person>>) -> Result<Person, Refusal> {
    let missing = || Refusal::new(Code::PersonRequired, "this is asked with a person's token");
    person.map(|Extension(person)| person).ok_or_else(missing)
}

fn told(made: LoggedIn, at: Timestamp) -> Json<Session> {
    Json(Session::of(&made.person, Some(made.token), at))
}

fn refused(error: LoginError) -> Response<Body> {
    let mut response = Refusal::new(error.code(), error.to_string()).into_response();
    if let LoginError::Locked(locked) = error {
        let wait = HeaderValue::from(locked.wait.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}
