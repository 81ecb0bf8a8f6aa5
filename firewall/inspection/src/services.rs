//! Services by name: whose a host name is, of what category, how much of a risk.
//!
//! The data is `services.yaml`, which comes with Palisade, and whatever the user puts beside it in the same form: a service of
//! theirs with a name that is taken replaces ours. The longest domain that fits a host counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

/// A service's number; it holds within one `Services`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(u32);

#[derive(Clone, Debug)]
pub struct Services {
    all: Vec<Service>,
    /// By domain, in small letters.
    domains: HashMap<String, ServiceId>,
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

impl Risk {
    #[must_use]
    pub fn level(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Risk {
    type Error = &'static str;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        if (1..=5).contains(&level) {
            Ok(Self(level))
        } else {
            Err("a risk is a number from 1 to 5")
        }
    }
}

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
            Arc::new(Self::read(&[include_str!("services.yaml")]).expect("the built-in services"))
        }))
    }

    /// Ours and the user's.
    pub fn with(text: &str) -> Result<Arc<Self>, ServicesError> {
        Ok(Arc::new(Self::read(&[
            include_str!("services.yaml"),
            text,
        ])?))
    }

    /// Later documents replace services of earlier ones.
    fn read(documents: &[&str]) -> Result<Self, ServicesError> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let mut taken = HashMap::new();
        for document in documents {
            let read: BTreeMap<String, Entry> = serde_saphyr::from_str(document)
                .map_err(|error| ServicesError::Unreadable(error.to_string()))?;
            // Within a document a domain is one service's; a later one may take it from an earlier one's.
            let mut own: HashMap<String, String> = HashMap::new();
            for (name, entry) in &read {
                check_name(name)?;
                for domain in &entry.domains {
                    let domain = checked_domain(name, domain)?;
                    if let Some(other) = own.insert(domain.clone(), name.clone()) {
                        return Err(ServicesError::Taken {
                            service: name.clone(),
                            domain,
                            other,
                        });
                    }
                }
            }
            taken.extend(own);
            entries.extend(read);
        }
        let mut services = Self {
            all: Vec::new(),
            domains: HashMap::new(),
        };
        for (number, (name, entry)) in (0..).zip(entries) {
            let domains: Vec<String> = entry
                .domains
                .iter()
                .map(|domain| domain.to_ascii_lowercase())
                .filter(|domain| taken.get(domain) == Some(&name))
                .collect();
            for domain in &domains {
                services.domains.insert(domain.clone(), ServiceId(number));
            }
            services.all.push(Service {
                title: entry.title.unwrap_or_else(|| name.clone()),
                name,
                category: entry.category,
                risk: entry.risk,
                resolver: entry.resolver,
                domains,
            });
        }
        Ok(services)
    }

    /// Whose a host is.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<ServiceId> {
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
                return Some(*service);
            }
            rest = domain.split_once('.').map(|(_, parent)| parent);
        }
        None
    }

    /// # Panics
    /// With a number of other services.
    #[must_use]
    pub fn get(&self, service: ServiceId) -> &Service {
        &self.all[service.0 as usize]
    }

    #[must_use]
    pub fn all(&self) -> &[Service] {
        &self.all
    }
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
        services
            .of(host)
            .map(|service| services.get(service).name.clone())
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
        assert_eq!(services.get(youtube).category, "training");
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
