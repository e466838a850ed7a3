//! What the services take and give, for the OpenAPI document.
//!
//! These shapes are read by programs that write clients; what a request really may be is decided where it is read.
//! Transactions may carry further fields of the chain, which travel to head office as they are.

use serde_json::Value;
use storebox_proto::query::{Entity, Operator};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A question.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct QueryRequest {
    /// What is asked for.
    pub entity: EntityName,
    /// The first row, from 0.
    #[schema(minimum = 0, maximum = 1_000_000, default = 0)]
    pub start_row: Option<i64>,
    /// The row behind the last one; -1 for all.
    #[schema(minimum = -1, default = -1)]
    pub end_row: Option<i64>,
    /// What a row must fulfil; all of them.
    #[schema(max_items = 64)]
    pub criteria: Option<Vec<Criterion>>,
    /// What a row brings.
    pub options: Option<QueryOptions>,
    /// Who asks; must be who the token belongs to.
    pub terminal: Option<String>,
}

/// What can be asked for: the names that the query language has.
#[derive(Debug)]
pub struct EntityName;

impl PartialSchema for EntityName {
    fn schema() -> RefOr<Schema> {
        named("What can be asked for.", Entity::ALL.map(|(name, _)| name).to_vec())
    }
}

impl ToSchema for EntityName {}

/// One criterion: a field, or several criteria joined by `and`, `or` or `not` (none of them).
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Criterion {
    /// How the field is compared, or how the criteria are joined.
    pub operator: OperatorName,
    /// The field, or a path such as `price.listPrice`; not for `and`, `or`, `not`.
    #[schema(min_length = 1, max_length = 64)]
    pub field_name: Option<String>,
    /// A text, number or truth value; a list of two for `between`, of up to 500 for `inSet` and `notInSet`.
    pub value: Option<Value>,
    /// The criteria that `and`, `or` or `not` join, at most 8 levels deep.
    #[schema(no_recursion)]
    pub criteria: Option<Vec<Criterion>>,
}

/// The operators: those of a field, and those that join criteria.
#[derive(Debug)]
pub struct OperatorName;

impl PartialSchema for OperatorName {
    fn schema() -> RefOr<Schema> {
        let fields = Operator::ALL.iter().map(|(name, _)| *name);
        named(
            "How a field is compared, or how criteria are joined.",
            fields.chain(JOINING).collect(),
        )
    }
}

impl ToSchema for OperatorName {}

/// What joins criteria.
const JOINING: [&str; 3] = ["and", "or", "not"];

fn named(what: &str, names: Vec<&'static str>) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    RefOr::T(Schema::Object(text.description(Some(what)).build()))
}

/// What a product brings.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct QueryOptions {
    /// Its price.
    #[schema(default = true)]
    pub price: Option<bool>,
    /// Its stock, added up.
    #[schema(default = true)]
    pub stock: Option<bool>,
    /// Its stock by warehouse.
    #[schema(default = false)]
    pub stock_by_warehouse: Option<bool>,
}

/// The answer to a question.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct QueryAnswer {
    /// What was asked for.
    pub entity: String,
    /// The first row.
    pub start_row: u64,
    /// The row behind the last one of this answer.
    pub end_row: u64,
    /// All rows that fit, if all were looked at.
    pub total_rows: Option<u64>,
    /// There are more: ask again from `endRow`.
    pub more: bool,
    /// The rows in the order of their ids.
    #[schema(value_type = Vec<Object>)]
    pub data: Vec<Value>,
    /// How it was found.
    pub metadata: Metadata,
}

/// How an answer was found.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Metadata {
    /// `id`, `index <field>`, or `scan` where every row was looked at.
    pub plan: Vec<String>,
    /// Rows that were looked at.
    pub examined: u64,
    /// Where masterdata stands, as `epoch.revision`.
    pub position: Option<String>,
}

/// A customer; with `id`, the fields that are given change.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CustomerRequest {
    /// Makes the request repeatable: a UUID of version 7.
    pub key: Option<String>,
    /// The customer that changes.
    pub id: Option<String>,
    /// Needed for a new one.
    pub name: Option<String>,
    /// The code.
    pub search_key: Option<String>,
    /// The category, by search key.
    pub category: Option<String>,
}

