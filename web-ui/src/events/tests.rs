//! Events as clients see them.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firewall::audit::AuditLog;
use firewall::events::{Entry, Kind, Severity};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::*;
use crate::access::Peer;
use crate::fake::{self, Fake, TempDir};

const PATIENCE: Duration = Duration::from_secs(60);

struct Site {
    router: Router,
    events: Events,
    _dir: TempDir,
}

impl Site {
    async fn new() -> Self {
        let (dir, events) = (TempDir::new(), fake::events());
        let access = Access::open(None, Arc::new(AuditLog)).unwrap();
        let guarded = crate::router(
            Arc::new(Fake::running()),
            fake::lifecycle(&dir).await,
            events.clone(),
            access,
            fake::machine(),
        );
        Self {
            router: guarded.into_router(),
            events,
            _dir: dir,
        }
    }

    async fn send(
        &self,
        peer: Peer,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (StatusCode, Body) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("content-type", "application/json")
            .extension(peer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request.body(Body::from(text)).unwrap();
        let service = TowerToHyperService::new(self.router.clone());
        let (head, body) = service.call(request).await.unwrap().into_parts();
        (head.status, body)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, body) = self.send(Peer::Socket, method, path, &[], body).await;
        let bytes = body.collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, &Value::Null).await
    }

    async fn follow(&self, path: &str, headers: &[(&str, &str)]) -> Following {
        let (status, body) = self
            .send(Peer::Socket, Method::GET, path, headers, &Value::Null)
            .await;
        assert_eq!(status, 200);
        Following {
            body,
            text: String::new(),
        }
    }

    /// Stores an event for each policy, and waits until all are.
    async fn store(&self, policies: &[&str]) {
        let mut written = self.events.written();
        let last = *written.borrow() + policies.len() as u64;
        for policy in policies {
            let at = Timestamp::now();
            self.events.store(Entry {
                policy: Some((*policy).to_owned()),
                ..Entry::new(
                    at,
                    Kind::Denied,
                    Severity::Warning,
                    format!("denied by {policy}"),
                )
            });
        }
        let stored = written.wait_for(|written| *written >= last);
        timeout(PATIENCE, stored).await.unwrap().unwrap();
    }
}

/// A stream as it comes.
struct Following {
    body: Body,
    text: String,
}

impl Following {
    /// The next message's fields; `None` where the stream ends.
    async fn next(&mut self) -> Option<Vec<(String, String)>> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let message: String = self.text.drain(..end + 2).collect();
                let fields = message.lines().filter_map(|line| line.split_once(": "));
                let fields: Vec<_> = fields
                    .filter(|(name, _)| !name.is_empty() && *name != "retry")
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                if !fields.is_empty() {
                    return Some(fields);
                }
                continue;
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.unwrap()?;
            let bytes = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn event(&mut self) -> (String, String, Value) {
        let fields = self.next().await.unwrap();
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let data = serde_json::from_str(&field("data")).unwrap();
        (field("id"), field("event"), data)
    }
}

