//! The appliance as a whole: what it is, what it takes of the machine, and starting it anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use firewall::audit::{AuditAction, Outcome};
use firewall::events::Events;
use firewall::lifecycle::Lifecycle;
use firewall::view::SystemView;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::access::{Access, Caller};
use crate::appliance::Appliance;
use crate::filter::NoParameters;
use crate::problem::Problem;
use crate::routes::{Routes, handlers};

/// Where the appliance runs, and how it is started anew.
#[derive(Clone, Debug)]
pub struct Machine {
    state_dir: PathBuf,
    restart: mpsc::Sender<()>,
}

/// Tells when somebody wants the appliance to start anew.
#[derive(Debug)]
pub struct Restart(mpsc::Receiver<()>);

impl Machine {
    #[must_use]
    pub fn new(state_dir: PathBuf) -> (Self, Restart) {
        let (restart, wanted) = mpsc::channel(1);
        (Self { state_dir, restart }, Restart(wanted))
    }
}

impl Restart {
    /// Never completes where nobody can want it any more.
    pub async fn wanted(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone)]
pub(crate) struct System {
    pub(crate) appliance: Arc<dyn Appliance>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) events: Events,
    pub(crate) access: Arc<Access>,
    pub(crate) machine: Machine,
}

/// Below `/api/v1`.
pub(crate) fn routes() -> Routes<System> {
    Routes::new()
        .routes(handlers!(system))
        .routes(handlers!(restart))
}

/// `GET /system`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct SystemStatus {
    #[serde(flatten)]
    system: SystemView,
    resources: ResourcesView,
    /// What is wrong now; `/alarms` says since when.
    alarms: Vec<String>,
}

/// What the process takes of the machine. What the machine does not tell is left out.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct ResourcesView {
    /// RFC 3339: when the machine was started, which for a container is not when the appliance was.
    #[serde(skip_serializing_if = "Option::is_none")]
    booted: Option<String>,
    /// The kernel's release.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
    /// That the appliance may use.
    processors: usize,
    /// Of all processors together, since the appliance was started.
    cpu_milliseconds: u64,
    /// Userspace's memory, mapped BPF maps included.
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_descriptors: Option<u64>,
    /// How many there may be; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptors_max: Option<u64>,
    /// Where what must outlive the appliance is kept.
    state_directory: DirectoryView,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct DirectoryView {
    path: String,
    /// Of its file system, for the appliance to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
}

/// Version, uptime, sessions; what the appliance takes of the machine; alarms.
#[utoipa::path(get, path = "/system", tag = "operation", responses((status = OK, body = SystemStatus)))]
async fn system(
    State(state): State<System>,
    _: NoParameters,
) -> Result<Json<SystemStatus>, Problem> {
    // A file system may take its time.
    let resources = spawn_blocking(move || resources(&state.machine.state_dir));
    let active = state.events.alarms().into_iter().map(|alarm| alarm.message);
    let mut alarms: Vec<String> = active.collect();
    // Of the configuration's files it is known here before somebody looks for what to raise.
    for alarm in &state.lifecycle.in_force().await.alarms {
        let alarm = alarm.to_string();
        if !alarms.contains(&alarm) {
            alarms.push(alarm);
        }
    }
    Ok(Json(SystemStatus {
        system: state.appliance.system(),
        resources: resources.await.map_err(|error| {
            let detail = format!("the machine can't be asked: {error}");
            Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR, detail)
        })?,
        alarms,
    }))
}

/// Stop in good order and start anew, in the same process.
///
/// Sessions end, and the configuration in force is read again: what is changed by a restart alone takes effect.
#[utoipa::path(post, path = "/system/restart", tag = "operation",
    responses((status = ACCEPTED, description = "It will; ask `/readyz` when it has")))]
async fn restart(
    State(state): State<System>,
    caller: Caller,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    use mpsc::error::TrySendError::{Closed, Full};
    match state.machine.restart.try_send(()) {
        Ok(()) => {
            let detail = "by the API".to_owned();
            state
                .access
                .record(caller.actor, AuditAction::Restarted, Outcome::Done, detail);
            Ok(StatusCode::ACCEPTED)
        }
        // Somebody has asked for it.
        Err(Full(())) => Ok(StatusCode::ACCEPTED),
        Err(Closed(())) => Err(Problem::of_status(
            StatusCode::SERVICE_UNAVAILABLE,
            "the appliance is stopping",
        )),
    }
}

fn resources(state_dir: &Path) -> ResourcesView {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let file_system = rustix::fs::statvfs(state_dir).ok();
    let blocks = |count: fn(&rustix::fs::StatVfs) -> u64| {
        let file_system = file_system.as_ref()?;
        Some(count(file_system).saturating_mul(file_system.f_frsize))
    };
    ResourcesView {
        booted: booted(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .ok()
            .map(|release| release.trim().to_owned()),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        cpu_milliseconds: cpu.tv_sec.cast_unsigned() * 1_000
            + cpu.tv_nsec.cast_unsigned() / 1_000_000,
        resident_bytes: resident_bytes(),
        open_descriptors: open_descriptors().ok(),
        descriptors_max: getrlimit(Resource::Nofile).current,
        state_directory: DirectoryView {
            path: state_dir.display().to_string(),
            free_bytes: blocks(|it| it.f_bavail),
            size_bytes: blocks(|it| it.f_blocks),
        },
    }
}

/// proc(5), `/proc/stat`: `btime`, in seconds since the epoch.
fn booted() -> Option<String> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let booted = SystemTime::UNIX_EPOCH + Duration::from_secs(line.trim().parse().ok()?);
    Some(Timestamp::try_from(booted).ok()?.to_string())
}

/// proc(5), `/proc/PID/status`: `VmRSS`, in kB.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// But for the one by which they are counted.
fn open_descriptors() -> io::Result<u64> {
    let count = fs::read_dir("/proc/self/fd")?.count() as u64;
    Ok(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something_of_this_machine() {
        let seen = resources(&std::env::temp_dir());
        assert!(seen.resident_bytes.unwrap() > 1 << 20);
        assert!(seen.open_descriptors.unwrap() >= 3);
        assert!(seen.open_descriptors < seen.descriptors_max.or(Some(u64::MAX)));
        assert!(seen.processors >= 1 && seen.kernel.unwrap().contains('.'));
        let directory = seen.state_directory;
        assert!(directory.free_bytes.unwrap() <= directory.size_bytes.unwrap());
        let booted: Timestamp = seen.booted.unwrap().parse().unwrap();
        assert!(booted < Timestamp::now());
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_size() {
        let seen = resources(Path::new("/nowhere"));
        assert_eq!(seen.state_directory.free_bytes, None);
        assert_eq!(seen.state_directory.path, "/nowhere");
    }

    #[tokio::test]
    async fn a_restart_is_told_to_whoever_waits_for_it() {
        let (machine, mut restart) = Machine::new("/nowhere".into());
        machine.restart.try_send(()).unwrap();
        restart.wanted().await;
    }
}
