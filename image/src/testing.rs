//! An appliance for tests of commands: plain data, over its unix socket and over HTTPS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use firewall::audit::AuditLog;
use serde_json::{Value, json};
use web_ui::fake::{self, Fake, TempDir};
use web_ui::{Access, Certificates, Guarded, Https, SocketFile};

use crate::client::{Call, Client};
use crate::connection::Connection;

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) address: SocketAddr,
    site: Guarded,
    https: Https,
    _socket: SocketFile,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new();
        // Unlike that of `fake::site`, its candidate has a directory to be kept in.
        let lifecycle = fake::lifecycle(&dir).await;
        let access = Access::open(None, Arc::new(AuditLog)).unwrap();
        let site = web_ui::router(
            Arc::new(Fake::running()),
            lifecycle,
            fake::events(),
            access,
            fake::machine(),
        );
        let (listener, file) = web_ui::bind(&dir.path().join("api.sock")).unwrap();
        tokio::spawn(web_ui::serve(
            listener,
            site.clone(),
            std::future::pending(),
        ));
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let certificates = Certificates::open(Some(dir.path()), "edge-1", &[]).unwrap();
        let mut https = Https::new(site.clone(), Arc::clone(&certificates)).unwrap();
        https.listen(Some(loopback)).await.unwrap();
        Self {
            address: https.address().unwrap(),
            dir,
            certificates,
            site,
            https,
            _socket: file,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    pub(crate) fn local(&self) -> Connection {
        Connection::local(&self.socket())
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.local()).await.unwrap()
    }

    /// Over HTTPS, with these arguments.
    pub(crate) fn remote(&self, words: &[&str]) -> Connection {
        let host = self.address.to_string();
        connection(&[&["--host", &host], words].concat())
    }

    /// A file with a token of a new user.
    pub(crate) async fn token(&self, role: &str) -> String {
        let mut client = self.client().await;
        let user = json!({"name": role, "role": role, "must-change-password": false,
            "password": "correct horse battery"});
        let call = Call::post("/api/v1/users").json(&user).unwrap();
        client.send(&call).await.unwrap();
        let token = json!({"name": "cli", "role": role, "owner": role});
        let call = Call::post("/api/v1/tokens").json(&token).unwrap();
        let answer: Value = client.send(&call).await.unwrap().parsed().unwrap();
        let file = self.dir.path().join(format!("{role}.token"));
        std::fs::write(&file, answer["token"].as_str().unwrap()).unwrap();
        file.to_string_lossy().into_owned()
    }

    /// Closes every connection over HTTPS, and serves at the same address again.
    pub(crate) async fn restart(&mut self) {
        self.https.stop().await;
        self.https = Https::new(self.site.clone(), Arc::clone(&self.certificates)).unwrap();
        self.https.listen(Some(self.address)).await.unwrap();
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn connection(words: &[&str]) -> Connection {
    Line::parse_from(["palisade"].iter().chain(words)).connection
}
