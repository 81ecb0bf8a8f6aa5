use firewall::view::{
    CountView, DropsView, Endpoint, HitsView, PolicyFilter, PolicyView, SessionView,
};
use web_ui::Appliance;
use web_ui::fake::Fake;

use super::*;

const LOCAL: SocketAddr = SocketAddr::new(CLIENT.0, 40_000);
const TRANSLATED: SocketAddr = SocketAddr::new(OUTSIDE, 1_024);

/// The account of an appliance that did everything as configured.
fn account() -> Account {
    let fake = Fake::running();
    let end = |end: SocketAddr| Endpoint {
        address: end.ip(),
        port: end.port(),
    };
    let server = end(SocketAddr::new(SERVER.0, HTTP));
    let http = SessionView {
        protocol: "tcp".into(),
        initiator: end(LOCAL),
        responder: server,
        translated_initiator: end(TRANSLATED),
        translated_responder: server,
        policy: Some("web-out".into()),
        ..fake.sessions[0].clone()
    };
    let echo = Endpoint {
        port: 17,
        ..http.initiator
    };
    let ping = SessionView {
        protocol: "icmp".into(),
        initiator: echo,
        ..http.clone()
    };
    let reject = PolicyView {
        name: "no-mail".into(),
        hits: HitsView {
            hits: 1,
            ..HitsView::default()
        },
        ..fake.policies(&PolicyFilter::default())[0].clone()
    };
    let denied = CountView {
        number: 21,
        reason: "policy-denied".into(),
        interface: "left".into(),
        packets: 2,
    };
    Account {
        sessions: vec![http, ping],
        policies: vec![reject],
        drops: DropsView {
            drops: vec![denied],
            punts: Vec::new(),
        },
    }
}

fn answered(seen: SocketAddr) -> Seen {
    Seen::Connection(Outcome::Answered { local: LOCAL, seen })
}

const SILENT: Seen = Seen::Connection(Outcome::Silent { seconds: 2 });

fn refused(after_milliseconds: u64) -> Seen {
    Seen::Connection(Outcome::Refused { after_milliseconds })
}

fn attempt(number: usize) -> Attempt {
    ATTEMPTS[number]
}

#[test]
fn a_translated_connection_names_its_policy_and_its_new_source() {
    assert_eq!(
        judge(&attempt(0), &answered(TRANSLATED), &account()),
        Ok("allowed by web-out, translated to 198.51.100.1:1024".into())
    );
    assert_eq!(
        judge(&attempt(2), &Seen::Echo, &account()),
        Ok("allowed by web-out, translated to 198.51.100.1".into())
    );
}

#[test]
fn an_answer_without_the_right_session_does_not_hold() {
    let none = Account {
        sessions: Vec::new(),
        ..account()
    };
    let other_policy = {
        let mut account = account();
        account.sessions[0].policy = Some("other".into());
        account
    };
    let untranslated = {
        let mut account = account();
        account.sessions[0].translated_initiator = account.sessions[0].initiator;
        account
    };
    for (account, why) in [
        (none, "answered, and there is no session"),
        (other_policy, "allowed by other, not by web-out"),
        (
            untranslated,
            "allowed, and the session says its source is 192.0.2.10, not 198.51.100.1",
        ),
    ] {
        assert_eq!(
            judge(&attempt(0), &answered(TRANSLATED), &account),
            Err(why.into())
        );
    }
}

#[test]
fn the_server_and_the_session_must_agree() {
    let elsewhere = SocketAddr::new(OUTSIDE, 2_000);
    assert_eq!(
        judge(&attempt(0), &answered(elsewhere), &account()),
        Err("the session says 198.51.100.1:1024, and the server saw 198.51.100.1:2000".into())
    );
}

#[test]
fn a_denial_is_silent_and_counted() {
    assert_eq!(
        judge(&attempt(4), &SILENT, &account()),
        Ok("denied: silent for 2 s, 2 packets dropped".into())
    );
    // Nothing was dropped on the right.
    assert!(judge(&attempt(6), &SILENT, &account()).is_err());
    assert_eq!(
        judge(&attempt(4), &refused(1), &account()),
        Err("refused after 1 ms, and was to be denied in silence".into())
    );
}

#[test]
fn a_rejection_is_immediate_and_the_policys() {
    assert_eq!(
        judge(&attempt(5), &refused(3), &account()),
        Ok("rejected by no-mail: refused after 3 ms".into())
    );
    assert!(judge(&attempt(5), &refused(1_500), &account()).is_err());
    assert!(judge(&attempt(5), &SILENT, &account()).is_err());
    let unmatched = Account {
        policies: Vec::new(),
        ..account()
    };
    assert!(judge(&attempt(5), &refused(3), &unmatched).is_err());
}

#[test]
fn lines_are_a_table() {
    let found = ATTEMPTS.map(|attempt| (attempt.ends(), Ok::<_, String>("here".to_owned())));
    let lines = lines(&found);
    assert_eq!(
        lines[0],
        "✓ HTTP    192.0.2.10 → 198.51.100.10:80         here"
    );
    let column = |line: &String| line.chars().count();
    assert!(lines.iter().all(|line| column(line) == column(&lines[0])));
}

#[test]
fn the_configuration_is_valid_and_without_warnings() {
    let config = firewall::config::parse(super::super::CONFIGURATION, "lab").unwrap();
    assert_eq!(config.warnings, []);
}
