//! Ports and their devices while the appliance runs: whatever the configuration wants and the kernel has is
//! attached, and nothing else.
//!
//! One owner at a time: commits and the keeper take turns. A port is taken away in this order: nothing leaves by
//! it any more (one write to the next-hop records), nothing arrives by it, workers give up its sockets, its
//! devices go. Where the kernel was first, each step finds that done. Its sessions stay: until their time is
//! over, or the device is back, what they send is punted and has no way.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use afxdp::{Injector, Socket};
use rtnetlink::Handle;
use tokio::sync::oneshot;

use super::mirrored::mirrored;
use super::places::Places;
use super::sockets::Memory;
use super::transmitters::Transmitters;
use super::{Base, CommitError};
use crate::config::{Attach, Config, Device, Mode};
use crate::datapath::{GivenUp, Order, PortSockets, Shared};
use crate::host;
use crate::ports::{
    self, AttachMode, PortError, PortId, PortState, Ports, Present, Stands, Suitable, Wanted,
};
use crate::route::kernel::KernelLink;

/// How long the sockets of a port that goes may take to send what they were given, and how often that
/// is looked at. What the device of one that is gone has not sent never leaves.
const MOST_SENDING: Duration = Duration::from_millis(20);
const SENDING_STEP: Duration = Duration::from_millis(1);

/// How long a worker may take to answer; one that has ended does not.
const MOST_WAITING: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Attachments {
    handle: Handle,
    pub(super) places: Places,
    ports: Ports,
    settings: host::Applied,
    shared: Arc<Shared>,
    memories: Vec<Memory>,
    transmitters: Transmitters,
    /// What is wanted and not attached, by device.
    waiting: HashMap<Device, PortError>,
    /// What the kernel refused of addresses and routes.
    trouble: Option<String>,
}

impl Attachments {
    pub(super) fn new(base: Base, shared: Arc<Shared>, memories: Vec<Memory>) -> Self {
        let Base {
            handle,
            places,
            ports,
            settings,
        } = base;
        Self {
            transmitters: Transmitters::new(ports.programs.ports()),
            handle,
            places,
            ports,
            settings,
            shared,
            memories,
            waiting: HashMap::new(),
            trouble: None,
        }
    }

    /// Goes on from the ports of the start.
    pub(super) async fn begin(&mut self) {
        for port in self.ports.iter() {
            self.transmitters.tell(port);
        }
        let generation = self.shared.generation.load_full();
        let wanted = Wanted::of(&generation.config);
        let has = |wanted: &Wanted| self.ports.iter().any(|port| port.wanted == wanted.device);
        if !wanted.iter().all(has) {
            self.reconcile(&generation.config, &BTreeSet::new()).await;
        }
        self.announce();
    }

    /// Takes everything away.
    pub(super) async fn take_away(self) {
        // The last to hold the workers' memory.
        drop(self.memories);
        let Self {
            handle,
            places,
            ports,
            settings,
            ..
        } = self;
        let base = Base {
            handle,
            places,
            ports,
            settings,
        };
        base.take_away().await;
    }

    /// Has ready what ports that are waited for will want: the verifier takes longer than all the rest.
    pub(super) fn get_ready(&mut self) {
        let generation = self.shared.generation.load();
        for wanted in Wanted::of(&generation.config) {
            let mode = match wanted.attach {
                Attach::Tc | Attach::Auto => AttachMode::Tc,
                Attach::Xdp => AttachMode::Xdp,
            };
            if self.waiting.contains_key(&wanted.device)
                && let Err(error) = self.ports.programs.get_ready(mode)
            {
                tracing::error!(%error, "what waits can't be attached");
            }
        }
    }

    /// Whether something waits that no word of the kernel's may come of: what is in its way may go by itself.
    pub(super) fn has_failed(&self) -> bool {
        let mut reasons = self.waiting.values();
        self.trouble.is_some()
            || reasons.any(|reason| !matches!(reason, PortError::NoDevice { .. }))
    }

    /// Has ports and the kernel ready for a commit. What the configuration in force has and the coming one does
    /// not stays until [`Attachments::reconcile`]. An error leaves things half done: [`Attachments::restore`].
    pub(super) async fn prepare(
        &mut self,
        before: &Config,
        config: &Config,
    ) -> Result<(), CommitError> {
        self.attach_new(before, config)
            .await
            .map_err(CommitError::NotAttached)?;
        let applied = self.settings.apply(&self.handle, config, &self.ports);
        applied.await?;
        self.ports.programs.set_answered(ports::answered(config))?;
        self.publish(&[]).await;
        Ok(())
    }

    /// Back to the configuration in force, whose places these are again.
    pub(super) async fn restore(&mut self, config: &Config) {
        if let Err(error) = self.ports.programs.set_answered(ports::answered(config)) {
            tracing::error!(%error, "some address requests get the answers of a refused configuration");
        }
        self.reconcile(config, &BTreeSet::new()).await;
        self.set_host(config).await;
    }

