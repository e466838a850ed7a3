//! One path for each service, so that the OpenAPI document says of each what it takes.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use storebox_proto::problem::Code;

use super::schema::{
    AddressRequest, CashRequest, Changed, CustomerRequest, FulfilRequest, InventoryRequest,
    QueryAnswer, QueryRequest, TicketRequest,
};
use super::{Call, Request};
use crate::channel::Channels;
use crate::http::identity::Identity;
use crate::http::problem::Refusal;
use crate::login::Person;

macro_rules! changes {
    ($($name:ident, $path:tt, $service:literal, $body:ident, $about:tt, $example:tt => $answer:tt;)*) => {$(
        #[doc = $about]
        ///
        /// With a `key` (a UUID of version 7), the same request is done once, however often it is sent.
        #[utoipa::path(post, path = $path, tag = "channels", params(Call),
            request_body(content = $body, example = json!($example)),
            responses(
                (status = 200, description = "It is on this box's disk, or at head office if that was waited for.",
                    body = Changed, example = json!($answer)),
                (status = 202, description = "It is on this box's disk and the work goes on; `Location` is the place to ask.",
                    body = Changed, example = json!($answer))))]
        pub(super) async fn $name(
            State(channels): State<Channels>,
            Extension(identity): Extension<Identity>,
            person: Option<Extension<Person>>,
            headers: HeaderMap,
            query: Result<Query<Call>, QueryRejection>,
            body: Bytes,
        ) -> Response {
            super::call($service, Request { channels, identity, person, headers, query, body }).await
        }
    )*};
}

