//! Lays a chain's network as its plan says. What a failure leaves, `sweep` removes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::container::{self, Container};
use super::description::{Description, Distribution};
use super::namespace;
use super::plan::{Group, Home, Part, Plan};
use super::state::{State, StateError};
use super::tools::{ToolError, ip, ip_batch, ip_batches, namespace_exists};

/// The kernel looks at most once a second (linkwatch).
const CARRIER_TIME: Duration = Duration::from_secs(5);
const CARRIER_POLL: Duration = Duration::from_millis(20);

/// Containers by the name of their part.
pub(super) type Containers = BTreeMap<String, Container>;

pub(super) async fn lay(
    description: &Description,
    plan: &Plan,
    state: &State,
) -> Result<Containers, LayError> {
    check(plan).await?;
    write_configurations(description, state)?;
    let made = plan.routers.iter().map(|router| &router.namespace).chain(
        plan.parts()
            .filter(|part| part.home == Home::Made)
            .map(|part| &part.namespace),
    );
    let names: String = made.map(|name| format!("netns add {name}\n")).collect();
    ip_batch(None, None, &names).await?;
    let containers = start_containers(plan, state).await?;
    for router in &plan.routers {
        set(&router.namespace, &of_router(plan.distribution))?;
        ip_batches(&router.namespace, &router.set_up()).await?;
    }
    for part in plan.parts() {
        lay_part(part, plan).await?;
    }
    for cable in &plan.cables {
        ip_batch(None, None, &cable.lay(&plan.routers)).await?;
        for router in cable.routers {
            ip_batches(&plan.routers[router].namespace, &cable.set_up()).await?;
        }
    }
    carriers(plan).await?;
    for router in &plan.routers {
        ip_batches(&router.namespace, router.routes()).await?;
    }
    check_slots(plan).await?;
    Ok(containers)
}

