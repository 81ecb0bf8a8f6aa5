//! What the API reads of a running appliance.

use firewall::config::Config;
use firewall::control::{Control, FilterError, HitTotals, MatchError, ObjectFilter, Totals};
use firewall::history::History;
use firewall::view::{
    Cleared, CounterReset, DropsView, InterfaceView, LeaseFilter, LeasePage, MatchRequest,
    MatchView, NatView, NeighbourFilter, NeighbourPage, ObjectPage, PolicyFilter, PolicyView,
    Readiness, RouteFilter, RoutePage, SessionFilter, SessionPage, SessionQuery, SystemView,
    TopQuery, TopSessions, UrlListView,
};

/// The running appliance, as management sees it. Every method answers from memory. Most do so at once: a
/// handler calls them without leaving its thread. Those that look through a whole table (sessions, leases,
/// policies with their sessions, routes, neighbours) are called by `scan::Scans`.
pub trait Appliance: Send + Sync + 'static {
    fn system(&self) -> SystemView;

    /// A page in the order of the table.
    ///
    /// # Errors
    /// The filter names something that can't be: an unknown protocol, a cursor from elsewhere.
    fn sessions(&self, query: &SessionQuery) -> Result<SessionPage, FilterError>;

    /// Whose sessions carry most, of those that match.
    ///
    /// # Errors
    /// As for `sessions`.
    fn top_sessions(&self, query: &TopQuery) -> Result<TopSessions, FilterError>;

    /// Closes all sessions that match.
    ///
    /// # Errors
    /// As for `sessions`.
    fn clear_sessions(&self, filter: &SessionFilter) -> Result<Cleared, FilterError>;

    /// A page in the order of the session table.
    ///
    /// # Errors
    /// As for `sessions`.
    fn leases(&self, filter: &LeaseFilter) -> Result<LeasePage, FilterError>;

    /// A page in the kernel's order.
    ///
    /// # Errors
    /// As for `sessions`.
    fn routes(&self, filter: &RouteFilter) -> Result<RoutePage, FilterError>;

    /// A page in the kernel's order.
    ///
    /// # Errors
    /// As for `sessions`.
    fn neighbours(&self, filter: &NeighbourFilter) -> Result<NeighbourPage, FilterError>;

    fn interfaces(&self) -> Vec<InterfaceView>;
    fn policies(&self, filter: &PolicyFilter) -> Vec<PolicyView>;
    fn nat(&self) -> NatView;
    fn drops(&self) -> DropsView;
    fn readiness(&self) -> Readiness;

    /// What would become of a packet, by the configuration in force or by a candidate. Looks at every
    /// policy: not for the runtime's threads.
    ///
    /// # Errors
    /// A member of the request is one that can't be.
    fn explain(
        &self,
        request: &MatchRequest,
        candidate: Option<Config>,
    ) -> Result<MatchView, MatchError>;

    /// Objects that policies name, or could.
    fn objects(&self, filter: &ObjectFilter) -> ObjectPage;

    /// Lists of URLs, in the order of the document.
    fn url_lists(&self) -> Vec<UrlListView>;

    /// Begins anew with hits; says with how many.
    fn reset_hits(&self, reset: &CounterReset) -> u64;

    /// Every counter but hits, as it stands.
    fn totals(&self) -> Totals;
    fn hit_totals(&self) -> HitTotals;

    /// What was counted, over time.
    fn history(&self) -> &History;
}

impl Appliance for Control {
    fn system(&self) -> SystemView {
        self.system()
    }

    fn sessions(&self, query: &SessionQuery) -> Result<SessionPage, FilterError> {
        self.sessions(query)
    }

    fn top_sessions(&self, query: &TopQuery) -> Result<TopSessions, FilterError> {
        self.top(query)
    }

    fn clear_sessions(&self, filter: &SessionFilter) -> Result<Cleared, FilterError> {
        self.clear(filter)
    }

    fn leases(&self, filter: &LeaseFilter) -> Result<LeasePage, FilterError> {
        self.leases(filter)
    }

    fn routes(&self, filter: &RouteFilter) -> Result<RoutePage, FilterError> {
        self.routes(filter)
    }

    fn neighbours(&self, filter: &NeighbourFilter) -> Result<NeighbourPage, FilterError> {
        self.neighbours(filter)
    }

    fn interfaces(&self) -> Vec<InterfaceView> {
        self.interfaces()
    }

    fn policies(&self, filter: &PolicyFilter) -> Vec<PolicyView> {
        self.policies(filter)
    }

    fn nat(&self) -> NatView {
        self.nat()
    }

    fn drops(&self) -> DropsView {
        self.drops()
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn explain(
        &self,
        request: &MatchRequest,
        candidate: Option<Config>,
    ) -> Result<MatchView, MatchError> {
        self.explain(request, candidate)
    }

    fn objects(&self, filter: &ObjectFilter) -> ObjectPage {
        self.objects(filter)
    }

    fn url_lists(&self) -> Vec<UrlListView> {
        self.url_lists()
    }

    fn reset_hits(&self, reset: &CounterReset) -> u64 {
        self.reset_hits(reset)
    }

    fn totals(&self) -> Totals {
        self.totals()
    }

    fn hit_totals(&self) -> HitTotals {
        self.hit_totals()
    }

    fn history(&self) -> &History {
        self.history()
    }
}
