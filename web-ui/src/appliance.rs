//! What the API reads of a running appliance.

use firewall::control::{Control, FilterError, HitTotals, ObjectFilter, Totals};
use firewall::history::History;
use firewall::view::{
    Cleared, CounterReset, DropsView, InterfaceView, NatView, ObjectPage, PolicyView, Readiness,
    RoutesView, SessionFilter, SessionPage, SystemView,
};

/// The running appliance, as management sees it. Every method answers from memory, at once: a
/// handler calls it without leaving its thread.
pub trait Appliance: Send + Sync + 'static {
    fn system(&self) -> SystemView;

    /// A page in the order of the table.
    ///
    /// # Errors
    /// The filter names something that can't be: an unknown protocol, a cursor from elsewhere.
    fn sessions(&self, filter: &SessionFilter) -> Result<SessionPage, FilterError>;

    /// Closes all sessions that match.
    ///
    /// # Errors
    /// As for `sessions`.
    fn clear_sessions(&self, filter: &SessionFilter) -> Result<Cleared, FilterError>;

    fn interfaces(&self) -> Vec<InterfaceView>;
    fn policies(&self) -> Vec<PolicyView>;
    fn nat(&self) -> NatView;
    fn drops(&self) -> DropsView;
    fn routes(&self) -> RoutesView;
    fn readiness(&self) -> Readiness;

    /// Objects that policies name, or could.
    fn objects(&self, filter: &ObjectFilter) -> ObjectPage;

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

    fn sessions(&self, filter: &SessionFilter) -> Result<SessionPage, FilterError> {
        self.sessions(filter)
    }

    fn clear_sessions(&self, filter: &SessionFilter) -> Result<Cleared, FilterError> {
        self.clear(filter)
    }

    fn interfaces(&self) -> Vec<InterfaceView> {
        self.interfaces()
    }

    fn policies(&self) -> Vec<PolicyView> {
        self.policies()
    }

    fn nat(&self) -> NatView {
        self.nat()
    }

    fn drops(&self) -> DropsView {
        self.drops()
    }

    fn routes(&self) -> RoutesView {
        self.routes()
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn objects(&self, filter: &ObjectFilter) -> ObjectPage {
        self.objects(filter)
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
