//! The rule language: a line of text becomes a [`Rule`], or an error that says why not.
//!
//! Facts about the language are those of Suricata's user guide, chapter "Suricata Rules". Two kinds of keywords
//! are accepted without effect here, because what they ask for has no effect on what matches: descriptions
//! (`target`), and wishes about logging and speed (`tag`, `prefilter`, `rawbytes`).

mod bytes;
mod content;
mod packet;
mod state;
mod syntax;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::bounds::{Bounds, number};
use crate::buffer::{App, Buffer, Direction, Group};
use crate::error::RuleError;
use crate::pcre;
use crate::regex::Compiler;
use crate::rule::{
    Absent, Action, BitOp, Content, Decode, Flow, Header, Matcher, PacketTest, PayloadKind,
    Protocol, Rate, RegexMatch, Rule, Section, Transform, Value,
};
use crate::sets::{AddressSet, PortSet, Variables};
use syntax::{Parts, RawOption};

/// The conditions that a rule may have in all.
const MATCHERS: usize = 128;
/// The numbers that a rule may read for later use.
const VARIABLES: usize = 8;

/// What rules have in common: the same list, name or expression is kept once.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    variables: &'a Variables,
    addresses: FxHashMap<String, Arc<AddressSet>>,
    ports: FxHashMap<String, Arc<PortSet>>,
    names: FxHashSet<Arc<str>>,
    pub(crate) regexes: Compiler,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(variables: &'a Variables) -> Self {
        Self {
            variables,
            addresses: FxHashMap::default(),
            ports: FxHashMap::default(),
            names: FxHashSet::default(),
            regexes: Compiler::default(),
        }
    }

    pub(crate) fn read(&mut self, text: &str) -> Result<Rule, RuleError> {
        let parts = syntax::take_apart(text)?;
        let action = Action::of_name(parts.action)
            .ok_or_else(|| RuleError::Action(parts.action.to_owned()))?;
        let protocol = protocol(parts.protocol)?;
        let header = self.header(&parts)?;
        let mut draft = Draft::default();
        for option in &parts.options {
            draft.apply(option, self)?;
        }
        draft.finish(action, protocol, header)
    }

    fn header(&mut self, parts: &Parts<'_>) -> Result<Header, RuleError> {
        Ok(Header {
            source: self.addresses(parts.source)?,
            source_ports: self.ports(parts.source_ports)?,
            destination: self.addresses(parts.destination)?,
            destination_ports: self.ports(parts.destination_ports)?,
            both_ways: parts.both_ways,
        })
    }

    fn addresses(&mut self, text: &str) -> Result<Arc<AddressSet>, RuleError> {
        if let Some(known) = self.addresses.get(text) {
            return Ok(Arc::clone(known));
        }
        let set = Arc::new(self.variables.addresses(text)?);
        self.addresses.insert(text.to_owned(), Arc::clone(&set));
        Ok(set)
    }

    fn ports(&mut self, text: &str) -> Result<Arc<PortSet>, RuleError> {
        if let Some(known) = self.ports.get(text) {
            return Ok(Arc::clone(known));
        }
        let set = Arc::new(self.variables.ports(text)?);
        self.ports.insert(text.to_owned(), Arc::clone(&set));
        Ok(set)
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

/// The sid of a text that may be no rule otherwise, for reports.
pub(crate) fn sid_of(text: &str) -> Option<u32> {
    let behind = text.rsplit_once("sid:")?.1.trim_start();
    let end = behind.find(|c: char| !c.is_ascii_digit())?;
    behind[..end].parse().ok()
}

fn protocol(name: &str) -> Result<Protocol, RuleError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "ip" | "any" => Protocol::Ip,
        "ipv4" | "ip4" => Protocol::Ipv4,
        "ipv6" | "ip6" => Protocol::Ipv6,
        "tcp" => Protocol::Tcp,
        "tcp-pkt" => Protocol::TcpPacket,
        "tcp-stream" => Protocol::TcpStream,
        "udp" => Protocol::Udp,
        "icmp" | "icmpv4" | "icmpv6" => Protocol::Icmp,
        name => {
            Protocol::App(App::of_name(name).ok_or_else(|| RuleError::Protocol(name.to_owned()))?)
        }
    })
}

