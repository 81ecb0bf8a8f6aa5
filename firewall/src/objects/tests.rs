//! Keepers against servers and files of their own, on the loopback device.

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rules::Outside;
use tokio::net::TcpStream;

use super::testing::{Directory, NameServer, Said, Site, database, map, text};
use super::*;

/// How long a test waits for what must happen; much more than it should need.
const PATIENCE: Duration = Duration::from_secs(30);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "no {what}"
    );
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|one| address(one)).collect()
}

const MIRROR: &str = "mirror.example.org";

fn mirror() -> Outside {
    Outside::Fqdn(MIRROR.to_owned())
}

/// A keeper of the mirror's name, as fast as a test needs it.
struct Names {
    board: Arc<Board>,
    _keeper: Keeper,
}

impl Names {
    fn keep(server: &NameServer, directory: &Directory) -> Self {
        let pace = fqdn::Pace {
            floor: Duration::from_millis(5),
            retry: Duration::from_millis(5),
            slowest_retry: Duration::from_millis(20),
            hold: Duration::ZERO,
            ..fqdn::PACE
        };
        let board = Arc::new(Board::new());
        board.keep_only(&BTreeSet::from([mirror()]));
        let keeping = fqdn::keep(
            MIRROR.to_owned(),
            pace,
            Arc::new(Resolver::new(vec![server.address])),
            board.clone(),
            Store::new(directory.path().to_owned()),
        );
        Self {
            board,
            _keeper: Keeper(tokio::spawn(keeping)),
        }
    }

    fn contains(&self, one: &str) -> bool {
        let known = self.board.known(&mirror());
        known.is_some_and(|set| set.contains(address(one)))
    }

    fn state(&self) -> String {
        self.board.view().remove(0).state
    }
}

#[test]
fn a_name_is_asked_again_when_its_ttl_has_passed() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("ttl"));
        let both = addresses(&["192.0.2.1", "2001:db8::1"]);
        server.say(MIRROR, Said::Addresses(0, both));
        let names = Names::keep(&server, &directory);
        eventually("answer", || {
            names.contains("192.0.2.1") && names.contains("2001:db8::1")
        })
        .await;
        server.say(MIRROR, Said::Addresses(3_600, addresses(&["192.0.2.2"])));
        eventually("next answer", || names.contains("192.0.2.2")).await;
        eventually("end of the first", || !names.contains("192.0.2.1")).await;
        assert!(!names.contains("2001:db8::1"));
        let next = names.board.view().remove(0).next_change.unwrap();
        let wait = next
            .parse::<Timestamp>()
            .unwrap()
            .duration_since(Timestamp::now());
        // There is no IPv6 address, and so no TTL of one: the floor.
        assert!(wait.as_secs() < 60, "{wait}");
    });
}

#[test]
fn a_name_keeps_its_last_answer_while_dns_fails() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("fails"));
        server.say(MIRROR, Said::Addresses(0, addresses(&["192.0.2.1"])));
        let names = Names::keep(&server, &directory);
        eventually("answer", || names.state() == "known").await;
        server.say(MIRROR, Said::ServerFailure);
        eventually("failure", || names.state() == "kept").await;
        assert!(names.contains("192.0.2.1"));
        assert!(names.board.view()[0].last_error.is_some());
        server.say(MIRROR, Said::Addresses(0, addresses(&["192.0.2.2"])));
        eventually("recovery", || names.state() == "known").await;
        assert!(names.contains("192.0.2.2"));
    });
}

#[test]
fn a_name_that_does_not_exist_is_known_to_have_no_address() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("none"));
        server.say(MIRROR, Said::NoSuchName);
        let names = Names::keep(&server, &directory);
        eventually("answer", || names.state() == "known").await;
        assert!(names.board.known(&mirror()).unwrap().is_empty());
    });
}

#[test]
fn a_restart_without_dns_begins_with_the_last_answer() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("restart"));
        server.say(MIRROR, Said::ServerFailure);
        let names = Names::keep(&server, &directory);
        eventually("failure", || names.board.view()[0].last_error.is_some()).await;
        assert_eq!(names.state(), "unknown");
        server.say(MIRROR, Said::Addresses(0, addresses(&["192.0.2.1"])));
        let saved = Store::new(directory.path().to_owned());
        eventually("file", || saved.load(&mirror(), "dns").is_some()).await;
        drop(names);
        server.say(MIRROR, Said::ServerFailure);
        let names = Names::keep(&server, &directory);
        eventually("what was saved", || names.contains("192.0.2.1")).await;
        assert_eq!(names.state(), "kept");
    });
}

