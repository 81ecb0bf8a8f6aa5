//! The API's description of itself: OpenAPI 3.1, as `openapi.json` has it, which a test makes from the handlers.

#[cfg(test)]
mod document;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::pages;

/// The file's name among those that are embedded.
const NAME: &str = "openapi.json";

pub(crate) async fn show(headers: HeaderMap) -> Response {
    pages::answer(NAME, &headers, "no-cache")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::{Request, header};
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;

    use super::document;
    use crate::access::Peer;
    use crate::fake::{self, Fake};

    async fn described() -> Value {
        let document = document::document(fake::api(Fake::running()).await);
        serde_json::to_value(document).unwrap()
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
        let document = described().await;
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
        let document = described().await;
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

    /// What is in the binary is what was on record when that was built.
    #[tokio::test]
    async fn the_description_is_served() {
        let router = fake::site(Fake::running()).await.into_router();
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "/api/v1/openapi.json".parse().unwrap();
        request.extensions_mut().insert(Peer::Socket);
        let response = TowerToHyperService::new(router).call(request).await;
        let response = response.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let served: Value = serde_json::from_slice(&body).unwrap();
        let on_record = include_str!("../openapi.json");
        assert!(served == serde_json::from_str::<Value>(on_record).unwrap());
    }

    /// A change of the API is seen in review. `PALISADE_UPDATE=1` writes the file anew.
    #[tokio::test]
    async fn the_description_is_the_one_on_record() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let now = serde_json::to_string_pretty(&described().await).unwrap() + "\n";
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
