//! See `crondag_fuzz::schedule`.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| crondag_fuzz::schedule(text));
