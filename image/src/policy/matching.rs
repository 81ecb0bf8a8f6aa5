//! `palisade policy match`: what would become of a packet, and why.

use std::fmt::Write as _;
use std::net::IpAddr;

use firewall::view::{
    Endpoint, FailureView, MatchContent, MatchEnds, MatchRequest, MatchView, WhichConfiguration,
};

use crate::client::{Call, Client};
use crate::command::CommandError;
use crate::show::{pairs, units};
use crate::terminal::printable;

/// Ask what would become of a packet; none is sent.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("arrival").required(true))]
pub(super) struct Args {
    /// The zone that it comes from; `host` for what the appliance sends itself.
    #[arg(long, group = "arrival", value_name = "ZONE")]
    from: Option<String>,
    /// The interface by which it comes in, where a zone has several.
    #[arg(long, group = "arrival", value_name = "INTERFACE")]
    ingress: Option<String>,
    /// The zone that it is thought to go to; told where routes lead elsewhere.
    #[arg(long, value_name = "ZONE")]
    to: Option<String>,
    /// As the initiator sends it, before any translation.
    #[arg(long, visible_alias = "source", value_name = "ADDRESS")]
    src: IpAddr,
    #[arg(long, visible_alias = "destination", value_name = "ADDRESS")]
    dst: IpAddr,
    /// Name or number: tcp, udp, icmp, icmpv6, 47.
    #[arg(long, visible_alias = "protocol", value_name = "PROTOCOL")]
    proto: String,
    #[arg(long, visible_alias = "source-port", value_name = "PORT")]
    sport: Option<u16>,
    #[arg(long, visible_alias = "destination-port", value_name = "PORT")]
    dport: Option<u16>,
    /// An echo request unless told.
    #[arg(long, value_name = "TYPE")]
    icmp_type: Option<u8>,
    #[arg(long, value_name = "CODE")]
    icmp_code: Option<u8>,
    #[command(flatten)]
    content: ContentArgs,
    /// Ask the candidate, and not the configuration in force.
    #[arg(long)]
    candidate: bool,
}

/// What the session turns out to carry.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What the session carries, where policies or filters ask for it")]
struct ContentArgs {
    /// A protocol or service, as policies name them under `l7`; unless told, http, tls or quic.
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// The name of whom the initiator talks to.
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// Of an HTTP request.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Of an HTTP request, with its query.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// 1.2, 1.3.
    #[arg(long, value_name = "VERSION")]
    tls_version: Option<String>,
    #[arg(long, value_name = "FINGERPRINT")]
    ja4: Option<String>,
}

impl ContentArgs {
    /// `None` where nothing is told.
    fn content(&self) -> Option<MatchContent> {
        let content = MatchContent {
            application: self.application.clone(),
            host: self.host_name.clone(),
            method: self.method.clone(),
            path: self.path.clone(),
            tls_version: self.tls_version.clone(),
            ja4: self.ja4.clone(),
        };
        (content != MatchContent::default()).then_some(content)
    }
}

impl Args {
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        json: bool,
    ) -> Result<String, CommandError> {
        let call = Call::post("/api/v1/policies/match").json(&self.request())?;
        let answer = client.send(&call).await?;
        if json {
            return Ok(answer.body + "\n");
        }
        Ok(told(&answer.parsed()?))
    }

    fn request(&self) -> MatchRequest {
        MatchRequest {
            from: self.from.clone(),
            ingress: self.ingress.clone(),
            to: self.to.clone(),
            source: self.src,
            destination: self.dst,
            protocol: self.proto.clone(),
            source_port: self.sport,
            destination_port: self.dport,
            icmp_type: self.icmp_type,
            icmp_code: self.icmp_code,
            content: self.content.content(),
            configuration: if self.candidate {
                WhichConfiguration::Candidate
            } else {
                WhichConfiguration::Running
            },
        }
    }
}

fn told(view: &MatchView) -> String {
    let mut lines = vec![String::new(), "steps".to_owned()];
    lines.extend(view.steps.iter().map(|step| {
        let mark = if step.passes { "✓" } else { "✗" };
        format!("  {mark} {:<16} {}", step.step, step.detail)
    }));
    if !view.near_misses.is_empty() {
        lines.extend([String::new(), "nearly matched".to_owned()]);
    }
    lines.extend(view.near_misses.iter().map(|miss| {
        let failed: Vec<String> = miss.failed.iter().map(failure).collect();
        format!(
            "  {} {}: {}, but for {}",
            miss.position,
            miss.policy,
            miss.action,
            failed.join(" and ")
        )
    }));
    let lines = lines.iter().map(|line| printable(line) + "\n");
    pairs(&facts(view)) + &lines.collect::<String>()
}

