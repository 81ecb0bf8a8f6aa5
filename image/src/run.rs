//! `palisade run`: the appliance, in the current network namespace.
//!
//! The order matters: signals first, because the first process of a container gets no default
//! handlers; then the socket, because a second appliance in the same place must stop before it
//! touches a device; then the datapath; then the API, which answers when there is something to say.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firewall::audit::AuditLog;
use firewall::config::{self, Config, ConfigError};
use firewall::objects::{self, Objects};
use rules::{Diagnostic, Severity};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::FromEnvError;
use web_ui::SocketError;

use crate::logging::{self, Format};
use crate::management::{Management, ManagementError, Names};

/// Run the appliance in the current network namespace.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration to enforce.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/palisade/palisade.yaml"
    )]
    pub(crate) config: PathBuf,
    /// For what must outlive the appliance: users and tokens, the certificate, what it last knew of
    /// names and feeds.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/palisade")]
    pub(crate) state_dir: PathBuf,
    /// Where the API is served.
    #[arg(long, value_name = "PATH", default_value = crate::SOCKET)]
    pub(crate) socket: PathBuf,
    /// How the log is written; RUST_LOG says how much.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log: Format,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(args: &Args) -> Result<(), RunError> {
    logging::start(args.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(appliance(args))
}

async fn appliance(args: &Args) -> Result<(), RunError> {
    let shutdown = asked_to_stop().map_err(RunError::Runtime)?;
    let (listener, _socket_file) = web_ui::bind(&args.socket)?;
    let mut reload = signal(SignalKind::hangup()).map_err(RunError::Runtime)?;
    let objects = Objects::new(&args.state_dir);
    let mut changes = objects.changes();
    let config = objects
        .prepare(&read(args)?, BOOT_PATIENCE)
        .await
        .map_err(refused)?;
    let (managed, names) = (config.management.clone(), Names::of(&config));
    let mut appliance = firewall::Appliance::start(config)
        .await
        .map_err(Box::new)
        .map_err(RunError::Boot)?;
    objects.follow(&appliance.in_force().config);
    tracing::info!(config = %args.config.display(), socket = %args.socket.display(), "enforcing");

    let control = appliance.control();
    let audit = Arc::new(AuditLog);
    let started =
        Management::start(control, listener, &args.state_dir, &managed, &names, audit).await;
    let mut management = match started {
        Ok(management) => management,
        Err(error) => {
            appliance.stop().await;
            return Err(error.into());
        }
    };
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = reload.recv() => commit(&mut appliance, &objects, &mut management, args).await,
            () = changes.next() => follow_objects(&mut appliance, &objects).await,
        }
    }
    appliance.stop().await;
    management.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Reads the configuration; what it warns of is logged.
fn read(args: &Args) -> Result<Config, RunError> {
    let config = config::load(&args.config).map_err(refused)?;
    let file = args.config.display().to_string();
    let files = objects::check_files(&config);
    for finding in config.warnings.iter().chain(&files) {
        log_finding(&file, finding);
    }
    if files
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return Err(RunError::Invalid {
            file: args.config.clone(),
        });
    }
    Ok(config)
}

/// How long a commit waits for what it asks of the outside and nobody knows yet.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
/// Enough for what is read from files. Nobody can be asked before there are addresses and routes.
const BOOT_PATIENCE: Duration = Duration::from_secs(1);

/// SIGHUP: the file is read again. What is wrong with it leaves the configuration in force as it is.
async fn commit(
    appliance: &mut firewall::Appliance,
    objects: &Objects,
    management: &mut Management,
    args: &Args,
) {
    let committed = async {
        let config = read(args)?;
        let config = objects.prepare(&config, COMMIT_PATIENCE).await;
        let config = config.map_err(refused)?;
        let committed = appliance.commit(config).await;
        committed.map_err(Box::new).map_err(RunError::Commit)
    };
    match committed.await {
        Ok(generation) => {
            tracing::info!(generation, "SIGHUP: committed");
            let managed = appliance.in_force().config.management.clone();
            management.apply(&managed).await;
        }
        Err(error) => tracing::error!(%error, "SIGHUP: the configuration stays as it is"),
    }
    objects.follow(&appliance.in_force().config);
}

/// What policies name has other addresses now, or a schedule has come to its time: the configuration in
/// force says something else.
async fn follow_objects(appliance: &mut firewall::Appliance, objects: &Objects) {
    let in_force = appliance.in_force();
    let changed = async {
        let config = config::recompile(&in_force.config, &objects.facts()).map_err(refused)?;
        let committed = appliance.commit(config).await;
        committed.map_err(Box::new).map_err(RunError::Commit)
    };
    match changed.await {
        Ok(generation) => tracing::info!(generation, "objects have changed: committed"),
        Err(error) => tracing::error!(%error, "objects have changed, and are not enforced"),
    }
    objects.follow(&appliance.in_force().config);
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
fn refused(error: ConfigError) -> RunError {
    match error {
        ConfigError::Unreadable { .. } => RunError::Unreadable(error),
        ConfigError::Invalid(report) => {
            for finding in &report.diagnostics {
                log_finding(&report.file, finding);
            }
            RunError::Invalid {
                file: report.file.into(),
            }
        }
    }
}

fn log_finding(file: &str, finding: &Diagnostic) {
    match finding.severity {
        Severity::Error => tracing::error!("{file}:{finding}"),
        Severity::Warning => tracing::warn!("{file}:{finding}"),
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("RUST_LOG: {0}; try RUST_LOG=debug")]
    Filter(#[from] FromEnvError),
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Unreadable(ConfigError),
    #[error("{0} can't be enforced: the log says why, and so does 'palisade check {0}'", file.display())]
    Invalid { file: PathBuf },
    #[error(transparent)]
    Boot(Box<firewall::BootError>),
    #[error(transparent)]
    Management(#[from] ManagementError),
    #[error(transparent)]
    Commit(Box<firewall::CommitError>),
}

impl RunError {
    pub(crate) fn is_wrong_input(&self) -> bool {
        match self {
            Self::Filter(_) | Self::Unreadable(_) | Self::Invalid { .. } => true,
            Self::Runtime(_)
            | Self::Socket(_)
            | Self::Boot(_)
            | Self::Management(_)
            | Self::Commit(_) => false,
        }
    }
}
