//! Container images without a container engine: files in, an archive out that `docker load`, podman and skopeo take.
//!
//! - [`Layer`]: files as a tar archive, the same bytes for the same files.
//! - [`Settings`]: what an engine does with them: entry point, volumes, labels.
//! - [`Image`]: both, as one archive in two layouts at once: an OCI image layout, and the `manifest.json` of
//!   `docker save` that points to the same blobs.
//! - [`sbom`]: what was linked into a binary, as CycloneDX.
//!
//! Nothing here reads a clock, a user's name or a directory's order: the same input gives the same bits.
//!
//! Read first: the OCI image specification 1.1 (`image-layout.md`, `manifest.md`, `config.md`), and Docker's image
//! specification 1.2, which has the health check that OCI's lacks.
//!
//! # Limits
//! One layer and one platform; everything in memory.

pub mod appliance;
mod digest;
mod image;
mod layer;
pub mod linked;
pub mod sbom;
mod settings;

pub use digest::Digest;
pub use image::{Blobs, Image};
pub use layer::{Compression, Content, Entry, Layer, Owner};
pub use settings::{HealthCheck, Settings};
