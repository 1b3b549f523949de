//! The folders of `projections/` are compiled in, and a change there is one of the program.

fn main() {
    println!("cargo:rerun-if-changed=projections");
}