fn feed(source: config::FeedSource) -> Feed {
    Feed {
        name: "list".to_owned(),
        source,
        limits: config::FeedLimits {
            at_least: 1,
            at_most: 10,
            most_change_percent: None,
            private: false,
            wide: false,
        },
    }
}

struct Feeds {
    board: Arc<Board>,
    _keeper: Keeper,
}

impl Feeds {
    fn keep(source: config::FeedSource, server: &NameServer, directory: &Directory) -> Self {
        let board = Arc::new(Board::new());
        board.keep_only(&BTreeSet::from([list()]));
        let keeping = feeds::keep(
            feed(source),
            Arc::new(Resolver::new(vec![server.address])),
            board.clone(),
            Store::new(directory.path().join("objects")),
        );
        Self {
            board,
            _keeper: Keeper(tokio::spawn(keeping)),
        }
    }

    fn contains(&self, one: &str) -> bool {
        let known = self.board.known(&list());
        known.is_some_and(|set| set.contains(address(one)))
    }

    fn error(&self) -> Option<String> {
        self.board.view().remove(0).last_error
    }
}

fn list() -> Outside {
    Outside::Feed("list".to_owned())
}

fn url(text: &str, ca_file: Option<&Path>) -> config::FeedSource {
    config::FeedSource::Url {
        url: text.parse().unwrap(),
        ca_file: ca_file.map(Path::to_owned),
        // Shorter than a configuration may say.
        refresh: Duration::from_millis(20),
    }
}

#[test]
fn a_feed_is_fetched_and_only_again_what_has_changed() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("http"));
        let site = Site::default();
        let port = site.http();
        site.say("200 OK", "ETag: \"one\"\r\n", "203.0.113.1\n");
        let feeds = Feeds::keep(
            url(&format!("http://127.0.0.1:{port}/ip.txt"), None),
            &server,
            &directory,
        );
        eventually("content", || feeds.contains("203.0.113.1")).await;
        site.say("304 Not Modified", "", "");
        let conditional = |head: &String| head.contains("if-none-match: \"one\"");
        eventually("conditional request", || {
            site.asked().iter().any(conditional)
        })
        .await;
        let first = site.asked().remove(0);
        assert!(first.starts_with("get /ip.txt http/1.1\r\n"), "{first}");
        assert!(first.contains(&format!("host: 127.0.0.1:{port}")) && !conditional(&first));
        assert_eq!(feeds.error(), None);

        site.say("200 OK", "", "<html>maintenance</html>");
        eventually("refusal", || {
            feeds.error().is_some_and(|error| error.contains("refused"))
        })
        .await;
        assert!(feeds.contains("203.0.113.1"), "the last good content stays");
        site.say("503 Service Unavailable", "", "");
        eventually("failure", || {
            feeds.error().is_some_and(|error| error.contains("503"))
        })
        .await;
        site.say("200 OK", "", "203.0.113.2\n");
        eventually("recovery", || feeds.contains("203.0.113.2")).await;
        assert!(!feeds.contains("203.0.113.1"));
        assert_eq!(feeds.error(), None);
    });
}

#[test]
fn redirects_are_followed_so_far() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("redirect"));
        let (from, to) = (Site::default(), Site::default());
        let (from_port, to_port) = (from.http(), to.http());
        to.say("200 OK", "", "203.0.113.1\n");
        from.say(
            "302 Found",
            &format!("Location: http://127.0.0.1:{to_port}/new\r\n"),
            "",
        );
        let source = url(&format!("http://127.0.0.1:{from_port}/old"), None);
        let feeds = Feeds::keep(source, &server, &directory);
        eventually("content", || feeds.contains("203.0.113.1")).await;
        assert!(to.asked()[0].starts_with("get /new "));
        from.say("302 Found", "Location: /round\r\n", "");
        eventually("refusal", || {
            feeds
                .error()
                .is_some_and(|error| error.contains("more than 5 redirects"))
        })
        .await;
    });
}

