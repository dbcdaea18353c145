//! Hands the interpreter's version and GIL state to the compiler as `cfg`s.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    pyo3_build_config::use_pyo3_cfgs();
}
