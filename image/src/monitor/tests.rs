//! Streams against a server that breaks off.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use web_ui::fake::TempDir;

use super::*;

/// What an appliance sends to one connection after the other; then it refuses.
async fn serve(listener: UnixListener, streams: Vec<&'static str>, asked: Arc<Mutex<Vec<String>>>) {
    for stream in streams {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = client.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        asked.lock().unwrap().push(request);
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(stream.as_bytes()).await.unwrap();
    }
    let (mut client, _) = listener.accept().await.unwrap();
    assert_ne!(client.read(&mut [0; 4096]).await.unwrap(), 0);
    let problem = r#"{"type":"about:blank","title":"t","status":401,"detail":"not any more"}"#;
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n{problem}",
        problem.len()
    );
    client.write_all(answer.as_bytes()).await.unwrap();
}

/// What is printed, what was asked, and how it ended.
async fn followed(
    streams: Vec<&'static str>,
    output: &mut impl Write,
) -> (Vec<String>, Result<(), CommandError>) {
    let dir = TempDir::new();
    let socket = dir.path().join("api.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = Arc::default();
    tokio::spawn(serve(listener, streams, Arc::clone(&asked)));
    let connection = Connection::local(&socket);
    let stream = Stream {
        connection: &connection,
        path: "/api/v1/events/stream".into(),
        patience: [Duration::from_millis(1); 2],
    };
    let ended = stream.follow(events::Lines::new(false), output).await;
    let asked = asked.lock().unwrap().clone();
    (asked, ended)
}

const FIRST: &str = "id: 7\nevent: denied\ndata: {\"at\": \"2026-11-26T10:00:00Z\", \"kind\": \"denied\", \"severity\": \"info\", \"message\": \"one\"}\n\n";
const SECOND: &str = "event: lost\ndata: {\"count\": 2}\n\nid: 11\nevent: commit\ndata: {\"at\": \"2026-11-26T10:00:09Z\", \"kind\": \"commit\", \"severity\": \"info\", \"message\": \"two\"}\n\n";

#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_behind_the_last_event() {
    let mut output = Vec::new();
    let (asked, ended) = followed(vec![FIRST, SECOND], &mut output).await;
    let text = String::from_utf8(output).unwrap();
    let ends: Vec<&str> = text
        .lines()
        .map(|line| line.rsplit("  ").next().unwrap())
        .collect();
    assert_eq!(
        ends,
        [
            "one",
            "2 events lost: the appliance could not keep them",
            "two"
        ]
    );
    assert!(!asked[0].contains("last-event-id"), "{}", asked[0]);
    assert!(asked[1].contains("last-event-id: 7\r\n"), "{}", asked[1]);
    // Who is not let in any more does not knock for ever.
    assert_eq!(ended.unwrap_err().to_string(), "not any more");
}

/// A reader who has seen enough.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_pipe_is_an_end_like_any_other() {
    let (_, ended) = followed(vec![FIRST], &mut Closed).await;
    ended.unwrap();
}

#[tokio::test]
async fn an_appliance_that_was_never_there_is_not_waited_for() {
    let connection = Connection::local(std::path::Path::new("/nowhere/api.sock"));
    let stream = Stream {
        connection: &connection,
        path: rates::PATH.into(),
        patience: PATIENCE,
    };
    let ended = stream
        .follow(events::Lines::new(false), &mut Vec::new())
        .await;
    assert_eq!(ended.unwrap_err().exit(), crate::exit::Exit::Unreachable);
}
