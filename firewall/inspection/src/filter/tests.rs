//! Lists as people have them, against what they mean; at random against a naive reading; and filters of several lists.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Services;

fn list(text: &str) -> List {
    List::read(text.as_bytes(), 1_000).expect("a list")
}

/// `a.example/path`, or a host alone.
fn covers(list: &List, asked: &str) -> Option<String> {
    match asked.find('/') {
        Some(at) => {
            let target = Target::of(&asked.as_bytes()[at..]);
            list.find(&Host::of(&asked[..at]), Some(&target))
        }
        None => list.find(&Host::of(asked), None),
    }
}

fn slot(name: &str, text: &str) -> Arc<ListSlot> {
    let slot = ListSlot::new(name, false);
    slot.set(Arc::new(list(text)));
    Arc::new(slot)
}

#[track_caller]
fn check(text: &str, covered: &[&str], others: &[&str]) {
    let list = list(text);
    assert_eq!(list.report().bad_lines, [], "{text}");
    for asked in covered {
        assert!(
            covers(&list, asked).is_some(),
            "{text} should cover {asked}"
        );
    }
    for asked in others {
        assert_eq!(
            covers(&list, asked),
            None,
            "{text} should not cover {asked}"
        );
    }
}

#[test]
fn a_domain_is_itself_and_what_is_below() {
    let covered = [
        "example.com",
        "www.EXAMPLE.com.",
        "a.b.example.com:443",
        "example.com/x",
    ];
    let others = [
        "example.org",
        "notexample.com",
        "com",
        "example.com.org",
        "example",
    ];
    for text in [
        "example.com",
        ".example.com",
        "||example.com^",
        "Example.COM.",
        "||example.com^$important",
        "||example.com/",
    ] {
        check(text, &covered, &others);
    }
    check(".zip", &["zip", "a.zip"], &["zip.example"]);
    check("*", &["anything", "a.b"], &[]);
}

#[test]
fn a_host_is_itself_alone() {
    let covered = ["example.com", "example.com./", "example.com/any?thing"];
    let others = ["www.example.com", "com"];
    for text in [
        "=example.com",
        "0.0.0.0 example.com",
        "127.0.0.1\texample.com # a comment",
        "::1 localhost example.com",
        "https://example.com",
        "http://user:secret@example.com:8080/",
        "example.com/*",
    ] {
        check(text, &covered, &others);
    }
    check(
        "192.0.2.7",
        &["192.0.2.7", "192.0.2.7:80/x"],
        &["1.192.0.2.7", "192.0.2.70"],
    );
    check(
        "[2001:DB8::0:7]",
        &["2001:db8::7", "[2001:db8::7]:443"],
        &["2001:db8::8"],
    );
}

#[test]
fn a_pattern_is_names_of_its_form() {
    check(
        "*.example.com",
        &["www.example.com", "a.b.example.com"],
        &["example.com", "xexample.com"],
    );
    check(
        "ads*.example.com",
        &["ads.example.com", "ads7.example.com", "ads.x.example.com"],
        &["bads.example.com", "example.com"],
    );
    check(
        "ads.*",
        &["ads.example", "ads.a.b"],
        &["ads", "x.ads.example"],
    );
    check(
        "*tracker*",
        &["my-trackers.example", "a.tracker"],
        &["track.example"],
    );
    check(
        "||ad*.example.com^",
        &["ads.example.com"],
        &["ex.example.com"],
    );
}

