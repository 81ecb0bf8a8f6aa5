//! Signatures in what is looked into: the packets that they are given, and what is said and done when one matches.

use std::sync::Arc;

use inspection::Direction;
use packet::{Family, Transport};
use signatures::{Action, IcmpHeader, Match, PacketHeaders, Scanner, TcpHeader};

use super::{Looking, MOST_WAITING, Refusal};
use crate::config::{Anomalies, SignatureUse};
use crate::datapath::Packet;
use crate::datapath::shared::{EventKind, FoundSignature, Generation};
use crate::datapath::worker::Walk;
use crate::session::Slot;

/// The worker looks for what the configuration in force says.
pub(in crate::datapath) fn follow(scanner: &mut Option<Scanner>, generation: &Generation) {
    let engine = generation.signatures.as_ref().map(|now| &now.engine);
    match (engine, &mut *scanner) {
        (Some(engine), Some(scanner)) => {
            if !Arc::ptr_eq(engine, scanner.engine()) {
                scanner.replace(Arc::clone(engine));
            }
        }
        (Some(engine), None) => *scanner = Some(Scanner::new(Arc::clone(engine))),
        (None, Some(_)) => *scanner = None,
        (None, None) => {}
    }
}

/// A packet as signatures look at it.
pub(super) fn packet<'a>(
    frame: &'a [u8],
    packet: &Packet,
    direction: Direction,
    payload: &'a [u8],
) -> signatures::Packet<'a> {
    let headers = &packet.headers;
    let ip = frame.get(headers.l3..headers.l4).unwrap_or_default();
    let byte = |at: usize| ip.get(at).copied().unwrap_or_default();
    let is_v4 = headers.family == Family::V4;
    let l4 = frame.get(headers.l4..headers.end).unwrap_or_default();
    let word = |at: usize| Some(u16::from_be_bytes([*l4.get(at)?, *l4.get(at + 1)?]));
    let tcp = match &headers.transport {
        Transport::Tcp(tcp) => Some(TcpHeader {
            flags: tcp.flags.0,
            sequence: tcp.sequence,
            acknowledgement: tcp.acknowledgment,
            window: tcp.window,
            maximum_segment: None,
        }),
        _ => None,
    };
    let icmp = match &headers.transport {
        Transport::IcmpQuery(icmp) => Some(IcmpHeader {
            kind: icmp.kind,
            code: icmp.code,
            id: word(4),
            sequence: word(6),
        }),
        _ => None,
    };
    // RFC 791 3.1, RFC 8200 3 and 7.
    let tos = if is_v4 {
        byte(1)
    } else {
        byte(0) << 4 | byte(1) >> 4
    };
    signatures::Packet {
        direction: direction.into(),
        payload,
        headers: PacketHeaders {
            ttl: headers.ttl_hops,
            tos,
            identification: is_v4.then(|| u16::from_be_bytes([byte(4), byte(5)])),
            fragment_bits: if is_v4 { byte(6) >> 5 } else { 0 },
            fragment_offset: 0,
            is_reassembled: !packet.rest.is_empty(),
            ip_options: &[],
            tcp,
            icmp,
        },
    }
}

impl Walk<'_> {
    /// What was found in the session; and what else its profile does not let pass. `strictest` is what the profiles of requests
    /// say that came with the same packet: nobody knows in which of them it was found.
    pub(super) fn judge_signatures(
        &self,
        slot: Slot,
        looking: &mut Looking,
        strictest: SignatureUse,
    ) -> Option<Refusal> {
        let bounds = looking.bounds.as_ref();
        let by = bounds.map_or(strictest, |bounds| bounds.signatures.max(strictest));
        let mut refusal = None;
        let judged = match by {
            SignatureUse::Off => {
                // What is decided does not ask for them, although the next request may.
                let wait = if looking.is_open { MOST_WAITING } else { 0 };
                looking.found.truncate(wait);
                0
            }
            SignatureUse::Detect | SignatureUse::Prevent => looking.found.len(),
        };
        for one in looking.found.drain(..judged) {
            refusal = match self.tell_signature(slot, one, by) {
                Action::Reject => Some(Refusal::Told),
                Action::Drop => refusal.or(Some(Refusal::Silent)),
                Action::Alert | Action::Pass => refusal,
            };
        }
        if let Some(anomaly) = looking.facts.anomaly()
            && bounds.is_some_and(|bounds| bounds.anomalies == Anomalies::Drop)
            && refusal.is_none()
        {
            let what = anomaly.to_string();
            self.tell(slot, true, |id| EventKind::Ambiguous { id, what });
            refusal = Some(Refusal::Silent);
        }
        refusal
    }

    /// Says that a signature matched, and what is done for it.
    pub(super) fn tell_signature(&self, slot: Slot, one: Match, by: SignatureUse) -> Action {
        let action = match (one.action, by) {
            (Action::Drop | Action::Reject, SignatureUse::Detect | SignatureUse::Off) => {
                Action::Alert
            }
            (action, _) => action,
        };
        self.counters.inspection.matched(action);
        let engine = self.scanner.as_ref().map(Scanner::engine);
        if let Some(engine) = engine.filter(|_| one.is_told) {
            let rule = engine.rule(one.rule);
            let found = Arc::new(FoundSignature {
                generator: rule.gid,
                number: rule.sid,
                message: rule.message.to_string(),
                class: rule.class.clone(),
                action,
            });
            self.tell(slot, true, |id| EventKind::Signature { id, found });
        }
        action
    }
}
