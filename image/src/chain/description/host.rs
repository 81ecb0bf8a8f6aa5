//! Hosts: what is at the ends of a chain.

use ipnet::IpNet;
use rules::{Findings, Located};

use super::super::document;
use super::Context;

/// What a host's device is called unless told.
const DEVICE: &str = "eth0";
/// Linux: `IFNAMSIZ` less the terminator.
const MAX_DEVICE_BYTES: usize = 15;

#[derive(Debug)]
pub(in super::super) struct Host {
    pub(in super::super) name: String,
    pub(in super::super) network: usize,
    pub(in super::super) addresses: Vec<IpNet>,
    /// A namespace of the user's.
    pub(in super::super) namespace: Option<String>,
    pub(in super::super) device: String,
    pub(in super::super) image: Option<String>,
    pub(in super::super) command: Vec<String>,
}

pub(super) fn claim(context: &mut Context<'_>) {
    for (name, host) in &context.document.hosts {
        if let Some(network) = context.network(&host.network) {
            context.claim(
                network,
                &host.addresses.0,
                &format!("host '{}'", name.value),
            );
        }
    }
}

pub(super) fn compile(context: &mut Context<'_>) -> Vec<Host> {
    let mut hosts = Vec::new();
    for (name, host) in &context.document.hosts {
        check_place(host, context.findings);
        let Some(network) = context.known_network(&host.network) else {
            continue;
        };
        let who = format!("host '{}'", name.value);
        hosts.push(Host {
            name: name.value.clone(),
            network,
            addresses: context.addresses(network, &host.addresses.0, &who, name.place),
            namespace: host.namespace.as_ref().map(|name| name.value.clone()),
            device: host
                .device
                .as_ref()
                .map_or_else(|| DEVICE.to_owned(), |device| device.value.clone()),
            image: host.image.as_ref().map(|image| image.value.clone()),
            command: texts(&host.command),
        });
    }
    hosts
}

fn check_place(host: &document::Host, findings: &mut Findings) {
    if let (Some(namespace), Some(_)) = (&host.namespace, &host.image) {
        findings.error(
            namespace.place,
            "a host is a namespace or a container, not both",
        );
    }
    if let (Some(namespace), [first, ..]) = (&host.namespace, &host.command[..]) {
        findings.error(
            first.place,
            format!(
                "what runs in '{}' is not the chain's business: a command needs a namespace of the chain's own",
                namespace.value
            ),
        );
    }
    if let Some(namespace) = &host.namespace
        && (namespace.value.is_empty() || namespace.value.contains('/'))
    {
        findings.error(
            namespace.place,
            format!("'{}' is no namespace: see 'ip netns'", namespace.value),
        );
    }
    if let Some(device) = &host.device {
        let text = &device.value;
        let good = (1..=MAX_DEVICE_BYTES).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !text.starts_with(['.', '-']);
        if !good {
            findings.error(
                device.place,
                format!("'{text}' is no name for a device: at most {MAX_DEVICE_BYTES} of letters, digits, '-', '_' and '.'"),
            );
        }
    }
}

pub(super) fn texts(words: &[Located<String>]) -> Vec<String> {
    words.iter().map(|word| word.value.clone()).collect()
}
