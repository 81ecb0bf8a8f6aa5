//! The parts of application messages that rules look into, and the protocols they belong to.
//!
//! A buffer is either *whole*: it comes with the others of its group in one piece (a request's method, address
//! and headers), or a *body*: it comes in pieces of any size. Names and aliases are those of Suricata's
//! documentation ("HTTP Keywords", "SSL/TLS Keywords", "DNS Keywords").

use std::fmt;

use serde::Serialize;

/// Which way bytes go. Rules call it `to_server` and `to_client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    ToResponder,
    ToInitiator,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::ToResponder, Self::ToInitiator];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::ToResponder => 0,
            Self::ToInitiator => 1,
        }
    }
}

/// In which directions a buffer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
    Either,
}

impl Side {
    pub(crate) fn has(self, direction: Direction) -> bool {
        match self {
            Self::Request => direction == Direction::ToResponder,
            Self::Response => direction == Direction::ToInitiator,
            Self::Either => true,
        }
    }
}

/// Whole buffers of one group are given together, bodies alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Group {
    HttpHead,
    TlsHello,
    TlsCertificates,
    Dns,
    Ssh,
    Sip,
    Quic,
    File,
    Body,
    /// The bytes of packets or the stream themselves.
    Payload,
}

macro_rules! buffers {
    ($($name:ident: $written:literal $(| $alias:literal)* => $app:expr, $side:ident, $group:ident;)*) => {
        /// A named part of a message. [`Self::Payload`] is what rules look into that name none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Buffer { $($name),* }

        impl Buffer {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The keyword that selects it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $written),* }
            }

            /// What a keyword selects, by any of its names.
            pub(crate) fn of_keyword(keyword: &str) -> Option<Self> {
                match keyword {
                    $($written $(| $alias)* => Some(Self::$name),)*
                    _ => None,
                }
            }

            pub(crate) fn app(self) -> Option<App> {
                match self { $(Self::$name => $app),* }
            }

            pub(crate) fn side(self) -> Side {
                match self { $(Self::$name => Side::$side),* }
            }

            pub(crate) fn group(self) -> Group {
                match self { $(Self::$name => Group::$group),* }
            }
        }
    };
}

