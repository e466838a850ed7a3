//! Channels of a shop: the services with what they work on.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::channel::{Channels, NoHooks, NoLog, Parts};
use crate::http::channels;
use crate::masterdata::Masterdata;
use crate::uplink::{LocalDocuments, Outbox};

/// Starts the channels and returns their routes.
pub(super) fn start(
    masterdata: Masterdata,
    outbox: Outbox,
    documents: LocalDocuments,
) -> OpenApiRouter {
    let (hooks, log) = (Arc::new(NoHooks), Arc::new(NoLog));
    channels::routes(Channels::new(Parts { masterdata, outbox, documents, hooks, log }))
}
