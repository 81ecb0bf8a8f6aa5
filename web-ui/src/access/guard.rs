//! The guard around the router: every request passes it, and by default none gets through.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use firewall::audit::Via;
use subtle::ConstantTimeEq;

use super::Access;
use super::caller::{Caller, Peer};
use super::credentials;
use super::refusal::Refusal;
use super::role::Role;
use super::scope::{Area, Scope};
use crate::crowd::Trusted;
use crate::{body, headers, pages};

/// What needs no credentials, besides the web application's files: whether the appliance lives and is ready, and logging in.
const PUBLIC: [&str; 3] = ["/healthz", "/readyz", "/api/v1/login"];

/// What a user may do who has to change the password first.
const BEFORE_PASSWORD_CHANGE: [&str; 3] = ["/api/v1/password", "/api/v1/whoami", "/api/v1/logout"];

/// A router behind the guard: all that a server takes.
#[derive(Clone, Debug)]
pub struct Guarded(Router);

impl Guarded {
    /// Nothing can be added to the router afterwards.
    pub fn new(router: Router, access: Arc<Access>) -> Self {
        let guarded = router
            .layer(DefaultBodyLimit::max(body::BYTES_MAX))
            .layer(from_fn_with_state(access, guard));
        Self(guarded)
    }

    pub(crate) fn into_router(self) -> Router {
        self.0
    }
}

async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let browser = request.headers().contains_key("sec-fetch-site");
    let mut response = match admit(&access, peer, request).await {
        Ok(request) => access.loads.run(request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        challenge(response.headers_mut(), browser);
    }
    headers::harden(response.headers_mut(), peer);
    response
}

/// The request, with the caller in it; or why not.
async fn admit(
    access: &Access,
    peer: Option<Peer>,
    mut request: Request,
) -> Result<Request, Refusal> {
    // Only the servers say who the peer is; without one, nobody is let in.
    let peer = peer.ok_or(Refusal::NoCredentials)?;
    let path = request.uri().path();
    let is_public = PUBLIC.contains(&path) || pages::is_page(path);
    if peer == Peer::Socket || !is_public {
        let caller = access.authenticate(peer, request.headers()).await?;
        if let Some(trusted) = request.extensions().get::<Trusted>() {
            trusted.set();
        }
        authorize(&caller, &request)?;
        request.extensions_mut().insert(caller);
    }
    Ok(request.map(body::in_time))
}

fn authorize(caller: &Caller, request: &Request) -> Result<(), Refusal> {
    let (method, path) = (request.method(), request.uri().path());
    if !method.is_safe() {
        match &caller.session {
            Some((_, token)) => check_csrf(request.headers(), token)?,
            // Nobody else's page may use the lab's relay, which asks for no credentials, or a password that the
            // browser keeps for Basic.
            None if says_cross_site(request.headers()) => return Err(Refusal::CrossSite),
            None => {}
        }
    }
    if caller.must_change_password && !BEFORE_PASSWORD_CHANGE.contains(&path) {
        return Err(Refusal::PasswordChangeRequired);
    }
    if !caller.scopes.admit(area(path)) {
        let has = caller.scopes.listed().unwrap_or_default();
        return Err(Refusal::Scope { has });
    }
    let needed = needed(method, path, caller.actor.via);
    if caller.role < needed {
        return Err(Refusal::Role {
            needed,
            has: caller.role,
        });
    }
    Ok(())
}

/// The role that a request needs. The router matches paths byte by byte, as this does, so there is no second
/// spelling of a path.
fn needed(method: &Method, path: &str, via: Via) -> Role {
    let mut parts = path.strip_prefix("/api/v1/").unwrap_or("").split('/');
    match (parts.next(), parts.next()) {
        (Some("users"), _) | (Some("system"), Some("restart")) => Role::Admin,
        // A token that could make another would outlive itself.
        (Some("tokens"), _) if !method.is_safe() && via == Via::Token => Role::Admin,
        // One's own; those of others are the handlers' to refuse.
        (Some("login" | "logout" | "password" | "tokens"), _) => Role::ReadOnly,
        // A question, though it needs a body.
        (Some("policies"), Some("match")) if method == Method::POST => Role::ReadOnly,
        _ if method.is_safe() => Role::ReadOnly,
        _ => Role::Operator,
    }
}

/// Which of a token's scopes a path belongs to; by the same bytes.
fn area(path: &str) -> Area {
    if path == "/metrics" {
        return Area::Of(Scope::Metrics);
    }
    let mut parts = path.strip_prefix("/api/v1/").unwrap_or("").split('/');
    match (parts.next().unwrap_or(""), parts.next()) {
        ("series" | "rates", _) => Area::Of(Scope::Metrics),
        ("events" | "alarms", _) => Area::Of(Scope::Events),
        ("sessions", _) | ("nat", Some("leases")) => Area::Of(Scope::Sessions),
        (
            "applications" | "services" | "interfaces" | "routes" | "neighbours" | "policies"
            | "nat" | "drops" | "objects" | "url-lists" | "counters",
            _,
        ) => Area::Of(Scope::Network),
        ("config", _) => Area::Of(Scope::Configuration),
        ("system", _) => Area::Of(Scope::System),
        ("users" | "tokens" | "password", _) => Area::Of(Scope::Access),
        ("whoami" | "logout" | "openapi.json", None) => Area::Everybodys,
        _ => Area::Unlisted,
    }
}

