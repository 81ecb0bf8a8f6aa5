//! The BPF programs: loading, attaching, and the maps that they share with userspace.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use abi::{
    Bucket, DatapathRecord, FlowRecord, MAX_PORTS, MAX_QUEUES, NextHopRecord, PortRecord,
    SessionRecord,
};
use afxdp::{Mapped, MappedArray};
use aya::maps::lpm_trie::Key;
use aya::maps::xdp::DevMap;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, XskMap};
use aya::programs::tc::{NlOptions, SchedClassifierLinkId, TcAttachOptions};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{
    Program, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpError, XdpMode, tc,
};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfError, EbpfLoader};
use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{AttachMode, KernelCounters, Pair, PortError, PortId};
use crate::session::SessionTable;

/// The object that the build script compiled.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/datapath.bpf.o"));

/// The program where the sockets of a private pair are.
pub(super) const PRIVATE: &str = "xdp_private";
/// The program that is at a port until its own is verified.
const CLOSED: &str = "tc_closed";
pub(super) const AT_PORT: &str = "tc_port";

/// Marks by which the programs know packets of this appliance; random, so that no configuration
/// of others uses them by chance.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// The low bits carry a port's number.
    pub to_host: u32,
    pub forwarded: u32,
}

impl Marks {
    #[must_use]
    pub fn random(mut random: impl FnMut() -> u32) -> Self {
        let low = MAX_PORTS as u32 - 1;
        let to_host = random() & !low | 1 << 31;
        Self {
            to_host,
            forwarded: to_host ^ 1 << 30,
        }
    }

    #[must_use]
    pub fn to_host_from(self, port: PortId) -> u32 {
        self.to_host | u32::from(port.0)
    }
}

/// What the programs are told when they are loaded.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub marks: Marks,
    pub host_outer_ifindex: u32,
    pub workers: u32,
    pub hash_seed: u64,
    pub hash_multiplier: u64,
    pub sessions: u32,
    pub next_hops: usize,
    /// Which programs ports will want; others are loaded when one does. The kernel's verifier takes its
    /// time for each.
    pub uses_tc: bool,
    pub uses_xdp: bool,
}

/// A program at a device, until [`Programs::detach`].
#[derive(Debug)]
pub struct AttachedProgram {
    name: &'static str,
    link: LinkId,
}

#[derive(Debug)]
enum LinkId {
    Tc(SchedClassifierLinkId),
    Xdp(XdpLinkId),
}

/// Devices that get a program before the others are verified: the kernel takes its time for attaching, too, and needs no
/// processor for it.
#[derive(Debug, Default)]
pub struct Early {
    /// The number of one that gets [`PRIVATE`].
    pub private: Option<u32>,
    /// Those that nothing passes until [`Programs::open`].
    pub closed: Vec<String>,
}

/// What came of [`Early`], in its order.
#[derive(Debug)]
pub struct AttachedEarly {
    pub private: Option<AttachedProgram>,
    pub closed: Vec<AttachedProgram>,
}

/// The arrays that the programs and userspace share, empty.
#[derive(Debug)]
pub struct Memory {
    pub datapath: MappedArray<DatapathRecord>,
    pub buckets: MappedArray<Bucket>,
    pub flows: MappedArray<FlowRecord>,
    pub sessions: MappedArray<SessionRecord>,
    pub next_hops: MappedArray<NextHopRecord>,
}

/// The loaded programs. They are detached when this is dropped.
pub struct Programs {
    ebpf: Ebpf,
    port_numbers: Array<MapData, u32>,
    high_port_numbers: HashMap<MapData, u32, u32>,
    ports: Arc<MappedArray<PortRecord>>,
    memory: Option<Memory>,
    sockets: XskMap<MapData>,
    transmit: DevMap<MapData>,
    vlans: HashMap<MapData, [u32; 2], u32>,
    tags: HashMap<MapData, u32, [u32; 2]>,
    answered: LpmTrie<MapData, [u8; 16], u32>,
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}

