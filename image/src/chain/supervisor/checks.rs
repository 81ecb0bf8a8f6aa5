//! The tasks that ask through instances, and those that answer.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::super::description::{Check, Description};
use super::super::plan::Plan;
use super::super::probe::Prober;
use super::super::responder;
use super::super::state::State;
use crate::client::Client;
use crate::connection::Connection;

/// Whether an instance has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) service: usize,
    pub(super) instance: usize,
    pub(super) outcome: Result<Duration, String>,
}

/// Who answers at the routers.
pub(super) fn respond(
    description: &Description,
    plan: &Plan,
    tasks: &mut JoinSet<()>,
) -> io::Result<()> {
    let mut wanted = BTreeSet::new();
    for service in &description.services {
        if !matches!(service.health.check, Check::Tcp | Check::Http) {
            continue;
        }
        let probes = service
            .instances
            .iter()
            .filter_map(|instance| instance.probe);
        for probe in probes.filter(|probe| probe.to_router) {
            wanted.insert((
                service.right,
                SocketAddr::new(probe.to, service.health.port),
            ));
        }
    }
    for (router, address) in wanted {
        let listener = responder::listen(&plan.routers[router].namespace, address)?;
        tasks.spawn(responder::answer(listener));
    }
    Ok(())
}

/// Who asks, an instance each.
pub(super) fn ask(
    description: &Description,
    plan: &Plan,
    state: &State,
    tasks: &mut JoinSet<()>,
) -> mpsc::Receiver<Answer> {
    let (answers, receiver) = mpsc::channel(64);
    for (number, service) in description.services.iter().enumerate() {
        for (position, instance) in service.instances.iter().enumerate() {
            let means = match instance.probe {
                Some(probe) => {
                    let left = &plan.routers[service.left].namespace;
                    Means::Through(Prober::new(left, probe, &service.health))
                }
                None if service.is_palisade() => Means::Readiness(state.api(&instance.name)),
                None => Means::Nothing,
            };
            let asker = Asker {
                service: number,
                instance: position,
                means,
                interval: service.health.interval,
            };
            tasks.spawn(asker.run(answers.clone()));
        }
    }
    receiver
}

enum Means {
    Through(Prober),
    /// What the appliance says of itself.
    Readiness(PathBuf),
    /// That its process runs has to do.
    Nothing,
}

struct Asker {
    service: usize,
    instance: usize,
    means: Means,
    interval: Duration,
}

impl Asker {
    async fn run(mut self, answers: mpsc::Sender<Answer>) {
        let mut turns = interval(self.interval);
        // One after the other, however long each takes.
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let answer = Answer {
                service: self.service,
                instance: self.instance,
                outcome: self.means.ask().await,
            };
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    }
}

impl Means {
    async fn ask(&mut self) -> Result<Duration, String> {
        match self {
            Self::Through(prober) => {
                let answer = prober.ask().await;
                answer.map_err(|error| format!("{}: {error}", prober.question()))
            }
            Self::Nothing => Ok(Duration::ZERO),
            Self::Readiness(socket) => {
                let began = Instant::now();
                let here = Connection::local(socket);
                let answer = async { Client::connect(&here).await?.readiness().await }.await;
                match answer {
                    Ok(readiness) if readiness.ready => Ok(began.elapsed()),
                    Ok(readiness) => Err(readiness.missing.join("; ")),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }
}
