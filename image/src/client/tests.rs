//! The client against the API itself, by socket and by TLS.

use serde_json::{Value, json};

use super::*;
use crate::exit::Exit;
use crate::testing::Bench;

#[test]
fn a_value_cannot_become_another_parameter() {
    let parameters = |name, value: &str| [(name, Some(value.to_owned())), ("none", None)];
    assert_eq!(
        with_query("/p", parameters("policy", "a&limit=1 ü")),
        "/p?policy=a%26limit%3D1%20%C3%BC"
    );
    assert_eq!(
        with_query("/p", parameters("address", "2001:db8::1")),
        "/p?address=2001%3Adb8%3A%3A1"
    );
    assert_eq!(with_query("/p", [("none", None)]), "/p");
}

/// Connects by TLS and says who it is.
async fn who(connection: &Connection) -> Result<Value, ClientError> {
    let mut client = Client::connect(connection).await?;
    parsed(&client.get("/api/v1/whoami").await?)
}

#[tokio::test]
async fn a_pinned_appliance_is_asked_over_https_with_a_token() {
    let bench = Bench::start().await;
    let token = bench.token("operator").await;
    let pin = bench.certificates.fingerprint();
    let words = ["--token-file", &token, "--fingerprint", &pin];
    let me = who(&bench.remote(&words)).await.unwrap();
    assert_eq!(
        (&me["name"], &me["via"]),
        (&json!("operator"), &json!("token"))
    );

    let ca = bench.dir.path().join("tls/certificate.pem");
    let words = ["--token-file", &token, "--ca", &ca.to_string_lossy()];
    assert_eq!(
        who(&bench.remote(&words)).await.unwrap()["name"],
        "operator"
    );
}

#[tokio::test]
async fn an_appliance_that_is_not_known_is_not_told_the_token() {
    let bench = Bench::start().await;
    let token = bench.token("operator").await;
    let pin = bench.certificates.fingerprint();
    for trust in [&[][..], &["--fingerprint", &"AB".repeat(32)]] {
        let words = [&["--token-file", &token], trust].concat();
        let error = who(&bench.remote(&words)).await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable, "{error}");
        // So that it can be compared.
        assert!(error.to_string().contains(&pin), "{error}");
    }
}

#[tokio::test]
async fn a_login_that_is_wrong_or_may_not_do_it_is_told_from_a_mistake() {
    let bench = Bench::start().await;
    let token = bench.token("read-only").await;
    let pin = bench.certificates.fingerprint();
    let trusted = |token: [&str; 2]| bench.remote(&[token[0], token[1], "--fingerprint", &pin]);
    let error = who(&trusted(["--token", "palisade_nobody"]))
        .await
        .unwrap_err();
    assert_eq!(error.exit(), Exit::NotAllowed, "{error}");
    let mut client = Client::connect(&trusted(["--token-file", &token]))
        .await
        .unwrap();
    let error = client
        .delete("/api/v1/sessions?all=true")
        .await
        .unwrap_err();
    assert_eq!(error.exit(), Exit::NotAllowed, "{error}");
    let error = client.get("/api/v1/sessions?port=http").await.unwrap_err();
    assert_eq!(error.exit(), Exit::WrongInput, "{error}");
}

#[tokio::test]
async fn an_appliance_that_is_not_there_is_unreachable() {
    let nobody = "127.0.0.1:1";
    let connection = crate::testing::connection(&["--host", nobody, "--token", "palisade_1"]);
    let error = Client::connect(&connection).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable);
    assert!(error.to_string().contains(nobody), "{error}");
}

#[tokio::test]
async fn a_candidate_is_changed_only_while_it_is_the_one_that_was_seen() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let path = "/api/v1/config/candidate";
    let seen = client.send(&Call::get(path).written()).await.unwrap();
    assert_eq!(seen.body, web_ui::fake::CONFIGURATION);
    let put = |text: String| {
        Call::new(Method::PUT, path)
            .body("application/yaml", text)
            .if_match(seen.etag.as_deref())
    };
    client
        .send(&put(format!("{}# mine\n", seen.body)))
        .await
        .unwrap();
    let late = put(format!("{}# theirs\n", seen.body));
    let error = client.send(&late).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Conflict, "{error}");

    let wrong = Call::new(Method::PUT, path).body("application/yaml", "version: 2\nzone: {}\n");
    let error = client.send(&wrong).await.unwrap_err();
    assert_eq!(error.exit(), Exit::WrongInput);
    let details = error.details();
    assert!(
        details
            .iter()
            .any(|line| line.starts_with("/zone (line 2): ")),
        "{details:?}"
    );
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    let mut bench = Bench::start().await;
    let token = bench.token("operator").await;
    let pin = bench.certificates.fingerprint();
    let words = ["--token-file", &token, "--fingerprint", &pin];
    let mut client = Client::connect(&bench.remote(&words)).await.unwrap();
    client.get("/api/v1/whoami").await.unwrap();
    bench.restart().await;
    client.get("/api/v1/whoami").await.unwrap();
}