    /// Attaches what the coming configuration wants and the one in force does not.
    async fn attach_new(&mut self, before: &Config, config: &Config) -> Result<(), PortError> {
        let present = Present::read(&self.handle).await?;
        let known = Wanted::of(before);
        for wanted in Wanted::of(config) {
            let Some(id) = self.places.port(&wanted.device) else {
                continue;
            };
            if let Some(port) = self.ports.get(id)
                && port.attach == wanted.attach
            {
                self.add_vlans(id, &wanted).await?;
                continue;
            }
            let mut known = known.iter();
            let is_new = !known.any(|it| it.device == wanted.device && it.attach == wanted.attach);
            if !is_new {
                // It waits, and not for this commit.
                continue;
            }
            if self.ports.get(id).is_some() {
                self.publish(&[id]).await;
                self.detach(id).await;
            }
            match self.attach(id, &wanted, &present, config).await {
                Err(reason @ PortError::NoDevice { .. }) => {
                    self.waiting.insert(wanted.device, reason);
                }
                attached => attached?,
            }
        }
        Ok(())
    }

    /// Makes the ports those that a configuration wants and the kernel has. Devices in `gone` are others by now,
    /// even where they look the same.
    pub(super) async fn reconcile(&mut self, config: &Config, gone: &BTreeSet<u32>) {
        let present = match Present::read(&self.handle).await {
            Ok(present) => present,
            Err(error) => {
                tracing::error!(%error, "which devices are there is not known; ports stay as they are");
                return;
            }
        };
        let wanted = Wanted::of(config);
        let ports = self.ports.iter();
        let going: Vec<_> = ports
            .filter(|port| {
                let mut wanted = wanted.iter();
                let wanted = wanted.find(|it| it.device == port.wanted && it.attach == port.attach);
                let mut links = present.links.iter();
                let link = links.find(|it| it.ifindex == port.ifindex);
                let is_same = |(wanted, link): (&Wanted, &KernelLink)| {
                    wanted.is_still(link) && link.name == port.device
                };
                !wanted.zip(link).is_some_and(is_same) || gone.contains(&port.ifindex)
            })
            .map(|port| port.id)
            .collect();
        if !going.is_empty() {
            self.publish(&going).await;
        }
        for id in &going {
            if let Some(port) = self.ports.get(*id) {
                tracing::info!(device = port.device, "detached");
            }
            self.detach(*id).await;
        }
        self.waiting
            .retain(|device, _| wanted.iter().any(|it| it.device == *device));
        let mut changed = !going.is_empty() || self.trouble.is_some();
        for wanted in &wanted {
            changed |= self.bring(wanted, &present, config).await;
        }
        if changed {
            self.set_host(config).await;
        }
        self.publish(&[]).await;
        self.announce();
    }

    /// Has one device attached as it is wanted, or waits for it; true where something has changed.
    async fn bring(&mut self, wanted: &Wanted, present: &Present, config: &Config) -> bool {
        let Some(id) = self.places.port(&wanted.device) else {
            return false;
        };
        let brought = if let Some(port) = self.ports.get(id) {
            let vlans = port.vlans.iter().map(|(vlan, _)| *vlan);
            let dropped: Vec<_> = vlans.filter(|it| !wanted.vlans.contains(it)).collect();
            for vlan in &dropped {
                self.ports.take_vlan_away(&self.handle, id, *vlan).await;
            }
            let added = self.add_vlans(id, wanted).await;
            added.map(|added| added || !dropped.is_empty())
        } else {
            self.attach(id, wanted, present, config)
                .await
                .map(|()| true)
        };
        match brought {
            Ok(changed) => {
                let waited = self.waiting.remove(&wanted.device).is_some();
                if self.ports.get(id).is_some() && (changed || waited) {
                    tracing::info!(device = %wanted.device, "attached");
                }
                changed
            }
            Err(reason) => {
                let text = reason.to_string();
                let known = self.waiting.insert(wanted.device.clone(), reason);
                if known.is_none_or(|known| known.to_string() != text) {
                    tracing::info!(device = %wanted.device, reason = text, "waiting");
                }
                false
            }
        }
    }

    async fn attach(
        &mut self,
        id: PortId,
        wanted: &Wanted,
        present: &Present,
        config: &Config,
    ) -> Result<(), PortError> {
        let link = wanted.find(present)?;
        let workers = self.shared.workers.len() as u32;
        let found = Suitable::examine(wanted, link, workers)?;
        if config.system.mode == Mode::Routing {
            host::stop_kernel_forwarding_at(&link.name);
        }
        self.ports
            .make(&self.handle, id, wanted.clone(), found)
            .await?;
        let connected = self.connect(id).await;
        if connected.is_err() {
            self.detach(id).await;
        }
        connected
    }

