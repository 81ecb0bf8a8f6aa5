//! `palisade inspect`: what is in a capture, by the same inspection that live traffic goes through, without a network.

mod decision;
mod filtered;
mod watched;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use firewall::config::{self, Anomalies, Config, ConfigError, StartDocument};
use inspection::capture::{self, CaptureError, MOST_SESSIONS, Report, Summary};
use inspection::{Inspector, Profile, Service, Services};
use rules::{Action, Protocol};
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::show::grid::{Grid, left, right, wrapping};
use crate::terminal::{self, printable};
use decision::Decided;
use filtered::{Filtered, Filtering};
use watched::{Found, Signatures};

const STANDARD_INPUT: &str = "-";

/// Show the sessions of a capture: application, host, attributes, and what a configuration decides about them and finds in them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pcap or pcapng file; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration whose policies and filters are asked, and whose signatures are looked for. A session's zones are those of the
    /// interfaces that its addresses are behind.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Services of your own, beside those that come with Palisade: YAML, what a configuration has
    /// under `services`.
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    /// Print one JSON object a line, a session each.
    #[arg(long)]
    json: bool,
}

/// What the file holds is shown as far as it could be read; where that is not all of it, the exit code says so, too.
pub(crate) fn inspect(args: &Args) -> Result<Exit, InspectError> {
    let config = match &args.config {
        Some(file) => Some(config::load(file).map_err(|error| match error {
            ConfigError::Invalid(report) => InspectError::Config(report),
            ConfigError::Unreadable { path, source } => {
                InspectError::Unreadable { file: path, source }
            }
        })?),
        None => None,
    };
    let services = match &args.services {
        Some(file) => services(file)?,
        None => config
            .as_ref()
            .map_or_else(Services::built_in, |config| config.services.clone()),
    };
    let profile = Profile::default();
    let inspector = Inspector::new(profile);
    inspector.set_services(services);
    let file = open(&args.file)?;
    let mut signatures = match (&config, &args.config) {
        (Some(config), Some(file)) => {
            Signatures::of(config, StartDocument::at(file).directory(), profile)?
        }
        _ => None,
    };
    let (reports, summary) = match &mut signatures {
        Some(signatures) => signatures.inspect(file, &inspector),
        None => capture::inspect(file, &inspector, None),
    }
    .map_err(|source| InspectError::NoCapture {
        file: args.file.clone(),
        source,
    })?;
    let filtering = config.as_ref().and_then(Filtering::of);
    let seen = Seen {
        filtering: filtering.as_ref(),
        inspector: &inspector,
        config: config.as_ref(),
        signatures: signatures.as_ref(),
    };
    let text = if args.json {
        reports
            .iter()
            .map(|report| format!("{}\n", seen.object(report)))
            .collect()
    } else {
        seen.table(&reports, terminal::width())
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(InspectError::Output)?;
    let remarks = remarks(&summary)
        .into_iter()
        .chain(signatures.iter().flat_map(Signatures::remarks))
        .chain(filtering.iter().flat_map(Filtering::remarks));
    for remark in remarks {
        eprintln!("warning: {}", printable(&remark));
    }
    Ok(match summary.ended {
        None => Exit::Done,
        Some(_) => Exit::Failed,
    })
}

fn services(file: &Path) -> Result<std::sync::Arc<Services>, InspectError> {
    let text = std::fs::read_to_string(file).map_err(|source| InspectError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    config::services(&text, &file.to_string_lossy()).map_err(InspectError::Config)
}

fn open(file: &Path) -> Result<Box<dyn Read + Send>, InspectError> {
    if file == Path::new(STANDARD_INPUT) {
        return Ok(Box::new(io::stdin()));
    }
    let unreadable = |source| InspectError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let opened = File::open(file).map_err(unreadable)?;
    // To open one is no error, only to read it.
    if opened.metadata().map_err(unreadable)?.is_dir() {
        return Err(InspectError::Directory {
            file: file.to_owned(),
        });
    }
    Ok(Box::new(opened))
}

/// What of the capture is not in the sessions.
fn remarks(summary: &Summary) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(why) = &summary.ended {
        remarks.push(format!(
            "the capture was read up to packet {}: {why}",
            summary.packets
        ));
    }
    for (link, packets) in &summary.unknown_links {
        remarks.push(format!(
            "{packets} packets have link type {link}, which is not read"
        ));
    }
    if summary.not_ip > 0 {
        remarks.push(format!(
            "{} packets are no whole IP packets",
            summary.not_ip
        ));
    }
    if summary.beyond > 0 {
        remarks.push(format!(
            "{} packets were of more than {MOST_SESSIONS} sessions at a time",
            summary.beyond
        ));
    }
    remarks
}

/// The verdict on a session that goes on, and of which something was answered in the responder's place.
const FILTERED: &str = "filtered";

/// What reports are shown by.
struct Seen<'a> {
    inspector: &'a Inspector,
    config: Option<&'a Config>,
    filtering: Option<&'a Filtering<'a>>,
    signatures: Option<&'a Signatures<'a>>,
}

