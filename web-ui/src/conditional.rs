//! `If-None-Match` (RFC 9110, section 13.1.2): who has an answer already gets 304 instead of it, for every answer that
//! carries an entity tag.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

pub(crate) async fn not_modified(request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = is_safe.then(|| known(request.headers())).flatten();
    let mut response = next.run(request).await;
    let Some(known) = known.filter(|_| response.status() == StatusCode::OK) else {
        return response;
    };
    let is_known = response
        .headers()
        .get(header::ETAG)
        .is_some_and(|tag| has(&known, tag));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

fn known(headers: &HeaderMap) -> Option<Vec<HeaderValue>> {
    let known: Vec<_> = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .cloned()
        .collect();
    (!known.is_empty()).then_some(known)
}

/// The weak comparison, section 8.8.3.2. The tags here have no commas in them.
fn has(known: &[HeaderValue], tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else {
        return false;
    };
    known
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim() == "*" || opaque(value) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others_weak_or_strong() {
        let tag = HeaderValue::from_static("\"abc\"");
        let has = |values: &[&'static str]| {
            let known: Vec<_> = values
                .iter()
                .copied()
                .map(HeaderValue::from_static)
                .collect();
            has(&known, &tag)
        };
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(has(&[known]), "{known}");
        }
        assert!(has(&["\"x\"", "\"abc\""]));
        for unknown in ["abc", "\"ab\"", "", "\"x\",\"y\""] {
            assert!(!has(&[unknown]), "{unknown}");
        }
    }
}