#[test]
fn https_is_believed_only_to_whom_the_certificate_names() {
    run(async {
        let directory = Directory::new("https");
        let site = Site::default();
        let ca_file = directory.path().join("ca.pem");
        let port = site.https(&ca_file);
        site.say("200 OK", "Connection: close\r\n", "203.0.113.1\n");
        let get = async |host: &str, ca_file| {
            let trust = fetch::trust(ca_file).unwrap();
            // The name of the certificate is not to be had from a name server here.
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let url = format!("https://{host}:{port}/").parse().unwrap();
            fetch::converse(stream, &url, &fetch::Validators::default(), &trust).await
        };
        let got = get("feeds.example.org", Some(&*ca_file)).await.unwrap();
        assert!(
            matches!(&got, fetch::Got::Done(fetch::Fetched::Body(body, _)) if body == "203.0.113.1\n"),
            "{got:?}"
        );
        for (host, ca_file) in [
            ("other.example.org", Some(&*ca_file)),
            ("feeds.example.org", None),
        ] {
            let refused = get(host, ca_file).await;
            assert!(
                matches!(refused, Err(fetch::FetchError::Tls { .. })),
                "{refused:?}"
            );
        }
    });
}

#[test]
fn a_file_is_read_again_when_it_changes() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("file"));
        let path = directory.path().join("feed.txt");
        let feeds = Feeds::keep(config::FeedSource::File(path.clone()), &server, &directory);
        eventually("failure", || feeds.error().is_some()).await;
        std::fs::write(&path, "203.0.113.1\n").unwrap();
        eventually("content", || feeds.contains("203.0.113.1")).await;
        assert_eq!(feeds.error(), None);
        std::fs::write(&path, "0.0.0.0/0\n203.0.113.2\n").unwrap();
        eventually("refusal", || feeds.error().is_some()).await;
        assert!(feeds.contains("203.0.113.1") && !feeds.contains("203.0.113.2"));
        std::fs::remove_file(&path).unwrap();
        eventually("loss", || {
            feeds
                .error()
                .is_some_and(|error| error.contains("cannot read"))
        })
        .await;
        assert!(feeds.contains("203.0.113.1"));
    });
}

fn two_countries() -> Vec<u8> {
    let geolite = |code: &str| map(&[("country", map(&[("iso_code", text(code))]))]);
    database(&[
        ("192.0.2.0/25", geolite("SE")),
        ("198.51.100.0/24", map(&[("country", text("NO"))])),
        (
            "203.0.113.0/24",
            map(&[("country_code", text("SE")), ("country", text("Sweden"))]),
        ),
        ("192.0.2.128/25", map(&[("country", map(&[]))])),
    ])
}

#[test]
fn the_shapes_of_country_databases_are_read_and_read_again() {
    run(async {
        let directory = Directory::new("countries");
        let path = directory.path().join("country.mmdb");
        std::fs::write(&path, two_countries()).unwrap();
        let board = Arc::new(Board::new());
        let codes = BTreeSet::from(["NO".to_owned(), "SE".to_owned(), "FI".to_owned()]);
        let _keeper = Keeper(tokio::spawn(countries::keep(
            path.clone(),
            codes,
            board.clone(),
        )));
        let known = |code: &str| board.known(&Outside::Country(code.to_owned()));
        eventually("countries", || known("SE").is_some()).await;
        let sweden = known("SE").unwrap();
        assert_eq!(sweden.ranges(), 2);
        assert!(
            sweden.contains(address("192.0.2.127")) && !sweden.contains(address("192.0.2.128"))
        );
        assert!(sweden.contains(address("203.0.113.9")));
        assert!(known("NO").unwrap().contains(address("198.51.100.1")));
        assert!(known("FI").unwrap().is_empty());

        std::fs::write(&path, "no database").unwrap();
        eventually("refusal", || {
            board.view().iter().all(|view| view.last_error.is_some())
        })
        .await;
        assert_eq!(known("SE"), Some(sweden));
        let moved = database(&[("192.0.2.0/24", map(&[("country", text("NO"))]))]);
        std::fs::write(&path, moved).unwrap();
        eventually("new database", || known("SE").unwrap().is_empty()).await;
        assert!(known("NO").unwrap().contains(address("192.0.2.1")));
    });
}

