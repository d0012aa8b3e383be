//! See `crondag_fuzz::duration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| crondag_fuzz::duration(text));