/// A section while its rule is read.
#[derive(Debug)]
struct OpenSection {
    buffer: Buffer,
    transforms: Vec<Transform>,
    matchers: Vec<Matcher>,
    absent: Absent,
    /// Behind `base64_data`, matchers go into the last decoding.
    in_decoded: bool,
}

impl OpenSection {
    fn of(buffer: Buffer) -> Self {
        Self {
            buffer,
            transforms: Vec::new(),
            matchers: Vec::new(),
            absent: Absent::No,
            in_decoded: false,
        }
    }
}

/// The place of a content: among its section's matchers, or among those of the decoding that is the last of them.
#[derive(Clone, Copy, Debug)]
struct ContentAt {
    section: usize,
    matcher: usize,
    in_decoded: bool,
}

/// A rule of which some options are read.
#[derive(Debug, Default)]
struct Draft {
    gid: Option<u32>,
    sid: Option<u32>,
    revision: u32,
    message: Box<str>,
    class: Option<Arc<str>>,
    priority: Option<u8>,
    references: Vec<Box<str>>,
    metadata: Vec<Box<str>>,
    flow: Flow,
    packet: Vec<PacketTest>,
    sections: Vec<OpenSection>,
    /// What the sticky buffer in force is; the payload at first.
    current: Option<usize>,
    /// Where the content is that modifiers refer to.
    last_content: Option<ContentAt>,
    variables: Vec<String>,
    bits: Vec<BitOp>,
    rates: Vec<Rate>,
    is_silent: bool,
}

/// An option's value where there has to be one.
fn required<'a>(option: &RawOption<'a>) -> Result<&'a str, RuleError> {
    option
        .value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| RuleError::Misplaced {
            keyword: option.name.to_owned(),
            why: "needs a value",
        })
}

fn bad(option: &RawOption<'_>, why: &'static str) -> RuleError {
    RuleError::Value {
        keyword: option.name.to_owned(),
        value: option.value.unwrap_or_default().to_owned(),
        why,
    }
}

fn misplaced(option: &RawOption<'_>, why: &'static str) -> RuleError {
    RuleError::Misplaced {
        keyword: option.name.to_owned(),
        why,
    }
}

fn bounds(option: &RawOption<'_>) -> Result<Bounds, RuleError> {
    Bounds::parse(required(option)?).ok_or_else(|| bad(option, "is no comparison that can hold"))
}

fn integer<T: TryFrom<u64>>(option: &RawOption<'_>) -> Result<T, RuleError> {
    number(required(option)?)
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| bad(option, "is no number in range"))
}

/// The inside of quotes, with `\"`, `\;`, `\:` and `\\` as written.
fn unquoted<'a>(option: &RawOption<'a>) -> Result<&'a str, RuleError> {
    let value = required(option)?;
    match value.strip_prefix('"') {
        Some(rest) => rest
            .strip_suffix('"')
            .ok_or_else(|| bad(option, "a quote is missing")),
        None => Ok(value),
    }
}

impl Draft {
    fn apply(&mut self, option: &RawOption<'_>, reader: &mut Reader<'_>) -> Result<(), RuleError> {
        if self.describe(option, reader)?
            || self.modify_content(option)?
            || self.read_numbers(option)?
            || self.test_packet(option)?
            || self.keep_state(option, reader)?
            || self.select(option)?
        {
            return Ok(());
        }
        match option.name {
            "content" | "uricontent" => self.add_content(option),
            "pcre" => self.add_regex(option, reader),
            "bsize" => {
                let size = bounds(option)?;
                self.add(Matcher::Size(size))
            }
            "urilen" => self.add_uri_length(option),
            "absent" => self.add_absent(option),
            "base64_decode" => self.add_decode(option),
            "base64_data" => self.enter_decoded(option),
            // About logging and speed.
            "tag" | "prefilter" | "rawbytes" | "noalert" | "target" => {
                self.is_silent |= option.name == "noalert";
                Ok(())
            }
            name => Err(unusable(name)),
        }
    }