#[test]
fn a_damaged_database_is_refused_and_never_a_panic() {
    let directory = Directory::new("damaged");
    let path = directory.path().join("country.mmdb");
    let whole = two_countries();
    std::fs::write(&path, &whole).unwrap();
    countries::check(&path).unwrap();
    for end in (0..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..end]).unwrap();
        countries::check(&path).unwrap_err();
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        std::fs::write(&path, &changed).unwrap();
        // Some changes only make other networks.
        let _ = countries::check(&path);
    }
    std::fs::write(
        &path,
        database(&[("192.0.2.0/24", map(&[("asn", text("64496"))]))]),
    )
    .unwrap();
    let error = countries::check(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no database of countries: 'Test-Country' tells none"
    );
}

fn config(sections: &str) -> Config {
    let text = format!(
        "version: 1
interfaces:
  left: {{ device: eth1, addresses: [192.0.2.1/24] }}
  right: {{ device: eth2, addresses: [198.51.100.1/24] }}
zones:
  trust: {{ interfaces: left }}
  untrust: {{ interfaces: right }}
{sections}"
    );
    config::parse(&text, "test.yaml").unwrap()
}

fn policy(destination: &str) -> String {
    format!(
        "policies:\n  - {{ name: p, from: trust, to: untrust, destination: \"{destination}\", action: permit }}\n"
    )
}

#[test]
fn what_fails_is_not_waited_for() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("prepare-fails"));
        server.say(MIRROR, Said::ServerFailure);
        let servers = format!("system: {{ name-servers: [\"{}\"] }}\n", server.address);
        let with_name = config(&format!("{servers}{}", policy("fqdn:mirror.example.org")));
        let objects = Objects::new(directory.path());
        for _ in 0..2 {
            let an_hour = Duration::from_secs(3_600);
            let prepared = tokio::time::timeout(PATIENCE, objects.prepare(&with_name, an_hour));
            assert!(prepared.await.is_ok());
        }
    });
}

#[test]
fn what_a_configuration_asks_for_is_known_when_it_is_prepared() {
    run(async {
        let (server, directory) = (NameServer::start(), Directory::new("prepare"));
        server.say(MIRROR, Said::Addresses(60, addresses(&["203.0.113.1"])));
        let servers = format!("system: {{ name-servers: [\"{}\"] }}\n", server.address);
        let with_name = config(&format!("{servers}{}", policy("fqdn:mirror.example.org")));
        let objects = Objects::new(directory.path());
        let mut changes = objects.changes();
        let prepared = objects.prepare(&with_name, PATIENCE).await.unwrap();
        let question = rules::Question {
            from: rules::ZoneId(1),
            to: rules::ZoneId(2),
            tuple: rules::Tuple {
                source: address("192.0.2.10"),
                destination: address("203.0.113.1"),
                protocol: rules::Protocol::TCP,
                source_port: 50_000,
                destination_port: 443,
            },
            icmp: None,
        };
        let permits =
            |config: &Config| config.rules.classify(&question).action == rules::Action::Permit;
        assert!(!permits(&with_name) && permits(&prepared));
        assert!(tokio::time::timeout(PATIENCE, changes.next()).await.is_ok());

        // One that may yet be refused takes nothing away.
        objects.follow(&prepared);
        let without = config(&policy("203.0.113.1"));
        objects.prepare(&without, PATIENCE).await.unwrap();
        let prepared = objects.prepare(&with_name, Duration::ZERO).await.unwrap();
        assert!(permits(&prepared));

        // What is followed no more is forgotten.
        objects.follow(&without);
        assert_eq!(objects.view(), []);
        assert!(objects.facts().known.is_empty());
    });
}

#[test]
fn a_schedule_that_changes_is_a_change() {
    run(async {
        let directory = Directory::new("schedule");
        let objects = Objects::new(directory.path());
        let mut changes = objects.changes();
        let soon = Timestamp::now();
        let _keeper = Keeper(tokio::spawn(keep_time(soon, objects.0.board.clone())));
        assert!(tokio::time::timeout(PATIENCE, changes.next()).await.is_ok());

        let always = "schedules:\n  office: { weekly: { from: \"08:00\", to: \"18:00\" } }\n";
        objects.follow(&config(always));
        let view = objects.view();
        assert_eq!(
            (view[0].kind.as_str(), view[0].name.as_str()),
            ("schedule", "office")
        );
        assert!(view[0].next_change.is_some());
    });
}

fn list_from(source: &str) -> Config {
    config(&format!("url-lists:\n  ads: {{ {source} }}\n"))
}

fn list_view(objects: &Objects, config: &Config) -> crate::view::UrlListView {
    objects.url_list_views(config).remove(0)
}

