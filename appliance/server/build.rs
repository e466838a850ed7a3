//! Asks the linker to write the relocations of the program in their packed form (1.4 MB less).
//!
//! Needs a glibc of 2.36 or later when the program starts, which is older than any system that has its Rust.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, wanted: &str| std::env::var(key).is_ok_and(|value| value == wanted);
    // Linkers for other processors learned it later.
    if is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
    {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
