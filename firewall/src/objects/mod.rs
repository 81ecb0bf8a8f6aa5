//! What policies name and only the outside can say: host names, feeds, lists of URLs, countries, and the time of schedules,
//! kept current while the appliance runs.
//!
//! Every object has a keeper, a task on the management thread; none ever waits in a packet's way. What keepers
//! learn goes to the board, and whoever holds the configuration in force compiles it again by the new
//! [`Facts`] and commits it like any other. What is not known permits nothing and denies all that it might
//! (`rules::facts`); what was known once stays, also over a restart, until something better is known. A list of URLs decides nothing that
//! is compiled: its content takes the place of the one before, for the next question.

mod board;
mod content;
mod countries;
mod feeds;
mod fetch;
mod fqdn;
mod lists;
mod resolver;
mod source;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inspection::filter::ListSlot;
use jiff::Timestamp;
use rules::{Facts, Outside, ScheduleState, Severity};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::config::{self, Config, ConfigError, Feed, KeptList, UrlListContent};
use crate::view::{ObjectView, UrlListView};
use board::Board;
use lists::Lists;
use resolver::Resolver;
use store::Store;

/// All objects of the configuration that is followed. Cheap to clone; keepers end with the last clone.
#[derive(Clone, Debug)]
pub struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    board: Arc<Board>,
    lists: Lists,
    store: Store,
    followed: Mutex<Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    keepers: HashMap<Kept, Keeper>,
    resolver: Option<(Vec<SocketAddr>, Arc<Resolver>)>,
    schedules: Vec<ScheduleState>,
}

/// What a keeper keeps, with all that it depends on: another is another keeper's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kept {
    Fqdn(String, Vec<SocketAddr>),
    Feed(Feed, Vec<SocketAddr>),
    Countries(PathBuf, BTreeSet<String>),
    List(KeptList, Vec<SocketAddr>),
    /// Until when schedules stay as they are.
    Schedules(Timestamp),
}

impl Kept {
    /// Of the same object, but by other means.
    fn is_another_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fqdn(name, servers), Self::Fqdn(other, others)) => {
                name == other && servers != others
            }
            (Self::Feed(feed, servers), Self::Feed(other, others)) => {
                feed.name == other.name && (feed, servers) != (other, others)
            }
            (Self::Countries(path, _), Self::Countries(other, _)) => path != other,
            // Of one list by other servers; lists that differ are kept side by side.
            (Self::List(list, servers), Self::List(other, others)) => {
                list == other && servers != others
            }
            _ => false,
        }
    }
}

/// Changes that come together are taken together: names of one configuration are asked for at one time.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the clock is compared: it may be set at any time.
const CLOCK_STEP: Duration = Duration::from_secs(15);
const KNOWN_STEP: Duration = Duration::from_millis(20);

impl Objects {
    /// `state_directory` holds what was known last; `objects` in it is made when there is something to keep.
    #[must_use]
    pub fn new(state_directory: &Path) -> Self {
        Self(Arc::new(Inner {
            board: Arc::new(Board::new()),
            lists: Lists::default(),
            store: Store::new(state_directory.join("objects")),
            followed: Mutex::default(),
        }))
    }

