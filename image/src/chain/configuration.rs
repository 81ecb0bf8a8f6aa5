//! The configuration of an instance of Palisade: what was given for it, with what the chain knows better.
//!
//! The chain says which interfaces and routes there are. Where nothing else is given, what begins on the left
//! passes, and in `in-network-nat` is translated to the instance's address on the right.

use std::fs;
use std::path::Path;

use firewall::config::{self, ConfigError, Report};
use ipnet::IpNet;
use rules::{Diagnostic, Findings, Place, Severity};
use serde_json::{Map, Value, json};

use super::address::Family;
use super::course::{By, Course, Side};
use super::description::{Description, Instance, Network, Probe, Service};
use super::document::Mode;
use super::permitted;
use super::plan::{LEFT, RIGHT};

/// Where the API of an instance with a management network is served.
const MANAGEMENT_PORT: u16 = 8443;

/// The chain's document.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) directory: &'a Path,
}

/// Composes what every instance of Palisade is to enforce, and checks it as `palisade check` does. Mistakes in
/// files of their own are returned.
pub(super) fn check(
    description: &mut Description,
    source: &Source<'_>,
    findings: &mut Findings,
) -> Vec<Report> {
    let mut reports: Vec<Report> = Vec::new();
    let mut composed = Vec::new();
    for (number, service) in description.services.iter().enumerate() {
        for (position, instance) in service.instances.iter().enumerate() {
            if !service.is_palisade() {
                continue;
            }
            let Some(given) = given(service, instance, source, findings) else {
                continue;
            };
            let routes = routes(description, number);
            let whole = compose(description, number, instance, &routes, given.value.clone());
            let text = pretty(&whole);
            let probe = permitted::first_check(service, position);
            if let Some(report) = judge(&text, &given, service, probe, source, findings)
                && !reports.contains(&report)
            {
                reports.push(report);
            }
            composed.push((number, position, text));
        }
    }
    for (number, position, text) in composed {
        description.services[number].instances[position].configuration = text;
    }
    reports
}

/// A configuration as somebody wrote it.
struct Given {
    value: Map<String, Value>,
    written: Written,
}

enum Written {
    Nowhere,
    /// In the chain's document, at a pointer.
    Inline(String),
    File {
        name: String,
        text: String,
    },
}

/// `None` after a mistake.
fn given(
    service: &Service,
    instance: &Instance,
    source: &Source<'_>,
    findings: &mut Findings,
) -> Option<Given> {
    let Some((config, pointer)) = &instance.given else {
        return Some(Given {
            value: Map::new(),
            written: Written::Nowhere,
        });
    };
    let given = match &config.value {
        Value::Object(value) => Given {
            value: value.clone(),
            written: Written::Inline(pointer.clone()),
        },
        Value::String(name) => {
            let path = source.directory.join(name);
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => {
                    findings.error(
                        config.place,
                        format!("cannot read {}: {error}", path.display()),
                    );
                    return None;
                }
            };
            let value = match config::to_json(&text) {
                Some(Value::Object(value)) => value,
                Some(Value::Null) => Map::new(),
                _ => {
                    findings.error(
                        config.place,
                        format!(
                            "{} is no configuration: 'palisade check' says why",
                            path.display()
                        ),
                    );
                    return None;
                }
            };
            Given {
                value,
                written: Written::File {
                    name: path.display().to_string(),
                    text,
                },
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            findings.error(
                config.place,
                "config is a file's name, or a configuration itself",
            );
            return None;
        }
    };
    let mode = given
        .value
        .get("system")
        .and_then(|system| system.get("mode"));
    let contradicts = mode.is_some_and(|mode| mode != mode_of(service));
    for (key, is_wrong) in [
        ("interfaces", given.value.contains_key("interfaces")),
        ("routes", given.value.contains_key("routes")),
        ("system/mode", contradicts),
    ] {
        if is_wrong {
            let place = place_in(&given.written, &format!("/{key}"), service, source);
            let said = format!(
                "an instance's {} is the chain's to say",
                key.replace('/', ".")
            );
            match &given.written {
                Written::File { name, .. } => {
                    findings.error(config.place, format!("{name}:{}: {said}", place.line));
                }
                Written::Inline(_) | Written::Nowhere => findings.error(place, said),
            }
            return None;
        }
    }
    Some(given)
}

/// A destination, and the gateway that it is reached through.
type Route = (IpNet, std::net::IpAddr);

/// What is not on an instance's own networks is reached through the router of its side.
pub(super) fn routes(description: &Description, number: usize) -> Vec<Route> {
    let service = &description.services[number];
    let mut routes: Vec<Route> = Vec::new();
    if !service.is_routed() {
        return routes;
    }
    let mut add = |destination: usize, side: Side, course: &Course| {
        let via = match side {
            Side::Left => service.left,
            Side::Right => service.right,
        };
        if destination == via {
            return;
        }
        for &family in &course.families {
            let network = |network: usize| -> &Network { &description.networks[network] };
            let subnet = network(destination).subnet(family);
            if let (Some(subnet), Some(gateway)) = (subnet, network(via).gateway(family))
                && !routes.iter().any(|(known, _)| *known == subnet)
            {
                routes.push((subnet, gateway));
            }
        }
    };
    for course in &description.courses {
        for step in &course.steps {
            if let By::Service { service, entry } = step.by
                && service == number
            {
                add(step.source, entry, course);
                add(course.to, entry.other(), course);
            }
        }
    }
    routes
}