/// An address; with `id`, the fields that are given change.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AddressRequest {
    /// Makes the request repeatable: a UUID of version 7.
    pub key: Option<String>,
    /// The address that changes.
    pub id: Option<String>,
    /// The owner by search key.
    pub customer: Option<String>,
    /// The owner by id.
    pub business_partner_id: Option<String>,
}

/// Counts and changes of stock.
#[derive(Debug, ToSchema)]
pub struct InventoryRequest {
    /// Makes the request repeatable: a UUID of version 7.
    pub key: Option<String>,
    /// What was counted or has changed.
    #[schema(min_items = 1, max_items = 1000)]
    pub lines: Vec<InventoryLine>,
}

/// A count or a change.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct InventoryLine {
    /// The product by barcode or search key.
    pub product: Option<String>,
    /// The product by id.
    pub product_id: Option<String>,
    /// The warehouse by search key.
    pub warehouse: Option<String>,
    /// The warehouse by id.
    pub warehouse_id: Option<String>,
    /// The place within the warehouse.
    pub bin_id: Option<String>,
    /// What was counted: a decimal number.
    pub level: Option<String>,
    /// What came or went: a decimal number.
    pub change: Option<String>,
}

/// A ticket; with `id` of one that exists, the fields and lines that are given change.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TicketRequest {
    /// Makes the request repeatable: a UUID of version 7.
    pub key: Option<String>,
    /// The ticket that changes, or the id of a new one.
    pub id: Option<String>,
    /// The number on the paper.
    pub document_no: Option<String>,
    /// Who buys, by search key.
    pub customer: Option<String>,
    /// Who buys, by id.
    pub business_partner_id: Option<String>,
    /// The cash session.
    pub session: Option<String>,
    /// What is bought.
    #[schema(max_items = 1000)]
    pub lines: Option<Vec<TicketLine>>,
    /// Taxes, each with an `amount`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub taxes: Option<Vec<Value>>,
    /// Payments, each with an `amount`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub payments: Option<Vec<Value>>,
}

/// A line of a ticket.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TicketLine {
    /// The line that changes.
    pub id: Option<String>,
    /// The product by barcode or search key.
    pub product: Option<String>,
    /// The product by id.
    pub product_id: Option<String>,
    /// How much: a decimal number.
    pub quantity: Option<Value>,
    /// Takes the line out.
    pub removed: Option<bool>,
}

/// What happens to a ticket that exists.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct FulfilRequest {
    /// Makes the request repeatable: a UUID of version 7.
    pub key: Option<String>,
    /// The ticket by document number.
    pub ticket: Option<String>,
    /// The ticket by id.
    pub ticket_id: Option<String>,
    /// Which lines leave or are invoiced: their `id`, and `quantity`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub lines: Option<Vec<Value>>,
    /// Which payments come: their `amount`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub payments: Option<Vec<Value>>,
    /// The cash session.
    pub session: Option<String>,
}

/// What happens to a cash session.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CashRequest {
    /// Makes the request repeatable: a UUID of version 7.
    pub key: Option<String>,
    /// The session.
    #[schema(min_length = 1, max_length = 128)]
    pub session: String,
    /// `in` or `out`, for cash management.
    pub r#type: Option<String>,
    /// How much, for cash management: a decimal number.
    pub amount: Option<Value>,
}

/// The answer to a change.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Changed {
    /// The id of what was made or changed; good for ever, also after head office gave it another.
    pub id: Option<String>,
    /// The ticket that it happened to.
    pub ticket_id: Option<String>,
    /// The customer that it is about.
    pub business_partner_id: Option<String>,
    /// The number on the paper.
    pub document_no: Option<String>,
    /// The cash session.
    pub session: Option<String>,
    /// The ids of the lines of a ticket, in their order.
    #[schema(value_type = Option<Vec<Object>>)]
    pub lines: Option<Vec<Value>>,
    /// The transaction; `/v1/transactions/{key}` tells how far it is.
    pub transaction: String,
    /// `held`: on this box's disk; `settled`: head office has it.
    pub grade: String,
    /// The signed receipt.
    #[schema(value_type = Object)]
    pub receipt: Value,
}
