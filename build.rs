//! Passes a linker script to release builds. It removes the tables for unwinding, which the programs do not need.

fn main() {
    let script = "packaging/no-unwinding.ld";
    println!("cargo::rerun-if-changed={script}");
    // A debugger needs these tables, so a debug build keeps them.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/{script}");
    }
}
