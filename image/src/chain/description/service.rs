//! Services: their sides, their instances, and how these are checked.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use rules::{Located, Place};
use serde_json::Value;

use super::super::address::Family;
use super::super::document::{self, Check, Instances, Kind, Mode};
use super::super::slots::MAX_INSTANCES;
use super::health::{self, Health};
use super::host::texts;
use super::{Context, duration};

const GIVE_BACK_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(in super::super) struct Service {
    pub(in super::super) name: String,
    pub(in super::super) place: Place,
    pub(in super::super) mode: Mode,
    /// Networks, by position.
    pub(in super::super) left: usize,
    pub(in super::super) right: usize,
    pub(in super::super) management: Option<usize>,
    pub(in super::super) kind: Kind,
    pub(in super::super) image: Option<String>,
    pub(in super::super) command: Vec<String>,
    pub(in super::super) give_back_after: Duration,
    pub(in super::super) health: Health,
    pub(in super::super) instances: Vec<Instance>,
}

#[derive(Debug)]
pub(in super::super) struct Instance {
    /// `firewall.1`.
    pub(in super::super) name: String,
    /// Empty in `transparent` mode.
    pub(in super::super) left: Vec<IpNet>,
    pub(in super::super) right: Vec<IpNet>,
    pub(in super::super) management: Vec<IpNet>,
    pub(in super::super) probe: Option<Probe>,
    /// As it was given, and its pointer in the chain's document.
    pub(in super::super) given: Option<(Located<Value>, String)>,
    /// Palisade's, whole.
    pub(in super::super) configuration: String,
}

/// Between which addresses an instance is checked: `from` is this instance's alone, which is how both directions of
/// a check are sent through it.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Probe {
    pub(in super::super) from: IpAddr,
    pub(in super::super) to: IpAddr,
    /// Nobody but the chain itself answers at `to`.
    pub(in super::super) to_router: bool,
}

impl Service {
    pub(in super::super) fn is_routed(&self) -> bool {
        self.mode != Mode::Transparent
    }

    pub(in super::super) fn is_palisade(&self) -> bool {
        self.kind == Kind::Palisade
    }
}

pub(super) fn claim(context: &mut Context<'_>) {
    for (name, service) in &context.document.services {
        let sides = [
            Some(&service.left),
            Some(&service.right),
            service.management.as_ref(),
        ];
        let [left, right, management] =
            sides.map(|side| side.and_then(|side| context.network(side)));
        let Some(Instances::Each(instances)) = service.instances.as_ref().map(|each| &each.value)
        else {
            continue;
        };
        for (number, instance) in instances.iter().enumerate() {
            let who = instance_name(&name.value, number);
            for (network, addresses) in [
                (left, &instance.left),
                (right, &instance.right),
                (management, &instance.management),
            ] {
                if let Some(network) = network {
                    context.claim(network, &addresses.0, &who);
                }
            }
        }
    }
}

pub(super) fn compile(context: &mut Context<'_>) -> Vec<Service> {
    let mut services = Vec::new();
    for (name, service) in &context.document.services {
        check(service, context);
        let (Some(left), Some(right)) = (
            context.known_network(&service.left),
            context.known_network(&service.right),
        ) else {
            continue;
        };
        let management = match &service.management {
            None => None,
            Some(network) => match context.known_network(network) {
                None => continue,
                known => known,
            },
        };
        let sides = Sides {
            name,
            service,
            left,
            right,
            management,
        };
        let instances = instances(&sides, context);
        let give_back_after = service.give_back_after.as_ref();
        services.push(Service {
            name: name.value.clone(),
            place: name.place,
            mode: service.mode.value,
            left,
            right,
            management,
            kind: service.kind.value,
            image: service.image.as_ref().map(|image| image.value.clone()),
            command: texts(&service.command),
            give_back_after: give_back_after
                .and_then(|text| duration(text, context.findings))
                .unwrap_or(GIVE_BACK_AFTER),
            health: health::compile(&service.health, name.place, context.findings),
            instances,
        });
    }
    services
}

/// What goes together and what doesn't.
fn check(service: &document::Service, context: &mut Context<'_>) {
    let findings = &mut *context.findings;
    if service.left.value == service.right.value {
        findings.error(service.right.place, "left and right are the same network");
    }
    if let Some(management) = &service.management
        && [&service.left.value, &service.right.value].contains(&&management.value)
    {
        findings.error(
            management.place,
            "management is a network of its own, neither left nor right",
        );
    }
    let palisade = service.kind.value == Kind::Palisade;
    if let Some(config) = service.config.as_ref().filter(|_| !palisade) {
        findings.error(config.place, "only an instance of Palisade has a config");
    }
    if let Some(first) = service.command.first().filter(|_| palisade) {
        findings.error(
            first.place,
            "an instance of Palisade runs Palisade: a command needs kind: plain",
        );
    }
    if service.mode.value == Mode::InNetworkNat
        && !palisade
        && service.image.is_none()
        && service.command.is_empty()
    {
        findings.error(
            service.mode.place,
            "the kernel translates nothing by itself: a plain instance of this mode needs a command or an image",
        );
    }
    if let Some(image) = service.image.as_ref().filter(|image| {
        image.value.is_empty()
            || image.value.starts_with('-')
            || image.value.contains(char::is_whitespace)
    }) {
        findings.error(image.place, format!("'{}' is no image", image.value));
    }
}