buffers! {
    Payload: "pkt_data" => None, Either, Payload;
    HttpUri: "http.uri" => Some(App::Http), Request, HttpHead;
    HttpUriRaw: "http.uri.raw" => Some(App::Http), Request, HttpHead;
    HttpMethod: "http.method" => Some(App::Http), Request, HttpHead;
    HttpProtocol: "http.protocol" | "http_protocol" => Some(App::Http), Either, HttpHead;
    HttpRequestLine: "http.request_line" | "http_request_line" => Some(App::Http), Request, HttpHead;
    HttpHeader: "http.header" => Some(App::Http), Either, HttpHead;
    HttpHeaderRaw: "http.header.raw" => Some(App::Http), Either, HttpHead;
    HttpHeaderNames: "http.header_names" | "http_header_names" => Some(App::Http), Either, HttpHead;
    HttpStart: "http.start" | "http_start" => Some(App::Http), Either, HttpHead;
    HttpRequestHeader: "http.request_header" => Some(App::Http), Request, HttpHead;
    HttpResponseHeader: "http.response_header" => Some(App::Http), Response, HttpHead;
    HttpCookie: "http.cookie" => Some(App::Http), Either, HttpHead;
    HttpUserAgent: "http.user_agent" => Some(App::Http), Request, HttpHead;
    HttpHost: "http.host" => Some(App::Http), Request, HttpHead;
    HttpHostRaw: "http.host.raw" => Some(App::Http), Request, HttpHead;
    HttpAccept: "http.accept" | "http_accept" => Some(App::Http), Request, HttpHead;
    HttpAcceptEncoding: "http.accept_enc" | "http_accept_enc" => Some(App::Http), Request, HttpHead;
    HttpAcceptLanguage: "http.accept_lang" | "http_accept_lang" => Some(App::Http), Request, HttpHead;
    HttpReferer: "http.referer" | "http_referer" => Some(App::Http), Request, HttpHead;
    HttpConnection: "http.connection" | "http_connection" => Some(App::Http), Either, HttpHead;
    HttpContentType: "http.content_type" | "http_content_type" => Some(App::Http), Either, HttpHead;
    HttpContentLength: "http.content_len" | "http_content_len" => Some(App::Http), Either, HttpHead;
    HttpStatusCode: "http.stat_code" => Some(App::Http), Response, HttpHead;
    HttpStatusMessage: "http.stat_msg" => Some(App::Http), Response, HttpHead;
    HttpResponseLine: "http.response_line" | "http_response_line" => Some(App::Http), Response, HttpHead;
    HttpServer: "http.server" => Some(App::Http), Response, HttpHead;
    HttpLocation: "http.location" => Some(App::Http), Response, HttpHead;
    HttpRequestBody: "http.request_body" => Some(App::Http), Request, Body;
    HttpResponseBody: "http.response_body" => Some(App::Http), Response, Body;
    FileData: "file.data" | "file_data" => None, Either, Body;
    FileName: "file.name" => None, Either, File;
    TlsSni: "tls.sni" | "tls_sni" => Some(App::Tls), Request, TlsHello;
    TlsAlpn: "tls.alpn" => Some(App::Tls), Either, TlsHello;
    TlsRandom: "tls.random" => Some(App::Tls), Either, TlsHello;
    TlsCertificates: "tls.certs" => Some(App::Tls), Response, TlsCertificates;
    TlsCertificateSubject: "tls.cert_subject" | "tls_cert_subject" => Some(App::Tls), Response, TlsCertificates;
    TlsCertificateIssuer: "tls.cert_issuer" | "tls_cert_issuer" => Some(App::Tls), Response, TlsCertificates;
    TlsCertificateSerial: "tls.cert_serial" | "tls_cert_serial" => Some(App::Tls), Response, TlsCertificates;
    TlsCertificateFingerprint: "tls.cert_fingerprint" | "tls_cert_fingerprint" => Some(App::Tls), Response, TlsCertificates;
    TlsSubjectAltName: "tls.subjectaltname" => Some(App::Tls), Response, TlsCertificates;
    Ja3Hash: "ja3.hash" | "ja3_hash" => None, Request, TlsHello;
    Ja3String: "ja3.string" | "ja3_string" => None, Request, TlsHello;
    Ja3sHash: "ja3s.hash" => None, Response, TlsHello;
    Ja3sString: "ja3s.string" => None, Response, TlsHello;
    Ja4Hash: "ja4.hash" => None, Request, TlsHello;
    DnsQuery: "dns.query" | "dns_query" | "dns.query.name" | "dns.queries.rrname" => Some(App::Dns), Either, Dns;
    DnsAnswer: "dns.answer.name" | "dns.answers.rrname" => Some(App::Dns), Either, Dns;
    SshProtocol: "ssh.proto" | "ssh_proto" => Some(App::Ssh), Either, Ssh;
    SshSoftware: "ssh.software" | "ssh_software" => Some(App::Ssh), Either, Ssh;
    SipMethod: "sip.method" => Some(App::Sip), Request, Sip;
    SipUri: "sip.uri" => Some(App::Sip), Request, Sip;
    SipRequestLine: "sip.request_line" => Some(App::Sip), Request, Sip;
    QuicSni: "quic.sni" => Some(App::Quic), Request, Quic;
    QuicUserAgent: "quic.ua" => Some(App::Quic), Request, Quic;
}

