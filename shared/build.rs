//! Tells cargo that the embedded migrations are an input of this crate: without it a new file would not be seen until something else changes.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