#[test]
fn a_list_of_urls_is_kept_current_for_those_who_hold_it() {
    run(async {
        let directory = Directory::new("url-list");
        let path = directory.path().join("ads.txt");
        std::fs::write(&path, "# ads\nads.example\nnot an entry\n").unwrap();
        let config = list_from(&format!("file: {}", path.display()));
        let objects = Objects::new(&directory.path().join("state"));
        objects
            .prepare(&config, Duration::from_millis(500))
            .await
            .unwrap();
        let slot = objects.url_lists(&config).remove(0);
        objects.follow(&config);
        eventually("refusal", || {
            list_view(&objects, &config).last_error.is_some()
        })
        .await;
        let view = list_view(&objects, &config);
        let error = view.last_error.unwrap();
        assert!(
            error.contains("1 of 2 lines are no entries; the first is line 3"),
            "{error}"
        );
        assert_eq!(
            (view.state.as_str(), slot.content().is_none()),
            ("unknown", true)
        );
        assert_eq!(objects.view()[0].kind, "url-list");

        std::fs::write(&path, "# ads\nads.example\nmore.example\n").unwrap();
        eventually("content", || slot.content().is_some()).await;
        eventually("success", || list_view(&objects, &config).state == "known").await;
        let view = list_view(&objects, &config);
        assert_eq!((view.entries, view.lines, view.lines_bad), (2, 2, 0));

        // Another run begins with what was good, whatever became of the file.
        std::fs::remove_file(&path).unwrap();
        eventually("failure", || list_view(&objects, &config).state == "kept").await;
        let later = Objects::new(&directory.path().join("state"));
        later.prepare(&config, PATIENCE).await.unwrap();
        let restored = later.url_lists(&config).remove(0).content().unwrap();
        assert_eq!(restored.entries(), 2);
        assert_eq!(list_view(&later, &config).state, "kept");
    });
}

#[test]
fn a_list_of_urls_that_changes_more_than_it_may_stays_as_it_was() {
    run(async {
        let directory = Directory::new("url-list-change");
        let path = directory.path().join("ads.txt");
        std::fs::write(&path, "a.example\nb.example\n").unwrap();
        let config = list_from(&format!("file: {}, most-change: 50%", path.display()));
        let objects = Objects::new(&directory.path().join("state"));
        objects.prepare(&config, PATIENCE).await.unwrap();
        objects.follow(&config);
        std::fs::write(&path, "c.example\nd.example\n").unwrap();
        eventually("refusal", || {
            list_view(&objects, &config).last_error.is_some()
        })
        .await;
        let view = list_view(&objects, &config);
        assert_eq!(
            view.last_error.as_deref(),
            Some("refused: 200% of the entries have changed, more than most-change 50%")
        );
        assert_eq!(view.entries, 2);

        // A configuration that has it from elsewhere has another.
        let other = list_from("entries: [x.example]");
        objects.follow(&other);
        assert_eq!(objects.view(), []);
        assert_eq!(list_view(&objects, &other).entries, 1);
        assert!(objects.url_lists(&other)[0].content().is_some());
    });
}

#[test]
fn what_a_filter_answers_is_understood_by_a_resolver() {
    use inspection::filter::{DnsAnswers, Transport};
    use resolver::Family;

    let serve = |answers: DnsAnswers| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut query = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let answer = answers.to(&query[..length], Transport::Udp).unwrap();
                socket.send_to(&answer, from).unwrap();
            }
        });
        Resolver::new(vec![address])
    };
    run(async {
        let minute = Some(Duration::from_secs(60));
        let sinkhole = DnsAnswers::Sinkhole(addresses(&["192.0.2.66", "192.0.2.67"]));
        let sinkhole = serve(sinkhole);
        let answer = sinkhole.addresses(MIRROR, Family::V4).await.unwrap();
        assert_eq!(answer.addresses, addresses(&["192.0.2.66", "192.0.2.67"]));
        assert_eq!(answer.ttl, minute);
        // That there is nothing counts for as long.
        for (resolver, family) in [
            (sinkhole, Family::V6),
            (serve(DnsAnswers::NxDomain), Family::V4),
        ] {
            let answer = resolver.addresses(MIRROR, family).await.unwrap();
            assert_eq!((answer.addresses, answer.ttl), (Vec::new(), minute));
        }
    });
}