/// OWASP, Cross-Site Request Forgery Prevention: a token that only a page of this site can read, and
/// what the browser says of where the request comes from.
fn check_csrf(headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    if credentials::is_cross_site(headers) {
        return Err(Refusal::CrossSite);
    }
    let shown = headers
        .get("x-csrf-token")
        .is_some_and(|shown| shown.as_bytes().ct_eq(token.as_bytes()).into());
    if shown {
        Ok(())
    } else {
        Err(Refusal::CsrfToken)
    }
}

/// What a browser says of itself, and no other client does.
fn says_cross_site(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-fetch-site") && credentials::is_cross_site(headers)
}

/// RFC 9110, section 11.6.1. A browser that is offered Basic asks its user in a window of its own, in front of
/// the login page; so a page's requests are not.
fn challenge(headers: &mut HeaderMap, browser: bool) {
    headers.append(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"palisade\""),
    );
    if !browser {
        headers.append(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"palisade\", charset=\"UTF-8\""),
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn another_sites_page_changes_nothing_without_a_session_either() {
        let ask = |method: Method, site: Option<&'static str>| {
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method;
            *request.uri_mut() = "/api/v1/config/commit".parse().unwrap();
            if let Some(site) = site {
                let site = HeaderValue::from_static(site);
                request.headers_mut().insert("sec-fetch-site", site);
            }
            authorize(&Caller::root(), &request)
        };
        for site in ["cross-site", "same-site"] {
            assert_eq!(ask(Method::POST, Some(site)), Err(Refusal::CrossSite));
            assert_eq!(ask(Method::GET, Some(site)), Ok(()));
        }
        for site in [None, Some("same-origin"), Some("none")] {
            assert_eq!(ask(Method::POST, site), Ok(()));
        }
    }

    #[test]
    fn what_each_request_needs() {
        let (get, post, delete) = (&Method::GET, &Method::POST, &Method::DELETE);
        let cases = [
            (get, "/api/v1/sessions", Role::ReadOnly),
            (get, "/metrics", Role::ReadOnly),
            (get, "/nowhere", Role::ReadOnly),
            (&Method::HEAD, "/api/v1/config/running", Role::ReadOnly),
            (delete, "/api/v1/sessions", Role::Operator),
            (post, "/api/v1/config/commit", Role::Operator),
            (post, "/nowhere", Role::Operator),
            (&Method::TRACE, "/api/v1/sessions/1", Role::ReadOnly),
            (&Method::CONNECT, "/", Role::Operator),
            (get, "/api/v1/users", Role::Admin),
            (get, "/api/v1/users/alice", Role::Admin),
            (delete, "/api/v1/users/alice", Role::Admin),
            (post, "/api/v1/system/restart", Role::Admin),
            (get, "/api/v1/system", Role::ReadOnly),
            (post, "/api/v1/tokens", Role::ReadOnly),
            (post, "/api/v1/password", Role::ReadOnly),
            (post, "/api/v1/logout", Role::ReadOnly),
            (post, "/api/v1/policies/match", Role::ReadOnly),
            (delete, "/api/v1/policies/match", Role::Operator),
            (post, "/api/v1/policies", Role::Operator),
        ];
        for (method, path, role) in cases {
            assert_eq!(needed(method, path, Via::Browser), role, "{method} {path}");
        }
    }

    #[test]
    fn every_path_of_the_api_belongs_to_an_area() {
        let document =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"));
        let document: serde_json::Value = serde_json::from_str(&document.unwrap()).unwrap();
        for path in document["paths"].as_object().unwrap().keys() {
            if !PUBLIC.contains(&path.as_str()) {
                assert_ne!(area(path), Area::Unlisted, "{path}");
            }
        }
        for path in [
            "/",
            "/metrics/",
            "/api/v1/",
            "/api/v1/nothing",
            "/api/v1/whoami/x",
        ] {
            assert_eq!(area(path), Area::Unlisted, "{path}");
        }
        assert_eq!(area("/metrics"), Area::Of(Scope::Metrics));
        assert_eq!(area("/api/v1/nat/leases"), Area::Of(Scope::Sessions));
    }

    #[test]
    fn a_token_makes_tokens_only_as_an_administrator() {
        let needed = |method, via| needed(method, "/api/v1/tokens", via);
        assert_eq!(needed(&Method::POST, Via::Token), Role::Admin);
        assert_eq!(needed(&Method::GET, Via::Token), Role::ReadOnly);
        assert_eq!(needed(&Method::POST, Via::Password), Role::ReadOnly);
    }
}