#[test]
fn a_url_is_a_path_and_what_is_below() {
    let others = [
        "example.com",
        "example.com/",
        "example.com/admin2",
        "example.com/x/admin",
        "org/admin",
    ];
    for text in [
        "example.com/admin",
        "https://example.com/admin/",
        "example.com:8080/Admin/*",
        "example.com/a/../%61dmin",
    ] {
        check(
            text,
            &[
                "example.com/admin",
                "EXAMPLE.com/ADMIN/x",
                "example.com/admin?x",
                "example.com//admin/",
                "example.com/%61dmin",
            ],
            &others,
        );
        check(text, &[], &["www.example.com/admin"]);
    }
    check(
        "||example.com/admin^",
        &["example.com/admin", "www.example.com/admin/x"],
        &others,
    );
    check(
        "||example.com/adm",
        &["www.example.com/admin", "example.com/adm"],
        &["example.com/ad"],
    );
    check(
        "*.example.com/admin",
        &["www.example.com/admin"],
        &["example.com/admin", "www.example.com/"],
    );
    check("*/admin", &["a/admin", "b.example/admin/x"], &["a/x", "a"]);
    check(
        "example.com/*.exe",
        &["example.com/a/b.EXE", "example.com/.exe"],
        &["example.com/a.exe?x", "example.com"],
    );
    check(
        "example.com/w?v=1",
        &["example.com/w?V=1", "example.com/w?v=1&t=2"],
        &["example.com/w?v=11", "example.com/w"],
    );
    check(
        "ads*.example.com/x",
        &["ads1.example.com/x/y"],
        &["ads1.example.com/z", "ads1.example.com"],
    );
}

#[test]
fn an_exception_takes_out_of_its_list() {
    check(
        "||example.com^\n@@||www.example.com^",
        &["example.com", "a.example.com"],
        &["www.example.com", "b.www.example.com"],
    );
    check(
        "example.com/a\n@@||example.com/a/b",
        &["example.com/a"],
        &["example.com/a/b/c"],
    );
}

#[test]
fn names_of_other_scripts_are_their_punycode() {
    check(
        "b\u{fc}cher.example",
        &["xn--bcher-kva.example", "www.B\u{dc}CHER.example"],
        &["bucher.example"],
    );
    check(
        "\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}",
        &["xn--r8jz45g.xn--zckzah"],
        &[],
    );
}

#[test]
fn what_is_no_entry_is_counted_and_said_by_line() {
    let text = b"\xef\xbb\xbf# comment\r\n! comment\r\n\r\n[Heading]\r\n// more\r\ngood.example\r\n<html>\r\nword\r\n\
        10.0.0.0/8\r\nftp://x.example/\r\n\xff\xfe.example\r\ntwo words\r\n999.1.2.3\r\na..b\r\n-\x1b[31m\r\n255.255.255.255 broadcasthost\n";
    let list = List::read(text, 10).expect("a list");
    let report = list.report();
    let bad: Vec<_> = report
        .bad_lines
        .iter()
        .map(|bad| (bad.line, bad.error))
        .collect();
    assert_eq!(
        bad,
        [
            (7, EntryError::NoHost),
            (8, EntryError::OneLabel),
            (9, EntryError::Prefix),
            (10, EntryError::Scheme),
            (11, EntryError::NotText),
            (12, EntryError::NoHost),
            (13, EntryError::NoHost),
            (14, EntryError::NoHost),
            (15, EntryError::NoHost),
        ]
    );
    assert_eq!((report.lines, report.bad, list.entries()), (10, 9, 1));
    assert_eq!(report.bad_lines[8].text, "-[31m");
    let long = format!("{}.example\n", "a".repeat(5_000));
    let list = List::read(long.as_bytes(), 10).expect("a list");
    assert_eq!(list.report().bad_lines[0].error, EntryError::TooLong);
    assert_eq!(
        List::read("x.example\n".repeat(11).as_bytes(), 10).unwrap_err(),
        ListError::TooMany(10)
    );
}

#[test]
fn what_only_a_browser_can_do_is_no_mistake_and_not_applied() {
    let text = "[Adblock Plus 2.0]\n||ads.example^\n||cdn.example^$third-party\nexample.com##.banner\n\
                /banner/*/ads\n-ad-300x250.\n&ad=\n@@||x.example^$script\n||half.\n||ok.example^$document,important\n";
    let list = list(text);
    assert_eq!(list.report().bad_lines, []);
    assert_eq!((list.entries(), list.report().for_browsers), (2, 7));
    assert!(covers(&list, "ads.example").is_some() && covers(&list, "ok.example").is_some());
    assert_eq!(covers(&list, "cdn.example"), None);
}

