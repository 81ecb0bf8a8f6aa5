#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| palisade_tests::fuzzing::dns_answer(input));
