//! What a request says about who it is from. Only read here; nothing is believed yet.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::refusal::Refusal;
use super::secret::{Secret, TokenText};

/// RFC 6265bis, section 4.1.3.2: a browser takes the prefix only with Secure, with Path=/ and without Domain.
pub(super) const COOKIE: &str = "__Host-palisade-session";

pub(super) enum Credentials {
    /// `None` where it can be nobody's.
    Token(Option<TokenText>),
    Password {
        name: String,
        password: String,
    },
    Cookie(Secret),
}

/// `authorization` goes before the cookie, and one that can't be read is not made up for by it.
pub(super) fn read(headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = given.next() else {
        return cookie(headers)
            .map(Credentials::Cookie)
            .ok_or(Refusal::NoCredentials);
    };
    if given.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let text = first.to_str().map_err(|_| Refusal::Malformed)?;
    let (scheme, rest) = text.split_once(' ').ok_or(Refusal::Malformed)?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        // One that is not a token of ours is as wrong as one that is not known.
        return Ok(Credentials::Token(TokenText::parse(rest)));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(rest).ok_or(Refusal::Malformed);
    }
    Err(Refusal::Malformed)
}

/// RFC 7617, in UTF-8.
fn basic(text: &str) -> Option<Credentials> {
    let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some(Credentials::Password {
        name: name.to_owned(),
        password: password.to_owned(),
    })
}

fn cookie(headers: &HeaderMap) -> Option<Secret> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, value)| Secret::parse(value))
}

/// Whether a browser says that a page of another site made it ask. What is no browser says nothing.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match text("sec-fetch-site") {
        Some("same-origin" | "none") => false,
        Some(_) => true,
        None => text("origin").is_some_and(|origin| {
            let host = origin.strip_prefix("https://");
            host.is_none()
                || !host.is_some_and(|host| {
                    text("host").is_some_and(|asked| asked.eq_ignore_ascii_case(host))
                })
        }),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn refused(fields: &[(&'static str, &str)]) -> Refusal {
        match read(&headers(fields)) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{fields:?} were read"),
        }
    }

    #[test]
    fn each_way_in_is_read() {
        let token = TokenText::random();
        let bearer = format!("bearer {}", token.text());
        let read_token = read(&headers(&[("authorization", &bearer)]));
        assert!(matches!(read_token, Ok(Credentials::Token(Some(read))) if read.id == token.id));

        let basic = read(&headers(&[("authorization", "Basic YWxpY2U6YTpi")]));
        assert!(matches!(
            basic,
            Ok(Credentials::Password { name, password }) if name == "alice" && password == "a:b"
        ));

        let secret = Secret::random();
        let cookies = format!("theme=dark; {COOKIE}={}", secret.text());
        let cookie = read(&headers(&[("cookie", &cookies)]));
        assert!(matches!(cookie, Ok(Credentials::Cookie(read)) if secret.digest().is_of(&read)));
    }

    #[test]
    fn what_can_not_be_read_is_refused_and_the_cookie_does_not_help() {
        let cookie = format!("{COOKIE}={}", Secret::random().text());
        for authorization in [
            "Digest x",
            "Bearer",
            "Basic",
            "Basic YWxpY2U",
            "Basic !",
            "",
        ] {
            let fields = [("authorization", authorization), ("cookie", &cookie)];
            assert_eq!(refused(&fields), Refusal::Malformed, "{authorization}");
        }
        let fields = [("authorization", "Bearer secret"), ("cookie", &cookie)];
        assert!(matches!(
            read(&headers(&fields)),
            Ok(Credentials::Token(None))
        ));

        let twice: HeaderMap = [
            ("authorization", "Basic YTpi"),
            ("authorization", "Basic YTpi"),
        ]
        .into_iter()
        .fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, HeaderValue::from_static(value));
            map
        });
        assert!(matches!(read(&twice), Err(Refusal::Malformed)));
    }

    #[test]
    fn nothing_is_no_credentials() {
        assert_eq!(refused(&[]), Refusal::NoCredentials);
        assert_eq!(refused(&[("cookie", "theme=dark")]), Refusal::NoCredentials);
        let short = format!("{COOKIE}=abc");
        assert_eq!(refused(&[("cookie", &short)]), Refusal::NoCredentials);
    }

    #[test]
    fn a_browser_tells_when_another_site_asks() {
        let cross = |fields: &[(&'static str, &str)]| is_cross_site(&headers(fields));
        assert!(!cross(&[]));
        assert!(!cross(&[("sec-fetch-site", "same-origin")]));
        for site in ["same-site", "cross-site", ""] {
            assert!(cross(&[("sec-fetch-site", site)]), "{site}");
        }
        let asked = |origin| cross(&[("host", "fw.example.org:8443"), ("origin", origin)]);
        assert!(!asked("https://FW.example.org:8443"));
        for origin in [
            "https://fw.example.org",
            "http://fw.example.org:8443",
            "https://fw.example.org:8443.example.com",
            "null",
        ] {
            assert!(asked(origin), "{origin}");
        }
        assert!(cross(&[("origin", "https://fw.example.org")]));
    }
}
