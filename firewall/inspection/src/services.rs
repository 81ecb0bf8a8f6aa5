//! Services by name: whose a host name is, of what category, how much of a risk.
//!
//! The data is `services.yaml`, which comes with Palisade, and whatever the user puts beside it in the same form: a service of
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

#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// Says the line and column.
    #[error("{0}")]
    Unreadable(String),
    #[error("service {service}: {domain} is no domain: letters, digits, hyphens, dots")]
    NoDomain { service: String, domain: String },
    #[error("service {service}: {domain} is {other}'s already")]
    Taken {
        service: String,
        domain: String,
        other: String,
    },
    #[error("{0} is no name for a service: small letters, digits, hyphens")]
    NoName(String),
    /// Policies name both in one place.
    #[error("{0} is a protocol's name: a service needs another")]
    Protocol(String),
}

impl ServicesError {
    /// The service that it is about; `None` where the text can't be read.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Unreadable(_) => None,
            Self::NoDomain { service, .. }
            | Self::Taken { service, .. }
            | Self::NoName(service)
            | Self::Protocol(service) => Some(service),
        }
    }
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
            let all = read(include_str!("services.yaml")).expect("the built-in services");
            Arc::new(Self::of_all(all))
        }))
    }

    /// Ours and the user's, in a text of the same form.
    pub fn with(text: &str) -> Result<Arc<Self>, ServicesError> {
        Self::beside(&read(text)?)
    }

    /// Ours and the user's. Those of one name are the user's, and so are domains that both have.
    pub fn beside(own: &[Service]) -> Result<Arc<Self>, ServicesError> {
        // Among them a domain is one service's.
        let mut taken: HashMap<String, &str> = HashMap::new();
        for service in own {
            check_name(&service.name)?;
            let mut protocols = Protocol::ALL.iter();
            if protocols.any(|protocol| protocol.name() == service.name) {
                return Err(ServicesError::Protocol(service.name.clone()));
            }
            for domain in &service.domains {
                let domain = checked_domain(&service.name, domain)?;
                if let Some(other) = taken.insert(domain.clone(), &service.name) {
                    return Err(ServicesError::Taken {
                        service: service.name.clone(),
                        domain,
                        other: other.to_owned(),
                    });
                }
            }
        }
        let is_replaced = |name: &str| own.iter().any(|service| service.name == name);
        let built_in = Self::built_in();
        let ours = built_in.all.iter().map(|service| &**service);
        let ours = ours.filter(|service| !is_replaced(&service.name));
        let mut all: Vec<Service> = ours.cloned().collect();
        for service in &mut all {
            service.domains.retain(|domain| !taken.contains_key(domain));
        }
        all.extend(own.iter().cloned());
        Ok(Arc::new(Self::of_all(all)))
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
fn read(text: &str) -> Result<Vec<Service>, ServicesError> {
    let entries: BTreeMap<String, Entry> = serde_saphyr::from_str(text)
        .map_err(|error| ServicesError::Unreadable(error.to_string()))?;
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

fn check_name(name: &str) -> Result<(), ServicesError> {
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    is_name
        .then_some(())
        .ok_or_else(|| ServicesError::NoName(name.to_owned()))
}

fn checked_domain(service: &str, domain: &str) -> Result<String, ServicesError> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if domain.len() <= 253 && domain.contains('.') && domain.split('.').all(is_label) {
        Ok(domain.to_ascii_lowercase())
    } else {
        Err(ServicesError::NoDomain {
            service: service.to_owned(),
            domain: domain.to_owned(),
        })
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
        let all = read(include_str!("services.yaml")).expect("services");
        Services::beside(&all).expect("no domain twice");
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

    #[test]
    fn the_users_services_come_before_ours() {
        let text = "shop:\n  category: business\n  risk: 1\n  domains: [shop.example, mail.google.com]\n\
                    youtube:\n  category: training\n  risk: 1\n  domains: [youtube.com]\n";
        let services = Services::with(text).expect("a document");
        assert_eq!(name(&services, "www.shop.example").as_deref(), Some("shop"));
        assert_eq!(name(&services, "mail.google.com").as_deref(), Some("shop"));
        let youtube = services.of("youtube.com").expect("a service");
        assert_eq!(youtube.category, "training");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| Services::with(text).expect_err("an error").to_string();
        assert!(wrong("a:\n  category: x\n  risk: 9\n  domains: [a.example]\n").contains("1 to 5"));
        assert!(wrong("a: {category: x, risk: 1, domains: ['*.a.example']}").contains("no domain"));
        assert!(wrong("A b: {category: x, risk: 1, domains: [a.example]}").contains("no name"));
        let twice = "a: {category: x, risk: 1, domains: [c.example]}\nb: {category: x, risk: 1, domains: [c.example]}";
        assert!(wrong(twice).contains("a's already"));
    }
}
