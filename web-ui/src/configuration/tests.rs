use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use crate::access::Peer;
use crate::fake::{self, CONFIGURATION, Fake, TempDir};

/// An API whose candidate can be edited, asked as root asks it.
struct Site {
    router: axum::Router,
    _dir: TempDir,
}

struct Answer {
    status: StatusCode,
    head: Response<()>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn etag(&self) -> String {
        self.head.headers()[header::ETAG].to_str().unwrap().into()
    }

    #[track_caller]
    fn is(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

impl Site {
    async fn new() -> Self {
        let dir = TempDir::new();
        let access = crate::Access::open(None, std::sync::Arc::new(firewall::audit::AuditLog));
        let guarded = crate::router(
            std::sync::Arc::new(Fake::running()),
            fake::lifecycle(&dir).await,
            fake::events(),
            access.unwrap(),
            fake::machine(),
        );
        Self {
            router: guarded.into_router(),
            _dir: dir,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/config{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer::Socket);
        let response = TowerToHyperService::new(self.router.clone())
            .call(request)
            .await
            .unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            head: Response::from_parts(head, ()),
            text: String::from_utf8(bytes.into()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.ask(method, path, &json, &body.to_string()).await
    }

    async fn yaml(&self) -> String {
        let yaml = [("accept", "application/yaml")];
        self.ask(Method::GET, "/candidate", &yaml, "").await.text
    }

    async fn names(&self, collection: &str) -> Vec<String> {
        let page = self.get(collection).await.json();
        let items = page["items"].as_array().unwrap();
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect()
    }
}

#[tokio::test]
async fn collections_are_listed_in_order_and_lists_are_lists() {
    let site = Site::new().await;
    assert_eq!(
        site.names("/policies").await,
        ["web-out", "no-mail", "rest"]
    );
    let page = site.get("/addresses").await.json();
    assert_eq!(
        page["items"][0],
        json!({ "name": "lan", "addresses": ["192.0.2.0/24"] })
    );
    let zone = site.get("/zones/trust").await.json();
    assert_eq!(
        zone,
        json!({ "name": "trust", "interfaces": ["left"], "host-inbound": ["ping"] })
    );
    site.get("/zones/dmz").await.is(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_and_filters_cut_a_list() {
    let site = Site::new().await;
    let page = site.get("/policies?limit=2").await.json();
    assert_eq!(
        (page["total"].as_u64(), page["next"].as_u64()),
        (Some(3), Some(2))
    );
    let rest = site.get("/policies?limit=2&cursor=2").await.json();
    assert_eq!(rest["items"][0]["name"], "rest");
    assert!(rest.get("next").is_none());
    let found = site.get("/policies?q=SMTP").await.json();
    assert_eq!(found["items"][0]["name"], "no-mail");
    site.get("/policies?limit=0")
        .await
        .is(StatusCode::BAD_REQUEST);
    site.get("/policies?size=9")
        .await
        .is(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_object_is_made_changed_and_deleted_and_comments_stay() {
    let site = Site::new().await;
    let made = site
        .send(
            Method::POST,
            "/addresses",
            json!({ "name": "printers", "addresses": ["192.0.2.66"] }),
        )
        .await
        .is(StatusCode::CREATED);
    assert_eq!(
        made.head.headers()[header::LOCATION],
        "/api/v1/config/addresses/printers"
    );
    let again = json!({ "name": "printers", "addresses": ["192.0.2.67"] });
    site.send(Method::POST, "/addresses", again.clone())
        .await
        .is(StatusCode::CONFLICT);
    let changed = site.send(Method::PUT, "/addresses/printers", again).await;
    assert_eq!(
        changed.is(StatusCode::OK).json()["addresses"],
        json!(["192.0.2.67"])
    );
    let merged = site
        .send(
            Method::PATCH,
            "/policies/web-out",
            json!({ "description": "pages", "application": null }),
        )
        .await
        .is(StatusCode::OK)
        .json();
    assert_eq!(merged["description"], "pages");
    assert!(merged.get("application").is_none());
    site.ask(Method::DELETE, "/addresses/printers", &[], "")
        .await
        .is(StatusCode::NO_CONTENT);
    let yaml = site.yaml().await;
    assert!(
        yaml.contains("  lan: 192.0.2.0/24   # everybody\n"),
        "{yaml}"
    );
    assert!(
        yaml.contains("  # Everybody may look at pages.\n"),
        "{yaml}"
    );
    assert!(!yaml.contains("printers"), "{yaml}");
}

#[tokio::test]
async fn sections_that_are_not_there_are_made() {
    let site = Site::new().await;
    let pool = json!({ "name": "public", "addresses": ["198.51.100.32/28"] });
    site.send(Method::POST, "/nat/pools", pool)
        .await
        .is(StatusCode::CREATED);
    let rule = json!({ "name": "out", "from": ["trust"], "to": ["untrust"], "source": ["lan"],
        "translate": { "pool": "public" } });
    site.send(Method::POST, "/nat/source", rule.clone())
        .await
        .is(StatusCode::CREATED);
    assert_eq!(site.get("/nat/source/out").await.json(), rule);
    let name = json!({ "host-name": "edge-1" });
    let system = site.send(Method::PATCH, "/system", name).await;
    assert_eq!(system.is(StatusCode::OK).json()["host-name"], "edge-1");
}

#[tokio::test]
async fn a_route_is_named_by_where_it_leads() {
    let site = Site::new().await;
    let route = json!({ "to": "203.0.113.0/24", "via": "198.51.100.254" });
    let made = site.send(Method::POST, "/routes", route.clone()).await;
    assert_eq!(
        made.is(StatusCode::CREATED).head.headers()[header::LOCATION],
        "/api/v1/config/routes/203.0.113.0%2F24"
    );
    assert_eq!(site.get("/routes/203.0.113.0%2F24").await.json(), route);
}

#[tokio::test]
async fn policies_go_where_they_are_told() {
    let site = Site::new().await;
    let policy = |name: &str| {
        json!({ "name": name, "from": ["trust"], "to": ["untrust"],
            "source": ["192.0.2.77"], "action": "permit" })
    };
    site.send(Method::POST, "/policies?before=web-out", policy("first"))
        .await
        .is(StatusCode::CREATED);
    site.send(Method::POST, "/policies?position=3", policy("third"))
        .await
        .is(StatusCode::CREATED);
    assert_eq!(
        site.names("/policies").await,
        ["first", "web-out", "third", "no-mail", "rest"]
    );
    let moves = [
        (
            json!({ "names": ["third", "first"], "after": "no-mail" }),
            ["web-out", "no-mail", "third", "first", "rest"],
        ),
        (
            json!({ "names": ["first", "web-out"], "position": 1 }),
            ["first", "web-out", "no-mail", "third", "rest"],
        ),
        (
            json!({ "names": ["first", "no-mail"], "before": "rest" }),
            ["web-out", "third", "first", "no-mail", "rest"],
        ),
    ];
    for (wanted, expected) in moves {
        site.send(Method::POST, "/policies/move", wanted.clone())
            .await
            .is(StatusCode::OK);
        assert_eq!(site.names("/policies").await, expected, "{wanted}");
    }
    let comment = "  # Everybody may look at pages.\n";
    let yaml = site.yaml().await;
    let (at, of) = (
        yaml.find(comment).unwrap(),
        yaml.find("name: web-out").unwrap(),
    );
    assert!(at < of && !yaml[at..of].contains("name: third"), "{yaml}");
    for (bad, status) in [
        (
            json!({ "names": ["nobody"], "position": 1 }),
            StatusCode::NOT_FOUND,
        ),
        (
            json!({ "names": ["first", "first"], "position": 1 }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "names": ["first"], "before": "first" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "names": ["first"], "position": 9 }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "names": ["first"] }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "names": ["first"], "position": 1, "before": "rest" }),
            StatusCode::BAD_REQUEST,
        ),
        (json!({ "name": "first" }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        site.send(Method::POST, "/policies/move", bad)
            .await
            .is(status);
    }
    assert_eq!(site.yaml().await, yaml);
}

#[tokio::test]
async fn what_would_be_wrong_is_refused_with_its_place_and_changes_nothing() {
    let site = Site::new().await;
    let wrong = json!({ "name": "new", "from": ["trsut"], "to": ["untrust"], "action": "permit" });
    let problem = site
        .send(Method::POST, "/policies", wrong)
        .await
        .is(StatusCode::UNPROCESSABLE_ENTITY)
        .json();
    assert_eq!(
        problem["type"],
        "urn:palisade:problem:invalid-configuration"
    );
    assert_eq!(problem["pointer"], "/policies/3/from/0");
    assert_eq!(problem["errors"][0]["suggestion"], "trust");
    // Somebody uses it.
    site.ask(Method::DELETE, "/addresses/lan", &[], "")
        .await
        .is(StatusCode::UNPROCESSABLE_ENTITY);
    for (body, status) in [
        ("{", StatusCode::BAD_REQUEST),
        ("[]", StatusCode::UNPROCESSABLE_ENTITY),
        ("{}", StatusCode::UNPROCESSABLE_ENTITY),
        ("{\"name\": 7}", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let json = [("content-type", "application/json")];
        site.ask(Method::POST, "/policies", &json, body)
            .await
            .is(status);
    }
    site.ask(Method::POST, "/policies", &[], "{}")
        .await
        .is(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let renamed = json!({ "name": "other" });
    site.send(Method::PATCH, "/policies/rest", renamed)
        .await
        .is(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(site.yaml().await, CONFIGURATION);
}

#[tokio::test]
async fn who_looked_at_an_older_candidate_is_told() {
    let site = Site::new().await;
    let seen = site.get("/candidate").await.etag();
    let headers = [
        ("content-type", "application/json"),
        ("if-match", seen.as_str()),
    ];
    let body = json!({ "name": "a", "addresses": ["192.0.2.1"] }).to_string();
    let made = site
        .ask(Method::POST, "/addresses", &headers, &body)
        .await
        .is(StatusCode::CREATED);
    assert_ne!(made.etag(), seen);
    let body = json!({ "name": "b", "addresses": ["192.0.2.2"] }).to_string();
    let refused = site
        .ask(Method::POST, "/addresses", &headers, &body)
        .await
        .is(StatusCode::PRECONDITION_FAILED);
    assert_eq!(refused.json()["type"], "urn:palisade:problem:conflict");
    assert_eq!(site.names("/addresses").await, ["lan", "web-servers", "a"]);
}

#[tokio::test]
async fn a_candidate_lives_from_edit_to_history() {
    let site = Site::new().await;
    let status = site.get("").await.json();
    assert_eq!(
        (&status["revision"], &status["source"], &status["changed"]),
        (&json!(1), &json!("start-file"), &json!(false))
    );
    let patch = json!([{ "op": "remove", "path": "/policies/1" }]);
    site.send(Method::PATCH, "/candidate", patch)
        .await
        .is(StatusCode::OK);
    let diff = site.get("/diff").await.json();
    assert_eq!(diff["changed"], true);
    assert!(
        diff["text"]
            .as_str()
            .unwrap()
            .contains("-  - { name: no-mail")
    );
    let check = site.ask(Method::POST, "/check", &[], "").await.json();
    assert_eq!(check["valid"], true);
    let committed = site
        .send(
            Method::POST,
            "/commit",
            json!({ "comment": "no mail rule", "confirm-within": "10m" }),
        )
        .await
        .is(StatusCode::OK)
        .json();
    assert_eq!(committed["revision"], 2);
    assert!(committed["confirm-by"].is_string());
    site.ask(Method::POST, "/confirm", &[], "")
        .await
        .is(StatusCode::OK);
    site.ask(Method::POST, "/confirm", &[], "")
        .await
        .is(StatusCode::CONFLICT);
    let history = site.get("/history").await.json();
    assert_eq!(history[0]["comment"], "no mail rule");
    assert_eq!(history[0]["author"], "root");
    assert_eq!(history[1]["state"], "superseded");
    site.send(Method::POST, "/rollback", json!({ "revision": 1 }))
        .await
        .is(StatusCode::OK);
    assert_eq!(site.yaml().await, CONFIGURATION);
    site.send(Method::POST, "/rollback", json!({ "revision": 9 }))
        .await
        .is(StatusCode::NOT_FOUND);
    let discarded = site.ask(Method::DELETE, "/candidate", &[], "").await;
    assert_eq!(discarded.is(StatusCode::OK).json()["changed"], false);
    site.ask(Method::POST, "/commit", &[], "")
        .await
        .is(StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_document_is_taken_as_yaml_and_as_json() {
    let site = Site::new().await;
    let yaml = CONFIGURATION.replace("smtp", "ssh");
    let headers = [("content-type", "application/yaml")];
    site.ask(Method::PUT, "/candidate", &headers, &yaml)
        .await
        .is(StatusCode::OK);
    assert_eq!(site.yaml().await, yaml);
    let mut document = site.get("/candidate").await.json();
    document["policies"][1]["application"] = json!(["dns"]);
    site.send(Method::PUT, "/candidate", document)
        .await
        .is(StatusCode::OK);
    let policy = site.get("/policies/no-mail").await.json();
    assert_eq!(policy["application"], json!(["dns"]));
    site.ask(Method::PUT, "/candidate", &headers, "version: 2\n")
        .await
        .is(StatusCode::UNPROCESSABLE_ENTITY);
    let refused = [("accept", "image/png")];
    site.ask(Method::GET, "/candidate", &refused, "")
        .await
        .is(StatusCode::NOT_ACCEPTABLE);
}
