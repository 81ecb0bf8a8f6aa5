//! `palisade chain-supervise`: the process that a chain has while it is up.
//!
//! It lays the network, runs what is to run, checks the instances, moves slots, and answers who asks how the chain
//! is. It ends when it is asked to, and takes the chain with it; what it leaves if it is killed, `down` removes.

mod checks;
mod report;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::setsid;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::description::{self, Description, DescriptionError};
use super::health::{Change, Condition};
use super::lay::{self, LayError};
use super::log::Log;
use super::plan::Plan;
use super::runner::{Runner, Running, What};
use super::slots::{SLOTS, Slots};
use super::state::{State, StateError};
use super::status::{self, Phase};
use super::sweep::{SweepError, sweep};

/// Between the lines of what `up` is told in one: the ASCII unit separator.
pub(super) const SEPARATOR: char = '\u{1f}';
/// How often slots that are away are looked at.
const GIVE_BACK_STEP: Duration = Duration::from_secs(1);
/// How long `up` waits for the instances to work.
const BOOT_TIME: Duration = Duration::from_secs(30);
/// An instance that has ended so often meanwhile is not waited for.
const HOPELESS_RESTARTS: u32 = 3;
/// For whoever asks and does not read.
const ANSWER_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The chain whose description is in its state directory.
    name: String,
}

/// Runs until SIGTERM. The first line on standard output is empty when the chain is up, and else says why not.
pub(crate) fn supervise(args: &Args) -> Result<(), SupervisorError> {
    // Whoever started it may log out. It leads a session already where that fails.
    setsid().map(drop).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(live(&State::of(&args.name)));
    if let Err(error) = &outcome {
        let lines = std::iter::once(error.to_string()).chain(error.details());
        tell(&lines.collect::<Vec<_>>().join("\n"));
    }
    outcome
}

async fn live(state: &State) -> Result<(), SupervisorError> {
    let mut stop = stopped()?;
    let _held: File = state.claim()?;
    let log = Log::open(&state.log())?;
    let built = tokio::select! {
        built = Supervisor::build(state, log.clone()) => built,
        _ = stop.recv() => Err(SupervisorError::Interrupted),
    };
    let lived = match built {
        Ok(mut supervisor) => {
            let lived = supervisor.watch(&mut stop).await;
            supervisor.stop().await;
            lived
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &lived {
        log.say("chain", &error.to_string());
    }
    let swept = sweep(state).await;
    lived?;
    swept?;
    Ok(())
}

/// SIGTERM or SIGINT, as often as they come.
fn stopped() -> io::Result<mpsc::Receiver<()>> {
    let (wanted, stop) = mpsc::channel(1);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind)?;
        let wanted = wanted.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                // One that waits already is enough.
                wanted.try_send(()).unwrap_or_default();
            }
        });
    }
    Ok(stop)
}

/// One line to `up`, which reads no more than that.
fn tell(line: &str) {
    let line = line.replace('\n', &SEPARATOR.to_string());
    let mut output = io::stdout();
    // Nobody may wait any more.
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .unwrap_or_default();
}

struct Supervisor {
    description: Description,
    plan: Plan,
    log: Log,
    began: Instant,
    phase: Phase,
    file: PathBuf,
    /// By service: of each instance.
    conditions: Vec<Vec<Condition>>,
    slots: Vec<Slots>,
    /// By service: where the kernel has each slot, as far as it has been told.
    told: Vec<[usize; SLOTS]>,
    /// Hosts whose command does not run.
    ailing_hosts: BTreeMap<String, String>,
    listener: UnixListener,
    /// True when all is to end.
    stopping: watch::Sender<bool>,
    runners: JoinSet<()>,
    others: JoinSet<()>,
    changes: mpsc::Receiver<(String, Running)>,
    answers: mpsc::Receiver<checks::Answer>,
}

