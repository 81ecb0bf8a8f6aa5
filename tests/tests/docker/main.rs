//! The appliance's image in a real container engine: what its users do with it, and what they see when it can't work.
//!
//! The image under test holds the binary of this build; `make image-test` runs the same tests on the image of `make image`.

mod compose;
mod life;
mod oci;
mod ports;
mod privileges;
mod traffic;
