//! Management of the running appliance: users, certificates and where the API is served.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use firewall::config::{self, Config};
use firewall::control::Control;
use firewall::events::Events;
use firewall::lifecycle::Lifecycle;
use ipnet::IpNet;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use web_ui::{Access, Certificates, FirstPassword, Https, ListenError, Machine, TlsError};

/// The API on the unix socket, and over the network where the configuration says so.
pub(crate) struct Management {
    access: Arc<Access>,
    certificates: Arc<Certificates>,
    https: Https,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// What management is about.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) events: Events,
    pub(crate) machine: Machine,
}

/// Users and the appliance's own certificate, which take a while at the first start.
pub(crate) struct Identities {
    access: Arc<Access>,
    certificates: Arc<Certificates>,
}

impl Identities {
    /// Reads them, or makes them; the first user has `password`, or else one that the log shows. Elsewhere than on the
    /// runtime's thread.
    pub(crate) async fn open(
        state_dir: &Path,
        names: Names,
        password: Option<FirstPassword>,
        events: &Events,
    ) -> Result<Self, ManagementError> {
        let (state_dir, audit) = (state_dir.to_owned(), Arc::new(events.clone()));
        let opened = spawn_blocking(move || {
            Ok(Self {
                access: Access::open_with(Some(&state_dir), audit, password)?,
                certificates: Certificates::open(Some(&state_dir), &names.host, &names.addresses)?,
            })
        });
        match opened.await {
            Ok(opened) => opened,
            Err(died) => std::panic::resume_unwind(died.into_panic()),
        }
    }
}

impl Management {
    /// Serves on `socket`, and where the configuration in force says.
    pub(crate) async fn start(
        parts: Parts,
        socket: UnixListener,
        identities: Identities,
    ) -> Result<Self, ManagementError> {
        let Identities {
            access,
            certificates,
        } = identities;
        let config = parts.control.in_force().config.management.clone();
        let site = web_ui::router(
            Arc::new(parts.control),
            parts.lifecycle,
            parts.events,
            Arc::clone(&access),
            parts.machine,
        );
        let mut https = Https::new(site.clone(), Arc::clone(&certificates))?;
        certificates.show(config.certificate.clone());
        https.listen(config.listen).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(web_ui::serve(socket, site, async {
            stopped.await.unwrap_or_default();
        }));
        Ok(Self {
            access,
            certificates,
            https,
            stop,
            served,
        })
    }

    /// What a commit changes of it. The certificate's files are read again.
    pub(crate) async fn apply(&mut self, config: &config::Management) {
        self.certificates.show(config.certificate.clone());
        if let Err(error) = self.https.listen(config.listen).await {
            tracing::error!(%error, "management stays where it is served");
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.send(()).unwrap_or_default();
        self.https.stop().await;
        self.served.await.unwrap_or_default();
        self.access.flush();
    }
}

/// What the appliance's own certificate is valid for.
pub(crate) struct Names {
    host: String,
    addresses: Vec<IpAddr>,
}

impl Names {
    pub(crate) fn of(config: &Config) -> Self {
        let mut addresses: Vec<_> = config
            .management
            .listen
            .iter()
            .map(SocketAddr::ip)
            .collect();
        for interface in &config.interfaces {
            addresses.extend(interface.addresses.iter().map(IpNet::addr));
        }
        Self {
            host: config.system.host_name.clone(),
            addresses,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagementError {
    #[error(transparent)]
    Access(#[from] web_ui::AccessError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Listen(#[from] ListenError),
}
