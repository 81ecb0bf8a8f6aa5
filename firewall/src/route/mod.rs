//! Where packets go: the kernel's routes and neighbours, mirrored for the workers.

mod devices;
pub mod fib;
pub mod kernel;
pub mod mirror;
pub mod next_hop;

pub use devices::{DeviceFollower, DeviceSettings};
pub use fib::{Fib, Gateway, Hop, Lookup, Route, RouteKind};
pub use mirror::Mirror;
pub use next_hop::{NextHop, NextHopId, NextHops};