impl Seen<'_> {
    fn service<'r>(&self, report: &'r Report) -> Option<&'r Service> {
        report.identity.service.as_deref()
    }

    fn decided(&self, report: &Report) -> Option<Decided<'_>> {
        decision::of_session(self.config?, report)
    }

    fn found(&self, report: &Report, decided: Option<&Decided<'_>>) -> Vec<Found<'_>> {
        let profile = decided.and_then(|decided| decided.profile);
        self.signatures.map_or(Vec::new(), |signatures| {
            signatures.found(&report.matches, profile)
        })
    }

    fn filtered<'r>(&self, report: &'r Report, decided: Option<&Decided<'_>>) -> Vec<Filtered<'r>> {
        let profile = decided.and_then(|decided| decided.profile);
        self.filtering.map_or(Vec::new(), |filtering| {
            filtering.found(report, profile, &self.inspector.services())
        })
    }

    /// The policy's, unless what is in the session says otherwise.
    fn verdict(&self, report: &Report, decided: Option<&Decided<'_>>) -> Option<&'static str> {
        let decided = decided?;
        let found = self.found(report, Some(decided));
        let is_dropped = report.is_anomalous
            && decided
                .profile
                .is_some_and(|profile| profile.anomalies == Anomalies::Drop);
        let filtered = self.filtered(report, Some(decided));
        let is_ended = filtered.iter().any(Filtered::ends_session);
        let inspected = watched::verdict(&found, is_dropped)
            .or_else(|| is_ended.then(|| decision::verdict(Action::Reject)))
            .or_else(|| (!filtered.is_empty()).then_some(FILTERED));
        Some(inspected.unwrap_or_else(|| decided.verdict()))
    }

    fn object(&self, report: &Report) -> Value {
        let identity = &report.identity;
        let service = self.service(report);
        let decided = self.decided(report);
        let mut attributes: Map<String, Value> = Map::new();
        for (name, value) in &report.attributes {
            let list = attributes.entry(*name).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(value.as_str().into());
            }
        }
        json!({
            "protocol": ip_protocol(report),
            "initiator": end(report.endpoints.initiator),
            "responder": end(report.endpoints.responder),
            "application": application(report),
            "carrier": identity.carrier.map(inspection::Protocol::name),
            "service": service.map(|service| &service.name),
            "category": service.map(|service| &service.category),
            "risk": service.map(|service| service.risk.level()),
            "host_name": identity.host.as_deref(),
            "certain": identity.certain,
            "packets_to_decide": report.packets_to_decide,
            "began": report.began.as_secs_f64(),
            "seconds": report.ended.saturating_sub(report.began).as_secs_f64(),
            "packets": report.packets,
            "bytes": report.bytes,
            "attributes": attributes,
            "refused_segments": report.refused,
            "from_zone": decided.as_ref().map(|decided| decided.from),
            "to_zone": decided.as_ref().map(|decided| decided.to),
            "policy": decided.as_ref().and_then(|decided| decided.policy),
            "verdict": self.verdict(report, decided.as_ref()),
            "filtered": self.filtered(report, decided.as_ref()).iter().map(Filtered::object).collect::<Vec<_>>(),
            "signatures": self.found(report, decided.as_ref()).iter().map(Found::object).collect::<Vec<_>>(),
        })
    }

    fn table(&self, reports: &[Report], width: Option<usize>) -> String {
        if reports.is_empty() {
            return "no sessions\n".to_owned();
        }
        let mut columns = vec![
            left("PROTOCOL"),
            left("INITIATOR"),
            left("RESPONDER"),
            left("APPLICATION"),
            left("SERVICE"),
            wrapping("HOST NAME"),
            right("PACKETS"),
            right("DECIDED AT"),
        ];
        if self.config.is_some() {
            columns.extend([left("POLICY"), left("VERDICT")]);
        }
        if self.filtering.is_some() {
            columns.push(wrapping("FILTERED"));
        }
        if self.signatures.is_some() {
            columns.push(wrapping("SIGNATURES"));
        }
        columns.push(wrapping("ATTRIBUTES"));
        let mut grid = Grid::new(columns);
        for report in reports {
            let guess = if report.identity.certain || report.identity.protocol.is_none() {
                ""
            } else {
                "?"
            };
            let attributes: Vec<String> = report
                .attributes
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let mut cells = vec![
                ip_protocol(report).into(),
                end(report.endpoints.initiator).into(),
                end(report.endpoints.responder).into(),
                format!("{}{guess}", application(report)).into(),
                self.service(report)
                    .map(|service| service.name.as_str())
                    .into(),
                report.identity.host.as_deref().into(),
                (report.packets[0] + report.packets[1]).into(),
                u64::from(report.packets_to_decide).into(),
            ];
            let decided = self.decided(report);
            if self.config.is_some() {
                let policy = decided
                    .as_ref()
                    .map(|decided| decided.policy.unwrap_or("(default)"));
                cells.extend([policy.into(), self.verdict(report, decided.as_ref()).into()]);
            }
            if self.filtering.is_some() {
                let filtered = self.filtered(report, decided.as_ref());
                let lines: Vec<String> = filtered.iter().map(Filtered::line).collect();
                cells.push(lines.join("; ").into());
            }
            if self.signatures.is_some() {
                let found = self.found(report, decided.as_ref());
                let lines: Vec<String> = found.iter().map(Found::line).collect();
                cells.push(lines.join("; ").into());
            }
            cells.push(attributes.join(" ").into());
            grid.row(cells);
        }
        grid.text(width)
    }
}