fn compose(
    description: &Description,
    number: usize,
    instance: &Instance,
    routes: &[Route],
    given: Map<String, Value>,
) -> Map<String, Value> {
    let service = &description.services[number];
    let own_zones = given.contains_key("zones");
    let translates = service.mode == Mode::InNetworkNat && !own_zones && !given.contains_key("nat");
    let mut whole = given;
    whole.entry("version").or_insert(json!(1));
    let system = whole.entry("system").or_insert_with(|| json!({}));
    if let Value::Object(system) = system {
        system
            .entry("host-name")
            .or_insert_with(|| json!(instance.name.replace('.', "-")));
        system.insert("mode".to_owned(), json!(mode_of(service)));
        system
            .entry("chain")
            .or_insert_with(|| part_of(description, number, instance));
    }
    let first = instance.management.first();
    if let Some(address) = first {
        let management = whole.entry("management").or_insert_with(|| json!({}));
        if let Value::Object(management) = management {
            let listen = std::net::SocketAddr::new(address.addr(), MANAGEMENT_PORT);
            management
                .entry("listen")
                .or_insert_with(|| json!(listen.to_string()));
        }
    }
    let interface = |device: &str, addresses: &[IpNet]| {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        if addresses.is_empty() {
            json!({ "device": device })
        } else {
            json!({ "device": device, "addresses": addresses })
        }
    };
    whole.insert(
        "interfaces".to_owned(),
        json!({
            "left": interface(LEFT, &instance.left),
            "right": interface(RIGHT, &instance.right),
        }),
    );
    if !routes.is_empty() {
        let routes: Vec<_> = routes
            .iter()
            .map(|(to, via)| json!({ "to": to.to_string(), "via": via.to_string() }))
            .collect();
        whole.insert("routes".to_owned(), json!(routes));
    }
    if !own_zones {
        let zone = |interface: &str| {
            if service.is_routed() {
                json!({ "interfaces": [interface], "host-inbound": ["ping"] })
            } else {
                json!({ "interfaces": [interface] })
            }
        };
        whole.insert(
            "zones".to_owned(),
            json!({ "left": zone("left"), "right": zone("right") }),
        );
        whole.entry("policies").or_insert_with(|| {
            json!([{ "name": "left-to-right", "from": "left", "to": "right", "action": "permit" }])
        });
    }
    if translates {
        whole.insert(
            "nat".to_owned(),
            json!({ "source": [{
                "name": "left-to-right", "from": "left", "to": "right", "source": ["any"], "translate": "interface",
            }] }),
        );
    }
    whole
}

/// What the instance shows of the chain: the courses that lead through its service.
fn part_of(description: &Description, number: usize, instance: &Instance) -> Value {
    let name_of = |by: By| match by {
        By::Service { service, .. } => Some(description.services[service].name.as_str()),
        By::Cable => None,
    };
    let service = description.services[number].name.as_str();
    let network = |network: usize| description.networks[network].name.as_str();
    let paths: Vec<Vec<&str>> = description
        .courses
        .iter()
        .map(|course| {
            let services = course.steps.iter().filter_map(|step| name_of(step.by));
            std::iter::once(network(course.from))
                .chain(services)
                .chain([network(course.to)])
                .collect()
        })
        .filter(|path: &Vec<&str>| path.contains(&service))
        .collect();
    json!({
        "name": description.name,
        "service": service,
        "instance": instance.name,
        "paths": paths,
    })
}

fn mode_of(service: &Service) -> &'static str {
    if service.is_routed() {
        "routing"
    } else {
        "wire"
    }
}

/// Findings about what was given go where it is written.
fn judge(
    text: &str,
    given: &Given,
    service: &Service,
    probe: Option<Probe>,
    source: &Source<'_>,
    findings: &mut Findings,
) -> Option<Report> {
    let (diagnostics, failed) = match config::parse(text, &service.name) {
        Ok(config) => {
            if let Some(said) =
                probe.and_then(|probe| permitted::excluded(&config, service, &probe))
            {
                let place = match &given.written {
                    Written::File { .. } => service.place,
                    Written::Inline(_) | Written::Nowhere => {
                        place_in(&given.written, "/policies", service, source)
                    }
                };
                findings.warning(place, said);
            }
            (config.warnings, false)
        }
        Err(ConfigError::Invalid(report)) => (report.diagnostics, true),
        Err(ConfigError::Unreadable { .. }) => return None,
    };
    let mut of_file = Vec::new();
    for finding in config::findings(text, &diagnostics) {
        let place = place_in(&given.written, &finding.pointer, service, source);
        match (&given.written, finding.severity) {
            (Written::File { .. }, severity) => of_file.push(Diagnostic {
                severity,
                file: None,
                place,
                message: finding.message,
                suggestion: finding.suggestion,
                missing: None,
            }),
            (_, Severity::Error) => {
                findings.error_with_suggestion(place, finding.message, finding.suggestion);
            }
            (_, Severity::Warning) => findings.warning(place, finding.message),
        }
    }
    match &given.written {
        Written::File { name, .. } if failed => Some(Report {
            file: name.clone(),
            diagnostics: of_file,
        }),
        Written::File { .. } | Written::Inline(_) | Written::Nowhere => None,
    }
}

fn place_in(written: &Written, pointer: &str, service: &Service, source: &Source<'_>) -> Place {
    let found = match written {
        Written::Nowhere => None,
        Written::Inline(prefix) => config::place_of(source.text, &format!("{prefix}{pointer}")),
        Written::File { text, .. } => config::place_of(text, pointer),
    };
    found.unwrap_or(service.place)
}

fn pretty(whole: &Map<String, Value>) -> String {
    // Maps of text have a text.
    serde_json::to_string_pretty(whole).unwrap_or_default() + "\n"
}

/// What instances of a family are reached at.
pub(super) fn of_family(addresses: &[IpNet], family: Family) -> Option<std::net::IpAddr> {
    addresses
        .iter()
        .map(IpNet::addr)
        .find(|&address| Family::of(address) == family)
}
