//! What is right, and yet probably not meant: policies that can never match, one that permits everything,
//! objects that nothing uses.
//!
//! A question of its own, because it takes about as long as compiling does: whoever checks a document
//! asks it, a commit doesn't. It is asked about documents without errors.
//!
//! # What must hold
//! The answer is the document's alone. What is only so as long as a name resolves to this, a feed holds
//! that or it is night is not said: see [`hidden`].
//!
//! # Wider than any
//! Said of a permit from every zone to every zone, from and to all of IPv4 or all of IPv6, for all of TCP
//! and UDP, however it is written: two halves of the addresses are all of them. Such a policy leaves
//! nothing for the default to deny, whatever else stands in the document. One between two zones of
//! many is how people say "these trust each other", and one with any limit at all is a rule.

mod hidden;
mod unused;

use crate::classifier::{Service, protocol_keys};
use crate::document::Sections;
use crate::{Action, AddressSet, Findings, Located, Names, Protocol};

use hidden::{Scope, Scopes};

/// `elsewhere` are the items of address lists that are not in these sections. Returns the names, as they
/// are when nothing is known of the outside.
pub fn check<'a>(
    document: Sections<'a>,
    elsewhere: impl IntoIterator<Item = &'a Located<String>>,
    findings: &mut Findings,
) -> Names {
    unused::check(document, elsewhere, findings);
    let scopes = Scopes::of(document);
    hidden::check(document, &scopes, findings);
    for (policy, scope) in document.policies.iter().zip(&scopes.each) {
        if let Some(family) = scope.as_ref().and_then(|scope| opens_all(scope, &scopes)) {
            findings.warning(
                policy.name.place,
                format!(
                    "policy '{}' permits {family} between all zones: nothing is left for the default to deny",
                    policy.name.value
                ),
            );
        }
    }
    scopes.names
}

/// What is let through from everywhere to everywhere.
fn opens_all(scope: &Scope<'_>, scopes: &Scopes<'_>) -> Option<&'static str> {
    let every_zone = scopes.every_zone();
    let all_ports = [Protocol::TCP, Protocol::UDP]
        .map(protocol_keys)
        .map(|keys| Service {
            keys: [keys].into(),
            source_ports: None,
        });
    let is_open = scope.action == Action::Permit
        && !every_zone.is_empty()
        && hidden::covers(&scope.from, &every_zone)
        && hidden::covers(&scope.to, &every_zone)
        && hidden::services_cover(&scope.services, &all_ports);
    let any = AddressSet::any();
    let (source, destination) = (
        scope.source.extent.certain(),
        scope.destination.extent.certain(),
    );
    let v4 = source.covers_v4(&any) && destination.covers_v4(&any);
    let v6 = source.covers_v6(&any) && destination.covers_v6(&any);
    match (is_open, v4, v6) {
        (true, true, true) => Some("everything"),
        (true, true, false) => Some("all of IPv4"),
        (true, false, true) => Some("all of IPv6"),
        (true, false, false) | (false, _, _) => None,
    }
}

#[cfg(test)]
mod tests;
