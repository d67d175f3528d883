//! What the compiler says of a checker that is none: the texts teach, and are held here. `TRYBUILD=overwrite` writes
//! them anew; they are those of the pinned Rust.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
