#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| palisade_tests::fuzzing::url_list(input));
