//! Services by name: whose a host name is, of what category, how much of a risk.
//!
//! The data is `services.yaml`, which comes with Palisade, and whatever the user puts beside it: a service of
//! theirs with a name that is taken replaces ours. The longest domain that fits a host counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::Protocol;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    all: Vec<Arc<Service>>,
    /// By domain, in small letters.
    domains: HashMap<String, Arc<Service>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What policies and logs call it.
    pub name: String,
    /// As people write it.
    pub title: String,
    pub category: String,
    pub risk: Risk,
    /// It answers DNS questions over HTTPS or TLS.
    pub resolver: bool,
    /// Itself and everything below it.
    pub domains: Vec<String>,
}

/// How much harm it can do in a company's network: 1, nothing to worry about, to 5, made for what policies forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u8")]
pub struct Risk(u8);

impl Default for Risk {
    fn default() -> Self {
        Self(1)
    }
}

impl Risk {
    #[must_use]
    pub fn level(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Risk {
    type Error = NoRisk;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        if (1..=5).contains(&level) {
            Ok(Self(level))
        } else {
            Err(NoRisk)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a risk is a number from 1 to 5")]
pub struct NoRisk;

/// What can't be used of the user's services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFault {
    /// Which of them.
    pub service: usize,
    /// Which of its domains; `None` where it is its name.
    pub domain: Option<usize>,
    pub error: ServiceError,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("'{0}' is no domain: letters, digits, hyphens, dots")]
    NoDomain(String),
    #[error("'{domain}' is a domain of service '{other}' already")]
    Taken { domain: String, other: String },
    #[error("'{0}' is no name for a service: small letters, digits, hyphens")]
    NoName(String),
    /// Policies name both in one place.
    #[error("'{0}' is a protocol's name: a service needs another")]
    Protocol(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    title: Option<String>,
    category: String,
    risk: Risk,
    #[serde(default)]
    resolver: bool,
    domains: Vec<String>,
}

impl Services {
    /// What comes with Palisade.
    ///
    /// # Panics
    /// Never: a test reads the data.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        static BUILT_IN: OnceLock<Arc<Services>> = OnceLock::new();
        Arc::clone(BUILT_IN.get_or_init(|| {
            let all = built_in().expect("the built-in services");
            Arc::new(Self::of_all(all))
        }))
    }

    /// Ours and the user's. Those of one name are the user's, and so are domains that both have. What is wrong with the user's is told in
    /// the order in which it stands there; a domain that can't be used is nobody's.
    #[must_use]
    pub fn beside(own: &[Service]) -> (Arc<Self>, Vec<ServiceFault>) {
        let mut faults = Vec::new();
        // Among them a domain is one service's.
        let mut taken: HashMap<String, &str> = HashMap::new();
        let mut usable = Vec::with_capacity(own.len());
        for (position, service) in own.iter().enumerate() {
            let mut fault = |domain, error| {
                faults.push(ServiceFault {
                    service: position,
                    domain,
                    error,
                });
            };
            if let Err(error) = check_name(&service.name) {
                fault(None, error);
            }
            let mut domains = Vec::with_capacity(service.domains.len());
            for (number, written) in service.domains.iter().enumerate() {
                match domain(written, &service.name, &mut taken) {
                    Ok(domain) => domains.push(domain),
                    Err(error) => fault(Some(number), error),
                }
            }
            usable.push(Service {
                domains,
                ..service.clone()
            });
        }
        let is_replaced = |name: &str| own.iter().any(|service| service.name == name);
        let built_in = Self::built_in();
        let ours = built_in.all.iter().map(|service| &**service);
        let ours = ours.filter(|service| !is_replaced(&service.name));
        let mut all: Vec<Service> = ours.cloned().collect();
        for service in &mut all {
            service.domains.retain(|domain| !taken.contains_key(domain));
        }
        all.extend(usable);
        (Arc::new(Self::of_all(all)), faults)
    }

    fn of_all(mut all: Vec<Service>) -> Self {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let all: Vec<_> = all.into_iter().map(Arc::new).collect();
        let domains = all.iter().flat_map(|service| {
            let domains = service.domains.iter();
            domains.map(|domain| (domain.to_ascii_lowercase(), Arc::clone(service)))
        });
        Self {
            domains: domains.collect(),
            all,
        }
    }

    /// Whose a host is.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<&Arc<Service>> {
        let host = host.trim_end_matches('.');
        let lower;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        let mut rest = Some(host);
        while let Some(domain) = rest {
            if let Some(service) = self.domains.get(domain) {
                return Some(service);
            }
            rest = domain.split_once('.').map(|(_, parent)| parent);
        }
        None
    }

    /// By name.
    #[must_use]
    pub fn all(&self) -> &[Arc<Service>] {
        &self.all
    }
}

/// In the order of their names.
fn built_in() -> Result<Vec<Service>, serde_saphyr::Error> {
    let entries: BTreeMap<String, Entry> = serde_saphyr::from_str(include_str!("services.yaml"))?;
    let services = entries.into_iter().map(|(name, entry)| Service {
        title: entry.title.unwrap_or_else(|| name.clone()),
        name,
        category: entry.category,
        risk: entry.risk,
        resolver: entry.resolver,
        domains: entry.domains,
    });
    Ok(services.collect())
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let mut protocols = Protocol::ALL.iter();
    if !is_name {
        Err(ServiceError::NoName(name.to_owned()))
    } else if protocols.any(|protocol| protocol.name() == name) {
        Err(ServiceError::Protocol(name.to_owned()))
    } else {
        Ok(())
    }
}

/// In small letters; from now on it is the service's.
fn domain<'s>(
    written: &str,
    service: &'s str,
    taken: &mut HashMap<String, &'s str>,
) -> Result<String, ServiceError> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_domain =
        written.len() <= 253 && written.contains('.') && written.split('.').all(is_label);
    if !is_domain {
        return Err(ServiceError::NoDomain(written.to_owned()));
    }
    let domain = written.to_ascii_lowercase();
    match taken.insert(domain.clone(), service) {
        Some(other) => Err(ServiceError::Taken {
            domain,
            other: other.to_owned(),
        }),
        None => Ok(domain),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(services: &Services, host: &str) -> Option<String> {
        services.of(host).map(|service| service.name.clone())
    }

    #[test]
    fn what_comes_with_palisade_is_right() {
        let all = built_in().expect("services");
        assert_eq!(Services::beside(&all).1, []);
    }

    #[test]
    fn two_hundred_services_and_more_come_with_a_category_and_a_risk() {
        let services = Services::built_in();
        assert!(services.all().len() >= 200, "{}", services.all().len());
        let categories: BTreeSet<&str> = services
            .all()
            .iter()
            .map(|service| service.category.as_str())
            .collect();
        assert!((10..=40).contains(&categories.len()), "{categories:?}");
        assert!(
            services
                .all()
                .iter()
                .all(|service| !service.domains.is_empty())
        );
    }

    #[test]
    fn a_host_is_its_longest_domains() {
        let services = Services::built_in();
        assert_eq!(
            name(&services, "www.youtube.com").as_deref(),
            Some("youtube")
        );
        assert_eq!(
            name(&services, "MAIL.Google.com.").as_deref(),
            Some("gmail")
        );
        assert_eq!(name(&services, "www.google.com").as_deref(), Some("google"));
        assert_eq!(name(&services, "notyoutube.com"), None);
        assert_eq!(name(&services, "com"), None);
    }

    fn service(name: &str, category: &str, domains: &[&str]) -> Service {
        Service {
            name: name.to_owned(),
            title: name.to_owned(),
            category: category.to_owned(),
            risk: Risk::default(),
            resolver: false,
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        }
    }

    #[test]
    fn the_users_services_come_before_ours() {
        let (services, faults) = Services::beside(&[
            service("shop", "business", &["Shop.example", "mail.google.com"]),
            service("youtube", "training", &["youtube.com"]),
        ]);
        assert_eq!(faults, []);
        assert_eq!(name(&services, "www.shop.example").as_deref(), Some("shop"));
        assert_eq!(name(&services, "mail.google.com").as_deref(), Some("shop"));
        let youtube = services.of("youtube.com").expect("a service");
        assert_eq!(youtube.category, "training");
    }

    #[test]
    fn all_that_is_wrong_is_told_and_the_rest_is_there() {
        let (services, faults) = Services::beside(&[
            service("a", "x", &["*.a.example", "c.example", "b c"]),
            service("A b", "x", &["b.example"]),
            service("ssh", "x", &["C.example"]),
        ]);
        let told: Vec<_> = faults
            .iter()
            .map(|fault| (fault.service, fault.domain, fault.error.to_string()))
            .collect();
        let is_no_domain =
            |domain| format!("'{domain}' is no domain: letters, digits, hyphens, dots");
        let expected = [
            (0, Some(0), is_no_domain("*.a.example")),
            (0, Some(2), is_no_domain("b c")),
            (
                1,
                None,
                "'A b' is no name for a service: small letters, digits, hyphens".to_owned(),
            ),
            (
                2,
                None,
                "'ssh' is a protocol's name: a service needs another".to_owned(),
            ),
            (
                2,
                Some(0),
                "'c.example' is a domain of service 'a' already".to_owned(),
            ),
        ];
        assert_eq!(told, expected);
        assert_eq!(services.of("b.example").expect("a service").category, "x");
    }
}
