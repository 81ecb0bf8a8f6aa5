//! The whole of it: from TLS sockets through the router to the file.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firewall::audit::{Actor, Via};
use serde_json::{Value, json};

use super::accounts::tests::user;
use super::*;
use crate::fake::{self, Fake, TempDir};
use crate::https::Https;
use crate::testing::{Client, Seen};
use crate::tls::Certificates;

/// Of every user here.
const PASSWORD: &str = "correct horse battery";
const OTHER_PASSWORD: &str = "another horse entirely";
const USERS: [(&str, Role); 3] = [
    ("alice", Role::Admin),
    ("bob", Role::Operator),
    ("carol", Role::ReadOnly),
];

#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<AuditEntry>>);

impl Audit for Recorder {
    fn record(&self, entry: AuditEntry) {
        lock(&self.0).push(entry);
    }
}

struct Bench {
    client: Client,
    access: Arc<Access>,
    audit: Arc<Recorder>,
    site: Guarded,
    _https: Https,
}

impl Bench {
    async fn start() -> Self {
        let bench = Self::start_in(None).await;
        bench
            .access
            .edit_now(|accounts| {
                for (name, role) in USERS {
                    accounts.create(name, user(role))?;
                }
                accounts.delete("admin")
            })
            .unwrap();
        bench
    }

    async fn start_in(state_dir: Option<&Path>) -> Self {
        Self::start_with(state_dir, None).await
    }

    async fn start_with(state_dir: Option<&Path>, first: Option<FirstPassword>) -> Self {
        let audit = Arc::new(Recorder::default());
        let mut access = Access::open_with(state_dir, audit.clone(), first).unwrap();
        Arc::get_mut(&mut access).unwrap().refusal_time = Duration::from_millis(10);
        let site = crate::router(
            Arc::new(Fake::running()),
            fake::lifecycle(&TempDir::new()).await,
            fake::events(),
            Arc::clone(&access),
            fake::machine(),
        );
        let certificates = Certificates::open(None, "edge-1", &[]).unwrap();
        let mut https = Https::new(site.clone(), Arc::clone(&certificates)).unwrap();
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        https.listen(Some(anywhere)).await.unwrap();
        Self {
            client: Client::of(https.address().unwrap(), &certificates),
            access,
            audit,
            site,
            _https: https,
        }
    }

    /// With [`PASSWORD`] in each request.
    fn basic(&self, name: &str) -> Client {
        let text = STANDARD.encode(format!("{name}:{PASSWORD}"));
        self.client.with("authorization", format!("Basic {text}"))
    }

    async fn login(&self, name: &str, password: &str) -> Seen {
        let body = json!({ "name": name, "password": password });
        self.client.send("POST", "/api/v1/login", &body).await
    }

