//! `palisade run`: the appliance, in the current network namespace.
//!
//! The order matters: signals first, because the first process of a container gets no default
//! handlers; then the socket, because a second appliance in the same place must stop before it
//! touches a device; then the datapath; then the API, which answers when there is something to say.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use firewall::config::{self, Config, ConfigError};
use firewall::control::Control;
use rules::{Diagnostic, Severity};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::FromEnvError;
use web_ui::{Appliance, SocketError};

use crate::logging::{self, Format};

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
    /// Where the appliance keeps what must outlive it.
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
    let control = boot(args)?;
    tracing::info!(socket = %args.socket.display(), "management is served");
    serve(Arc::new(control), listener, shutdown).await;
    tracing::info!("stopped");
    Ok(())
}

/// Reads the configuration and starts the datapath that enforces it.
fn boot(args: &Args) -> Result<Control, RunError> {
    tracing::info!(config = %args.config.display(), state_dir = %args.state_dir.display(), "booting");
    let config = config::load(&args.config).map_err(refused)?;
    start_datapath(&config)
}

/// The one call that is to be filled in.
fn start_datapath(config: &Config) -> Result<Control, RunError> {
    config.warnings.iter().for_each(log_finding);
    Err(RunError::DatapathAbsent)
}

async fn serve(
    appliance: Arc<dyn Appliance>,
    listener: UnixListener,
    shutdown: impl Future<Output = ()>,
) {
    web_ui::serve(listener, web_ui::router(appliance), shutdown).await;
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
            report.diagnostics.iter().for_each(log_finding);
            RunError::Invalid {
                file: report.file.into(),
            }
        }
    }
}

fn log_finding(finding: &Diagnostic) {
    match finding.severity {
        Severity::Error => tracing::error!("configuration {finding}"),
        Severity::Warning => tracing::warn!("configuration {finding}"),
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
    #[error("the datapath isn't linked into this build")]
    DatapathAbsent,
}

impl RunError {
    pub(crate) fn is_wrong_input(&self) -> bool {
        match self {
            Self::Filter(_) | Self::Unreadable(_) | Self::Invalid { .. } => true,
            Self::Runtime(_) | Self::Socket(_) | Self::DatapathAbsent => false,
        }
    }
}
