//! Network labs, traffic and measurement for Palisade.
//!
//! - [`lab`]: network namespaces joined by veth pairs, processes inside them, and the real appliance among those.
//! - [`fastpath`]: the BPF programs by themselves, run on single packets.
//! - [`frames`]: frames to send, well-formed or not.
//! - [`capture`] and [`decode`]: what was seen on a device, and whether its checksums hold.
//! - [`engine`]: containers in a real engine, and the appliance's container among those.
//! - [`fuzzing`]: what the fuzz targets do with their input.
//! - [`generator`]: millions of packets a second from one core, and the sink that counts them.
//!
//! Everything here needs root. A test that can't run says so: see [`require_lab!`].
//!
//! # Limits
//! A lab uses veth devices only: no VLAN devices, no bridges, no traffic shaping. Tags are put on frames by hand.

pub mod capture;
pub mod decode;
pub mod engine;
pub mod fastpath;
pub mod frames;
pub mod fuzzing;
pub mod generator;
pub mod lab;
pub mod random;
mod socket;
