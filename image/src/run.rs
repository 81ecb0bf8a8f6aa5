//! `palisade run`: the appliance, in the current network namespace.
//!
//! The order matters: the environment first, because it says how the log is written; until then, errors go to standard
//! error. Then privileges are given up, while there is one thread; then signals, because the first process of a
//! container gets no default handlers; then the socket, because a second appliance in the same place must stop before
//! it touches a device; then the state directory, for the same reason; then the datapath; then the API, which answers
//! when there is something to say.

use std::env;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use firewall::Kept;
use firewall::audit::{Actor, Audit, AuditAction, AuditEntry, Outcome, Via};
use firewall::config::{Config, ConfigError, EventBounds, Report, StartDocument};
use firewall::events::{Events, Watch};
use firewall::history::History;
use firewall::lifecycle::{Change, Lifecycle, OpenError, Options, ReloadError, Reloaded, Source};
use firewall::objects::Objects;
use firewall::ports::Loader;
use firewall::route::DeviceSettings;
use futures_util::FutureExt;
use inspection::Services;
use rules::{Diagnostic, Severity};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tracing_subscriber::filter::ParseError;
use web_ui::{Machine, SocketError};

use crate::enforcer::{self, Enforcer};
use crate::environment::{Environment, Mistakes};
use crate::exit::Exit;
use crate::logging::{self, Format};
use crate::management::{Identities, Management, ManagementError, Names, Parts};
use crate::privileges::{self, PrivilegeError};
use crate::processors::{ProcessorError, Processors};
use crate::{again, reaper, start};

/// Run the appliance in the current network namespace.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration to start with, a file or a directory of them; a change of it is taken over at a start and by
    /// SIGHUP [default: /etc/palisade/palisade.yaml, or without that what the environment says].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// For what must outlive the appliance: committed configurations and their history, users and
    /// tokens, the certificate, events, what it last knew of names and feeds.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/palisade")]
    pub(crate) state_dir: PathBuf,
    /// Where the API is served.
    #[arg(long, value_name = "PATH", default_value = crate::SOCKET)]
    pub(crate) socket: PathBuf,
    /// How the log is written to standard output; PALISADE_LOG says so, too [default: text]. PALISADE_LOG_LEVEL says
    /// how much.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log: Option<Format>,
}

/// For what takes long: documents, passwords, feeds. However much of that is asked for, it is done by so many.
const BLOCKING_THREADS: usize = 16;

/// How it ends where nothing went wrong.
enum End {
    Stopped,
    /// It is to start anew.
    Restart,
}
/// How long the end waits for the last events to be stored.
const LAST_EVENTS: Duration = Duration::from_secs(3);

/// Runs until SIGTERM or SIGINT. `begun` is when the process did.
pub(crate) fn run(args: &Args, begun: Instant) -> Result<(), RunError> {
    let environment = Environment::read(env::vars_os())?;
    again::without_secrets().map_err(RunError::Restart)?;
    let format = args.log.or(environment.log).unwrap_or(Format::Text);
    logging::start(format, environment.log_level.as_deref()).map_err(RunError::Filter)?;
    confined(args, environment, begun).map_err(|error| {
        tracing::error!("{error}");
        RunError::Logged(error.exit())
    })
}

fn confined(args: &Args, environment: Environment, begun: Instant) -> Result<(), RunError> {
    for warning in &environment.warnings {
        tracing::warn!("{warning}");
    }
    let start = start::document(args.config.as_deref(), &environment);
    // Before what is read may be refused for it.
    for (key, value) in start.system() {
        tracing::info!("the environment decides system.{key}: {value}");
    }
    privileges::confine(start.path(), &args.state_dir)?;
    let processors = Processors::new(environment.control_processors, environment.data_processors)?;
    processors.for_data();
    let loader = Loader::without_kernel_types();
    // Any configuration needs them, and they take as long to read as all that comes before it.
    thread::spawn(Services::built_in);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(RunError::Runtime)?;
    let boot = Boot {
        args,
        start,
        environment,
        processors: &processors,
        loader,
        begun,
    };
    let end = runtime.block_on(boot.appliance())?;
    drop(runtime);
    match end {
        End::Stopped => Ok(()),
        End::Restart => {
            processors.for_all();
            Err(RunError::Restart(again::anew()))
        }
    }
}

/// What a start is made of.
struct Boot<'a> {
    args: &'a Args,
    start: StartDocument,
    environment: Environment,
    processors: &'a Processors,
    loader: Loader,
    begun: Instant,
}