fn ids(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn events_are_filtered_and_paged() {
    let site = Site::new().await;
    site.store(&["web", "mail", "web", "games", "web"]).await;
    let (status, page) = site.get("/events?policy=web&limit=2").await;
    assert_eq!((status.as_u16(), ids(&page)), (200, vec![5, 3]));
    assert_eq!(
        (&page["lost"], page["oldest"].is_string()),
        (&json!(0), true)
    );
    let cursor = page["next"].as_str().unwrap();
    let (_, page) = site
        .get(&format!("/events?policy=web&limit=2&cursor={cursor}"))
        .await;
    assert_eq!((ids(&page), &page["next"]), (vec![1], &Value::Null));
    let (_, page) = site.get("/events?q=denied+games").await;
    assert_eq!(ids(&page), [4]);
    let event = &page["events"][0];
    assert_eq!(event["kind"], "denied");
    assert_eq!(event["severity"], "warning");
    assert_eq!(event["message"], "denied by games");
    let (_, page) = site.get("/events?kind=commit,audit").await;
    assert_eq!((ids(&page), page["oldest"].is_string()), (vec![], true));
}

#[tokio::test]
async fn a_wrong_parameter_is_a_problem_that_names_it() {
    let site = Site::new().await;
    for (path, parameter) in [
        ("/events?kind=nothing", "kind"),
        ("/events?limit=1001", "limit"),
        ("/events?cursor=x", "cursor"),
        ("/events?q=%00", "q"),
        ("/events/stream?limit=1", "limit"),
        ("/events/stream?after=-1", "after"),
        ("/events/capture?x=1", "x"),
        ("/alarms?x=1", "x"),
    ] {
        let (status, problem) = site.get(path).await;
        assert_eq!(
            (status.as_u16(), &problem["parameter"]),
            (400, &json!(parameter)),
            "{path}"
        );
    }
    let headers = [("last-event-id", "yesterday")];
    let (status, _) = site
        .send(
            Peer::Socket,
            Method::GET,
            "/events/stream",
            &headers,
            &Value::Null,
        )
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_stream_shows_what_comes_and_goes_on_where_it_was() {
    let site = Site::new().await;
    site.store(&["web", "mail"]).await;
    let mut live = site.follow("/events/stream?policy=web", &[]).await;
    site.store(&["games", "web"]).await;
    let (id, kind, event) = live.event().await;
    assert_eq!((id.as_str(), kind.as_str()), ("4", "denied"));
    assert_eq!((&event["id"], &event["policy"]), (&json!(4), &json!("web")));
    site.store(&["web"]).await;
    assert_eq!(live.event().await.0, "5");
    drop(live);

    let mut again = site
        .follow("/events/stream?after=0", &[("last-event-id", "2")])
        .await;
    for id in ["3", "4", "5"] {
        assert_eq!(again.event().await.0, id);
    }
    let mut all = site.follow("/events/stream?after=0&kind=denied", &[]).await;
    assert_eq!(all.event().await.0, "1");
    // From the future, which is not known.
    let mut new = site.follow("/events/stream?after=999999", &[]).await;
    site.store(&["web"]).await;
    assert_eq!(new.event().await.0, "6");
}

#[tokio::test]
async fn a_stream_tells_what_can_not_be_had_any_more() {
    let site = Site::new().await;
    let bounds = firewall::config::EventBounds {
        max_age: Duration::from_secs(3_600),
        ..firewall::config::EventBounds::default()
    };
    site.events.set_bounds(bounds);
    let old = Timestamp::now() - Duration::from_secs(7_200);
    for _ in 0..3 {
        let entry = Entry::new(old, Kind::Audit, Severity::Info, "long ago".into());
        site.events.store(entry);
    }
    site.store(&["web"]).await;
    let deleted = async {
        while ids(&site.get("/events").await.1) != [4] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, deleted).await.unwrap();
    let mut late = site.follow("/events/stream?after=0", &[]).await;
    let (id, kind, data) = late.event().await;
    assert_eq!(
        (id.as_str(), kind.as_str(), data),
        ("", "lost", json!({ "count": 3 }))
    );
    assert_eq!(late.event().await.0, "4");
}

#[tokio::test]
async fn streams_at_once_are_bounded_and_a_place_is_free_when_one_ends() {
    let site = Site::new().await;
    let mut held = Vec::new();
    let refused = loop {
        let (status, body) = site
            .send(
                Peer::Socket,
                Method::GET,
                "/events/stream",
                &[],
                &Value::Null,
            )
            .await;
        if status != 200 {
            break status;
        }
        assert!(!body.is_end_stream() && held.len() < 100);
        held.push(body);
    };
    assert_eq!(refused, 503);
    held.pop();
    site.follow("/events/stream", &[]).await;
}

const NETWORK: &str = "198.51.100.7:40000";
const PASSWORD: &str = "correct horse battery staple";

/// A user, and the header by which they ask.
async fn user(site: &Site, name: &str) -> String {
    let wish = json!({ "name": name, "role": "operator", "password": PASSWORD, "must-change-password": false });
    let (status, made) = site.ask(Method::POST, "/users", &wish).await;
    assert_eq!(status, 201, "{made}");
    format!("Basic {}", STANDARD.encode(format!("{name}:{PASSWORD}")))
}

async fn follow_as(site: &Site, authorization: &str) -> Following {
    let peer = Peer::Network(NETWORK.parse::<SocketAddr>().unwrap());
    let headers = [("authorization", authorization)];
    let (status, body) = site
        .send(
            peer,
            Method::GET,
            "/events/stream?policy=web",
            &headers,
            &Value::Null,
        )
        .await;
    assert_eq!(status, 200);
    Following {
        body,
        text: String::new(),
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let site = Site::new().await;
    user(&site, "alice").await;
    let wish = json!({ "name": "monitor", "role": "read-only", "owner": "alice" });
    let (status, issued) = site.ask(Method::POST, "/tokens", &wish).await;
    assert_eq!(status, 201, "{issued}");
    let bearer = format!("Bearer {}", issued["token"].as_str().unwrap());
    let mut stream = follow_as(&site, &bearer).await;
    site.store(&["web"]).await;
    assert_eq!(stream.event().await.1, "denied");
    let id = issued["id"].as_str().unwrap();
    let (status, _) = site
        .ask(Method::DELETE, &format!("/tokens/{id}"), &Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_stream_ends_when_its_user_is_another_than_before() {
    let site = Site::new().await;
    for (name, change) in [
        ("alice", json!({ "disabled": true })),
        ("bob", json!({ "role": "read-only" })),
    ] {
        let basic = user(&site, name).await;
        let mut stream = follow_as(&site, &basic).await;
        let (status, _) = site
            .ask(Method::PATCH, &format!("/users/{name}"), &change)
            .await;
        assert!(status.is_success());
        assert_eq!(stream.next().await, None, "{name}");
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_browser_logs_out() {
    let site = Site::new().await;
    user(&site, "alice").await;
    let peer = Peer::Network(NETWORK.parse::<SocketAddr>().unwrap());
    let given = json!({ "name": "alice", "password": PASSWORD });
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/login")
        .header("content-type", "application/json")
        .body(Body::from(given.to_string()))
        .unwrap();
    request.extensions_mut().insert(peer);
    let service = TowerToHyperService::new(site.router.clone());
    let (head, body) = service.call(request).await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    let cookie = head.headers["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let bytes = body.collect().await.unwrap().to_bytes();
    let identity: Value = serde_json::from_slice(&bytes).unwrap();
    let headers = [
        ("cookie", cookie),
        ("x-csrf-token", identity["csrf-token"].as_str().unwrap()),
    ];
    let path = "/events/stream?policy=web";
    let (status, body) = site
        .send(peer, Method::GET, path, &headers, &Value::Null)
        .await;
    assert_eq!(status, 200);
    let mut stream = Following {
        body,
        text: String::new(),
    };
    let (status, _) = site
        .send(peer, Method::POST, "/logout", &headers, &Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_capture_is_started_shown_and_ended() {
    let site = Site::new().await;
    let (_, view) = site.get("/events/capture").await;
    assert_eq!(view["active"], false);
    let wish = json!({ "for": "10m", "policy": "web", "address": "192.0.2.1" });
    let (status, view) = site.ask(Method::POST, "/events/capture", &wish).await;
    assert_eq!(
        (status.as_u16(), &view["active"], &view["kept"]),
        (200, &json!(true), &json!(0))
    );
    assert_eq!(
        (&view["policy"], view["until"].is_string()),
        (&json!("web"), true)
    );
    let (status, _) = site
        .ask(Method::DELETE, "/events/capture", &Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(site.get("/events/capture").await.1["active"], false);
    for (wish, expected) in [
        (json!({ "for": "2h" }), 422),
        (json!({ "for": "10" }), 422),
        (json!({ "for": "1m", "polcy": "web" }), 422),
        (json!({}), 422),
        (json!({ "for": "1m", "address": "here" }), 422),
    ] {
        let (status, problem) = site.ask(Method::POST, "/events/capture", &wish).await;
        assert_eq!(status, expected, "{problem}");
    }
}

#[tokio::test]
async fn clearing_sessions_is_on_record() {
    #[derive(Debug, Default)]
    struct Recorder(std::sync::Mutex<Vec<firewall::audit::AuditEntry>>);
    impl firewall::audit::Audit for Recorder {
        fn record(&self, entry: firewall::audit::AuditEntry) {
            self.0.lock().unwrap().push(entry);
        }
    }
    let audit = Arc::new(Recorder::default());
    let access = Access::open(None, audit.clone()).unwrap();
    let dir = TempDir::new();
    let guarded = crate::router(
        Arc::new(Fake::running()),
        fake::lifecycle(&dir).await,
        fake::events(),
        access,
        fake::machine(),
    );
    let site = Site {
        router: guarded.into_router(),
        events: fake::events(),
        _dir: dir,
    };
    let (status, _) = site
        .ask(Method::DELETE, "/sessions?protocol=tcp", &Value::Null)
        .await;
    assert_eq!(status, 200);
    let entries = audit.0.lock().unwrap();
    let entry = entries.last().unwrap();
    assert_eq!(entry.action, firewall::audit::AuditAction::SessionsCleared);
    assert_eq!(entry.actor.name, "root");
    assert_eq!(entry.detail, "3 sessions: protocol=tcp");
}
