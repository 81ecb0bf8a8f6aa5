//! The datapath with what keeps its objects current: host names, feeds, lists of URLs, countries, schedules.

use std::sync::Arc;
use std::time::Duration;

use firewall::config::{self, Config, ConfigError, Report};
use firewall::lifecycle::{Compile, Datapath, Occasion};
use firewall::objects::{self, Objects};
use firewall::ports::Loader;
use firewall::{Appliance, BootError, CommitError, Kept};
use futures_util::future::BoxFuture;
use rules::Severity;

/// How long a commit waits for what it asks of the outside and nobody knows yet.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
/// Enough for what is read from files. Nobody can be asked before there are addresses and routes.
const BOOT_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Enforcer {
    pub(crate) appliance: Appliance,
    objects: Objects,
}

impl Enforcer {
    /// `enforcing` is called as soon as the datapath has all that arrives.
    pub(crate) async fn start(
        config: Config,
        kept: Kept,
        loader: Loader,
        enforcing: impl FnOnce(),
    ) -> Result<Self, BootError> {
        let objects = kept.objects.clone();
        let config = prepared(&objects, config, BOOT_PATIENCE).await;
        let appliance = Appliance::start(config, kept, loader, enforcing).await?;
        objects.follow(&appliance.in_force().config);
        Ok(Self { appliance, objects })
    }
}

impl Datapath for Enforcer {
    fn commit(
        &mut self,
        config: Config,
        occasion: Occasion,
    ) -> BoxFuture<'_, Result<u64, CommitError>> {
        Box::pin(async move {
            let config = prepared(&self.objects, config, COMMIT_PATIENCE).await;
            let committed = self.appliance.commit(config, occasion).await;
            // Where it was refused, what is in force still needs its objects, and they alone.
            self.objects.follow(&self.appliance.in_force().config);
            committed
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.appliance.stop())
    }
}

/// The configuration by what is known when the wait is over.
async fn prepared(objects: &Objects, config: Config, patience: Duration) -> Config {
    // What depends on the document alone would only be compiled again.
    let has_lists = config.kept_lists().next().is_some();
    if config.outside().is_empty() && config.rules.schedules().is_empty() && !has_lists {
        return config;
    }
    match objects.prepare(&config, patience).await {
        Ok(prepared) => prepared,
        Err(error) => {
            // Facts make no mistakes in a document that has none.
            tracing::error!(%error, "enforced as if nothing more were known of its objects");
            config
        }
    }
}

/// Text to configuration, by what `objects` know, with the files that it names looked at.
pub(crate) fn compile(objects: &Objects) -> Compile {
    let objects = objects.clone();
    Arc::new(move |text, file| {
        let mut config = config::parse_with(text, file, &objects.facts())?;
        let files = objects::check_files(&config);
        if files
            .iter()
            .any(|finding| finding.severity == Severity::Error)
        {
            return Err(ConfigError::Invalid(Report {
                file: file.to_owned(),
                diagnostics: files,
            }));
        }
        config.warnings.extend(files);
        Ok(config)
    })
}
