//! A guest that no test runs is no test.

use std::fs;
use std::path::{Path, PathBuf};

/// What is no guest itself.
const NO_GUESTS: [&str; 2] = ["lib", "component"];

fn sources(dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs" || extension == "wat");
    let paths = entries.map(|entry| entry.unwrap().path()).filter(is_source);
    paths
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn every_guest_is_run_by_a_test_or_a_bench() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let users: String = [tests.join("e2e"), tests.join("../agent/benches")]
        .iter()
        .flat_map(|dir| sources(dir))
        .map(|(_, text)| text)
        .collect();
    let names = sources(&tests.join("guests")).into_iter().map(|(name, _)| name);
    let guests: Vec<String> = names.filter(|name| !NO_GUESTS.contains(&name.as_str())).collect();
    assert!(!guests.is_empty());
    let idle: Vec<&String> = guests.iter().filter(|name| !users.contains(&format!("\"{name}\""))).collect();
    assert!(idle.is_empty(), "guests that nobody runs: {idle:?}");
}
