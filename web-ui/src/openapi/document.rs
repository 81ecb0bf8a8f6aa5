//! The description on record, made from the handlers.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr,
    Required, ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::configuration;
use crate::problem::Problem;
use crate::routes::Routes;

/// Of what `api` answers.
pub(super) fn document(api: Routes<()>) -> OpenApi {
    let mut document = base();
    document.merge(api.into_openapi());
    configuration::describe(&mut document);
    complete(&mut document);
    document
}

/// What every part's paths and shapes are added to.
fn base() -> OpenApi {
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

/// Where a request may come without a body, which means the candidate, and no comment.
const OPTIONAL_BODIES: [&str; 2] = ["/api/v1/config/check", "/api/v1/config/commit"];

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
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            // Handlers of several parts have the same names.
            if !operation
                .operation_id
                .as_deref()
                .is_some_and(|id| id.starts_with("config-"))
            {
                let words = path.strip_prefix("/api/v1").unwrap_or(path);
                let words = words.replace('/', "-").replace(['{', '}'], "");
                operation.operation_id = Some(format!("{method}{words}"));
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body
                && OPTIONAL_BODIES.contains(&path.as_str())
            {
                body.required = Some(Required::False);
            }
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

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
