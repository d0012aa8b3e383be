//! Links programs at a fixed address. Thousands of relocations at every start, and as many pages that each fork of a shim
//! would copy, buy nothing here: see docs/decisions/0015-fixed-address.md.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux")
        && std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu")
    {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