    /// Gives the workers sockets on a port that was made, and attaches its programs: those at the port itself
    /// last.
    async fn connect(&mut self, id: PortId) -> Result<(), PortError> {
        open_injector(&self.shared, &self.ports, id)?;
        let mut ready = Vec::new();
        for (worker, memory) in self.shared.workers.iter().zip(&mut self.memories) {
            let Some(port) = self.ports.get(id) else {
                return Ok(());
            };
            let sockets = memory.open(port)?;
            set_sockets(&mut self.ports, memory, &sockets)?;
            let (done, taken) = oneshot::channel();
            worker.order(Order::Take(sockets, done));
            ready.push(taken);
        }
        for taken in ready {
            answer(taken).await;
        }
        self.ports.attach_pairs(id)?;
        self.ports.attach_ingress(id)?;
        self.ports.attach_egress(id)?;
        if let Some(port) = self.ports.get(id) {
            self.transmitters.tell(port);
        }
        Ok(())
    }

    /// True where some were added.
    async fn add_vlans(&mut self, id: PortId, wanted: &Wanted) -> Result<bool, PortError> {
        let has = |ports: &Ports, vlan| {
            let port = ports.get(id);
            port.is_some_and(|port| port.vlans.iter().any(|(known, _)| *known == vlan))
        };
        let mut added = false;
        for vlan in &wanted.vlans {
            if !has(&self.ports, *vlan) {
                self.ports.make_vlan(&self.handle, id, *vlan).await?;
                self.ports.attach_vlan(id, *vlan)?;
                added = true;
            }
        }
        Ok(added)
    }

    /// Takes a port away that the mirror does not know any more.
    async fn detach(&mut self, id: PortId) {
        if let Some(port) = self.ports.get(id) {
            self.settings
                .withdraw(&self.handle, |ifindex| port.has(ifindex))
                .await;
        }
        self.ports.detach_programs(id);
        let mut given = Vec::new();
        for worker in &self.shared.workers {
            let (give, taken) = oneshot::channel();
            worker.order(Order::GiveUp(id, give));
            given.push(taken);
        }
        let mut closed = Vec::new();
        for taken in given {
            let given = answer(taken).await.unwrap_or_default();
            let numbers = given.sockets.iter().map(Socket::number);
            closed.push(numbers.collect::<Vec<_>>());
            close(given).await;
        }
        self.ports.take_away(&self.handle, id).await;
        // Nobody in the kernel has their frames any more.
        let workers = self.shared.workers.iter().zip(closed);
        for ((worker, sockets), memory) in workers.zip(&mut self.memories) {
            worker.order(Order::Closed(sockets));
            memory.take_back(id);
        }
    }

    /// What the kernel's own stack must know. Where it refuses something, the rest is enforced all the same.
    async fn set_host(&mut self, config: &Config) {
        let applied = self.settings.apply(&self.handle, config, &self.ports).await;
        let trouble = applied.err().map(|error| error.to_string());
        if let Some(error) = &trouble
            && self.trouble != trouble
        {
            tracing::error!(error, "the addresses and routes are not all set");
        }
        self.trouble = trouble;
    }

    /// Tells workers and programs which interfaces have a device, but for those of some ports.
    async fn publish(&self, going: &[PortId]) {
        let interfaces = mirrored(&self.places, &self.ports, going);
        self.shared.mirror.set_interfaces(interfaces).await;
    }

    /// Shows how ports stand.
    pub(super) fn announce(&self) {
        let attached = self.ports.iter();
        let attached = attached.map(|port| PortState::attached(port, self.trouble.clone()));
        let waiting = self.waiting.iter().filter_map(|(device, reason)| {
            Some(PortState {
                id: self.places.port(device)?,
                device: device.to_string(),
                stands: Stands::Waiting {
                    reason: reason.to_string(),
                },
            })
        });
        let waiting = waiting.filter(|state| self.ports.get(state.id).is_none());
        let states = attached.chain(waiting).collect();
        self.shared.ports.store(Arc::new(states));
    }
}

/// The way from a port's number into the kernel's own stack.
pub(super) fn open_injector(shared: &Shared, ports: &Ports, id: PortId) -> Result<(), PortError> {
    let (host, mark) = (&ports.host, ports.marks.to_host_from(id));
    let open = || Injector::open(host.inner_ifindex, mark);
    let opened = shared.injectors.open(id, open);
    opened.map_err(|error| PortError::socket(&host.inner, error))
}

/// Enters a worker's sockets on a port into the programs' map.
pub(super) fn set_sockets(
    ports: &mut Ports,
    memory: &Memory,
    sockets: &PortSockets,
) -> Result<(), PortError> {
    for (queue, socket) in memory.queues().zip(&sockets.sockets) {
        ports.programs.set_socket(sockets.port, queue, socket)?;
    }
    Ok(())
}

async fn answer<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    let answered = tokio::time::timeout(MOST_WAITING, answer).await;
    answered.ok()?.ok()
}

/// Closing makes the kernel wait, which is done beside everything else.
async fn close(GivenUp { sockets, gso }: GivenUp) {
    for _ in 0..MOST_SENDING.as_millis() / SENDING_STEP.as_millis() {
        if sockets.iter().all(Socket::has_sent) {
            break;
        }
        tokio::time::sleep(SENDING_STEP).await;
    }
    if tokio::task::spawn_blocking(move || drop((sockets, gso)))
        .await
        .is_err()
    {
        tracing::error!("closing sockets had panicked");
    }
}