/// Waits until the devices of next hops have a carrier, without which the kernel takes none. A bridge has one when the
/// kernel has come to look at its ports, on a busy machine some time after these have theirs.
async fn carriers(plan: &Plan) -> Result<(), LayError> {
    let deadline = Instant::now() + CARRIER_TIME;
    for (router, laid) in plan.routers.iter().enumerate() {
        let groups = plan.services.iter().flat_map(|service| &service.groups);
        let hops = groups
            .filter(|group| group.router == router)
            .flat_map(|group| &group.hops);
        let devices: BTreeSet<&str> = hops.map(|hop| hop.device.as_str()).collect();
        while !devices.is_empty() {
            let said = ip(["-n", &laid.namespace, "-json", "link", "show"]).await?;
            let links: Vec<Link> =
                serde_json::from_str(&said).map_err(|source| LayError::Links { source })?;
            let waits = |link: &Link| {
                devices.contains(link.ifname.as_str())
                    && link.flags.iter().any(|flag| flag == "NO-CARRIER")
            };
            // Of one that never gets it, the kernel says so.
            if !links.iter().any(waits) || Instant::now() > deadline {
                break;
            }
            sleep(CARRIER_POLL).await;
        }
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    flags: Vec<String>,
}

/// What is cheaper to find missing before anything is made.
async fn check(plan: &Plan) -> Result<(), LayError> {
    for part in plan.parts() {
        match &part.home {
            Home::Made => {}
            Home::Theirs => {
                if !namespace_exists(&part.namespace) {
                    return Err(LayError::NoNamespace {
                        host: part.name.clone(),
                        namespace: part.namespace.clone(),
                    });
                }
            }
            Home::Container(image) => {
                if !container::has_image(image).await? {
                    return Err(LayError::NoImage {
                        part: part.name.clone(),
                        image: image.clone(),
                    });
                }
            }
        }
    }
    Ok(())
}

fn write_configurations(description: &Description, state: &State) -> Result<(), StateError> {
    let instances = description
        .services
        .iter()
        .filter(|service| service.is_palisade())
        .flat_map(|service| &service.instances);
    for instance in instances {
        let directory = state.instance(&instance.name)?;
        state.write(&directory.join("palisade.yaml"), &instance.configuration)?;
        state.make(&directory.join("state"))?;
    }
    Ok(())
}

async fn start_containers(plan: &Plan, state: &State) -> Result<Containers, LayError> {
    let mut containers = Containers::new();
    for part in plan.parts() {
        if let Home::Container(image) = &part.home {
            let directory = state.instance_directory(&part.name);
            let container = Container::start(&plan.chain, part, image, &directory).await?;
            containers.insert(part.name.clone(), container);
        }
    }
    Ok(containers)
}

async fn lay_part(part: &Part, plan: &Plan) -> Result<(), LayError> {
    if part.home != Home::Theirs {
        settle(&part.namespace, part.forwards).map_err(|source| LayError::Setting {
            namespace: part.namespace.clone(),
            source,
        })?;
    }
    for port in &part.ports {
        ip_batch(None, None, &part.cable(port, &plan.routers)).await?;
        let router = &plan.routers[port.router];
        ip_batches(&router.namespace, &router.connect(port, part)).await?;
        if part.home == Home::Theirs && namespace::has_ipv6() {
            set(&part.namespace, &no_redirects(&port.device))?;
        }
    }
    ip_batches(&part.namespace, &part.set_up()).await?;
    Ok(())
}

/// How the kernel of a part's namespace behaves, before it has devices.
pub(super) fn settle(namespace: &str, forwards: bool) -> io::Result<()> {
    let forwards = if forwards { "1" } else { "0" };
    let mut values = vec![("ipv4/ip_forward".to_owned(), forwards)];
    for which in ["all", "default"] {
        values.push((format!("ipv4/conf/{which}/rp_filter"), "0"));
    }
    if namespace::has_ipv6() {
        values.push(("ipv6/conf/all/forwarding".to_owned(), forwards));
        // Addresses count at once (RFC 4862 §5.4 would keep each for a second).
        values.push(("ipv6/conf/default/accept_dad".to_owned(), "0"));
        values.extend(no_redirects("default"));
    }
    namespace::set(namespace, &values)
}

/// A router sends packets out where they came in, and IPv6 has no way to keep it from telling senders of a shorter
/// one: past it, flows would miss the slots.
fn no_redirects(device: &str) -> Vec<(String, &'static str)> {
    vec![(format!("ipv6/conf/{device}/accept_redirects"), "0")]
}

/// What the kernel's `fib_multipath_hash_policy` 3 may look at: addresses, protocol and ports, or addresses alone.
///
/// It orders them before it hashes them, so that both directions are alike. Policy 1 would take the hash that a
/// sender on this machine has left with the packet, which is another in each direction and changes; and policies 0
/// and 1 count IPv6 flow labels, which the two directions do not share.
const FLOWS: &str = "55";
const ADDRESSES: &str = "3";

fn of_router(distribution: Distribution) -> Vec<(String, &'static str)> {
    let fields = match distribution {
        Distribution::Flows => FLOWS,
        Distribution::Addresses => ADDRESSES,
    };
    let mut values = vec![("ipv4/ip_forward".to_owned(), "1")];
    let mut spread = |family: &str, policy, fields| {
        values.push((format!("{family}/fib_multipath_hash_policy"), policy));
        values.push((format!("{family}/fib_multipath_hash_fields"), fields));
    };
    match distribution {
        Distribution::Flows => spread("ipv4", "3", fields),
        // Addresses alone, too, and of an ICMP error those of the packet inside.
        Distribution::Addresses => spread("ipv4", "0", fields),
    }
    if namespace::has_ipv6() {
        spread("ipv6", "3", fields);
        values.push(("ipv6/conf/all/forwarding".to_owned(), "1"));
        values.push(("ipv6/conf/default/accept_dad".to_owned(), "0"));
    }
    for which in ["all", "default"] {
        values.push((format!("ipv4/conf/{which}/rp_filter"), "0"));
        values.push((format!("ipv4/conf/{which}/send_redirects"), "0"));
    }
    values
}

fn set(namespace: &str, values: &[(String, &str)]) -> Result<(), LayError> {
    namespace::set(namespace, values).map_err(|source| LayError::Setting {
        namespace: namespace.to_owned(),
        source,
    })
}

/// A bucket of a next-hop group.
#[derive(Debug, Deserialize)]
struct Line {
    bucket: Bucket,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    index: usize,
    idle_time: f64,
    nhid: u32,
}

/// By slot: for how many seconds nothing has come through, at one router.
pub(super) async fn idle_seconds(plan: &Plan, group: &Group) -> Result<Vec<f64>, LayError> {
    let mut idle = vec![0.0; super::slots::SLOTS];
    for bucket in buckets(plan, group).await? {
        if let Some(slot) = group.slot(bucket.nhid) {
            idle[slot] = bucket.idle_time;
        }
    }
    Ok(idle)
}

async fn buckets(plan: &Plan, group: &Group) -> Result<Vec<Bucket>, LayError> {
    let namespace = &plan.routers[group.router].namespace;
    let id = group.id.to_string();
    let words = [
        "-n", namespace, "-json", "nexthop", "bucket", "show", "id", &id,
    ];
    let said = ip(words).await?;
    let lines: Vec<Line> =
        serde_json::from_str(&said).map_err(|source| LayError::Buckets { source })?;
    Ok(lines.into_iter().map(|line| line.bucket).collect())
}

/// Both directions of a flow meet the same slot only if the kernel has put all groups into the same order.
async fn check_slots(plan: &Plan) -> Result<(), LayError> {
    for service in &plan.services {
        let mut first: Option<Vec<Option<usize>>> = None;
        for group in &service.groups {
            let mut buckets = buckets(plan, group).await?;
            buckets.sort_by_key(|bucket| bucket.index);
            let slots: Vec<_> = buckets
                .into_iter()
                .map(|bucket| group.slot(bucket.nhid))
                .collect();
            let expected = first.get_or_insert_with(|| slots.clone());
            if *expected != slots {
                return Err(LayError::Uneven);
            }
        }
    }
    Ok(())
}

/// Points slots at instances, at every router that has them.
pub(super) async fn move_slots(
    plan: &Plan,
    service: usize,
    moves: &[(usize, usize)],
) -> Result<(), LayError> {
    for group in &plan.services[service].groups {
        let lines: String = moves
            .iter()
            .map(|&(slot, instance)| group.point("replace", slot, instance) + "\n")
            .collect();
        let namespace = &plan.routers[group.router].namespace;
        ip_batch(Some(namespace), None, &lines).await?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LayError {
    #[error(
        "host '{host}' is to be in the namespace '{namespace}', which does not exist: ip netns add {namespace}"
    )]
    NoNamespace { host: String, namespace: String },
    #[error(
        "'{part}' is to run the image '{image}', which is not here: docker pull {image}, or docker load"
    )]
    NoImage { part: String, image: String },
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot set up the namespace {namespace}: {source}")]
    Setting {
        namespace: String,
        source: io::Error,
    },
    #[error("'ip nexthop bucket' said something unexpected: {source}")]
    Buckets { source: serde_json::Error },
    #[error("'ip link' said something unexpected: {source}")]
    Links { source: serde_json::Error },
    #[error(
        "the kernel spreads flows differently in the two directions: both would not meet the same instance"
    )]
    Uneven,
}
