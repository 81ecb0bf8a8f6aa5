//! The page that stands in for a blocked one: who blocked what, and why. Whole in itself, as nothing else of the appliance can be reached
//! from there.

use std::fmt::Write as _;

use super::{Blocked, BlockedBy};

/// What the page tells.
#[derive(Clone, Copy, Debug)]
pub struct BlockPage<'a> {
    /// The appliance's host name.
    pub appliance: &'a str,
    /// The policy under which the session was inspected.
    pub policy: &'a str,
    /// Of the request, as they were sent.
    pub method: &'a [u8],
    pub host: &'a str,
    pub target: &'a [u8],
    /// The field's value, RFC 9110 12.5.4.
    pub accept_language: Option<&'a [u8]>,
    pub blocked: &'a Blocked,
}

/// Longer ones are cut: they are for people.
const SHOWN_LETTERS: usize = 300;

impl BlockPage<'_> {
    /// A whole response, after which the connection ends. To HEAD it has no body (RFC 9110 9.3.2).
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        let language = Language::preferred(self.accept_language.unwrap_or_default());
        let body = self.html(language);
        let mut response = format!(
            "HTTP/1.1 403 Forbidden\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Language: {}\r\n\
             Content-Length: {}\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
             Referrer-Policy: no-referrer\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Cache-Control: no-store\r\n\
             Vary: Accept-Language\r\n\
             Connection: close\r\n\r\n",
            language.tag(),
            body.len()
        );
        if self.method != b"HEAD" {
            response.push_str(&body);
        }
        response.into_bytes()
    }

    fn html(&self, language: Language) -> String {
        let words = language.words();
        let reason = match &self.blocked.by {
            BlockedBy::List(name) => words.list.replace("{}", name),
            BlockedBy::Unknown(name) => words.unknown.replace("{}", name),
            BlockedBy::Category(name) => words.category.replace("{}", name),
        };
        let rows = [
            (words.address, self.url()),
            (words.reason, reason),
            (words.entry, self.blocked.entry.clone()),
            (words.policy, self.policy.to_owned()),
            (words.appliance, self.appliance.to_owned()),
        ];
        let mut list = String::new();
        for (term, text) in rows {
            if !text.is_empty() {
                // Writing to a text does not fail.
                let _ = write!(list, "<dt>{term}</dt><dd>{}</dd>", escaped(&text));
            }
        }
        format!(
            "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\n\
             <body><main><h1>{title}</h1><p>{}</p><dl>{list}</dl><p>{}</p></main></body></html>\n",
            language.tag(),
            words.text,
            words.advice,
            title = words.title,
        )
    }

    fn url(&self) -> String {
        let target = String::from_utf8_lossy(self.target);
        if target.starts_with('/') {
            format!("http://{}{target}", self.host)
        } else if target.contains("://") {
            target.into_owned()
        } else {
            self.host.to_owned()
        }
    }
}

const STYLE: &str = ":root{color-scheme:light dark}\
    body{font:16px/1.5 system-ui,sans-serif;margin:0;padding:10vh 1.5rem}\
    main{max-width:40rem;margin:auto}\
    h1{font-size:1.6rem;margin:0 0 .5rem}\
    dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:1.5rem 0;padding:1rem;\
    border:1px solid color-mix(in srgb,currentColor 25%,transparent);border-radius:.5rem}\
    dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}";

/// Text for between tags.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut letters = text.chars().filter(|letter| !letter.is_control());
    for letter in letters.by_ref().take(SHOWN_LETTERS) {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What turns the direction of text could make it read as something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {}
            letter => escaped.push(letter),
        }
    }
    if letters.next().is_some() {
        escaped.push('\u{2026}');
    }
    escaped
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    English,
    Japanese,
}

#[derive(Debug)]
struct Words {
    title: &'static str,
    text: &'static str,
    address: &'static str,
    reason: &'static str,
    entry: &'static str,
    policy: &'static str,
    appliance: &'static str,
    list: &'static str,
    unknown: &'static str,
    category: &'static str,
    advice: &'static str,
}

