//! The fuzz target that the environment's `TARGET` names.
#![no_main]

use std::sync::LazyLock;

use palisade_tests::fuzzing::{Target, targets};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let named = targets().into_iter().find(|target| target.name == name);
    named.unwrap_or_else(|| panic!("TARGET={name} is no fuzz target"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.run(input));
