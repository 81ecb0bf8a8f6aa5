//! Policies that ask about content: a session is decided again as more of it is known.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rules::{Content, Decision, PolicyId, Question};

use super::bounds::Bounds;
use super::{IS_INSPECTED, Judged, LOGS_END, Looking, Refusal, Request, Told};
use crate::config::SignatureUse;
use crate::content;
use crate::counters::InterfaceId;
use crate::datapath::Admitted;
use crate::datapath::decide::NO_POLICY;
use crate::datapath::shared::EventKind;
use crate::datapath::tuple_of;
use crate::datapath::worker::Walk;
use crate::session::{Direction, Flow, Slot};

impl<'a> Walk<'a> {
    /// Decides all but the last of the requests that came with a packet: each could be the one that is not permitted, or that its
    /// profile's filter blocks. And what the strictest of their profiles does with signatures.
    pub(super) fn judge_earlier(
        &mut self,
        admitted: &mut Admitted,
        flow: Flow,
        looking: &mut Looking,
    ) -> (Judged, SignatureUse) {
        let mut strictest = SignatureUse::Off;
        let Some(last) = looking.requests.pop() else {
            return (Judged::Goes, strictest);
        };
        for Request { facts, questions } in std::mem::take(&mut looking.requests) {
            let content = content::of(looking.session.identity(), &facts);
            let began_under = looking.began_under.as_ref();
            let policy = match self.decide_knowing(flow.slot, &content, began_under) {
                Some(Ok((_, decision))) => decision.policy,
                Some(Err(refusal)) => return (Judged::Refused(refusal), strictest),
                None => continue,
            };
            let Some(bounds) = Bounds::of(policy, self.generation) else {
                continue;
            };
            strictest = strictest.max(bounds.signatures);
            if let Some(filters) = bounds.filters {
                match self.judge_filters(admitted, flow, &filters, questions) {
                    Judged::Goes => {}
                    judged @ (Judged::Stays(_) | Judged::Refused(_)) => return (judged, strictest),
                }
            }
        }
        // What is known now is known of the last.
        looking.questions.extend(last.questions);
        (Judged::Goes, strictest)
    }

    /// Decides by what the session carries, as far as that is known.
    pub(super) fn judge_content(
        &mut self,
        slot: Slot,
        looking: &mut Looking,
        known: &mut Content,
    ) -> Option<Refusal> {
        let seen = Some(looking.seen());
        let is_news = seen != looking.seen && self.learn(slot, looking, known);
        looking.seen = seen;
        let asks_again = looking.asks_again(self.generation.config.rules.asks_about_requests());
        let is_other = looking.generation != self.generation.number;
        if !is_other && !(is_news && (looking.is_open || asks_again)) {
            return None;
        }
        looking.generation = self.generation.number;
        match self.decide_knowing(slot, known, looking.began_under.as_ref())? {
            Ok((question, decision)) => {
                looking.is_open = decision.is_open;
                looking.come_under(decision.policy, self.generation);
                self.content_permitted(slot, looking, &question, &decision, known);
                None
            }
            Err(refusal) => Some(refusal),
        }
    }

    /// What becomes of the session with this content. If it is not permitted, that is counted and told.
    fn decide_knowing(
        &mut self,
        slot: Slot,
        content: &Content,
        began_under: Option<&Arc<str>>,
    ) -> Option<Result<(Question, Decision<'a>), Refusal>> {
        let question = self.question(slot)?;
        let rules = &self.generation.config.rules;
        let decision = rules.decide_knowing(&question, content);
        let refusal = match decision.action {
            rules::Action::Permit => return Some(Ok((question, decision))),
            rules::Action::Reject => Refusal::Told,
            rules::Action::Deny => Refusal::Silent,
        };
        self.content_denied(slot, &question, &decision, content, began_under);
        Some(Err(refusal))
    }

    /// Whether more is known of the session's content than before.
    fn learn(&self, slot: Slot, looking: &Looking, known: &mut Content) -> bool {
        let identity = looking.session.identity();
        let mut content = content::of(identity, &looking.facts);
        if looking.session.is_over() {
            content.close();
        }
        let is_news = content != *known;
        if content.applications != known.applications {
            self.name_application(slot, &content);
        }
        if let Some(host) = content.host.known().filter(|_| content.host != known.host) {
            let id = self.shared.table.session(slot).id.load(Relaxed);
            self.shared.hosts.set(slot, id, host);
        }
        if is_news {
            *known = content;
        }
        is_news
    }