impl Boot<'_> {
    async fn appliance(self) -> Result<End, RunError> {
        let Self {
            args,
            start,
            mut environment,
            processors,
            loader,
            begun,
        } = self;
        reaper::start().map_err(RunError::Runtime)?;
        let shutdown = asked_to_stop().map_err(RunError::Runtime)?;
        let (listener, _socket_file) = web_ui::bind(&args.socket)?;
        let mut reload = signal(SignalKind::hangup()).map_err(RunError::Runtime)?;
        let objects = Objects::new(&args.state_dir);
        let mut objects_changed = objects.changes();
        let events = Events::new();
        let file = start.path().to_owned();
        let directory = start.directory().to_owned();
        let options = Options {
            start,
            state_dir: args.state_dir.clone(),
            audit: Arc::new(events.clone()),
            compile: enforcer::compile(&objects),
        };
        let (config, opened) = Lifecycle::open(options).map_err(refused)?;
        warn(opened.name(), &config);
        let (names, bounds) = (Names::of(&config), config.events);
        let kept = Kept {
            objects: objects.clone(),
            // The directory is this process's alone from here on.
            history: History::begin(&args.state_dir),
            events: events.clone(),
            directory,
        };
        let settings = DeviceSettings {
            stop_forwarding: true,
            arp: environment.arp_timeout,
            ndp: environment.ndp_timeout,
        };
        let devices = tokio::spawn(set_at_devices(settings).await);
        let revision = opened.revision();
        // The file may not be there, or may have been left aside.
        let origin = if opened.is_generated() {
            "made by the appliance".to_owned()
        } else {
            opened.name().to_owned()
        };
        let enforcing = || {
            let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(config = origin, revision, socket = %args.socket.display(), milliseconds, "enforcing");
        };
        let enforcer = Enforcer::start(config, kept, loader, enforcing)
            .await
            .map_err(Box::new)
            .map_err(RunError::Boot)?;
        processors.for_control();
        let control = enforcer.appliance.control();
        let generation = control.system().generation;
        // What the disk takes its time for comes once packets are looked after.
        let storing = store_events(&events, &args.state_dir, bounds);
        let recorded = opened.enforced(Box::new(enforcer), generation);
        let password = environment.password.take();
        let identities = Identities::open(&args.state_dir, names, password, &events);
        let (lifecycle, (), identities) = tokio::join!(recorded, storing, identities);
        let mut changes = lifecycle.subscribe();
        say_what_next(&lifecycle, &environment, &file);

        let version = format!("version {}", control.system().version);
        record(&events, Via::Boot, AuditAction::Started, version);
        let watch = Watch {
            events: events.clone(),
            control: control.clone(),
            lifecycle: lifecycle.clone(),
            objects,
        };
        let watch = tokio::spawn(watch.run());

        let (machine, mut restart) = Machine::new(args.state_dir.clone());
        let parts = Parts {
            control: control.clone(),
            lifecycle: lifecycle.clone(),
            events: events.clone(),
            machine,
        };
        let started = match identities {
            Ok(identities) => Management::start(parts, listener, identities).await,
            Err(error) => Err(error),
        };
        let mut management = match started {
            Ok(management) => management,
            Err(error) => {
                lifecycle.stop().await;
                events.stop(LAST_EVENTS).await;
                return Err(error.into());
            }
        };
        tokio::pin!(shutdown);
        let end = loop {
            tokio::select! {
                () = &mut shutdown => break End::Stopped,
                () = restart.wanted() => break End::Restart,
                _ = reload.recv() => {
                    take_over(&lifecycle, &file).await;
                    // Its files may have changed, even where the configuration has not.
                    management.apply(&control.in_force().config.management).await;
                }
                () = objects_changed.next() => refresh(&lifecycle).await,
                change = changes.recv() => {
                    // Whoever was too slow to be told of a commit looks at what is in force, too.
                    if !matches!(change, Ok(Change::Edited { .. } | Change::Confirmed { .. })) {
                        let in_force = control.in_force();
                        management.apply(&in_force.config.management).await;
                        events.set_bounds(in_force.config.events);
                    }
                }
            }
        };
        record(
            &events,
            Via::Signal,
            AuditAction::Stopped,
            "asked to".to_owned(),
        );
        watch.abort();
        devices.abort();
        lifecycle.stop().await;
        management.stop().await;
        events.stop(LAST_EVENTS).await;
        // Who wants it to end has the last word.
        if matches!(end, End::Restart) && shutdown.as_mut().now_or_never().is_none() {
            tracing::info!("starting anew");
            return Ok(End::Restart);
        }
        tracing::info!("stopped");
        Ok(End::Stopped)
    }
}

/// Sets at all devices what it returns the setting of at those that come.
async fn set_at_devices(settings: DeviceSettings) -> impl Future<Output = ()> {
    let failed = |error| {
        tracing::error!(%error, "devices keep the kernel's forwarding and reachable times");
    };
    let follower = settings.apply().await.unwrap_or_else(|error| {
        failed(error);
        None
    });
    async move {
        if let Some(follower) = follower
            && let Err(error) = follower.run().await
        {
            failed(error);
        }
    }
}

/// For whoever has just started an appliance that nobody has configured, or has told it what is not heard.
fn say_what_next(lifecycle: &Lifecycle, environment: &Environment, file: &Path) {
    if lifecycle.started_with() != Source::Generated {
        for warning in start::ignored_with_file(environment, file) {
            tracing::warn!("{warning}");
        }
    }
    if lifecycle.source_in_force() == Source::Generated {
        tracing::warn!(
            "there is no configuration at {}: nothing passes until there are policies. Mount one there, or 'palisade config load -' and 'palisade config commit', or use the API on port 8443 of the device that is left to management",
            file.display()
        );
    }
}