/// A service's document with what its names are.
struct Sides<'a> {
    name: &'a Located<String>,
    service: &'a document::Service,
    left: usize,
    right: usize,
    management: Option<usize>,
}

fn instances(sides: &Sides<'_>, context: &mut Context<'_>) -> Vec<Instance> {
    let of_count = |count| (0..count).map(|_| None).collect::<Vec<_>>();
    let (wanted, place) = match &sides.service.instances {
        None => (of_count(1), sides.name.place),
        Some(instances) => {
            let wanted = match &instances.value {
                // More are refused below.
                Instances::Count(count) => of_count((*count).min(MAX_INSTANCES as u64 + 1)),
                Instances::Each(each) => each.iter().map(Some).collect(),
            };
            (wanted, instances.place)
        }
    };
    if wanted.is_empty() || wanted.len() > MAX_INSTANCES {
        context.findings.error(
            place,
            format!("a service has from 1 to {MAX_INSTANCES} instances"),
        );
        return Vec::new();
    }
    let numbered = wanted.into_iter().enumerate();
    numbered
        .map(|(number, wanted)| instance(sides, number, wanted, context))
        .collect()
}

fn instance(
    sides: &Sides<'_>,
    number: usize,
    wanted: Option<&document::Instance>,
    context: &mut Context<'_>,
) -> Instance {
    let (service, place) = (sides.service, sides.name.place);
    let who = instance_name(&sides.name.value, number);
    let none = document::Instance::default();
    let wanted = wanted.unwrap_or(&none);
    let routed = service.mode.value != Mode::Transparent;
    if let Some(address) = wanted
        .left
        .iter()
        .chain(&wanted.right)
        .next()
        .filter(|_| !routed)
    {
        context
            .findings
            .error(address.place, "a transparent instance has no addresses");
    }
    if let (None, Some(address)) = (sides.management, wanted.management.iter().next()) {
        context.findings.error(
            address.place,
            "the service has no management network: management: NAME",
        );
    }
    let mut addresses = |network: usize, wanted: &[Located<String>]| {
        context.addresses(network, wanted, &who, place)
    };
    let (left, right) = if routed {
        (
            addresses(sides.left, &wanted.left.0),
            addresses(sides.right, &wanted.right.0),
        )
    } else {
        (Vec::new(), Vec::new())
    };
    let management = sides
        .management
        .map(|network| addresses(network, &wanted.management.0));
    let prefix = format!("/services/{}", sides.name.value);
    let own = wanted.config.as_ref();
    let own = own.map(|config| {
        (
            config.clone(),
            format!("{prefix}/instances/{number}/config"),
        )
    });
    let common = service.config.as_ref();
    let common = common.map(|config| (config.clone(), format!("{prefix}/config")));
    Instance {
        name: who,
        left,
        right,
        management: management.unwrap_or_default(),
        probe: None,
        given: own.or(common),
        configuration: String::new(),
    }
}

fn instance_name(service: &str, number: usize) -> String {
    format!("{service}.{}", number + 1)
}

/// Checks come from what addresses are left once everybody has theirs.
pub(super) fn with_probes(mut services: Vec<Service>, context: &mut Context<'_>) -> Vec<Service> {
    for service in &mut services {
        let document = context.document.services.get(&service.name);
        let target = document.and_then(|document| document.health.target.as_ref());
        let to = match (service.health.check, target) {
            (Check::None, _) => continue,
            (_, Some(target)) => target_of(target, service, context).map(|to| (to, false)),
            (_, None) => router_of(service, context).map(|to| (to, true)),
        };
        let Some((to, to_router)) = to else { continue };
        for instance in &mut service.instances {
            let network = &mut context.networks[service.left];
            let pool = network
                .pools
                .iter_mut()
                .find(|pool| pool.family() == Family::of(to));
            let Some(pool) = pool else { continue };
            match pool.highest(&format!("the check of {}", instance.name)) {
                Some(from) => {
                    instance.probe = Some(Probe {
                        from,
                        to,
                        to_router,
                    });
                }
                None => context.findings.error(
                    service.place,
                    format!(
                        "there is no address left in {} for the check of {}",
                        pool.subnet, instance.name
                    ),
                ),
            }
        }
    }
    services
}

/// The right network's router, in the first family that both sides have.
fn router_of(service: &Service, context: &mut Context<'_>) -> Option<IpAddr> {
    let [left, right] = [service.left, service.right].map(|side| &context.networks[side]);
    let family = Family::ALL
        .into_iter()
        .find(|&family| left.subnet(family).is_some() && right.subnet(family).is_some());
    if family.is_none() {
        context.findings.error(
            service.place,
            format!(
                "'{}' and '{}' have no family in common: nothing can pass, nor be checked",
                left.name, right.name
            ),
        );
    }
    right.gateway(family?)
}

fn target_of(
    target: &Located<String>,
    service: &Service,
    context: &mut Context<'_>,
) -> Option<IpAddr> {
    let [left, right] = [service.left, service.right].map(|side| &context.networks[side]);
    let address = target.value.parse::<IpAddr>().ok();
    let inside = address.filter(|&address| {
        let family = Family::of(address);
        let subnet = right.subnet(family);
        subnet.is_some_and(|subnet| subnet.contains(&address)) && left.subnet(family).is_some()
    });
    if inside.is_none() {
        context.findings.error(
            target.place,
            format!(
                "'{}' is no address of the network on the right, '{}', of a family that '{}' has, too",
                target.value, right.name, left.name
            ),
        );
    }
    inside
}