impl Supervisor {
    async fn build(state: &State, log: Log) -> Result<Self, SupervisorError> {
        let file: PathBuf = std::fs::read_to_string(state.source())?.into();
        let directory = file.parent().map(PathBuf::from).unwrap_or_default();
        let text = std::fs::read_to_string(state.description())?;
        let description = description::parse(&text, &file.display().to_string(), &directory)?;
        let plan = Plan::new(&description);
        let mut containers = lay::lay(&description, &plan, state).await?;
        let listener = UnixListener::bind(state.socket())?;

        let (stopping, stop) = watch::channel(false);
        let (changed, changes) = mpsc::channel(64);
        let mut runners = JoinSet::new();
        for part in plan.parts() {
            let container = containers.remove(&part.name);
            let directory = state.instance_directory(&part.name);
            if let Some(what) = What::of(part, &directory, container) {
                let runner = Runner {
                    name: part.name.clone(),
                    what,
                    log: log.clone(),
                };
                runners.spawn(runner.run(changed.clone(), stop.clone()));
            }
        }
        let mut others = JoinSet::new();
        checks::respond(&description, &plan, &mut others)?;
        let answers = checks::ask(&description, &plan, state, &mut others);
        let now = Instant::now();
        let conditions = description
            .services
            .iter()
            .map(|service| {
                let health = &service.health;
                let new = || Condition::new(health.failures, health.successes, now);
                service.instances.iter().map(|_| new()).collect()
            })
            .collect();
        let slots: Vec<_> = description
            .services
            .iter()
            .map(|service| Slots::new(service.instances.len()))
            .collect();
        let told = slots.iter().map(|slots| *slots.owners()).collect();
        Ok(Self {
            description,
            plan,
            log,
            began: now,
            phase: Phase::Starting,
            file,
            conditions,
            slots,
            told,
            ailing_hosts: BTreeMap::new(),
            listener,
            stopping,
            runners,
            others,
            changes,
            answers,
        })
    }

    /// Until it is asked to stop.
    async fn watch(&mut self, stop: &mut mpsc::Receiver<()>) -> Result<(), SupervisorError> {
        let mut give_back = interval(GIVE_BACK_STEP);
        give_back.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.log.say("chain", "laid");
        loop {
            tokio::select! {
                biased;
                _ = stop.recv() => return Ok(()),
                Some((name, running)) = self.changes.recv() => self.process(&name, running).await,
                Some(answer) = self.answers.recv() => self.answer(answer).await,
                asked = self.listener.accept() => {
                    if let Ok((stream, _)) = asked {
                        self.respond(stream);
                    }
                }
                _ = give_back.tick() => self.give_back().await,
            }
            self.settle();
        }
    }

    /// The chain is up when all instances have worked once, or have had the time to.
    fn settle(&mut self) {
        if self.phase != Phase::Starting {
            return;
        }
        let mut waiting = Vec::new();
        let mut hopeless = true;
        for (service, conditions) in self.description.services.iter().zip(&self.conditions) {
            for (instance, condition) in service.instances.iter().zip(conditions) {
                if condition.state != status::State::Healthy {
                    let reason = condition.reason.as_deref().unwrap_or("it has not answered");
                    waiting.push(format!("{}: {reason}", instance.name));
                    hopeless &= condition.restarts >= HOPELESS_RESTARTS;
                }
            }
        }
        if waiting.is_empty() {
            self.phase = Phase::Up;
            tell("");
        } else if hopeless || self.began.elapsed() > BOOT_TIME {
            self.phase = Phase::Up;
            // Which may be why nobody answers a check.
            let hosts = self.ailing_hosts.iter();
            waiting.extend(hosts.map(|(name, reason)| format!("{name}: {reason}")));
            tell(&waiting.join("\n"));
        }
    }

    async fn process(&mut self, name: &str, running: Running) {
        let Some((service, instance)) = self.instance(name) else {
            match running {
                Running::Runs | Running::SetUp => self.ailing_hosts.remove(name),
                Running::Ended(reason) => self.ailing_hosts.insert(name.to_owned(), reason),
            };
            return;
        };
        let condition = &mut self.conditions[service][instance];
        let change = match running {
            Running::Runs => {
                condition.started();
                None
            }
            Running::SetUp => None,
            Running::Ended(reason) => condition.ended(reason, Instant::now()),
        };
        self.act(service, instance, change).await;
    }