impl Language {
    /// The one of ours that the reader likes best: RFC 9110 12.4.2 and 12.5.4.
    fn preferred(accepted: &[u8]) -> Self {
        let accepted = String::from_utf8_lossy(accepted);
        let mut best = (0.0, Self::English);
        for item in accepted.split(',') {
            let mut parts = item.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let language = match tag
                .split('-')
                .next()
                .map(str::to_ascii_lowercase)
                .as_deref()
            {
                Some("ja") => Self::Japanese,
                Some("en") => Self::English,
                _ => continue,
            };
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            // Of two that are liked as well, the first.
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }

    fn words(self) -> &'static Words {
        match self {
            Self::English => &Words {
                title: "This page is blocked",
                text: "The firewall of this network did not let the request through.",
                address: "Address",
                reason: "Blocked by",
                entry: "Entry",
                policy: "Policy",
                appliance: "Firewall",
                list: "list {}",
                unknown: "list {}, which could not be loaded yet",
                category: "category {}",
                advice: "If you need this page, show this message to whoever runs the network.",
            },
            Self::Japanese => &Words {
                title: "このページはブロックされました",
                text: "このネットワークのファイアウォールがリクエストを遮断しました。",
                address: "アドレス",
                reason: "理由",
                entry: "該当項目",
                policy: "ポリシー",
                appliance: "ファイアウォール",
                list: "リスト {}",
                unknown: "リスト {}(まだ読み込まれていません)",
                category: "カテゴリ {}",
                advice: "このページが必要な場合は、この画面をネットワーク管理者に見せてください。",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(method: &[u8], target: &[u8], accept_language: Option<&[u8]>) -> String {
        let blocked = Blocked {
            by: BlockedBy::List("ads".into()),
            entry: "<b>.example".to_owned(),
        };
        let page = BlockPage {
            appliance: "edge-1",
            policy: "web-out",
            method,
            host: "a.example",
            target,
            accept_language,
            blocked: &blocked,
        };
        String::from_utf8(page.response()).expect("text")
    }

    #[test]
    fn the_page_says_who_blocked_what_and_nothing_in_it_is_markup() {
        let page = page(b"GET", b"/<script>alert('1')</script>?a&b", None);
        let (head, body) = page.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with("HTTP/1.1 403 Forbidden\r\n")
                && head.contains("\r\nConnection: close")
        );
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
        assert!(
            body.contains(
                "http://a.example/&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;?a&amp;b"
            )
        );
        assert!(body.contains("list ads") && body.contains("&lt;b&gt;.example"));
        assert!(body.contains("edge-1") && body.contains("web-out"));
        assert!(!body.contains("<script") && !body.contains("src=") && !body.contains("href="));
        // Each tag that is opened is closed.
        for tag in [
            "html", "head", "title", "style", "body", "main", "h1", "dl", "dt", "dd", "p",
        ] {
            let opened = body.matches(&format!("<{tag}>")).count()
                + body.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, body.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn head_is_answered_without_a_body() {
        let page = page(b"HEAD", b"/", None);
        assert!(page.ends_with("\r\n\r\n") && !page.contains("Content-Length: 0"));
    }

    #[test]
    fn a_long_address_is_cut_and_bytes_that_are_no_text_do_no_harm() {
        let long = page(b"GET", &[b"/".as_slice(), &[b'a'; 10_000]].concat(), None);
        assert!(long.len() < 4_000 && long.contains('\u{2026}'));
        assert!(page(b"GET", b"/\xff\r\n\x00\"", None).contains("/\u{fffd}&quot;"));
        assert!(page(b"CONNECT", b"a.example:443", None).contains("<dd>a.example</dd>"));
        assert!(page(b"GET", b"http://b.example/x", None).contains("<dd>http://b.example/x</dd>"));
    }

    #[test]
    fn the_reader_s_language_is_spoken_where_it_is_known() {
        let tag = |accepted: &str| Language::preferred(accepted.as_bytes()).tag();
        assert_eq!(tag("ja"), "ja");
        assert_eq!(tag("JA-jp, en;q=0.8"), "ja");
        assert_eq!(tag("de, en;q=0.9, ja;q=0.5"), "en");
        assert_eq!(tag("de, ja;q=0.5"), "ja");
        assert_eq!(tag("ja;q=0, de"), "en");
        assert_eq!(tag(""), "en");
        assert_eq!(tag("ja;q=nonsense;;,"), "en");
        assert!(page(b"GET", b"/", Some(b"ja")).contains("lang=\"ja\""));
    }
}
