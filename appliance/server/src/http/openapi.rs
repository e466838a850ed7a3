//! The OpenAPI 3.1 document, generated from the handlers, with every refusal that a client may meet.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use storebox_proto::problem::Code;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
};
use utoipa_axum::router::OpenApiRouter;

use super::channels::definitions;

/// Where the document is served.
pub const PATH: &str = "/openapi.json";

/// Joins the routes of all parts and serves the document that describes them.
pub fn assemble(parts: impl IntoIterator<Item = OpenApiRouter>) -> (Router, OpenApi) {
    let mut all = OpenApiRouter::with_openapi(base());
    for part in parts {
        all = all.merge(part);
    }
    let (router, mut document) = all.split_for_parts();
    add_refusals(&mut document);
    let text = document.to_pretty_json().expect("the document is built from plain values");
    let text = Bytes::from(text);
    let serve = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    };
    (router.route(PATH, get(serve)), document)
}

fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Storebox")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The store server of a shop: masterdata for tills, safe keeping of their transactions.",
        ))
        .build();
    let mut components = Components::new();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    components.schemas.insert("Problem".to_owned(), RefOr::T(problem_schema()));
    for (name, schema) in definitions::schemas() {
        components.schemas.insert(name.to_owned(), RefOr::T(schema));
    }
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// RFC 9457 with our fields; the description lists what each code means to a client.
fn problem_schema() -> Schema {
    let mut table = String::from("A refusal (RFC 9457). Act on `code` alone.\n\n");
    table.push_str("| code | status | the same request may succeed later |\n|---|---|---|\n");
    for code in Code::ALL {
        let retry = if code.is_retryable() { "yes" } else { "no" };
        table.push_str(&format!("| `{code}` | {} | {retry} |\n", code.status()));
    }
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(table))
        .property("type", text().description(Some("Always `about:blank`.")))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer))
        .property("code", text().enum_values(Some(codes)))
        .property("detail", text().description(Some("For a person.")))
        .property("retryable", ObjectBuilder::new().schema_type(Type::Boolean));
    let required = ["type", "status", "code", "detail", "retryable"];
    required.into_iter().fold(object, |object, field| object.required(field)).into()
}

/// Every operation may refuse.
fn add_refusals(document: &mut OpenApi) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let refusal = ResponseBuilder::new()
        .description("A refusal.")
        .content("application/problem+json", content)
        .build();
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
            &mut item.head,
        ];
        for operation in operations.into_iter().flatten() {
            let refusal = RefOr::T(refusal.clone());
            operation.responses.responses.entry("default".to_owned()).or_insert(refusal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_3_1_and_names_every_problem() {
        let (_, document) = assemble([]);
        let json = serde_json::to_value(&document).unwrap();
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
        let codes = json["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].clone();
        assert_eq!(codes.as_array().unwrap().len(), Code::ALL.len());
    }
}