    /// What is known now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.0.board.facts()
    }

    /// Keeps what this configuration asks for, and nothing else. To be called within a tokio runtime with
    /// every configuration that has come into force, and with the one that stays when another was refused.
    pub fn follow(&self, config: &Config) {
        let wanted = config.outside();
        let all = all_kept(config, &wanted);
        let mut followed = self.followed();
        followed.keepers.retain(|kept, _| all.contains(kept));
        followed.schedules = config.rules.schedules().to_vec();
        self.0.board.keep_only(&wanted);
        self.0.lists.keep_only(config);
        self.start(all, config, &mut followed);
        drop(followed);
        let store = self.0.store.clone();
        let lists: Vec<KeptList> = config.kept_lists().cloned().collect();
        drop(tokio::task::spawn_blocking(move || {
            store.tidy(&wanted, &lists);
        }));
    }

    /// Begins to keep what a configuration asks for that is about to be in force, waits for it, at most so
    /// long and not where a try has failed, and returns the configuration compiled by what is known then.
    /// Without the wait, a new feed would deny for a moment all that it might. What is in force is followed on.
    pub async fn prepare(
        &self,
        config: &Config,
        patience: Duration,
    ) -> Result<Config, ConfigError> {
        let wanted = config.outside();
        let mut new = all_kept(config, &wanted);
        {
            let mut followed = self.followed();
            // What is kept otherwise now is known, and is not to be changed by one that may be refused.
            new.retain(|kept| !followed.keepers.keys().any(|now| now.is_another_of(kept)));
            self.start(new, config, &mut followed);
        }
        let known = async {
            while !self.0.board.has_tried_all(&wanted) || !self.0.lists.has_tried_all(config) {
                sleep(KNOWN_STEP).await;
            }
        };
        // What is not known by now is so later, and then is a change.
        let _ = tokio::time::timeout(patience, known).await;
        config::recompile(config, &self.facts())
    }

    /// Notices from here on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes(self.0.board.changes())
    }

    /// The lists of URLs of a configuration that is followed or was prepared, in its order. Their contents come and change by
    /// themselves; filters hold them and ask nobody.
    #[must_use]
    pub fn url_lists(&self, config: &Config) -> Vec<Arc<ListSlot>> {
        let slot = |list: &config::UrlList| match &list.content {
            UrlListContent::Written(content) => {
                let slot = ListSlot::new(&list.name, false);
                slot.set(content.clone());
                Arc::new(slot)
            }
            UrlListContent::Kept(kept) => self.0.lists.slot(kept),
        };
        config.url_lists.iter().map(slot).collect()
    }

    /// What is known of each list of URLs of the configuration that is followed.
    #[must_use]
    pub fn url_list_views(&self, config: &Config) -> Vec<UrlListView> {
        let lists = config.url_lists.iter();
        lists.map(|list| self.0.lists.view(list)).collect()
    }

    /// Every object that is followed, and every schedule.
    #[must_use]
    pub fn view(&self) -> Vec<ObjectView> {
        let schedules = self.followed().schedules.clone();
        let schedules = schedules.into_iter().map(|schedule| ObjectView {
            kind: "schedule".to_owned(),
            name: schedule.name,
            state: if schedule.on { "on" } else { "off" }.to_owned(),
            ranges: 0,
            last_success: None,
            last_error: None,
            last_error_at: None,
            next_change: schedule.next_change.map(|at| at.to_string()),
        });
        let objects = self.0.board.view().into_iter();
        objects
            .chain(self.0.lists.objects())
            .chain(schedules)
            .collect()
    }

    fn start(&self, all: HashSet<Kept>, config: &Config, followed: &mut Followed) {
        let servers = &config.system.name_servers;
        let resolver = match &followed.resolver {
            Some((known, resolver)) if known == servers => resolver.clone(),
            _ => Arc::new(Resolver::new(servers.clone())),
        };
        followed.resolver = Some((servers.clone(), resolver.clone()));
        for kept in all {
            let keeper = followed.keepers.entry(kept);
            keeper.or_insert_with_key(|kept| self.keeper(kept.clone(), &resolver));
        }
    }

    fn keeper(&self, kept: Kept, resolver: &Arc<Resolver>) -> Keeper {
        let (board, store) = (self.0.board.clone(), self.0.store.clone());
        let resolver = resolver.clone();
        Keeper(match kept {
            Kept::Fqdn(name, _) => {
                tokio::spawn(fqdn::keep(name, fqdn::PACE, resolver, board, store))
            }
            Kept::Feed(feed, _) => tokio::spawn(feeds::keep(feed, resolver, board, store)),
            Kept::Countries(path, codes) => tokio::spawn(countries::keep(path, codes, board)),
            Kept::List(list, _) => {
                let tracked = self.0.lists.tracked(&list);
                tokio::spawn(lists::keep(tracked, resolver, store))
            }
            Kept::Schedules(until) => tokio::spawn(keep_time(until, board)),
        })
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.0
            .followed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn all_kept(config: &Config, wanted: &BTreeSet<Outside>) -> HashSet<Kept> {
    let servers = &config.system.name_servers;
    let fqdns = wanted.iter().filter_map(|outside| match outside {
        Outside::Fqdn(name) => Some(Kept::Fqdn(name.clone(), servers.clone())),
        Outside::Feed(_) | Outside::Country(_) => None,
    });
    let feeds = config.feeds.iter();
    let feeds = feeds.map(|feed| Kept::Feed(feed.clone(), servers.clone()));
    let lists = config.kept_lists();
    let lists = lists.map(|list| Kept::List(list.clone(), servers.clone()));
    let codes: BTreeSet<_> = wanted
        .iter()
        .filter(|outside| matches!(outside, Outside::Country(_)))
        .map(|outside| outside.name().to_owned())
        .collect();
    let countries = config.countries.iter().filter(|_| !codes.is_empty());
    let countries = countries.map(|path| Kept::Countries(path.clone(), codes.clone()));
    let schedules = config.rules.next_schedule_change().map(Kept::Schedules);
    fqdns
        .chain(feeds)
        .chain(lists)
        .chain(countries)
        .chain(schedules)
        .collect()
}

/// A change whenever the clock has come to `until`, or was set back.
async fn keep_time(until: Timestamp, board: Arc<Board>) {
    let mut before = Timestamp::now();
    loop {
        let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        sleep(left.clamp(Duration::from_millis(10), CLOCK_STEP)).await;
        let now = Timestamp::now();
        if now >= until || now < before {
            board.note_change();
            // Said again if nobody acts on it.
            sleep(CLOCK_STEP).await;
        }
        before = now;
    }
}

/// Ends with its task.
#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says when what is known has changed.
#[derive(Debug)]
pub struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Completes after the next change, and once for several that come together. Safe to drop and ask again.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left to change anything.
            return std::future::pending().await;
        }
        // Until it was told it is not over.
        self.0.mark_changed();
        sleep(SETTLE).await;
        self.0.mark_unchanged();
    }
}

