//! How the chain is, for whoever asks.

use std::time::Instant;

use ipnet::IpNet;

use super::super::course::By;
use super::super::plan::{Home, LEFT, Part, RIGHT};
use super::super::slots::SLOTS;
use super::super::status::{
    CountedAt, HostStatus, InstanceStatus, NetworkStatus, PolicyStatus, ServiceStatus, Status,
};
use super::Supervisor;

impl Supervisor {
    pub(super) fn status(&self) -> Status {
        Status {
            name: self.description.name.clone(),
            file: self.file.display().to_string(),
            phase: self.phase,
            supervisor: std::process::id(),
            uptime_seconds: self.began.elapsed().as_secs_f64(),
            networks: self.networks(),
            services: (0..self.description.services.len())
                .map(|service| self.service(service))
                .collect(),
            hosts: self.hosts(),
            policies: self.policies(),
        }
    }

    fn network(&self, network: usize) -> String {
        self.description.networks[network].name.clone()
    }

    fn networks(&self) -> Vec<NetworkStatus> {
        let networks = self.description.networks.iter().zip(&self.plan.routers);
        networks
            .map(|(network, router)| NetworkStatus {
                name: network.name.clone(),
                subnets: network
                    .pools
                    .iter()
                    .map(|pool| pool.subnet.to_string())
                    .collect(),
                namespace: router.namespace.clone(),
            })
            .collect()
    }

    fn service(&self, number: usize) -> ServiceStatus {
        let service = &self.description.services[number];
        ServiceStatus {
            name: service.name.clone(),
            mode: service.mode,
            kind: service.kind,
            left: self.network(service.left),
            right: self.network(service.right),
            management: service.management.map(|network| self.network(network)),
            instances: (0..service.instances.len())
                .map(|position| self.instance_status(number, position))
                .collect(),
        }
    }

    fn instance_status(&self, number: usize, position: usize) -> InstanceStatus {
        let instance = &self.description.services[number].instances[position];
        let part = &self.plan.services[number].instances[position];
        let condition = &self.conditions[number][position];
        // Of two small numbers.
        let share = self.slots[number].of(position) as f64 / SLOTS as f64;
        InstanceStatus {
            name: instance.name.clone(),
            namespace: part.namespace.clone(),
            container: matches!(part.home, Home::Container(_)),
            left: texts(&instance.left),
            right: texts(&instance.right),
            management: texts(&instance.management),
            state: condition.state,
            reason: condition.reason.clone(),
            state_seconds: Instant::now().duration_since(condition.since).as_secs_f64(),
            answer_ms: condition.answer.map(|answer| answer.as_secs_f64() * 1e3),
            share,
            restarts: condition.restarts,
            failures: condition.failures,
            rates: None,
            counted_at: [LEFT, RIGHT]
                .into_iter()
                .filter_map(|device| self.counted_at(part, device))
                .collect(),
        }
    }

    fn counted_at(&self, part: &Part, device: &str) -> Option<CountedAt> {
        let port = part.ports.iter().find(|port| port.device == device)?;
        Some(CountedAt {
            namespace: self.plan.routers[port.router].namespace.clone(),
            device: port.far.clone(),
        })
    }

    fn hosts(&self) -> Vec<HostStatus> {
        let hosts = self.description.hosts.iter().zip(&self.plan.hosts);
        hosts
            .map(|(host, part)| HostStatus {
                name: host.name.clone(),
                network: self.network(host.network),
                namespace: part.namespace.clone(),
                addresses: texts(&host.addresses),
                reason: self.ailing_hosts.get(&host.name).cloned(),
            })
            .collect()
    }

    fn policies(&self) -> Vec<PolicyStatus> {
        let courses = self.description.courses.iter();
        courses
            .map(|course| PolicyStatus {
                from: self.network(course.from),
                to: self.network(course.to),
                through: course
                    .steps
                    .iter()
                    .filter_map(|step| match step.by {
                        By::Service { service, .. } => {
                            Some(self.description.services[service].name.clone())
                        }
                        By::Cable => None,
                    })
                    .collect(),
            })
            .collect()
    }
}

fn texts(addresses: &[IpNet]) -> Vec<String> {
    addresses
        .iter()
        .map(|address| address.addr().to_string())
        .collect()
}
