//! See `crondag_fuzz::template`.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| crondag_fuzz::template(text));