    /// With the cookie, and with the CSRF token besides.
    async fn browser(&self, name: &str, password: &str) -> (Client, Client) {
        let seen = self.login(name, password).await;
        assert_eq!(seen.status, 200, "{}", seen.text());
        let cookie = seen.headers["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap();
        let cookie = self.client.with("cookie", cookie);
        let csrf = seen.json()["csrf-token"].as_str().unwrap().to_owned();
        (cookie.clone(), cookie.with("x-csrf-token", csrf))
    }

    /// By the unix socket.
    async fn root(&self, method: &str, path: &str, body: &Value) -> Seen {
        use http_body_util::BodyExt;
        use hyper::service::Service;
        let mut request = self
            .client
            .with("content-type", "application/json")
            .request(
                method,
                path,
                if body.is_null() {
                    String::new()
                } else {
                    body.to_string()
                },
            );
        request.extensions_mut().insert(Peer::Socket);
        let router = self.site.clone().into_router();
        let response = hyper_util::service::TowerToHyperService::new(router)
            .call(request)
            .await
            .unwrap();
        let (head, body) = response.into_parts();
        Seen {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    fn audited(&self) -> Vec<(AuditAction, Outcome, String, Via)> {
        lock(&self.audit.0)
            .iter()
            .map(|entry| {
                let Actor { name, via, .. } = &entry.actor;
                (entry.action, entry.outcome, name.clone(), *via)
            })
            .collect()
    }
}

/// Those of this module as their document has them, and the others.
fn paths() -> Vec<String> {
    let access = Access::open(None, Arc::new(Recorder::default())).unwrap();
    let own = access.routes::<()>().into_openapi().paths.paths;
    let others = [
        "sessions",
        "interfaces",
        "policies",
        "nat",
        "drops",
        "applications",
        "routes",
        "neighbours",
        "nat/leases",
        "sessions/1",
        "interfaces/left",
        "system",
        "system/restart",
    ];
    own.into_keys()
        .map(|path| format!("/api/v1{path}"))
        .chain(others.map(|name| format!("/api/v1/{name}")))
        .chain(
            [
                "/uix",
                "/metrics",
                "/nowhere",
                "/api/v1/openapi.json",
                "/healthz/",
                "//healthz",
            ]
            .map(str::to_owned),
        )
        .map(|path| path.replace("{name}", "alice").replace("{id}", "0"))
        .collect()
}

#[tokio::test]
async fn no_path_but_the_public_ones_answers_without_credentials() {
    let bench = Bench::start().await;
    let paths = paths();
    assert!(paths.len() > 15 && paths.contains(&"/api/v1/users/alice".to_owned()));
    for path in &paths {
        if path == "/api/v1/login" {
            continue;
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let seen = bench.client.send(method, path, &Value::Null).await;
            assert_eq!(seen.status, 401, "{method} {path}");
            let challenges = seen.headers.get_all("www-authenticate").iter().count();
            assert_eq!(challenges, 2, "{method} {path}");
            assert_eq!(seen.headers["content-type"], "application/problem+json");
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(bench.client.get(path).await.status, 200);
    }
}

#[tokio::test]
async fn a_request_that_no_server_vouches_for_is_refused() {
    use hyper::service::Service;
    let bench = Bench::start().await;
    let router = bench.site.clone().into_router();
    let request = bench.basic("alice").request("GET", "/healthz", "");
    let response = hyper_util::service::TowerToHyperService::new(router)
        .call(request)
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn each_role_may_do_what_it_may() {
    let bench = Bench::start().await;
    let cases = [
        ("GET", "/api/v1/system", [200, 200, 200]),
        ("GET", "/api/v1/whoami", [200, 200, 200]),
        ("GET", "/api/v1/tokens", [200, 200, 200]),
        ("DELETE", "/api/v1/sessions?protocol=udp", [200, 200, 403]),
        ("GET", "/api/v1/users", [200, 403, 403]),
        ("GET", "/api/v1/users/bob", [200, 403, 403]),
        // Nobody would start it anew.
        ("POST", "/api/v1/system/restart", [503, 403, 403]),
        ("GET", "/nowhere", [404, 404, 404]),
        ("POST", "/nowhere", [404, 404, 403]),
    ];
    for (method, path, expected) in cases {
        for ((name, _), expected) in USERS.into_iter().zip(expected) {
            let seen = bench.basic(name).send(method, path, &Value::Null).await;
            assert_eq!(seen.status, expected, "{name}: {method} {path}");
        }
    }
    let seen = bench.root("GET", "/api/v1/users", &Value::Null).await;
    assert_eq!(seen.json().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_browser_needs_its_cookie_and_for_changes_its_csrf_token() {
    let bench = Bench::start().await;
    let seen = bench.login("bob", PASSWORD).await;
    let cookie = seen.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-palisade-session="), "{cookie}");
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }

    let (cookie, full) = bench.browser("bob", PASSWORD).await;
    let who = cookie.get("/api/v1/whoami").await.json();
    assert_eq!(
        (&who["name"], &who["role"], &who["via"]),
        (&json!("bob"), &json!("operator"), &json!("browser"))
    );

    let clear = "/api/v1/sessions?protocol=udp";
    let without = cookie.send("DELETE", clear, &Value::Null).await;
    assert_eq!(without.json()["type"], "urn:palisade:problem:csrf-token");
    let wrong = cookie
        .with("x-csrf-token", "wrong")
        .send("DELETE", clear, &Value::Null)
        .await;
    assert_eq!(wrong.status, 403);
    let other_site = full
        .with("sec-fetch-site", "cross-site")
        .send("DELETE", clear, &Value::Null)
        .await;
    assert_eq!(other_site.json()["type"], "urn:palisade:problem:cross-site");
    let other_origin = full
        .with("origin", "https://example.org")
        .send("DELETE", clear, &Value::Null)
        .await;
    assert_eq!(other_origin.status, 403);
    assert_eq!(full.send("DELETE", clear, &Value::Null).await.status, 200);

    assert_eq!(
        full.send("POST", "/api/v1/logout", &Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(cookie.get("/api/v1/whoami").await.status, 401);
    let actions: Vec<_> = bench.audited().iter().map(|entry| entry.0).collect();
    assert_eq!(
        actions,
        [
            AuditAction::Login,
            AuditAction::Login,
            AuditAction::SessionsCleared,
            AuditAction::Logout
        ]
    );
}

#[tokio::test]
async fn another_site_can_not_log_a_browser_in() {
    let bench = Bench::start().await;
    let body = json!({ "name": "bob", "password": PASSWORD });
    let foreign = bench.client.with("origin", "https://example.org");
    let seen = foreign.send("POST", "/api/v1/login", &body).await;
    assert_eq!(seen.status, 403);
    // A form of another site can't send JSON.
    let form = bench.client.with("content-type", "text/plain");
    let seen = form
        .ask(form.request("POST", "/api/v1/login", body.to_string()))
        .await;
    assert_eq!(seen.status, 415);
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_answer() {
    let bench = Bench::start().await;
    let answers = [
        bench.login("bob", "wrong").await,
        bench.login("nobody", "wrong").await,
        bench.login("not a name", "wrong").await,
        bench.login("bob", &"x".repeat(300)).await,
    ];
    for seen in &answers {
        assert_eq!((seen.status, &seen.body), (401, &answers[0].body));
    }
    let refused = |name: &str| {
        (
            AuditAction::Login,
            Outcome::Refused,
            name.to_owned(),
            Via::Browser,
        )
    };
    assert_eq!(
        bench.audited(),
        [
            refused("bob"),
            refused("unknown"),
            refused("unknown"),
            refused("bob")
        ]
    );
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_the_socket_and_sessions_do_not() {
    let bench = Bench::start().await;
    let (cookie, _) = bench.browser("bob", PASSWORD).await;
    let mut guesses = 0;
    let waits = loop {
        let seen = bench.login("bob", "a wrong password").await;
        if seen.status != 401 {
            break seen;
        }
        guesses += 1;
        assert!(guesses < 20);
    };
    assert_eq!(waits.status, 429);
    let seconds: u64 = waits.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(
        bench.login("bob", PASSWORD).await.status,
        429,
        "however right"
    );
    assert_eq!(bench.basic("bob").get("/api/v1/whoami").await.status, 429);
    assert_eq!(cookie.get("/api/v1/whoami").await.status, 200);
    assert_eq!(bench.basic("carol").get("/api/v1/whoami").await.status, 200);
    let seen = bench
        .root("PATCH", "/api/v1/users/bob", &json!({ "disabled": true }))
        .await;
    assert_eq!(seen.status, 200);
}

#[tokio::test]
async fn a_flood_of_logins_is_answered_and_bounded() {
    let bench = Bench::start().await;
    let logins = (0..24).map(|number| {
        let bench = &bench;
        async move {
            bench
                .login(&format!("user{number}"), "a wrong password")
                .await
                .status
        }
    });
    let answers = futures_util::future::join_all(logins).await;
    assert!(
        answers
            .iter()
            .all(|status| [401, 429, 503].contains(status)),
        "{answers:?}"
    );
    assert!(answers.iter().any(|status| *status != 401), "{answers:?}");
}

#[tokio::test]
async fn a_password_that_must_be_changed_allows_nothing_else() {
    let bench = Bench::start().await;
    let new = json!({ "name": "dave", "role": "operator" });
    let made = bench
        .basic("alice")
        .send("POST", "/api/v1/users", &new)
        .await;
    assert_eq!(
        (made.status, &made.headers["location"]),
        (201, &"/api/v1/users/dave".parse().unwrap())
    );
    let first = made.json()["one-time-password"]
        .as_str()
        .unwrap()
        .to_owned();

    let (cookie, full) = bench.browser("dave", &first).await;
    let who = cookie.get("/api/v1/whoami").await.json();
    assert_eq!(who["must-change-password"], true);
    let refused = cookie.get("/api/v1/system").await;
    assert_eq!(
        refused.json()["type"],
        "urn:palisade:problem:password-change-required"
    );

    let change = async |current: &str, new: &str| {
        let body = json!({ "current": current, "new": new });
        full.send("POST", "/api/v1/password", &body).await
    };
    assert_eq!(change("wrong", OTHER_PASSWORD).await.status, 401);
    assert_eq!(change(&first, &first).await.json()["pointer"], "/new");
    assert_eq!(change(&first, "short").await.json()["pointer"], "/new");
    assert_eq!(change(&first, OTHER_PASSWORD).await.status, 204);
    assert_eq!(
        cookie.get("/api/v1/whoami").await.status,
        401,
        "its sessions end"
    );
    let (cookie, _) = bench.browser("dave", OTHER_PASSWORD).await;
    assert_eq!(cookie.get("/api/v1/system").await.status, 200);
    assert_eq!(bench.login("dave", &first).await.status, 401);
}

#[tokio::test]
async fn another_role_or_state_ends_sessions_at_once() {
    let bench = Bench::start().await;
    for change in [
        json!({ "role": "read-only" }),
        json!({ "password": PASSWORD, "must-change-password": false }),
        json!({ "disabled": true }),
    ] {
        let (cookie, _) = bench.browser("bob", PASSWORD).await;
        assert_eq!(cookie.get("/api/v1/whoami").await.status, 200);
        let seen = bench
            .basic("alice")
            .send("PATCH", "/api/v1/users/bob", &change)
            .await;
        assert_eq!(seen.status, 200, "{}", seen.text());
        assert_eq!(cookie.get("/api/v1/whoami").await.status, 401, "{change}");
    }
    assert_eq!(bench.login("bob", PASSWORD).await.status, 401, "disabled");
}

#[tokio::test]
async fn users_are_managed_and_an_administrator_remains() {
    let bench = Bench::start().await;
    let alice = bench.basic("alice");
    for (method, body) in [
        ("DELETE", Value::Null),
        ("PATCH", json!({ "role": "operator" })),
    ] {
        let seen = alice.send(method, "/api/v1/users/alice", &body).await;
        assert_eq!(seen.status, 409, "{}", seen.text());
    }
    for (body, pointer) in [
        (json!({ "name": "root", "role": "admin" }), "/name"),
        (
            json!({ "name": "dave", "role": "admin", "password": "short" }),
            "/password",
        ),
    ] {
        let seen = alice.send("POST", "/api/v1/users", &body).await;
        assert_eq!(
            (seen.status, &seen.json()["pointer"]),
            (422, &json!(pointer))
        );
    }
    for body in [
        json!({ "name": "dave" }),
        json!({ "name": "dave", "role": "emperor" }),
        json!({ "name": "dave", "role": "admin", "shoe-size": 43 }),
    ] {
        assert_eq!(alice.send("POST", "/api/v1/users", &body).await.status, 422);
    }
    let taken = json!({ "name": "bob", "role": "admin" });
    assert_eq!(
        alice.send("POST", "/api/v1/users", &taken).await.status,
        409
    );
    assert_eq!(
        alice
            .send("DELETE", "/api/v1/users/carol", &Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(alice.get("/api/v1/users/carol").await.status, 404);
    assert_eq!(alice.get("/api/v1/users/%ff").await.status, 400);
}

#[tokio::test]
async fn a_token_is_shown_once_works_and_is_revoked() {
    let bench = Bench::start().await;
    let bob = bench.basic("bob");
    let new = json!({ "name": "prometheus", "role": "read-only", "expires-in": "30d" });
    let made = bob.send("POST", "/api/v1/tokens", &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let bearer = |made: &Value| {
        let token = made["token"].as_str().unwrap();
        bench
            .client
            .with("authorization", format!("Bearer {token}"))
    };
    let token = bearer(&made);
    let who = token.get("/api/v1/whoami").await.json();
    assert_eq!(
        (&who["name"], &who["role"], &who["via"]),
        (&json!("bob"), &json!("read-only"), &json!("token"))
    );
    assert_eq!(
        token
            .send("DELETE", "/api/v1/sessions?protocol=udp", &Value::Null)
            .await
            .status,
        403
    );
    assert_eq!(token.send("POST", "/api/v1/tokens", &new).await.status, 403);

    let listed = bob.get("/api/v1/tokens").await.json();
    assert!(listed[0]["token"].is_null() && listed[0]["last-used"].is_string());
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(
        bench.basic("carol").get("/api/v1/tokens").await.json(),
        json!([])
    );
    assert_eq!(
        bench
            .basic("carol")
            .send("DELETE", &path, &Value::Null)
            .await
            .status,
        404
    );
    assert_eq!(
        bench.basic("alice").get("/api/v1/tokens").await.json(),
        listed
    );
    assert_eq!(bob.send("DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(token.get("/api/v1/whoami").await.status, 401);

    let other = bearer(&bob.send("POST", "/api/v1/tokens", &new).await.json());
    assert_eq!(other.get("/api/v1/whoami").await.status, 200);
    bench
        .basic("alice")
        .send("DELETE", "/api/v1/users/bob", &Value::Null)
        .await;
    assert_eq!(other.get("/api/v1/whoami").await.status, 401);
}

#[tokio::test]
async fn a_token_is_confined_to_its_scopes() {
    let bench = Bench::start().await;
    let alice = bench.basic("alice");
    let issue = async |client: &Client, scopes: Value| {
        let body = json!({ "name": "prometheus", "role": "read-only", "scopes": scopes });
        client.send("POST", "/api/v1/tokens", &body).await
    };
    let seen = issue(&alice, json!(["metrics"])).await;
    assert_eq!(seen.status, 201, "{}", seen.text());
    assert_eq!(seen.json()["scopes"], json!(["metrics"]));
    let bearer = |seen: &Seen| {
        let text = seen.json()["token"].as_str().unwrap().to_owned();
        bench.client.with("authorization", format!("Bearer {text}"))
    };
    let prometheus = bearer(&seen);
    assert_ne!(prometheus.get("/metrics").await.status, 403);
    let who = prometheus.get("/api/v1/whoami").await;
    assert_eq!(
        (who.status, &who.json()["scopes"]),
        (200, &json!(["metrics"]))
    );
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let document: Value =
        serde_json::from_str(&std::fs::read_to_string(document).unwrap()).unwrap();
    let mut others = 0;
    for path in document["paths"].as_object().unwrap().keys() {
        let free = [
            "/metrics",
            "/whoami",
            "/openapi.json",
            "/healthz",
            "/readyz",
            "/login",
            "/logout",
        ];
        let of_metrics = ["/api/v1/series", "/api/v1/rates"];
        if free.iter().any(|free| path.ends_with(free))
            || of_metrics.iter().any(|prefix| path.starts_with(prefix))
        {
            continue;
        }
        let seen = prometheus.get(&path.replace(['{', '}'], "")).await;
        assert_eq!(seen.status, 403, "{path}: {}", seen.text());
        assert_eq!(seen.json()["type"], "urn:palisade:problem:scope", "{path}");
        others += 1;
    }
    assert!(others > 30, "{others}");

    let seen = issue(&alice, json!(["access", "sessions"])).await;
    assert_eq!(issue(&alice, json!([])).await.status, 422);
    assert_eq!(issue(&alice, json!(["everything"])).await.status, 422);
    assert_eq!(bearer(&seen).get("/api/v1/sessions").await.status, 200);
    let listed = alice.get("/api/v1/tokens").await.json();
    let listed = listed.as_array().unwrap();
    assert!(
        listed
            .iter()
            .any(|token| token["scopes"] == json!(["metrics"]))
    );
}

#[tokio::test]
async fn a_confined_token_makes_none_that_is_less_confined() {
    let bench = Bench::start().await;
    let body = json!({ "name": "boss", "role": "admin", "scopes": ["access", "sessions"] });
    let admin = bench.basic(USERS[0].0);
    let seen = admin.send("POST", "/api/v1/tokens", &body).await;
    assert_eq!(seen.status, 201, "{}", seen.text());
    let text = seen.json()["token"].as_str().unwrap().to_owned();
    let boss = bench.client.with("authorization", format!("Bearer {text}"));
    let issue = async |scopes: Value| {
        let mut body = json!({ "name": "child", "role": "read-only" });
        if !scopes.is_null() {
            body["scopes"] = scopes;
        }
        boss.send("POST", "/api/v1/tokens", &body).await.status
    };
    assert_eq!(issue(json!(["sessions"])).await, 201);
    assert_eq!(issue(json!(["sessions", "system"])).await, 403);
    assert_eq!(issue(Value::Null).await, 403);
}

#[tokio::test]
async fn tokens_of_files_without_scopes_are_for_everything() {
    let dir = TempDir::new();
    let text = {
        let bench = Bench::start_in(Some(dir.path())).await;
        let body = json!({ "name": "ci", "role": "read-only", "owner": "admin" });
        let change = json!({ "password": PASSWORD, "must-change-password": false });
        let changed = bench.root("PATCH", "/api/v1/users/admin", &change).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        let seen = bench.root("POST", "/api/v1/tokens", &body).await;
        seen.json()["token"].as_str().unwrap().to_owned()
    };
    let kept = std::fs::read_to_string(dir.path().join("access.json")).unwrap();
    assert!(!kept.contains("scopes"), "{kept}");
    let bench = Bench::start_in(Some(dir.path())).await;
    let bearer = bench.client.with("authorization", format!("Bearer {text}"));
    for path in [
        "/api/v1/system",
        "/api/v1/sessions",
        "/api/v1/config/running",
    ] {
        assert_eq!(bearer.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_stranger_may_send_little() {
    let bench = Bench::start().await;
    let name = "x".repeat(crate::body::SMALL_BYTES_MAX);
    let seen = bench.login(&name, "x").await;
    assert_eq!(seen.status, 413, "{}", seen.text());
}

#[tokio::test]
async fn a_token_that_can_not_be_is_refused() {
    let bench = Bench::start().await;
    let ask = async |name: &str, body: Value| {
        let seen = bench
            .basic(name)
            .send("POST", "/api/v1/tokens", &body)
            .await;
        (
            seen.status,
            seen.json()["pointer"].as_str().map(str::to_owned),
        )
    };
    let at = |pointer: &str| (422, Some(pointer.to_owned()));
    let token = |role: &str| json!({ "name": "ci", "role": role });
    assert_eq!(ask("bob", token("admin")).await, (403, None));
    assert_eq!(
        ask(
            "bob",
            json!({ "name": "ci", "role": "operator", "owner": "alice" })
        )
        .await,
        (403, None)
    );
    assert_eq!(
        ask(
            "alice",
            json!({ "name": "ci", "role": "operator", "owner": "nobody" })
        )
        .await,
        at("/owner")
    );
    assert_eq!(
        ask(
            "alice",
            json!({ "name": "ci", "role": "admin", "owner": "bob" })
        )
        .await,
        at("/role")
    );
    assert_eq!(
        ask("bob", json!({ "name": "", "role": "operator" })).await,
        at("/name")
    );
    for life in ["367d", "soon", "0s"] {
        let body = json!({ "name": "ci", "role": "operator", "expires-in": life });
        assert_eq!(ask("bob", body).await, at("/expires-in"), "{life}");
    }
    let of_root = bench.root("POST", "/api/v1/tokens", &token("admin")).await;
    assert_eq!(
        (of_root.status, &of_root.json()["pointer"]),
        (422, &json!("/owner"))
    );
}

#[tokio::test]
async fn users_outlive_a_restart_and_sessions_do_not() {
    let dir = TempDir::new();
    let bench = Bench::start_in(Some(dir.path())).await;
    let new = json!({ "name": "dave", "role": "operator", "password": PASSWORD, "must-change-password": false });
    assert_eq!(bench.root("POST", "/api/v1/users", &new).await.status, 201);
    let token = json!({ "name": "ci", "role": "read-only", "owner": "dave" });
    let token = bench.root("POST", "/api/v1/tokens", &token).await.json();
    let token = format!("Bearer {}", token["token"].as_str().unwrap());
    let (cookie, _) = bench.browser("dave", PASSWORD).await;
    assert_eq!(cookie.get("/api/v1/whoami").await.status, 200);
    let used = bench
        .client
        .with("authorization", &token)
        .get("/api/v1/whoami")
        .await;
    assert_eq!(used.status, 200);
    bench.access.flush();

    let next = Bench::start_in(Some(dir.path())).await;
    let cookie = cookie.at(next._https.address().unwrap());
    assert!(
        cookie.try_get("/api/v1/whoami").await.is_err(),
        "another certificate"
    );
    assert_eq!(next.basic("dave").get("/api/v1/whoami").await.status, 200);
    let listed = next
        .client
        .with("authorization", token)
        .get("/api/v1/tokens")
        .await
        .json();
    assert!(listed[0]["last-used"].is_string());
    let file = std::fs::read_to_string(dir.path().join("access.json")).unwrap();
    assert!(file.contains("last-used") && !file.contains(PASSWORD));
}

#[tokio::test]
async fn a_first_boot_makes_an_administrator_who_must_change_the_password() {
    let dir = TempDir::new();
    let bench = Bench::start_in(Some(dir.path())).await;
    let users = bench
        .root("GET", "/api/v1/users", &Value::Null)
        .await
        .json();
    assert_eq!(users.as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &users[0]["name"],
            &users[0]["role"],
            &users[0]["must-change-password"]
        ),
        (&json!("admin"), &json!("admin"), &json!(true))
    );
    let before = std::fs::read(dir.path().join("access.json")).unwrap();
    drop(bench);
    Bench::start_in(Some(dir.path())).await;
    assert_eq!(
        std::fs::read(dir.path().join("access.json")).unwrap(),
        before
    );
}

#[tokio::test]
async fn with_damaged_users_nobody_gets_in_but_by_the_socket_which_makes_new_ones() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("access.json"), "{ half").unwrap();
    let bench = Bench::start_in(Some(dir.path())).await;
    assert_eq!(bench.login("admin", PASSWORD).await.status, 503);
    assert_eq!(bench.basic("admin").get("/api/v1/whoami").await.status, 503);
    assert_eq!(bench.client.get("/healthz").await.status, 200);
    bench.access.flush();
    let kept = std::fs::read_to_string(dir.path().join("access.json")).unwrap();
    assert_eq!(kept, "{ half");

    let new = json!({ "name": "erin", "role": "admin", "password": PASSWORD, "must-change-password": false });
    assert_eq!(bench.root("POST", "/api/v1/users", &new).await.status, 201);
    assert_eq!(bench.basic("erin").get("/api/v1/whoami").await.status, 200);
    assert!(dir.path().join("access.json.damaged").exists());
}

#[tokio::test]
async fn a_change_that_can_not_be_written_is_not_made() {
    let dir = TempDir::new();
    let state = dir.path().join("state");
    let bench = Bench::start_in(Some(&state)).await;
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, "").unwrap();
    let new = json!({ "name": "dave", "role": "operator", "password": PASSWORD });
    assert_eq!(bench.root("POST", "/api/v1/users", &new).await.status, 503);
    assert_eq!(
        bench
            .root("GET", "/api/v1/users/dave", &Value::Null)
            .await
            .status,
        404
    );
    let last = bench.audited().pop().unwrap();
    assert_eq!(
        (last.0, last.1),
        (AuditAction::UserChanged, Outcome::Refused)
    );
}

#[tokio::test]
async fn what_is_missing_is_told_by_the_socket_alone() {
    let bench = Bench::start().await;
    let access = Arc::clone(&bench.access);
    let waiting = Fake {
        readiness: firewall::view::Readiness {
            ready: false,
            generation: 0,
            missing: vec!["interface left".into()],
            waiting: Vec::new(),
            advice: Vec::new(),
        },
        ..Fake::running()
    };
    let site = crate::router(
        Arc::new(waiting),
        fake::lifecycle(&TempDir::new()).await,
        fake::events(),
        access,
        fake::machine(),
    );
    let certificates = Certificates::open(None, "edge-1", &[]).unwrap();
    let mut https = Https::new(site.clone(), Arc::clone(&certificates)).unwrap();
    https
        .listen(Some("127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap();
    let client = Client::of(https.address().unwrap(), &certificates);
    let seen = client.get("/readyz").await;
    assert_eq!((seen.status, seen.json()), (503, json!({ "ready": false })));
    let bench = Bench { site, ..bench };
    let seen = bench.root("GET", "/readyz", &Value::Null).await;
    assert_eq!(seen.json()["missing"], json!(["interface left"]));
}

#[tokio::test]
async fn requests_with_a_password_are_told_once_and_wrong_tokens_are_told() {
    let bench = Bench::start().await;
    for _ in 0..3 {
        assert_eq!(bench.basic("bob").get("/api/v1/whoami").await.status, 200);
        let wrong = format!("Bearer {}", secret::TokenText::random().text());
        let wrong = bench.client.with("authorization", wrong);
        assert_eq!(wrong.get("/api/v1/whoami").await.status, 401);
    }
    let told = |outcome, name: &str, via| (AuditAction::Login, outcome, name.to_owned(), via);
    assert_eq!(
        bench.audited(),
        [
            told(Outcome::Done, "bob", Via::Password),
            told(Outcome::Refused, "unknown", Via::Token)
        ]
    );
    let entry = lock(&bench.audit.0)[0].clone();
    assert_eq!(entry.actor.address, Some("127.0.0.1".parse().unwrap()));
}

#[tokio::test]
async fn the_first_user_has_the_password_that_was_given_and_a_later_start_changes_nothing() {
    let dir = TempDir::new();
    let given = || FirstPassword::new(PASSWORD.to_owned()).unwrap();
    let bench = Bench::start_with(Some(dir.path()), Some(given())).await;
    assert_eq!(bench.basic("admin").get("/api/v1/users").await.status, 200);
    drop(bench);
    let other = FirstPassword::new(OTHER_PASSWORD.to_owned()).unwrap();
    let bench = Bench::start_with(Some(dir.path()), Some(other)).await;
    assert_eq!(bench.basic("admin").get("/api/v1/users").await.status, 200);
    assert_eq!(bench.login("admin", OTHER_PASSWORD).await.status, 401);
    for text in ["short", "the admin's password", "aaaaaaaaaaaaaaaaaa"] {
        let refused = FirstPassword::new(text.to_owned()).unwrap_err().to_string();
        assert!(!refused.contains(text), "{refused}");
    }
    assert!(!format!("{:?}", given()).contains(PASSWORD));
}