changes! {
    customer, "/v1/channel/customer", "customer", CustomerRequest, "Create or change a customer.",
        {"name": "Ada Lovelace", "searchKey": "ADA", "email": "ada@example.com"}
        => {"id": "0192d3a4-5b6c-7d8e-9f00-112233445566",
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    customer_address, "/v1/channel/customer-address", "customer-address", AddressRequest,
        "Create or change an address of a customer.",
        {"customer": "ADA", "addressLine1": "1 Main Street", "postalCode": "08001"}
        => {"id": "0192d3a4-5b6c-7d8e-9f00-112233445566", "businessPartnerId": "1001",
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    inventory, "/v1/channel/inventory", "inventory", InventoryRequest,
        "Set or change stock, many products in one call.",
        {"lines": [{"product": "2000000256719", "warehouse": "W1", "level": "12"},
                   {"productId": "42346", "warehouseId": "W1", "change": "-1.5"}]}
        => {"id": "0192d3a4-5b6c-7d8e-9f00-112233445566",
         "lines": [{"line": 1, "id": null}, {"line": 2, "id": null}],
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    ticket, "/v1/channel/ticket", "ticket", TicketRequest,
        "Create or change a ticket; the answer has its id and those of its lines.",
        {"documentNo": "WEB/1", "customer": "ADA", "gross": "6.98",
         "lines": [{"product": "2000000256719", "quantity": 2, "listPrice": "3.49"}]}
        => {"id": "0192d3a4-5b6c-7d8e-9f00-112233445566", "documentNo": "WEB/1",
         "businessPartnerId": "1001",
         "lines": [{"line": 1, "id": "0192d3a4-5b6c-7d8e-9f00-112233445566-1"}],
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    ticket_ship, "/v1/channel/ticket-ship", "ticket-ship", FulfilRequest,
        "Ship lines of a ticket; as often as needed.",
        {"ticket": "WEB/1", "lines": [{"id": "0192d3a4-5b6c-7d8e-9f00-112233445566-1", "quantity": 1}]}
        => {"id": "0192d3a4-5b6c-7000-8000-000000000001/0192d3a4-5b6c-7d8e-9f00-112233445566",
         "ticketId": "0192d3a4-5b6c-7000-8000-000000000001",
         "lines": [{"line": 1, "id": "0192d3a4-5b6c-7000-8000-000000000001-1"}],
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    ticket_pay, "/v1/channel/ticket-pay", "ticket-pay", FulfilRequest,
        "Add payments to a ticket; as often as needed.",
        {"ticket": "WEB/1", "payments": [{"method": "card", "amount": "6.98"}]}
        => {"id": "0192d3a4-5b6c-7000-8000-000000000001/0192d3a4-5b6c-7d8e-9f00-112233445566",
         "ticketId": "0192d3a4-5b6c-7000-8000-000000000001",
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    ticket_invoice, "/v1/channel/ticket-invoice", "ticket-invoice", FulfilRequest,
        "Invoice a ticket, or lines of it; as often as needed.",
        {"ticket": "WEB/1"}
        => {"id": "0192d3a4-5b6c-7000-8000-000000000001/0192d3a4-5b6c-7d8e-9f00-112233445566",
         "ticketId": "0192d3a4-5b6c-7000-8000-000000000001",
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    cash_up, "/v1/channel/cash-up", "cash-up", CashRequest,
        "Close a cash session; it travels after everything of the session.",
        {"session": "web-1-1", "counted": "106.98"}
        => {"id": "0192d3a4-5b6c-7d8e-9f00-112233445566", "session": "web-1-1",
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
    cash_management, "/v1/channel/cash-management", "cash-management", CashRequest,
        "Put cash in or take it out.",
        {"session": "web-1-1", "type": "in", "amount": "100.00"}
        => {"id": "0192d3a4-5b6c-7d8e-9f00-112233445566", "session": "web-1-1",
         "transaction": "0192d3a4-5b6c-7d8e-9f00-112233445566", "grade": "held",
         "receipt": {"grade": "held", "node": "store-1", "key": "0192d3a4-5b6c-7d8e-9f00-112233445566"}};
}

/// Ask for entities.
///
/// Things are named by code where the row holds an id: `category`, `customer`, `product`, `store`; at most 500 of them,
/// and of customers by `businessPartnerId`, in all criteria of a query together.
/// What was created in this store is found at once.
#[utoipa::path(post, path = "/v1/channel/query", tag = "channels", params(Call),
    request_body(content = QueryRequest, example = json!({
        "entity": "Product", "startRow": 0, "endRow": 50,
        "criteria": [{"fieldName": "name", "operator": "iContains", "value": "choc"},
                     {"operator": "or", "criteria": [
                         {"fieldName": "category", "operator": "equals", "value": "C0180"},
                         {"fieldName": "price.listPrice", "operator": "lessOrEqual", "value": 3.5}]}],
        "options": {"price": true, "stock": true, "stockByWarehouse": false}})),
    responses((status = 200, description = "The rows; with `Cache-Control` where the channel permits it.",
        body = QueryAnswer, example = json!({
            "entity": "Product", "startRow": 0, "endRow": 1, "totalRows": 1, "more": false,
            "data": [{"id": "25671", "searchKey": "CH", "name": "Chocolate", "barcode": "2000000256719",
                "price": {"priceListId": "PL1", "listPrice": "3.49"},
                "stock": {"quantity": "12"},
                "categories": [{"id": "C0180", "searchKey": "C0180", "name": "Sweets"}]}],
            "metadata": {"plan": ["index name, prefix"], "examined": 1, "position": "1.42"}}))))]
pub(super) async fn query(
    State(channels): State<Channels>,
    Extension(identity): Extension<Identity>,
    person: Option<Extension<Person>>,
    headers: HeaderMap,
    query: Result<Query<Call>, QueryRejection>,
    body: Bytes,
) -> Response {
    super::call("query", Request { channels, identity, person, headers, query, body }).await
}

/// A service that nobody offers, refused by what the channel is offered.
pub(super) async fn other(
    State(channels): State<Channels>,
    Extension(identity): Extension<Identity>,
    person: Option<Extension<Person>>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Call>, QueryRejection>,
    body: Bytes,
) -> Response {
    match path {
        Ok(Path(service)) => {
            super::call(&service, Request { channels, identity, person, headers, query, body })
                .await
        }
        Err(error) => Refusal::new(Code::ParameterInvalid, error.body_text()).into_response(),
    }
}
