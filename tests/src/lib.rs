//! Network labs, traffic, oracles and benchmarks.
//!
//! - [`fuzzing`]: what the fuzz targets do with their input.

pub mod fuzzing;