impl Buffer {
    /// What an older "content modifier" names: it stands behind the content that it moves.
    pub(crate) fn of_modifier(keyword: &str) -> Option<Self> {
        Some(match keyword {
            "http_uri" => Self::HttpUri,
            "http_raw_uri" => Self::HttpUriRaw,
            "http_method" => Self::HttpMethod,
            "http_client_body" => Self::HttpRequestBody,
            "http_server_body" => Self::HttpResponseBody,
            "http_header" => Self::HttpHeader,
            "http_raw_header" => Self::HttpHeaderRaw,
            "http_cookie" => Self::HttpCookie,
            "http_user_agent" => Self::HttpUserAgent,
            "http_host" => Self::HttpHost,
            "http_raw_host" => Self::HttpHostRaw,
            "http_stat_code" => Self::HttpStatusCode,
            "http_stat_msg" => Self::HttpStatusMessage,
            _ => return None,
        })
    }

    /// What a flag of a regular expression names.
    pub(crate) fn of_regex_flag(flag: char) -> Option<Self> {
        Some(match flag {
            'U' => Self::HttpUri,
            'I' => Self::HttpUriRaw,
            'P' => Self::HttpRequestBody,
            'Q' => Self::HttpResponseBody,
            'H' => Self::HttpHeader,
            'D' => Self::HttpHeaderRaw,
            'M' => Self::HttpMethod,
            'C' => Self::HttpCookie,
            'S' => Self::HttpStatusCode,
            'Y' => Self::HttpStatusMessage,
            'V' => Self::HttpUserAgent,
            'W' => Self::HttpHost,
            'Z' => Self::HttpHostRaw,
            _ => return None,
        })
    }

    /// Whether it comes in pieces.
    #[must_use]
    pub fn is_body(self) -> bool {
        self.group() == Group::Body
    }
}

impl fmt::Display for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

macro_rules! apps {
    ($($name:ident: $written:literal $(| $alias:literal)*;)*) => {
        /// An application protocol, as rule headers name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum App { $($name),* }

        impl App {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $written),* }
            }

            pub(crate) fn of_name(name: &str) -> Option<Self> {
                match name {
                    $($written $(| $alias)* => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

apps! {
    Http: "http" | "http1" | "http2";
    Tls: "tls" | "ssl";
    Dns: "dns";
    Smtp: "smtp";
    Ftp: "ftp";
    FtpData: "ftp-data";
    Ssh: "ssh";
    Smb: "smb";
    Dcerpc: "dcerpc";
    Imap: "imap";
    Pop3: "pop3";
    Nfs: "nfs";
    Kerberos: "krb5";
    Ntp: "ntp";
    Dhcp: "dhcp";
    Snmp: "snmp";
    Tftp: "tftp";
    Sip: "sip";
    Rdp: "rdp";
    Rfb: "rfb";
    Mqtt: "mqtt";
    Quic: "quic";
    Ike: "ike" | "ikev2";
    Telnet: "telnet";
    Modbus: "modbus";
    Dnp3: "dnp3";
    Enip: "enip";
    BitTorrentDht: "bittorrent-dht";
    PostgreSql: "pgsql";
    Ldap: "ldap";
    WebSocket: "websocket";
    Mdns: "mdns";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_found_by_its_name() {
        for &buffer in Buffer::ALL {
            assert_eq!(Buffer::of_keyword(buffer.name()), Some(buffer));
        }
        for &app in App::ALL {
            assert_eq!(App::of_name(app.name()), Some(app));
        }
    }

    #[test]
    fn old_spellings_name_the_same_buffers() {
        assert_eq!(Buffer::of_keyword("file_data"), Some(Buffer::FileData));
        assert_eq!(
            Buffer::of_modifier("http_client_body"),
            Some(Buffer::HttpRequestBody)
        );
        assert_eq!(Buffer::of_regex_flag('V'), Some(Buffer::HttpUserAgent));
        // It moves a content; as a buffer of its own, the name has a dot.
        assert_eq!(Buffer::of_keyword("http_uri"), None);
    }
}
