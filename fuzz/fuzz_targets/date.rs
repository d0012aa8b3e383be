//! See `crondag_fuzz::date`.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| crondag_fuzz::date(text));