fn facts(view: &MatchView) -> Vec<(&'static str, String)> {
    let or_none = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
    let mut verdict = view.verdict.clone();
    if let Some(reason) = &view.drop_reason {
        verdict = format!("{verdict} ({reason})");
    }
    let leaves = view.translated.as_ref();
    let mut facts = vec![
        ("verdict", verdict),
        ("policy", or_none(&view.policy)),
        ("packet", packet(&view.packet)),
        ("leaves as", leaves.map_or("-".to_owned(), packet)),
        ("zones", format!("{} → {}", view.from, or_none(&view.to))),
        (
            "interfaces",
            format!("{} → {}", view.ingress, or_none(&view.egress)),
        ),
        ("application", or_none(&view.application)),
        (
            "destination NAT",
            or_none(&view.destination_nat.as_ref().map(|nat| nat.rule.clone())),
        ),
        (
            "source NAT",
            or_none(&view.source_nat.as_ref().map(|nat| nat.rule.clone())),
        ),
    ];
    if let Some(filtered) = &view.filtered {
        let what = format!(
            "{}: {}, {}",
            filtered.filter, filtered.reason, filtered.action
        );
        facts.push(("filtered", what));
    }
    if let Some(session) = view.session {
        facts.push(("session", session.to_string()));
    }
    if view.configuration == WhichConfiguration::Candidate {
        facts.push(("by", "the candidate".to_owned()));
    }
    facts
}

fn packet(ends: &MatchEnds) -> String {
    let end = |address: IpAddr, port| match port {
        0 => address.to_string(),
        port => units::endpoint(Endpoint { address, port }, &ends.protocol),
    };
    let mut text = format!(
        "{} {} → {}",
        ends.protocol,
        end(ends.source, ends.source_port),
        end(ends.destination, ends.destination_port)
    );
    if let (Some(kind), Some(code)) = (ends.icmp_type, ends.icmp_code) {
        write!(text, ", type {kind} code {code}").unwrap_or_default();
    }
    text
}

/// `source: 192.0.2.9 is not in lan`.
fn failure(failure: &FailureView) -> String {
    let says = failure.policy.join(", ");
    let packet = &failure.packet;
    let mut text = match failure.condition.as_str() {
        "enabled" => "that it is disabled".to_owned(),
        "schedule" => format!("its schedule {says}, which is off"),
        "application" => format!(
            "application: {packet} is not {says} ({})",
            failure.parts.join(", ")
        ),
        condition => format!("{condition}: {packet} is not {says}"),
    };
    if !failure.not_known.is_empty() {
        let unknown = failure.not_known.join(", ");
        write!(text, "; nobody knows yet {unknown}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::testing::Bench;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    const VISITOR: &str =
        "match --from untrust --src 203.0.113.7 --dst 198.51.100.1 --proto tcp --dport 443";

    async fn answer(words: &str, json: bool) -> String {
        let bench = Bench::start().await;
        let args = Line::parse_from(words.split(' ')).args;
        args.answer(&mut bench.client().await, json).await.unwrap()
    }

    #[tokio::test]
    async fn verdict_way_and_near_misses_are_told() {
        let text = answer(VISITOR, false).await;
        for line in [
            "verdict          deny (policy-denied)",
            "packet           tcp 203.0.113.7:49152 → 198.51.100.1:443",
            "leaves as        tcp 203.0.113.7:49152 → 192.0.2.10:8443",
            "destination NAT  web",
            "  ✓ ingress          right, zone untrust",
            "  ✗ policy           no policy matches tcp 8443 from 49152; default: deny",
            "  2 publish-the-shop: permit, but for application: tcp 8443 from 49152 is not shop-api (destination-port)",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }

    #[tokio::test]
    async fn json_is_the_answer_of_the_api() {
        let text = answer(&format!("{VISITOR} --candidate"), true).await;
        let view: MatchView = serde_json::from_str(&text).unwrap();
        assert_eq!(view.configuration, WhichConfiguration::Candidate);
        assert_eq!(view.packet.destination_port, 443);
    }

    #[test]
    fn what_the_session_carries_is_asked_where_it_is_told() {
        let request = |words: &str| {
            let line = Line::try_parse_from(words.split(' ')).unwrap();
            line.args.request()
        };
        assert_eq!(request(VISITOR).content, None);
        let content = request(&format!(
            "{VISITOR} --host-name www.example --path /a --method PUT"
        ))
        .content;
        let expected = MatchContent {
            host: Some("www.example".into()),
            path: Some("/a".into()),
            method: Some("PUT".into()),
            ..MatchContent::default()
        };
        assert_eq!(content, Some(expected));
    }

    #[test]
    fn where_it_comes_from_is_said_once() {
        let without = VISITOR.replace(" --from untrust", "");
        let twice = format!("{VISITOR} --ingress right");
        for words in [without, twice] {
            assert!(Line::try_parse_from(words.split(' ')).is_err(), "{words}");
        }
    }
}
