//! The API's description of itself: OpenAPI 3.1, made from the handlers.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use firewall::lifecycle::ETag;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr,
    Required, ResponseBuilder, SecurityRequirement,
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
    let tag = ETag::of(&text).to_string();
    let answer = move || async move {
        let kind = (header::CONTENT_TYPE, "application/json".to_owned());
        ([kind, (header::ETAG, tag)], text.to_string())
    };
    router.route("/api/v1/openapi.json", get(answer))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;

    use crate::access::Peer;
    use crate::fake::{self, Fake};

    async fn served() -> Value {
        let router = fake::site(Fake::running()).await.into_router();
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "/api/v1/openapi.json".parse().unwrap();
        request.extensions_mut().insert(Peer::Socket);
        let response = TowerToHyperService::new(router).call(request).await;
        let body = response.unwrap().into_body().collect().await.unwrap();
        serde_json::from_slice(&body.to_bytes()).unwrap()
    }

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[tokio::test]
    async fn every_reference_leads_somewhere() {
        let document = served().await;
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[tokio::test]
    async fn every_operation_has_a_name_of_its_own_and_says_what_a_problem_looks_like() {
        let document = served().await;
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name}: {method} {path}");
                let problem = "/responses/default/content/application~1problem+json";
                assert!(operation.pointer(problem).is_some(), "{method} {path}");
            }
        }
        assert!(names.contains("config-policies-move"), "{names:?}");
    }

    /// A change of the API is seen in review. `PALISADE_UPDATE=1` writes the file anew.
    #[tokio::test]
    async fn the_description_is_the_one_on_record() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let now = serde_json::to_string_pretty(&served().await).unwrap() + "\n";
        if std::env::var_os("PALISADE_UPDATE").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let on_record = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            on_record == now,
            "the API is not what {path} says; PALISADE_UPDATE=1 cargo test -p palisade-web-ui writes it anew"
        );
    }
}