#[test]
fn one_rule_for_browsers_makes_no_list_for_browsers() {
    let mut text = "||ads.example^$third-party\n".to_owned();
    for number in 0..200 {
        text.push_str(&format!("host{number}.example\n"));
    }
    text.push_str("bad one\nexmaple\n");
    let list = list(&text);
    let report = list.report();
    assert_eq!((report.for_browsers, report.bad, report.lines), (1, 2, 203));
    let lines: Vec<_> = report.bad_lines.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [202, 203]);
}

#[test]
fn even_a_list_for_browsers_has_no_sentences() {
    let list = list("[Adblock Plus 2.0]\n||ads.example^\n-ad-\nnot found here\n");
    assert_eq!((list.report().for_browsers, list.report().bad), (1, 1));
}

#[test]
fn the_entry_is_told_as_it_might_have_been_written() {
    let list =
        list("b.example\n=c.example\n*.d.example\ne*.example\nf.example/x\n*/y\n||g.example/z^\n");
    for (asked, entry) in [
        ("a.b.example", "b.example"),
        ("c.example", "=c.example"),
        ("a.d.example", "*.d.example"),
        ("e1.example", "e*.example"),
        ("f.example/x/2", "f.example/x"),
        ("h.example/y", "*/y"),
        ("a.g.example/z", "||g.example/z"),
    ] {
        assert_eq!(covers(&list, asked).as_deref(), Some(entry), "{asked}");
    }
    assert_eq!((list.entries(), list.urls(), list.patterns()), (7, 3, 1));
}

#[test]
fn entries_that_were_written_one_by_one_are_all_right_or_none_count() {
    assert_eq!(
        List::of(["a.example", "=b.example"])
            .expect("a list")
            .entries(),
        2
    );
    let errors = List::of(["a.example", "", "# no", "word", "x##y"]).unwrap_err();
    assert_eq!(
        errors,
        [
            (1, EntryError::Nothing),
            (2, EntryError::Nothing),
            (3, EntryError::OneLabel),
            (4, EntryError::ForBrowsers)
        ]
    );
    let many: Vec<_> = (0..300)
        .map(|number| format!("a*{number}.example"))
        .collect();
    let errors = List::of(many.iter().map(String::as_str)).unwrap_err();
    assert_eq!(
        (errors.len(), errors[0]),
        (44, (256, EntryError::TooManyPatterns))
    );
}

#[test]
fn how_much_of_a_list_has_changed_is_known() {
    let before = list("a.example\nb.example\nc*.example\nd.example\n");
    assert_eq!(before.changed_percent(&before.clone()), 0);
    assert_eq!(
        list("b.example\nc*.example\nd.example\n=e.example\n").changed_percent(&before),
        50
    );
    assert_eq!(list("").changed_percent(&before), 100);
    assert_eq!(list("a.example\n").changed_percent(&list("")), 100);
}

#[test]
fn an_allowed_name_is_never_blocked_and_a_category_is_of_services() {
    let services = Services::built_in();
    let filter = NameFilter {
        block: vec![
            slot("ads", "ads.example\nads.example.org/x"),
            slot("more", "youtube.com/shorts"),
        ],
        allow: vec![slot("good", "good.ads.example")],
        categories: vec!["search".into()],
    };
    let by = |host: &str, target: Option<&[u8]>| {
        filter
            .decide(host, target, &services)
            .map(|blocked| (blocked.by, blocked.entry))
    };
    let list = |name: &str, entry: &str| Some((BlockedBy::List(name.into()), entry.to_owned()));
    assert_eq!(by("a.ads.example", None), list("ads", "ads.example"));
    assert_eq!(by("good.ads.example", None), None);
    assert_eq!(by("x.good.ads.example", Some(b"/")), None);
    assert_eq!(
        by("www.google.com", None),
        Some((BlockedBy::Category("search".into()), "Google".to_owned()))
    );
    assert_eq!(by("www.youtube.com", None), None);
    assert_eq!(
        by("youtube.com", Some(b"/shorts/1")),
        list("more", "youtube.com/shorts")
    );
    assert_eq!(
        by("ads.example.org", Some(b"/x")),
        list("ads", "ads.example.org/x")
    );
    // Both hosts are asked about where a target has one of its own.
    assert_eq!(
        by("fine.example", Some(b"http://ads.example/")),
        list("ads", "ads.example")
    );
    assert_eq!(
        by("ads.example", Some(b"http://fine.example/")),
        list("ads", "ads.example")
    );
    assert_eq!(by("", Some(b"ads.example:443")), list("ads", "ads.example"));
    assert_eq!(by("", None), None);
}