/// The lists of URLs of a configuration that nobody follows, in its order: what is written in it, and files. Of the others and of what
/// can't be used, the second says so; they are as if they had never been had.
#[must_use]
pub fn read_url_lists(config: &Config) -> (Vec<Arc<ListSlot>>, Vec<String>) {
    let mut remarks = Vec::new();
    let lists = config.url_lists.iter().map(|list| {
        let slot = ListSlot::new(&list.name, list.kept().is_some_and(|kept| kept.required));
        match &list.content {
            UrlListContent::Written(content) => slot.set(content.clone()),
            UrlListContent::Kept(kept) => match lists::read(kept) {
                Ok(content) => slot.set(Arc::new(content)),
                Err(why) => {
                    remarks.push(format!("nothing is known of list '{}': {why}", list.name));
                }
            },
        }
        Arc::new(slot)
    });
    let lists = lists.collect();
    (lists, remarks)
}

/// What is wrong with the files that a configuration names. One that is not there is not wrong: on the
/// machine where a configuration is checked it rarely is.
#[must_use]
pub fn check_files(config: &Config) -> Vec<rules::Diagnostic> {
    let document = config.document.countries.as_ref();
    let (Some(path), Some(document)) = (&config.countries, document) else {
        return Vec::new();
    };
    let said = |severity, message| rules::Diagnostic {
        severity,
        file: None,
        place: document.file.place,
        message,
        suggestion: None,
        missing: None,
    };
    match countries::check(path) {
        Ok(()) => Vec::new(),
        Err(countries::CountriesError::File(error)) if !path.exists() => {
            vec![said(Severity::Warning, error.to_string())]
        }
        Err(error) => vec![said(Severity::Error, error.to_string())],
    }
}
