//! The web application's files, which are in the binary: `ui/` has their source, and the build script says which they are. The API's
//! description is one more of them, at a path of the API.
//!
//! `/` and everything below `/ui/` is the one page, whose script knows where it is; below `/ui/assets/` are the files
//! it asks for, each under a name that changes with its content. They tell nothing about the appliance, so that who is not
//! logged in gets them, too: the login is one of their pages.

use std::io::Read;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use rust_embed::{Embed, EmbeddedFile};

use crate::problem::Problem;

#[derive(Embed)]
#[folder = "$OUT_DIR/ui"]
struct Files;

const INDEX: &str = "index.html";
const BELOW: &str = "/ui/";
const ASSETS: &str = "/ui/assets/";

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(index))
        .route("/ui", get(index))
        .route("/ui/", get(index))
        .route("/ui/{*page}", get(below))
}

/// Whether a path is the web application's.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/" || path == "/ui" || path.starts_with(BELOW)
}

async fn index(headers: HeaderMap) -> Response {
    // Asked for again each time, and sent only when it is another.
    answer(INDEX, &headers, "no-cache")
}

async fn below(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if !path.starts_with(ASSETS) {
        return answer(INDEX, &headers, "no-cache");
    }
    let name = path.strip_prefix(BELOW).unwrap_or(path);
    answer(name, &headers, "public, max-age=31536000, immutable")
}

/// As it was compressed when it was built; as it was before that for who does not take it so.
pub(crate) fn answer(name: &str, headers: &HeaderMap, cache: &'static str) -> Response {
    let packed = Files::get(&format!("{name}.gz"));
    let is_compressed = packed.is_some() && takes_gzip(headers);
    let (tag, body) = match (packed, Files::get(name)) {
        (Some(file), _) if is_compressed => (tag(&file, "gzip"), Body::from(file.data)),
        (Some(file), _) => (tag(&file, "plain"), Body::from(unpacked(&file.data))),
        (None, Some(file)) => (tag(&file, "plain"), Body::from(file.data)),
        (None, None) => {
            let detail = format!("there is no {BELOW}{name}");
            return Problem::of_status(StatusCode::NOT_FOUND, detail).into_response();
        }
    };
    let mut response = Response::new(body);
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, tag);
    }
    if is_compressed {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Another one for each coding (RFC 9110, section 8.8.3.3).
fn tag(file: &EmbeddedFile, coding: &str) -> String {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}-{coding}\"")
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // In memory, and what the build made: a test unpacks every file.
    let _ = GzDecoder::new(packed).read_to_end(&mut bytes);
    bytes
}

/// RFC 9110, section 12.5.3: it is named, and not with a weight of nothing.
fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && parts.all(|weight| !matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn headers(accepted: &'static str) -> HeaderMap {
        let value = HeaderValue::from_static(accepted);
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)])
    }

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        for taken in ["gzip", "br, GZIP;q=0.5", "deflate,gzip"] {
            assert!(takes_gzip(&headers(taken)), "{taken}");
        }
        for not in ["", "br", "gzip;q=0", "gzip; q=0.000", "xgzip"] {
            assert!(!takes_gzip(&headers(not)), "{not}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_embedded_can_be_unpacked() {
        for name in Files::iter().filter(|name| name.ends_with(".gz")) {
            let file = Files::get(&name).unwrap();
            let mut bytes = Vec::new();
            GzDecoder::new(&*file.data).read_to_end(&mut bytes).unwrap();
            assert!(!bytes.is_empty(), "{name}");
        }
    }

    #[test]
    fn only_the_applications_paths_are_pages() {
        for page in ["/", "/ui", "/ui/", "/ui/policies", "/ui/assets/x.js"] {
            assert!(is_page(page), "{page}");
        }
        for other in ["", "/uix", "/api/v1/ui/", "/metrics", "//ui/"] {
            assert!(!is_page(other), "{other}");
        }
    }

    #[tokio::test]
    async fn the_page_is_served_plain_and_packed_and_a_missing_asset_is_not_the_page() {
        let page = index(HeaderMap::new()).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(
            page.headers()[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        assert!(!page.headers().contains_key(header::CONTENT_ENCODING));
        let body = page.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"<!doctype html>"));

        let deep = below(Uri::from_static("/ui/policies"), headers("gzip")).await;
        assert_eq!(deep.status(), StatusCode::OK);
        let missing = below(Uri::from_static("/ui/assets/x.js"), headers("gzip")).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }
}
