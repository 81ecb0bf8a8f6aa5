//! The running appliance: boot, commit, stop; and ports that come and go meanwhile.
//!
//! Boot touches nothing before the configuration and every device that is there were found good, attaches to
//! the ports last, and takes everything away again when a step fails. An interface whose device is not there
//! waits for it; for the others the configuration is in force.

mod attachments;
mod error;
mod keeper;
mod mirrored;
mod places;
mod sockets;
mod start;
mod transmitters;
mod worker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use rtnetlink::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use self::attachments::Attachments;
use self::keeper::Keeper;
use self::places::Places;
use self::sockets::Memory;
use crate::config::{Config, Device};
use crate::control::Control;
use crate::datapath::{Generation, Shared};
use crate::events::Events;
use crate::history::{Opening, Sampler};
use crate::host;
use crate::lifecycle::{Datapath, Occasion};
use crate::objects::Objects;
use crate::ports::{self, Loader, Plan, Ports};

pub use error::{BootError, CommitError};

/// How long a commit waits for workers to judge their sessions by it (a million take about one
/// second), and how often it looks.
const MOST_REVIEW: Duration = Duration::from_secs(10);
const REVIEW_STEP: Duration = Duration::from_millis(1);

/// The appliance. Ends with [`Appliance::stop`].
#[derive(Debug)]
pub struct Appliance {
    running: Running,
    attachments: Arc<Mutex<Attachments>>,
    keeper: JoinHandle<()>,
    /// Where paths in the configuration begin that are not full.
    directory: PathBuf,
}

/// What the first ports are made of; [`Attachments`] go on from there.
#[derive(Debug)]
struct Base {
    handle: Handle,
    places: Places,
    ports: Ports,
    settings: host::Applied,
}

/// What goes on from one configuration to the next, and most of it from one process to the next.
#[derive(Debug)]
pub struct Kept {
    /// Shown with their hits.
    pub objects: Objects,
    /// What was counted before, and goes on counting.
    pub history: Opening,
    /// Where session events are stored.
    pub events: Events,
    /// Where paths in the configuration begin that are not full.
    pub directory: PathBuf,
}

/// What runs once everything is attached.
#[derive(Debug)]
struct Running {
    control: Control,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
    memories: Vec<Memory>,
    sampler: Sampler,
    log: thread::JoinHandle<()>,
    /// Follows the kernel's tables.
    follower: JoinHandle<()>,
}

impl Appliance {
    /// Brings the appliance up. When `enforcing` is called, the datapath enforces `config` on everything that arrives;
    /// when this returns, on what the appliance itself sends, too.
    pub async fn start(
        config: Config,
        kept: Kept,
        loader: Loader,
        enforcing: impl FnOnce(),
    ) -> Result<Self, BootError> {
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
        let mut places = Places::default();
        places.admit(&config)?;
        let number_of = |device: &Device| places.port(device);
        let ports = Ports::prepare(&handle, &config, &plan, loader, number_of).await?;
        let mut base = Base {
            handle,
            places,
            ports,
            settings: host::Applied::default(),
        };
        let directory = kept.directory.clone();
        match start::all(config, kept, &plan, &mut base, random, enforcing).await {
            Ok(running) => Self::keep(running, base, directory).await,
            Err(error) => {
                base.take_away().await;
                Err(error)
            }
        }
    }

    /// From here on ports may come and go.
    async fn keep(mut running: Running, base: Base, directory: PathBuf) -> Result<Self, BootError> {
        let memories = std::mem::take(&mut running.memories);
        let shared = running.shared.clone();
        let mut attachments = Attachments::new(base, shared.clone(), memories);
        attachments.begin().await;
        let attachments = Arc::new(Mutex::new(attachments));
        let keeper = match Keeper::start(attachments.clone(), shared) {
            Ok(keeper) => tokio::spawn(keeper.run()),
            Err(error) => {
                running.stop();
                if let Some(attachments) = Arc::into_inner(attachments) {
                    attachments.into_inner().take_away().await;
                }
                return Err(error.into());
            }
        };
        Ok(Self {
            running,
            attachments,
            keeper,
            directory,
        })
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
    pub async fn commit(&mut self, config: Config, occasion: Occasion) -> Result<u64, CommitError> {
        let committed = self.try_commit(config, occasion).await;
        let control = &self.running.control;
        control.note_commit(committed.is_ok(), jiff::Timestamp::now());
        committed
    }

    async fn try_commit(&mut self, config: Config, occasion: Occasion) -> Result<u64, CommitError> {
        // Ports stay as they are until this is done.
        let mut attachments = self.attachments.lock().await;
        let shared = &self.running.shared;
        let before = shared.generation.load_full();
        if let Some(what) = needs_restart(&before.config, &config) {
            return Err(CommitError::NeedsRestart(what));
        }
        // Reading them takes a while, and nothing has changed yet.
        let (directory, rules) = (self.directory.clone(), before.signatures.clone());
        let (config, signatures) =
            crate::signatures::in_use(config, directory, rules, occasion).await;
        let signatures = signatures?;
        let places = attachments.places.clone();
        let begun = attachments.places.admit(&config)?;
        let control = &self.running.control;
        control.begin(&begun.interfaces, &begun.ports);
        if let Err(error) = attachments.prepare(&before.config, &config).await {
            // What was in force stays so, as a whole.
            attachments.places = places;
            attachments.restore(&before.config).await;
            return Err(error);
        }
        let number = before.number + 1;
        let places = attachments.places.of(&config);
        let hits = control.history().hits();
        let now = jiff::Timestamp::now();
        let generation = Generation::new(number, config, &places, hits, now);
        let lists = control.lists_of(&generation.config);
        let generation = Arc::new(generation.with_signatures(signatures).with_lists(&lists));
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
        let services = Arc::clone(&generation.config.services);
        shared.inspector.set_services(services);
        shared.generation.store(generation.clone());
        shared.in_force.set_generation(number);
        shared.upcoming.store(None);
        shared.wake_all();
        attachments.places.retain(&generation.config);
        let gone = BTreeSet::new();
        attachments.reconcile(&generation.config, &gone).await;
        Ok(number)
    }

    /// Detaches and takes away everything that was made.
    pub async fn stop(self) {
        let attachments = self.attachments.lock().await;
        self.keeper.abort();
        // Cancelled, which is no news.
        let _ = self.keeper.await;
        drop(attachments);
        self.running.stop();
        if let Some(attachments) = Arc::into_inner(self.attachments) {
            attachments.into_inner().take_away().await;
        }
    }
}

impl Running {
    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.shared.wake_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
        // The last events are those of the sessions that the workers have just closed.
        if self.shared.events.send(None).is_err() || self.log.join().is_err() {
            tracing::error!("the log of sessions is incomplete");
        }
        self.follower.abort();
        self.sampler.stop();
    }
}

impl Base {
    async fn take_away(self) {
        self.ports.detach(&self.handle).await;
        self.settings.undo(&self.handle).await;
    }
}

impl Datapath for Appliance {
    fn commit(
        &mut self,
        config: Config,
        occasion: Occasion,
    ) -> BoxFuture<'_, Result<u64, CommitError>> {
        Box::pin(self.commit(config, occasion))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin((*self).stop())
    }
}

/// What of a configuration can't be put in force while another one is.
pub(crate) fn needs_restart(before: &Config, config: &Config) -> Option<&'static str> {
    let (old, new) = (&before.system, &config.system);
    if old.mode != new.mode {
        Some("system.mode")
    } else if old.sessions != new.sessions {
        Some("system.sessions")
    } else if old.workers != new.workers {
        Some("system.workers")
    } else {
        None
    }
}
