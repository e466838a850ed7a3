//! A new box takes the place of one that is gone, under its name: its terminals, and what it had not settled.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_proto::ids::NodeId;
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::pass::Pass;
use crate::terminal::access::{Access, Entry};
use crate::uplink::takeover::QUIET_MAX;
use crate::uplink::{Outbox, Route, mirror};

/// What the route needs.
#[derive(Clone)]
pub struct Heir {
    /// Who it is, and was.
    pub node: NodeId,
    /// How it shows that it belongs to the store.
    pub pass: Pass,
    /// Where terminals are entered.
    pub access: Access,
    /// Where transactions go.
    pub outbox: Outbox,
}

/// The route of a store.
pub fn routes(heir: Heir) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(adopt)).with_state(heir)
}

/// Where the copies are.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// The neighbour that was the mirror, such as `http://10.0.0.12:8080`.
    pub from: String,
}

/// What was taken over.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Adopted {
    /// Terminals that come in with the tokens they have.
    pub terminals: u64,
    /// Transactions that head office did not have yet, as far as the mirror knew; what the box took over by itself
    /// since it began, before it was asked to, is among them.
    pub transactions: u64,
}

/// Takes over terminals and transactions of the box that had this one's name; may be repeated.
#[utoipa::path(post, path = "/v1/adopt", tag = "health", request_body = Adopt,
    responses((status = 200, description = "Taken over.", body = Adopted),
              (status = 502, description = "source_failed: the neighbour does not answer, or is none")))]
async fn adopt(
    State(heir): State<Heir>,
    Extension(identity): Extension<Identity>,
    Json(order): Json<Adopt>,
) -> Result<Json<Adopted>, Refusal> {
    if identity != Identity::Operator {
        return Err(Refusal::new(Code::Forbidden, "this path is for the operator"));
    }
    let failed = || Refusal::new(Code::SourceFailed, "the neighbour does not answer, or is none");
    let client =
        mirror::client().map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    let route = Route::near(order.from, heir.pass.clone());
    let path = format!("/sync/v1/mirror/{}/terminals", heir.node);
    let entries: Option<Vec<Entry>> =
        mirror::call(&client, &route, "GET", &path, Default::default()).await;
    let entries = entries.ok_or_else(failed)?;
    let access = heir.access.clone();
    let entered = beside(move || access.adopt(entries)).await;
    let terminals = entered.map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    let slow = || {
        let detail =
            "the neighbour does not give all it has within a minute: ask again, what came is kept";
        Refusal::new(Code::SourceFailed, detail)
    };
    // Nothing is sent before all of it is here: what belongs together goes in its order.
    let _hush = heir.outbox.hush();
    let taken = heir.outbox.take_over(&client, &route, None);
    tokio::time::timeout(QUIET_MAX, taken).await.map_err(|_| slow())??;
    Ok(Json(Adopted { terminals, transactions: heir.outbox.taken_over() }))
}
