//! See `crondag_fuzz::dag_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| crondag_fuzz::dag_file(text));