/// What hands the programs to the kernel.
#[derive(Debug)]
pub struct Loader(EbpfLoader<'static>);

impl Loader {
    #[must_use]
    pub fn new() -> Self {
        Self(EbpfLoader::new())
    }

    /// As fast as can be, which the process must have a single thread for. Making a loader reads the kernel's own types,
    /// 5 MB which no program here is laid out by, and that was 41 ms in a timeline of the start. aya has no other way to make one;
    /// it does without where the file can't be opened, so it is made while none can.
    #[must_use]
    pub fn without_kernel_types() -> Self {
        let before = getrlimit(Resource::Nofile);
        let none = Rlimit {
            current: Some(0),
            ..before
        };
        let lowered = setrlimit(Resource::Nofile, none).is_ok();
        let loader = Self::new();
        if lowered {
            // Up to what it was, anybody may.
            if let Err(error) = setrlimit(Resource::Nofile, before) {
                tracing::error!(%error, "no file can be opened any more");
            }
        }
        loader
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl Programs {
    pub fn load(
        Loader(mut loader): Loader,
        settings: &Settings,
        early: &Early,
    ) -> Result<(Self, AttachedEarly), PortError> {
        let buckets = SessionTable::buckets_for(settings.sessions);
        let mask = buckets as u32 - 1;
        loader
            // Nor are they looked at where they were read.
            .btf(None)
            .map_max_entries("buckets", buckets as u32)
            .map_max_entries("flows", settings.sessions * 2)
            .map_max_entries("sessions", settings.sessions)
            .map_max_entries("next_hops", settings.next_hops as u32)
            .override_global("BUCKET_MASK", &mask, true)
            .override_global("MARK_TO_HOST", &settings.marks.to_host, true)
            .override_global("MARK_FORWARDED", &settings.marks.forwarded, true)
            .override_global("HOST_OUTER_IFINDEX", &settings.host_outer_ifindex, true)
            .override_global("WORKERS", &settings.workers, true)
            .override_global("HASH_SEED", &settings.hash_seed, true)
            .override_global("HASH_MULTIPLIER", &settings.hash_multiplier, true);
        let mut ebpf = loader
            .load(OBJECT)
            .map_err(|error| refused("datapath", &error))?;
        let attached = verify(&mut ebpf, settings, early)?;
        let programs = Self {
            port_numbers: map(&mut ebpf, "port_numbers")?,
            high_port_numbers: map(&mut ebpf, "high_port_numbers")?,
            ports: Arc::new(mapped(&ebpf, "ports", MAX_PORTS)?),
            memory: Some(Memory {
                datapath: mapped(&ebpf, "datapath", 1)?,
                buckets: mapped(&ebpf, "buckets", buckets)?,
                flows: mapped(&ebpf, "flows", settings.sessions as usize * 2)?,
                sessions: mapped(&ebpf, "sessions", settings.sessions as usize)?,
                next_hops: mapped(&ebpf, "next_hops", settings.next_hops)?,
            }),
            sockets: map(&mut ebpf, "sockets")?,
            transmit: map(&mut ebpf, "transmit")?,
            vlans: map(&mut ebpf, "vlans")?,
            tags: map(&mut ebpf, "tags")?,
            answered: map(&mut ebpf, "answered")?,
            ebpf,
        };
        Ok((programs, attached))
    }

    /// Tells the programs of a port, and by which devices it is known.
    pub fn set_port(
        &mut self,
        port: PortId,
        what: &PortFacts,
        devices: &[u32],
    ) -> Result<(), PortError> {
        let record = &self.ports[usize::from(port.0)];
        record.ifindex.store(what.ifindex, Relaxed);
        record.outer_ifindex.store(what.outer_ifindex, Relaxed);
        record.flags.store(what.flags, Relaxed);
        record.queues.store(what.queues, Relaxed);
        if what.ifindex != 0 {
            self.transmit
                .set(u32::from(port.0), what.ifindex, None, 0)
                .map_err(|error| refused("transmit", &error))?;
        }
        for device in devices {
            let number = u32::from(port.0) + 1;
            let set = if *device < self.port_numbers.len() {
                self.port_numbers.set(*device, number, 0)
            } else {
                self.high_port_numbers.insert(device, number, 0)
            };
            set.map_err(|error| refused("port_numbers", &error))?;
        }
        Ok(())
    }

    /// The port has no device any more. Its socket map and its place in the map of devices are emptied
    /// by the kernel, when the sockets are closed and the device goes.
    pub fn clear_port(&mut self, port: PortId, devices: &[u32]) {
        let record = &self.ports[usize::from(port.0)];
        record.flags.store(0, Relaxed);
        record.across_egress.store(0, Relaxed);
        record.ifindex.store(0, Relaxed);
        record.outer_ifindex.store(0, Relaxed);
        record.queues.store(0, Relaxed);
        for device in devices {
            // One that could not be entered is not there.
            let _ = if *device < self.port_numbers.len() {
                self.port_numbers.set(*device, 0, 0)
            } else {
                self.high_port_numbers.remove(device)
            };
        }
    }

    /// The ports as the programs see them.
    #[must_use]
    pub fn ports(&self) -> Arc<MappedArray<PortRecord>> {
        self.ports.clone()
    }

    /// The shared arrays, which have one owner: `None` for whoever asks later.
    #[must_use]
    pub fn take_memory(&mut self) -> Option<Memory> {
        self.memory.take()
    }

    /// Tells the programs which device stands in for a VLAN of the port on `ifindex`.
    pub fn set_vlan(&mut self, ifindex: u32, vlan: u16, pair: &Pair) -> Result<(), PortError> {
        let tagged = [ifindex, u32::from(vlan)];
        self.vlans
            .insert(tagged, pair.inner_ifindex, 0)
            .and_then(|()| self.tags.insert(pair.outer_ifindex, tagged, 0))
            .map_err(|error| refused("vlans", &error))
    }

    /// A VLAN has no device any more.
    pub fn clear_vlan(&mut self, ifindex: u32, vlan: u16, pair: &Pair) {
        let _ = self.vlans.remove(&[ifindex, u32::from(vlan)]);
        let _ = self.tags.remove(&pair.outer_ifindex);
    }

    pub fn set_socket(
        &mut self,
        port: PortId,
        queue: u32,
        socket: impl AsFd,
    ) -> Result<(), PortError> {
        let at = u32::from(port.0) * MAX_QUEUES as u32 + queue;
        self.sockets
            .set(at, socket.as_fd(), 0)
            .map_err(|error| refused("sockets", &error))
    }

    /// Replaces the addresses that the datapath answers ARP and ND for.
    pub fn set_answered(
        &mut self,
        prefixes: impl IntoIterator<Item = IpNet>,
    ) -> Result<(), PortError> {
        let old: Vec<_> = self.answered.keys().filter_map(Result::ok).collect();
        let new: Vec<_> = prefixes.into_iter().map(answered_key).collect();
        for key in &new {
            self.answered
                .insert(key, 1, 0)
                .map_err(|error| refused("answered", &error))?;
        }
        for key in old {
            let kept = new
                .iter()
                .any(|new| (new.prefix_len(), new.data()) == (key.prefix_len(), key.data()));
            if !kept {
                self.answered
                    .remove(&key)
                    .map_err(|error| refused("answered", &error))?;
            }
        }
        Ok(())
    }

    pub fn attach_tc(
        &mut self,
        name: &'static str,
        device: &str,
        at: TcAttachType,
    ) -> Result<AttachedProgram, PortError> {
        attach_classifier(classifier(&mut self.ebpf, name)?, name, device, at)
    }

    /// Puts the program of a port in the place of the one that closed it, for which the kernel waits for nothing.
    pub fn open(&mut self, closed: AttachedProgram) -> Result<AttachedProgram, PortError> {
        let AttachedProgram { name, link } = closed;
        let LinkId::Tc(link) = link else {
            return Err(missing(AT_PORT));
        };
        let at_door: &mut SchedClassifier = program(&mut self.ebpf, name)?;
        let link = at_door
            .take_link(link)
            .map_err(|error| not_loaded(name, &error))?;
        let link = classifier(&mut self.ebpf, AT_PORT)?
            .attach_to_link(link)
            .map_err(|error| not_loaded(AT_PORT, &error))?;
        Ok(AttachedProgram {
            name: AT_PORT,
            link: LinkId::Tc(link),
        })
    }

    /// Attaches to a device of the appliance's own, by a filter that goes with the device: a link
    /// would only cost the grace period that the kernel waits for each.
    pub fn attach_own(
        &mut self,
        name: &'static str,
        device: &str,
    ) -> Result<AttachedProgram, PortError> {
        tc::qdisc_add_clsact(device).map_err(|error| refused(name, &error))?;
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let link = classifier(&mut self.ebpf, name)?
            .attach_with_options(device, TcAttachType::Ingress, options)
            .map_err(|error| not_loaded(name, &error))?;
        Ok(AttachedProgram {
            name,
            link: LinkId::Tc(link),
        })
    }

    /// Takes a program away from its device, which may be gone.
    pub fn detach(&mut self, attached: AttachedProgram) {
        let AttachedProgram { name, link } = attached;
        let detached = match link {
            LinkId::Tc(link) => {
                program(&mut self.ebpf, name).map(|it: &mut SchedClassifier| it.detach(link))
            }
            LinkId::Xdp(link) => program(&mut self.ebpf, name).map(|it: &mut Xdp| it.detach(link)),
        };
        if let Ok(Err(error)) = detached {
            tracing::debug!(%error, name, "a program went with its device");
        }
    }

    /// A loaded program, to be run on packets without attaching it.
    pub fn descriptor(&self, name: &str) -> Result<BorrowedFd<'_>, PortError> {
        let program = self.ebpf.program(name).ok_or_else(|| missing(name))?;
        let descriptor = program.fd().map_err(|error| not_loaded(name, &error))?;
        Ok(descriptor.as_fd())
    }

    /// Has the kernel verify what a port of that kind will want, before there is one.
    pub fn get_ready(&mut self, mode: AttachMode) -> Result<(), PortError> {
        match mode {
            AttachMode::Tc => classifier(&mut self.ebpf, AT_PORT).map(drop),
            AttachMode::Xdp => frame_program(&mut self.ebpf, "xdp_port").map(drop),
        }
    }

    /// Attaches natively.
    pub fn attach_xdp(
        &mut self,
        name: &'static str,
        device: &str,
        ifindex: u32,
    ) -> Result<AttachedProgram, PortError> {
        let link = frame_program(&mut self.ebpf, name)?
            .attach_to_if_index(ifindex, XdpMode::Driver)
            .map_err(|error| {
                let errno = match &error {
                    ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
                    ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
                    _ => None,
                };
                match errno {
                    Some(libc::EBUSY | libc::EEXIST) => PortError::XdpOccupied {
                        device: device.into(),
                    },
                    Some(libc::EOPNOTSUPP) => PortError::NoNativeXdp {
                        device: device.into(),
                        driver: afxdp::device::driver(device).unwrap_or_else(|_| "?".into()),
                    },
                    _ => not_loaded(name, &error),
                }
            })?;
        Ok(AttachedProgram {
            name,
            link: LinkId::Xdp(link),
        })
    }

    /// The programs' own counters, to be read while they run.
    pub fn counters(&mut self) -> Result<KernelCounters, PortError> {
        Ok(KernelCounters::new(
            map(&mut self.ebpf, "drops")?,
            map(&mut self.ebpf, "punts")?,
            map(&mut self.ebpf, "traffic")?,
        ))
    }
}

/// What the programs are told of a port when it is made: the rest of its record follows the links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortFacts {
    pub ifindex: u32,
    pub outer_ifindex: u32,
    /// `abi::PORT_*`.
    pub flags: u32,
    pub queues: u32,
}

fn answered_key(prefix: IpNet) -> Key<[u8; 16]> {
    let mapped_bits = if prefix.addr().is_ipv4() { 96 } else { 0 };
    Key::new(
        mapped_bits + u32::from(prefix.prefix_len()),
        packet::address(prefix.network()),
    )
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, PortError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| missing(name))?
        .try_into()
        .map_err(|error| not_loaded(name, &error))
}

