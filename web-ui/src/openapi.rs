//! The API's description of itself: OpenAPI 3.1, made from the handlers.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::problem::Problem;

/// What every part's paths and shapes are added to.
pub(crate) fn base() -> OpenApi {
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Palisade")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Management of a Palisade firewall appliance."))
                .license(Some(
                    LicenseBuilder::new()
                        .name("Apache-2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                ))
                .build(),
        )
        .security(Some([
            SecurityRequirement::new("token", Vec::<String>::new()),
            SecurityRequirement::new("password", Vec::<String>::new()),
        ]))
        .build()
}

/// The router, and its description at `/api/v1/openapi.json`.
pub(crate) fn served(router: OpenApiRouter) -> Router {
    let (router, mut document) = router.split_for_parts();
    complete(&mut document);
    let text: Arc<str> = document.to_json().unwrap_or_default().into();
    let answer = move || async move {
        (
            [(header::CONTENT_TYPE, "application/json")],
            text.to_string(),
        )
    };
    router.route("/api/v1/openapi.json", get(answer))
}

/// What is the same for every operation is said here once: how it is authenticated, and that
/// anything that goes wrong is a problem.
fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    components.add_security_scheme(
        "password",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)),
    );
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let problem = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(Problem::name())))
                .build();
            operation.responses.responses.insert(
                "default".into(),
                ResponseBuilder::new()
                    .description("What was wrong")
                    .content("application/problem+json", problem)
                    .build()
                    .into(),
            );
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}