    /// What a rule says of itself.
    fn describe(
        &mut self,
        option: &RawOption<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<bool, RuleError> {
        match option.name {
            "msg" => self.message = unescaped(unquoted(option)?).into(),
            "sid" => self.sid = Some(integer(option)?),
            "gid" => self.gid = Some(integer(option)?),
            "rev" => self.revision = integer(option)?,
            "classtype" => self.class = Some(reader.name(required(option)?)),
            "priority" => self.priority = Some(integer(option)?),
            "reference" => self.references.push(required(option)?.into()),
            "metadata" => {
                let pairs = required(option)?.split(',').map(|pair| pair.trim().into());
                self.metadata.extend(pairs);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Sticky buffers, the older modifiers behind a content, and what transforms a buffer.
    fn select(&mut self, option: &RawOption<'_>) -> Result<bool, RuleError> {
        if let Some(buffer) = Buffer::of_modifier(option.name) {
            self.move_content(option, buffer)?;
            return Ok(true);
        }
        if let Some(buffer) = Buffer::of_keyword(option.name) {
            if option.value.is_some() {
                return Err(bad(option, "a buffer takes no value"));
            }
            self.last_content = None;
            self.current = Some(self.section(buffer, true));
            return Ok(true);
        }
        let Some(transform) = transform(option)? else {
            return Ok(false);
        };
        let Some(section) = self.current.map(|at| &mut self.sections[at]) else {
            return Err(misplaced(
                option,
                "transforms the buffer before it, and there is none",
            ));
        };
        if !section.matchers.is_empty() {
            return Err(misplaced(
                option,
                "has to stand before what it transforms for",
            ));
        }
        section.transforms.push(transform);
        Ok(true)
    }

    /// The section of a buffer. Selected anew, a buffer goes on where it was, unless it is transformed.
    fn section(&mut self, buffer: Buffer, selected: bool) -> usize {
        let known = self
            .sections
            .iter()
            .position(|section| section.buffer == buffer && section.transforms.is_empty());
        let is_last = known.is_some_and(|at| at + 1 == self.sections.len());
        match known {
            // `http.uri; dotprefix; …` behind `http.uri; …` is another look at it.
            Some(at) if !selected || is_last || buffer == Buffer::Payload => at,
            Some(at) if !self.sections[at].matchers.is_empty() => at,
            Some(_) | None => {
                self.sections.push(OpenSection::of(buffer));
                self.sections.len() - 1
            }
        }
    }

    fn add(&mut self, matcher: Matcher) -> Result<(), RuleError> {
        let at = match self.current {
            Some(at) => at,
            None => self.section(Buffer::Payload, false),
        };
        self.add_to(at, matcher)
    }

    fn add_to(&mut self, at: usize, matcher: Matcher) -> Result<(), RuleError> {
        let in_all: usize = self.sections.iter().map(|it| it.matchers.len()).sum();
        if in_all >= MATCHERS {
            return Err(RuleError::TooMany {
                what: "conditions",
                limit: MATCHERS,
            });
        }
        let is_content = matches!(matcher, Matcher::Content(_));
        let section = &mut self.sections[at];
        let mut place = ContentAt {
            section: at,
            matcher: section.matchers.len(),
            in_decoded: false,
        };
        match section.matchers.last_mut() {
            Some(Matcher::Decode(decode)) if section.in_decoded => {
                place.matcher = decode.then.len();
                place.in_decoded = true;
                decode.then.push(matcher);
            }
            Some(_) | None => section.matchers.push(matcher),
        }
        // `content:"a"; bsize:1; fast_pattern;` is about the content still.
        if is_content {
            self.last_content = Some(place);
        }
        Ok(())
    }

    fn add_regex(
        &mut self,
        option: &RawOption<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<(), RuleError> {
        let value = required(option)?;
        let (negated, value) = match value.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, value),
        };
        let quoted = value
            .strip_prefix('"')
            .ok_or_else(|| bad(option, "a quote is missing"))?;
        let Some(text) = quoted.strip_suffix('"') else {
            return Err(RuleError::Unsupported {
                keyword: "pcre".into(),
                why: "what groups match is not kept",
            });
        };
        let expression = pcre::parse(text)?;
        let matcher = Matcher::Regex(RegexMatch {
            regex: reader.regexes.compile(&expression.pattern)?,
            negated,
            relative: expression.relative,
        });
        match expression.buffer {
            // A flag may repeat what the sticky buffer says already.
            Some(buffer) if !self.is_current(buffer) => {
                let at = self.section(buffer, false);
                self.add_to(at, matcher)
            }
            Some(_) | None => self.add(matcher),
        }
    }

    fn is_current(&self, buffer: Buffer) -> bool {
        self.current
            .is_some_and(|at| self.sections[at].buffer == buffer)
    }

    /// `urilen:5`, `urilen:>200,raw`. Without a word it is the normalised address that is measured.
    fn add_uri_length(&mut self, option: &RawOption<'_>) -> Result<(), RuleError> {
        let value = required(option)?;
        let (value, buffer) = match value.rsplit_once(',') {
            Some((value, kind)) if kind.trim() == "raw" => (value, Buffer::HttpUriRaw),
            Some((value, kind)) if kind.trim() == "norm" => (value, Buffer::HttpUri),
            Some(_) => return Err(bad(option, "norm or raw")),
            None => (value, Buffer::HttpUri),
        };
        let size =
            Bounds::parse(value).ok_or_else(|| bad(option, "is no comparison that can hold"))?;
        let at = self.section(buffer, false);
        self.add_to(at, Matcher::Size(size))
    }

    fn add_absent(&mut self, option: &RawOption<'_>) -> Result<(), RuleError> {
        let Some(at) = self.current else {
            return Err(misplaced(option, "there is no buffer that could be absent"));
        };
        self.sections[at].absent = match option.value {
            None => Absent::Must,
            Some("or_else") => Absent::Or,
            Some(_) => return Err(bad(option, "or_else is all it takes")),
        };
        Ok(())
    }

    /// `bytes 300, offset 0, relative`, all of which may be missing.
    fn add_decode(&mut self, option: &RawOption<'_>) -> Result<(), RuleError> {
        /// "This number is limited to 64KiB."
        const MOST: u32 = 64 * 1024;
        let mut decode = Decode {
            limit_bytes: MOST,
            offset: 0,
            relative: false,
            then: Vec::new(),
        };
        for word in option.value.unwrap_or_default().split(',') {
            let unreadable = || bad(option, "is no number in range");
            match word.trim().split_once(char::is_whitespace) {
                None if word.trim().is_empty() => {}
                None if word.trim() == "relative" => decode.relative = true,
                Some(("bytes", value)) => {
                    let value = number(value).and_then(|value| u32::try_from(value).ok());
                    decode.limit_bytes = value.filter(|&v| v <= MOST).ok_or_else(unreadable)?;
                }
                Some(("offset", value)) => {
                    let value = number(value).and_then(|value| i64::try_from(value).ok());
                    decode.offset = value.ok_or_else(unreadable)?;
                }
                None | Some(_) => return Err(bad(option, "bytes, offset and relative")),
            }
        }
        self.add(Matcher::Decode(decode))
    }

    fn enter_decoded(&mut self, option: &RawOption<'_>) -> Result<(), RuleError> {
        let last = self
            .sections
            .iter()
            .rposition(|section| matches!(section.matchers.last(), Some(Matcher::Decode(_))));
        let Some(at) = last else {
            return Err(misplaced(option, "nothing before it decodes"));
        };
        self.sections[at].in_decoded = true;
        self.current = Some(at);
        self.last_content = None;
        Ok(())
    }

    /// The number that an option gives, or the name of one that was read.
    fn value(&self, option: &RawOption<'_>, text: &str) -> Result<Value, RuleError> {
        let text = text.trim();
        let known = self.variables.iter().position(|name| name == text);
        if let Some(at) = known.and_then(|at| u8::try_from(at).ok()) {
            return Ok(Value::Variable(at));
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let value = number(digits)
            .and_then(|value| i64::try_from(value).ok())
            .filter(|&value| value <= i64::from(u32::MAX))
            .ok_or_else(|| {
                bad(
                    option,
                    "is no number in range, nor one that was read before",
                )
            })?;
        Ok(Value::Literal(if negative { -value } else { value }))
    }

    fn variable(&mut self, option: &RawOption<'_>, name: &str) -> Result<u8, RuleError> {
        let name = name.trim();
        if let Some(at) = self.variables.iter().position(|known| known == name) {
            return Ok(at as u8);
        }
        if name.is_empty() || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(bad(option, "a variable's name begins with a letter"));
        }
        if self.variables.len() >= VARIABLES {
            return Err(RuleError::TooMany {
                what: "variables",
                limit: VARIABLES,
            });
        }
        self.variables.push(name.to_owned());
        Ok((self.variables.len() - 1) as u8)
    }

    fn content_mut(&mut self, option: &RawOption<'_>) -> Result<&mut Content, RuleError> {
        let missing = misplaced(option, "modifies the content before it, and there is none");
        let Some(at) = self.last_content else {
            return Err(missing);
        };
        let mut matchers = &mut self.sections[at.section].matchers;
        if at.in_decoded {
            match matchers.last_mut() {
                Some(Matcher::Decode(decode)) => matchers = &mut decode.then,
                Some(_) | None => return Err(missing),
            }
        }
        match matchers.get_mut(at.matcher) {
            Some(Matcher::Content(content)) => Ok(content),
            Some(_) | None => Err(missing),
        }
    }

    fn finish(
        mut self,
        action: Action,
        protocol: Protocol,
        header: Header,
    ) -> Result<Rule, RuleError> {
        let sid = self.sid.ok_or(RuleError::NoSid)?;
        self.sections
            .retain(|section| !section.matchers.is_empty() || section.absent != Absent::No);
        for section in &self.sections {
            content::check(&section.matchers)?;
        }
        self.check_sides()?;
        let is_application = self
            .sections
            .iter()
            .any(|section| section.buffer.group() != Group::Payload);
        let sizes = |test: &PacketTest| matches!(test, PacketTest::PayloadSize(_));
        if is_application && self.packet.iter().any(sizes) {
            return Err(RuleError::Never(
                "dsize is about packets, the buffers are not",
            ));
        }
        Ok(Rule {
            gid: self.gid.unwrap_or(1),
            sid,
            revision: self.revision,
            action,
            message: self.message,
            class: self.class,
            priority: self.priority,
            references: self.references.into(),
            metadata: self.metadata.into(),
            protocol,
            header,
            flow: self.flow,
            packet: self.packet.into(),
            sections: self
                .sections
                .into_iter()
                .map(|section| Section {
                    buffer: section.buffer,
                    transforms: section.transforms.into(),
                    matchers: section.matchers.into(),
                    absent: section.absent,
                })
                .collect(),
            bits: self.bits.into(),
            rates: self.rates.into(),
            suppressions: Box::default(),
            is_silent: self.is_silent,
        })
    }

    /// Whether there is a direction in which all buffers exist.
    fn check_sides(&self) -> Result<(), RuleError> {
        let possible = Direction::BOTH.into_iter().any(|direction| {
            self.flow.direction.is_none_or(|wanted| wanted == direction)
                && self
                    .sections
                    .iter()
                    .all(|section| section.buffer.side().has(direction))
        });
        if possible {
            return Ok(());
        }
        Err(RuleError::Never(
            "its buffers are in requests and in answers, or not where its flow goes",
        ))
    }

    fn wants(&mut self, kind: PayloadKind, option: &RawOption<'_>) -> Result<(), RuleError> {
        if self.flow.payload != PayloadKind::Any && self.flow.payload != kind {
            return Err(misplaced(
                option,
                "only_stream and no_stream exclude each other",
            ));
        }
        self.flow.payload = kind;
        Ok(())
    }
}

/// `\"` and the like as what they stand for.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            plain.extend(characters.next());
        } else {
            plain.push(character);
        }
    }
    plain
}

