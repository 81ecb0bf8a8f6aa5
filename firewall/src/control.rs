//! The handle by which management reads the running datapath.

use crate::view;

/// Cheap to clone; every method answers from shared memory and never waits for a worker.
#[derive(Clone, Debug)]
pub struct Control {}

impl Control {
    pub fn system(&self) -> view::SystemView { unreachable!() }
    /// A page in the order of the table; `Err` says what is wrong with the filter.
    pub fn sessions(&self, _filter: &view::SessionFilter) -> Result<view::SessionPage, FilterError> { unreachable!() }
    pub fn interfaces(&self) -> Vec<view::InterfaceView> { unreachable!() }
    pub fn policies(&self) -> Vec<view::PolicyView> { unreachable!() }
    pub fn nat(&self) -> view::NatView { unreachable!() }
    pub fn drops(&self) -> view::DropsView { unreachable!() }
    pub fn routes(&self) -> view::RoutesView { unreachable!() }
    pub fn readiness(&self) -> view::Readiness { unreachable!() }
}

/// A filter that names something that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct FilterError {
    pub parameter: &'static str,
    pub problem: String,
}
