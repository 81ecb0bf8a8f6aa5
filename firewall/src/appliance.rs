//! The running appliance: boot, commit, stop.
//!
//! Boot touches nothing before the configuration and every device were found good, attaches to the
//! ports last, and takes everything away again when a step fails.

mod error;
mod sockets;
mod start;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use rtnetlink::Handle;

use crate::config::Config;
use crate::control::Control;
use crate::datapath::{Generation, Shared};
use crate::events::Events;
use crate::history::{History, Sampler};
use crate::host;
use crate::lifecycle::Datapath;
use crate::objects::Objects;
use crate::ports::{self, Plan, Ports};

pub use error::{BootError, CommitError};

/// How long a commit waits for workers to judge their sessions by it (a million take about one
/// second), and how often it looks.
const MOST_REVIEW: Duration = Duration::from_secs(10);
const REVIEW_STEP: Duration = Duration::from_millis(1);

/// The appliance. Ends with [`Appliance::stop`].
#[derive(Debug)]
pub struct Appliance {
    running: Running,
    ports: Ports,
    handle: Handle,
    settings: host::Applied,
}

/// What goes on from one configuration to the next, and most of it from one process to the next.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Shown with their hits.
    pub objects: Objects,
    /// What was counted before, and goes on counting.
    pub history: History,
    /// Where session events are stored.
    pub events: Events,
}

/// What runs once everything is attached.
#[derive(Debug)]
struct Running {
    control: Control,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    sampler: Sampler,
    log: JoinHandle<()>,
    /// What follows the kernel's tables and devices.
    followers: Vec<tokio::task::JoinHandle<()>>,
}

impl Appliance {
    /// Brings the appliance up. When this returns, the datapath enforces `config`.
    pub async fn start(config: Config, kept: Kept) -> Result<Self, BootError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| BootError::System {
                what: "opening rtnetlink",
                source,
            })?;
        tokio::spawn(connection);

        let mut random = StdRng::from_os_rng();
        let workers = worker::count(config.system.workers);
        let plan = Plan {
            workers,
            marks: ports::Marks::random(|| random.next_u32()),
            hash_seed: random.next_u64(),
            hash_multiplier: random.next_u64(),
        };
        let mut ports = Ports::prepare(&handle, &config, &plan).await?;
        let mut settings = host::Applied::default();
        let started = start::all(
            config,
            kept,
            &plan,
            &mut ports,
            &handle,
            random,
            &mut settings,
        )
        .await;
        match started {
            Ok(running) => Ok(Self {
                running,
                ports,
                handle,
                settings,
            }),
            Err(error) => {
                settings.undo(&handle).await;
                ports.detach(&handle).await;
                Err(error)
            }
        }
    }

    #[must_use]
    pub fn control(&self) -> Control {
        self.running.control.clone()
    }

    /// What is in force now.
    #[must_use]
    pub fn in_force(&self) -> Arc<Generation> {
        self.running.shared.generation.load_full()
    }

    /// Puts another configuration in force, at one instant for every worker. Sessions that it
    /// still permits go on; others end at once.
    pub async fn commit(&mut self, config: Config) -> Result<u64, CommitError> {
        let committed = self.try_commit(config).await;
        let control = &self.running.control;
        control.note_commit(committed.is_ok(), jiff::Timestamp::now());
        committed
    }

    async fn try_commit(&mut self, config: Config) -> Result<u64, CommitError> {
        let before = self.running.shared.generation.load_full();
        if let Some(what) = needs_restart(&before.config, &config) {
            return Err(CommitError::NeedsRestart(what));
        }
        if let Err(error) = self.prepare_for(&config).await {
            // What was in force stays so, as a whole.
            if let Err(error) = self.prepare_for(&before.config).await {
                tracing::error!(%error, "the addresses and routes are not those of the configuration in force");
            }
            return Err(error.into());
        }
        let number = before.number + 1;
        let devices: Vec<_> = self
            .ports
            .ports
            .iter()
            .map(|port| port.device.as_str())
            .collect();
        let generation = Arc::new(Generation::new(
            number,
            config,
            &devices,
            self.running.control.history().hits(),
            jiff::Timestamp::now(),
        ));
        let shared = &self.running.shared;
        shared.generations.remember(&generation);
        // Sessions that it permits become its own first, and so never leave the kernel.
        shared.upcoming.store(Some(generation.clone()));
        shared.wake_all();
        let reviewed = async {
            while !shared.is_reviewed(number) {
                tokio::time::sleep(REVIEW_STEP).await;
            }
        };
        if tokio::time::timeout(MOST_REVIEW, reviewed).await.is_err() {
            tracing::warn!(
                "not all sessions could be judged beforehand; the rest are as they send"
            );
        }
        shared.generation.store(generation);
        shared.in_force.set_generation(number);
        shared.upcoming.store(None);
        shared.wake_all();
        Ok(number)
    }

    /// What the kernel must know before `config` can be in force.
    async fn prepare_for(&mut self, config: &Config) -> Result<(), BootError> {
        self.settings
            .apply(&self.handle, config, &self.ports)
            .await?;
        self.ports.programs.set_answered(ports::answered(config))?;
        Ok(())
    }

    /// Detaches and takes away everything that was made.
    pub async fn stop(self) {
        let Running {
            shared,
            stop,
            threads,
            sampler,
            log,
            followers,
            ..
        } = self.running;
        stop.store(true, Ordering::Release);
        shared.wake_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
        // The last events are those of the sessions that the workers have just closed.
        if shared.events.send(None).is_err() || log.join().is_err() {
            tracing::error!("the log of sessions is incomplete");
        }
        followers.iter().for_each(tokio::task::JoinHandle::abort);
        sampler.stop();
        self.ports.detach(&self.handle).await;
        self.settings.undo(&self.handle).await;
    }
}

impl Datapath for Appliance {
    fn commit(&mut self, config: Config) -> BoxFuture<'_, Result<u64, CommitError>> {
        Box::pin(self.commit(config))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin((*self).stop())
    }
}

/// What of a configuration can't be put in force while another one is.
pub(crate) fn needs_restart(before: &Config, config: &Config) -> Option<&'static str> {
    let devices = |config: &Config| {
        config
            .interfaces
            .iter()
            .map(|known| (known.device.clone(), known.vlan, known.attach))
            .collect::<Vec<_>>()
    };
    let (old, new) = (&before.system, &config.system);
    if devices(before) != devices(config) {
        Some("the devices of the interfaces")
    } else if old.mode != new.mode {
        Some("system.mode")
    } else if old.sessions != new.sessions {
        Some("system.sessions")
    } else if old.workers != new.workers {
        Some("system.workers")
    } else {
        None
    }
}