fn transform(option: &RawOption<'_>) -> Result<Option<Transform>, RuleError> {
    Ok(Some(match option.name {
        "to_lowercase" => Transform::ToLowercase,
        "to_uppercase" => Transform::ToUppercase,
        "strip_whitespace" => Transform::StripWhitespace,
        "compress_whitespace" => Transform::CompressWhitespace,
        "dotprefix" => Transform::DotPrefix,
        "url_decode" => Transform::UrlDecode,
        "to_sha256" => Transform::ToSha256,
        "header_lowercase" => Transform::HeaderLowercase,
        "from_base64" if option.value.is_none() => Transform::FromBase64,
        "xor" => {
            let key = content::hexadecimal(unquoted(option)?)
                .filter(|key| !key.is_empty())
                .ok_or_else(|| bad(option, "the key is an even number of hexadecimal digits"))?;
            Transform::Xor(key.into())
        }
        _ => return Ok(None),
    }))
}

/// Keywords that exist, but that nothing here can answer.
fn unusable(name: &str) -> RuleError {
    let why = match name {
        "lua" | "luajit" | "luaxform" => "scripts are not run",
        "dataset" | "datarep" | "iprep" | "geoip" => "there are no data sets for it",
        "filestore" | "filemagic" | "filemd5" | "filesha1" | "filesha256" | "filesize"
        | "fileext" | "filename" => "files are not extracted",
        "app-layer-event" | "decode-event" | "stream-event" | "engine-event" => {
            "events of parsers are not rules' to match"
        }
        "ssl_state" | "ssl_version" | "tls.version" | "tls.fingerprint" | "tls.subject"
        | "tls.issuerdn" | "tls_cert_notbefore" | "tls_cert_notafter" | "tls_cert_valid"
        | "tls_cert_expired" => "that part of TLS is not kept for rules",
        "to_md5" | "to_sha1" => "MD5 and SHA-1 are not computed",
        "pcrexform"
        | "domain"
        | "tld"
        | "strip_pseudo_headers"
        | "from_base64"
        | "gunzip"
        | "zlib_deflate" => "that transform is not made",
        "flowint" | "flowvar" | "pktvar" | "hostbits" => "such variables are not kept",
        "ftpbounce" | "asn1" | "rpc" | "replace" | "entropy" => "it is not computed",
        "dce_iface" | "dce_opnum" | "dce_stub_data" | "dcerpc.iface" | "dcerpc.opnum"
        | "dcerpc.stub_data" | "smb.named_pipe" | "smb.share" | "cip_service" | "modbus"
        | "dnp3_func" | "krb5_msg_type" | "krb5.msg_type" => "that protocol is not parsed so far",
        _ => return RuleError::UnknownKeyword(name.to_owned()),
    };
    RuleError::Unsupported {
        keyword: name.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;