    async fn answer(&mut self, answer: checks::Answer) {
        let condition = &mut self.conditions[answer.service][answer.instance];
        let change = match answer.outcome {
            Ok(took) => condition.answered(took, Instant::now()),
            Err(reason) => condition.unanswered(reason, Instant::now()),
        };
        self.act(answer.service, answer.instance, change).await;
    }

    async fn act(&mut self, service: usize, instance: usize, change: Option<Change>) {
        let Some(change) = change else { return };
        let name = &self.description.services[service].instances[instance].name;
        match change {
            Change::TakeOut => {
                let reason = self.conditions[service][instance].reason.as_deref();
                let reason = reason.unwrap_or("no reason is known");
                self.log.say("chain", &format!("{name} is out: {reason}"));
                self.slots[service].fail(instance);
            }
            Change::BringBack => {
                self.log.say("chain", &format!("{name} is back"));
                self.slots[service].recover(instance);
            }
        }
        self.tell_kernel(service).await;
    }

    /// Slots go home that nothing has come through for long enough, at none of the routers.
    async fn give_back(&mut self) {
        for service in 0..self.slots.len() {
            let away = self.slots[service].away();
            if !away.is_empty() {
                match self.silent(service, away).await {
                    Ok(silent) => self.slots[service].send_home(&silent),
                    Err(error) => self.log.say("chain", &error.to_string()),
                }
            }
            // Also what it could not be told before.
            self.tell_kernel(service).await;
        }
    }

    /// Those slots of a service that have been silent for as long as its description wants.
    async fn silent(&self, service: usize, mut slots: Vec<usize>) -> Result<Vec<usize>, LayError> {
        let wanted = self.description.services[service].give_back_after;
        for group in &self.plan.services[service].groups {
            let idle = lay::idle_seconds(&self.plan, group).await?;
            slots.retain(|&slot| idle[slot] >= wanted.as_secs_f64());
        }
        Ok(slots)
    }

    /// Moves what is elsewhere in the kernel than it is to be. What fails is tried again a second later.
    async fn tell_kernel(&mut self, service: usize) {
        let owners = *self.slots[service].owners();
        let moves: Vec<_> = (0..SLOTS)
            .filter(|&slot| owners[slot] != self.told[service][slot])
            .map(|slot| (slot, owners[slot]))
            .collect();
        if moves.is_empty() {
            return;
        }
        match lay::move_slots(&self.plan, service, &moves).await {
            Ok(()) => self.told[service] = owners,
            Err(error) => self.log.say("chain", &error.to_string()),
        }
    }

    fn instance(&self, name: &str) -> Option<(usize, usize)> {
        let mut services = self.description.services.iter().enumerate();
        services.find_map(|(number, service)| {
            let mut instances = service.instances.iter();
            let position = instances.position(|instance| instance.name == name)?;
            Some((number, position))
        })
    }

    /// Tells how the chain is.
    fn respond(&mut self, mut stream: tokio::net::UnixStream) {
        let status = self.status();
        self.others.spawn(async move {
            let text = serde_json::to_vec(&status).unwrap_or_default();
            // Whoever has gone needs no answer.
            timeout(ANSWER_TIME, stream.write_all(&text))
                .await
                .unwrap_or(Ok(()))
                .unwrap_or_default();
        });
        while self.others.try_join_next().is_some() {}
    }

    async fn stop(mut self) {
        self.log.say("chain", "stopping");
        self.phase = Phase::Stopping;
        self.others.shutdown().await;
        // Nobody receives who waits for it.
        self.stopping.send(true).unwrap_or_default();
        self.changes.close();
        while self.runners.join_next().await.is_some() {}
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    #[error("stopped before the chain was up")]
    Interrupted,
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Description(#[from] DescriptionError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Lay(#[from] LayError),
    #[error("{0}")]
    Sweep(#[from] SweepError),
}

impl SupervisorError {
    fn details(&self) -> Vec<String> {
        match self {
            Self::Description(error) => error.details(),
            Self::Interrupted | Self::Io(_) | Self::State(_) | Self::Lay(_) | Self::Sweep(_) => {
                Vec::new()
            }
        }
    }
}
