//! What boxes of a store say to each other: where they are found, and which terminals they have let in.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mirror::signed;
use super::problem::Refusal;
use super::settle::not_understood;
use crate::blocking::beside;
use crate::pass::Claim;
use crate::terminal::access::Access;
use crate::terminal::next_door::{Hello, ListError, Reply};
use crate::{env, logging};

/// All terminals of a box, with room for their names.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The route of a store.
pub fn routes(access: Access) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(hello))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(access)
}

/// What the answer says, for the document.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "its fields are read by whoever reads the document")]
struct Answered {
    /// The card of the box that answers, as text.
    card: String,
    /// That it is the answer to this hello of a box with the secret of the store.
    seal: String,
    /// Whether the list of terminals is to be sent as well.
    wants_terminals: bool,
    /// What the next hello carries; one without it is not taken, and said again with it and the list.
    asks: String,
}

/// A box of the store says where it is found and names its list of terminals; asked for it, it sends the list.
#[utoipa::path(put, path = "/sync/v1/next-door/{node}", tag = "sync",
    params(("node" = String, Path)),
    request_body(content = Object, description = "`card`, `challenge`, `asked`, `digest` and perhaps `terminals`: names and hashes of tokens."),
    responses((status = 200, description = "The card of this box, sealed over the challenge.", body = Answered),
              (status = 503, description = "stopping: it does not listen yet")))]
async fn hello(
    State(access): State<Access>,
    claim: Option<Extension<Claim>>,
    Path(node): Path<String>,
    body: Bytes,
) -> Result<Json<Reply>, Refusal> {
    let hello: Hello = serde_json::from_slice(&body).map_err(not_understood)?;
    let Some((Extension(claim), secret)) = claim.zip(access.secret()) else {
        let detail = "boxes of a store show each other its secret here";
        return Err(Refusal::new(Code::Forbidden, detail));
    };
    signed(Some(&claim), &body)?;
    let Some(own) = access.next_door().own() else {
        return Err(Refusal::new(Code::Stopping, "this box does not listen yet"));
    };
    if hello.card.node != claim.node || node != claim.node.as_str() || claim.node == own.node {
        return Err(Refusal::new(Code::PathUnknown, "a box speaks for itself only"));
    }
    let challenge = hello.challenge.clone();
    let heard = beside(move || access.hear(hello, env::timestamp())).await;
    let heard = heard.map_err(|error| refuse(&error))?;
    Ok(Json(Reply::new(&secret, &challenge, &own, heard)))
}

fn refuse(error: &ListError) -> Refusal {
    let code = match error {
        ListError::NoTerminal(_) | ListError::Address(_) => Code::FieldInvalid,
        ListError::TooMany | ListError::Full => Code::TooLarge,
        ListError::Disk(_) | ListError::Own(_) => Code::StorageFull,
    };
    Refusal::new(code, logging::chain(error))
}