/// From here on events outlive the process.
async fn store_events(events: &Events, state_dir: &Path, bounds: EventBounds) {
    let (events, state_dir) = (events.clone(), state_dir.to_owned());
    let started = spawn_blocking(move || events.start(Some(&state_dir), bounds)).await;
    if let Err(died) = started {
        std::panic::resume_unwind(died.into_panic());
    }
}

/// What the appliance itself does.
fn record(events: &Events, via: Via, action: AuditAction, detail: String) {
    events.record(AuditEntry {
        at: SystemTime::now(),
        actor: Actor::system(via),
        action,
        outcome: Outcome::Done,
        detail,
        revision: None,
        generation: None,
    });
}

fn warn(file: &str, config: &Config) {
    for warning in &config.warnings {
        log_finding(file, warning);
    }
}

/// SIGHUP: the file is read again. What is wrong with it leaves the configuration in force as it is.
async fn take_over(lifecycle: &Lifecycle, file: &Path) {
    match lifecycle.reload().await {
        Ok(Reloaded::TakenOver {
            revision,
            generation,
            warnings,
        }) => {
            let file = file.display().to_string();
            for warning in &warnings {
                log_finding(&file, warning);
            }
            tracing::info!(revision, generation, "SIGHUP: committed");
        }
        Ok(Reloaded::Unchanged {
            revision,
            generation,
        }) => {
            tracing::info!(
                revision,
                generation,
                "SIGHUP: committed again; the file has nothing new"
            );
        }
        Err(error) => {
            if let ReloadError::StartFile(ConfigError::Invalid(report)) = &error {
                log_report(report);
            }
            tracing::error!(%error, "SIGHUP: the configuration stays as it is");
        }
    }
}

/// What policies name has other addresses now, or a schedule has come to its time: the configuration in
/// force says something else.
async fn refresh(lifecycle: &Lifecycle) {
    match lifecycle.refresh().await {
        Ok(generation) => tracing::info!(generation, "objects have changed: committed"),
        Err(error) => tracing::error!(%error, "objects have changed, and are not enforced"),
    }
}

/// Completes when the process is asked to end. The handlers are in place when this returns.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    })
}

/// Each finding goes to the log, where it can be read; the error that ends the process is short.
fn refused(error: OpenError) -> RunError {
    match error {
        OpenError::StartFile(ConfigError::Invalid(report)) => {
            log_report(&report);
            RunError::Invalid {
                file: report.file.into(),
            }
        }
        OpenError::StartFile(error @ ConfigError::Unreadable { .. }) => RunError::Unreadable(error),
        error @ OpenError::Locked(_) => RunError::State(error),
    }
}

fn log_report(report: &Report) {
    for finding in &report.diagnostics {
        log_finding(&report.file, finding);
    }
}

fn log_finding(file: &str, finding: &Diagnostic) {
    let file = finding.file.as_deref().unwrap_or(file);
    match finding.severity {
        Severity::Error => tracing::error!("{file}:{finding}"),
        Severity::Warning => tracing::warn!("{file}:{finding}"),
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Environment(#[from] Mistakes),
    #[error("the log's filter: {0}")]
    Filter(ParseError),
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Processors(#[from] ProcessorError),
    /// The log has said why.
    #[error("see the log")]
    Logged(Exit),
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Unreadable(ConfigError),
    #[error("{0} can't be enforced: the log says why, and so does 'palisade check {0}'", file.display())]
    Invalid { file: PathBuf },
    #[error(transparent)]
    State(OpenError),
    #[error(transparent)]
    Boot(Box<firewall::BootError>),
    #[error(transparent)]
    Management(#[from] ManagementError),
    #[error("cannot start anew: {0}")]
    Restart(io::Error),
}

impl RunError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Environment(_)
            | Self::Filter(_)
            | Self::Unreadable(_)
            | Self::Invalid { .. }
            | Self::Processors(ProcessorError::None { .. }) => Exit::WrongInput,
            Self::Privileges(PrivilegeError::Missing(_)) => Exit::NotPermitted,
            Self::Boot(error) if error.is_not_permitted() => Exit::NotPermitted,
            Self::Logged(exit) => *exit,
            Self::Runtime(_)
            | Self::Privileges(PrivilegeError::System(_))
            | Self::Processors(ProcessorError::System(_))
            | Self::Socket(_)
            | Self::State(_)
            | Self::Boot(_)
            | Self::Management(_)
            | Self::Restart(_) => Exit::Failed,
        }
    }

    /// More lines than the one that the error itself is.
    pub(crate) fn details(&self) -> Vec<String> {
        match self {
            Self::Environment(mistakes) => mistakes.details(),
            Self::Filter(_)
            | Self::Unreadable(_)
            | Self::Invalid { .. }
            | Self::Processors(_)
            | Self::Privileges(_)
            | Self::Logged(_)
            | Self::Runtime(_)
            | Self::Socket(_)
            | Self::State(_)
            | Self::Boot(_)
            | Self::Management(_)
            | Self::Restart(_) => Vec::new(),
        }
    }
}