fn ip_protocol(report: &Report) -> String {
    Protocol(report.endpoints.ip_protocol).to_string()
}

fn application(report: &Report) -> &'static str {
    report
        .identity
        .protocol
        .map_or("unknown", inspection::Protocol::name)
}

/// Address and port, IPv6 in brackets.
fn end(end: SocketAddr) -> String {
    end.to_string()
}

fn shown(file: &Path) -> Cow<'_, str> {
    if file == Path::new(STANDARD_INPUT) {
        "standard input".into()
    } else {
        file.to_string_lossy()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error("{} can't be used", .0.file)]
    Config(config::Report),
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is a directory: inspect reads one capture", file.display())]
    Directory { file: PathBuf },
    #[error("{} is no capture: {source}", shown(file))]
    NoCapture { file: PathBuf, source: CaptureError },
    #[error(transparent)]
    Signatures(#[from] firewall::signatures::SignaturesError),
    #[error("cannot write the sessions: {0}")]
    Output(io::Error),
}

impl InspectError {
    pub(crate) fn is_wrong_input(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Unreadable { .. }
            | Self::Directory { .. }
            | Self::NoCapture { .. }
            | Self::Signatures(_) => true,
            Self::Output(_) => false,
        }
    }

    /// Where a configuration, or services, are wrong.
    pub(crate) fn details(&self) -> Vec<String> {
        match self {
            Self::Config(report) => report.to_string().lines().map(str::to_owned).collect(),
            Self::Unreadable { .. }
            | Self::Directory { .. }
            | Self::NoCapture { .. }
            | Self::Signatures(_)
            | Self::Output(_) => Vec::new(),
        }
    }
}