#[test]
fn a_list_that_was_never_had_covers_nothing_unless_it_is_required() {
    let services = Services::built_in();
    let decided = |required| {
        let filter = NameFilter {
            block: vec![Arc::new(ListSlot::new("feed", required))],
            ..NameFilter::default()
        };
        let before = filter.decide("a.example", None, &services);
        filter.block[0].set(Arc::new(list("b.example")));
        assert_eq!(filter.decide("a.example", None, &services), None);
        assert!(filter.decide("b.example", None, &services).is_some());
        before.map(|blocked| blocked.by)
    };
    assert_eq!(decided(false), None);
    assert_eq!(decided(true), Some(BlockedBy::Unknown("feed".into())));
}

/// An entry by what it means, read off its text in the plainest way.
fn naive(entry: &str, host: &str, path: Option<&str>) -> bool {
    let (name, entry_path) = match entry.find('/') {
        Some(at) => (&entry[..at], Some(&entry[at..])),
        None => (entry, None),
    };
    let is_below = |name: &str| host.ends_with(&format!(".{name}"));
    let of_host = if let Some(name) = name.strip_prefix('=') {
        host == name
    } else if let Some(name) = name.strip_prefix("*.") {
        is_below(name)
    } else if entry_path.is_some() {
        host == name
    } else {
        host == name || is_below(name)
    };
    of_host
        && match (entry_path, path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(entry), Some(path)) => path == entry || path.starts_with(&format!("{entry}/")),
        }
}

/// Few names, so that they meet.
fn name() -> impl Strategy<Value = String> {
    prop::collection::vec("[abc]", 2..5).prop_map(|labels| labels.join("."))
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[xy]", 1..4).prop_map(|steps| format!("/{}", steps.join("/")))
}

fn written() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => name(),
        2 => name().prop_map(|name| format!("={name}")),
        2 => name().prop_map(|name| format!("*.{name}")),
        2 => (name(), path()).prop_map(|(name, path)| format!("{name}{path}")),
        1 => (name(), path()).prop_map(|(name, path)| format!("*.{name}{path}")),
    ]
}

proptest! {
    #[test]
    fn a_list_covers_what_its_entries_mean(
        entries in prop::collection::vec(written(), 0..12),
        exceptions in prop::collection::vec(name(), 0..3),
        questions in prop::collection::vec((name(), prop::option::of(path())), 20),
    ) {
        let lines = entries.iter().cloned().chain(exceptions.iter().map(|name| format!("@@||{name}^")));
        let read = List::read(lines.collect::<Vec<_>>().join("\n").as_bytes(), 100).expect("a list");
        prop_assert_eq!(&read.report().bad_lines, &[]);
        for (host, path) in questions {
            let expected = entries.iter().any(|entry| naive(entry, &host, path.as_deref()))
                && !exceptions.iter().any(|name| naive(name, &host, None));
            let target = path.as_ref().map(|path| Target::of(path.as_bytes()));
            let found = read.find(&Host::of(&host), target.as_ref());
            prop_assert_eq!(found.is_some(), expected, "{} {:?} in {:?}", host, path, entries);
            // What is told, read again, covers it.
            if let Some(entry) = found {
                let alone = List::of([entry.as_str()]).expect("an entry");
                prop_assert!(alone.find(&Host::of(&host), target.as_ref()).is_some(), "{}", entry);
            }
        }
    }

    #[test]
    fn no_text_is_too_much(text in prop::collection::vec(any::<u8>(), 0..400), host in ".{0,40}", target in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(list) = List::read(&text, 50) {
            let report = list.report();
            prop_assert!(report.bad + report.for_browsers <= report.lines);
            let _ = list.find(&Host::of(&host), Some(&Target::of(&target)));
        }
    }
}
