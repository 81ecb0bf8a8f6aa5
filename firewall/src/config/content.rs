//! The words by which policies may ask for what a session carries.

use inspection::filter::plain_target;
use inspection::{Protocol, Services};
use rules::Vocabulary;

/// Protocols that are told by their bytes, and services by their names.
pub(crate) fn vocabulary(services: &Services) -> Vocabulary {
    let protocols = Protocol::ALL
        .iter()
        .map(|protocol| protocol.name().to_owned());
    let names = services.all().iter().map(|service| service.name.clone());
    Vocabulary {
        applications: protocols.chain(names).collect(),
        categories: services
            .all()
            .iter()
            .map(|service| service.category.clone())
            .collect(),
        plain_target,
    }
}