    /// What the rules were asked when the session began.
    fn question(&self, slot: Slot) -> Option<Question> {
        let table = &self.shared.table;
        let session = table.session(slot);
        let forward = Flow {
            slot,
            direction: Direction::Forward,
        };
        let arrived = tuple_of(&table.key(forward));
        let leaves = tuple_of(&table.rewrite(forward));
        let ingress = InterfaceId(session.ingress.load(Relaxed));
        let egress = InterfaceId(session.egress.load(Relaxed));
        Some(Question {
            from: self.generation.zone(ingress)?,
            to: self.generation.zone(egress)?,
            // The source as it arrived, the destination as it leaves: what policies are about.
            tuple: rules::Tuple {
                destination: leaves.destination,
                destination_port: leaves.destination_port,
                ..arrived
            },
            icmp: self.icmp_of(slot),
        })
    }

    fn content_permitted(
        &mut self,
        slot: Slot,
        looking: &mut Looking,
        question: &Question,
        decision: &Decision<'_>,
        content: &Content,
    ) {
        let session = self.shared.table.session(slot);
        let before = policy_of(session.policy.load(Relaxed));
        let seconds = |timeout: Duration| timeout.as_secs().max(1) as u32;
        session
            .idle_timeout
            .store(decision.idle_timeout.map_or(0, seconds), Relaxed);
        session.policy.store(number_of(decision.policy), Relaxed);
        let flags = IS_INSPECTED | if decision.log.end { LOGS_END } else { 0 };
        session.flags.store(flags, Relaxed);
        if decision.is_open {
            return;
        }
        if before != decision.policy {
            self.generation.count_decision(question, decision, self.now);
        }
        let policies = self.generation.config.rules.policies();
        let policy = decision.policy.and_then(|id| policies.get(id.0 as usize));
        let told = Some(Told {
            policy: policy.map(|policy| policy.name.clone()),
            applications: content.applications.clone(),
            host: content.host.clone(),
        });
        if looking.told == told {
            return;
        }
        looking.told = told;
        self.tell(slot, decision.log.start, |id| EventKind::Identified {
            id,
            began_under: looking.began_under.clone(),
            host: content.host.known().cloned(),
        });
    }

    fn content_denied(
        &mut self,
        slot: Slot,
        question: &Question,
        decision: &Decision<'_>,
        content: &Content,
        began_under: Option<&Arc<str>>,
    ) {
        let session = self.shared.table.session(slot);
        let before = policy_of(session.policy.load(Relaxed));
        session.policy.store(number_of(decision.policy), Relaxed);
        self.generation.count_decision(question, decision, self.now);
        // Whoever wanted to hear of it when it began wants to hear of this.
        let rules = &self.generation.config.rules;
        let before = before.and_then(|id| rules.policies().get(id.0 as usize));
        let mut logs = [Some(decision.log), before.map(|policy| policy.log)]
            .into_iter()
            .flatten();
        let asked_for = logs.any(|log| log.start || log.end);
        self.tell(slot, asked_for, |id| EventKind::ContentDenied {
            id,
            began_under: began_under.cloned(),
            rejected: decision.action == rules::Action::Reject,
            host: content.host.known().cloned(),
        });
    }

    /// The most exact of its names is what the session's record has.
    fn name_application(&self, slot: Slot, content: &Content) {
        let names = content.applications.known();
        if let Some(name) = names.and_then(|names| names.first()) {
            let number = self.shared.applications.number(name);
            let session = self.shared.table.session(slot);
            session.application.store(number, Relaxed);
        }
    }
}

pub(super) fn policy_of(number: u32) -> Option<PolicyId> {
    (number != NO_POLICY).then_some(PolicyId(number))
}

fn number_of(policy: Option<PolicyId>) -> u32 {
    policy.map_or(NO_POLICY, |PolicyId(number)| number)
}