/// Has the kernel verify what ports want, and attaches what doesn't wait for that. Its verifier takes its time for two of
/// them, each on a processor.
fn verify(ebpf: &mut Ebpf, settings: &Settings, early: &Early) -> Result<AttachedEarly, PortError> {
    let wanted = |name: &str| match name {
        AT_PORT | CLOSED => settings.uses_tc,
        "xdp_port" => settings.uses_xdp,
        _ => true,
    };
    let (mut private, mut closed) = (None, None);
    let (mut at_ports, mut egress, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (name, program) in ebpf.programs_mut().filter(|(name, _)| wanted(name)) {
        match (name, program) {
            (PRIVATE, Program::Xdp(program)) => private = Some(program),
            (CLOSED, Program::SchedClassifier(program)) => closed = Some(program),
            (AT_PORT | "xdp_port", program) => at_ports.push((name, program)),
            ("tc_egress", program) => egress.push((name, program)),
            (_, program) => others.push((name, program)),
        }
    }
    let private = private.ok_or_else(|| missing(PRIVATE))?;
    thread::scope(|scope| {
        let at_ports = scope.spawn(|| load_all(at_ports));
        let egress = scope.spawn(|| load_all(egress));
        let closed = scope.spawn(|| closed.map(|program| close(program, &early.closed)));
        let private = load_private(private, early.private).and_then(|attached| {
            load_all(others)?;
            Ok(attached)
        });
        for verified in [at_ports, egress] {
            joined(verified)?;
        }
        Ok(AttachedEarly {
            private: private?,
            closed: joined(closed).transpose()?.unwrap_or_default(),
        })
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    let ended = thread.join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn close(
    program: &mut SchedClassifier,
    devices: &[String],
) -> Result<Vec<AttachedProgram>, PortError> {
    program.load().map_err(|error| not_loaded(CLOSED, &error))?;
    devices
        .iter()
        .map(|device| attach_classifier(program, CLOSED, device, TcAttachType::Ingress))
        .collect()
}

fn attach_classifier(
    program: &mut SchedClassifier,
    name: &'static str,
    device: &str,
    at: TcAttachType,
) -> Result<AttachedProgram, PortError> {
    // tcx came with 6.6; before it, filters hang on a clsact qdisc. One that is there is kept.
    if KernelVersion::current().is_ok_and(|version| version < KernelVersion::new(6, 6, 0)) {
        let _ = tc::qdisc_add_clsact(device);
    }
    let link = program
        .attach(device, at)
        .map_err(|error| not_loaded(name, &error))?;
    Ok(AttachedProgram {
        name,
        link: LinkId::Tc(link),
    })
}

fn load_private(
    program: &mut Xdp,
    device: Option<u32>,
) -> Result<Option<AttachedProgram>, PortError> {
    let failed = |error| not_loaded(PRIVATE, &error);
    program.load().map_err(failed)?;
    device
        .map(|ifindex| {
            let link = program.attach_to_if_index(ifindex, XdpMode::Driver);
            Ok(AttachedProgram {
                name: PRIVATE,
                link: LinkId::Xdp(link.map_err(failed)?),
            })
        })
        .transpose()
}

fn load_all(programs: Vec<(&str, &mut Program)>) -> Result<(), PortError> {
    for (name, program) in programs {
        let loaded = match program {
            Program::SchedClassifier(program) => program.load(),
            Program::Xdp(program) => program.load(),
            // The object has no others.
            _ => return Err(missing(name)),
        };
        loaded.map_err(|error| not_loaded(name, &error))?;
    }
    Ok(())
}

/// A classifier, loaded.
fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, PortError> {
    let classifier: &mut SchedClassifier = program(ebpf, name)?;
    if classifier.fd().is_err() {
        classifier
            .load()
            .map_err(|error| not_loaded(name, &error))?;
    }
    Ok(classifier)
}

/// A program at XDP, loaded.
fn frame_program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, PortError> {
    let program: &mut Xdp = program(ebpf, name)?;
    if program.fd().is_err() {
        program.load().map_err(|error| not_loaded(name, &error))?;
    }
    Ok(program)
}

fn missing(program: &str) -> PortError {
    PortError::Program {
        program: program.into(),
        reason: "it is not in the object".into(),
    }
}

fn map<M: TryFrom<Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, PortError> {
    let missing = || PortError::Program {
        program: name.into(),
        reason: "the map is not in the object".into(),
    };
    ebpf.take_map(name)
        .ok_or_else(missing)?
        .try_into()
        .map_err(|error| refused(name, &error))
}

/// Maps an array that the object declares as `BPF_F_MMAPABLE`.
fn mapped<T: Mapped>(ebpf: &Ebpf, name: &str, length: usize) -> Result<MappedArray<T>, PortError> {
    let missing = || PortError::Program {
        program: name.into(),
        reason: "the array is not in the object".into(),
    };
    // It stays with the programs, and so its descriptor with the process: tools tell by it whose
    // memory this is.
    let Some(Map::Array(array)) = ebpf.map(name) else {
        return Err(missing());
    };
    MappedArray::bpf(array.fd().as_fd(), length).map_err(|source| PortError::Device {
        device: name.into(),
        source,
    })
}

fn not_loaded(program: &str, error: &ProgramError) -> PortError {
    refused(program, error)
}

/// `EPERM` anywhere in the chain is a matter of capabilities, `ENOMEM` one of memory; the rest is told with its causes, on
/// one line.
fn refused(what: &str, error: &dyn std::error::Error) -> PortError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        match io.and_then(std::io::Error::raw_os_error) {
            Some(libc::EPERM) => {
                return PortError::NotPermitted {
                    call: format!("loading {what}"),
                };
            }
            Some(libc::ENOMEM) => return PortError::Memory { what: what.into() },
            Some(_) | None => {}
        }
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    let reason = reason
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect();
    PortError::Program {
        program: what.into(),
        reason,
    }
}

impl From<EbpfError> for PortError {
    fn from(error: EbpfError) -> Self {
        refused("datapath", &error)
    }
}
