//! Tells the linker what the shipped programs are made without; nothing else belongs here.

fn main() {
    let script = "packaging/no-unwinding.ld";
    println!("cargo::rerun-if-changed={script}");
    // A debug build is for debuggers.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/{script}");
    }
}
