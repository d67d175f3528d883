//! The agent's layers (DESIGN 2): imports go downwards only, and parts never import each other.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom. What stands together in a line may import each other only where that is said.
const LAYERS: [(&[&str], bool); 6] = [
    (&["main", "lib", "cli"], true),
    (&["app"], false),
    (&["config"], false),
    (
        &["plugins", "sandbox", "schedule", "health", "host", "registry", "discovery", "report", "control", "http"],
        false,
    ),
    (&["supervise", "serving", "telemetry", "exposition", "clock", "files", "tls", "etcd"], true),
    (&["model"], false),
];

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|(modules, _)| modules.contains(&module));
    found.unwrap_or_else(|| panic!("the module {module} has no layer: DESIGN 2 says which are there"))
}

/// May a module import another?
fn may(from: &str, to: &str) -> bool {
    let (above, below) = (layer(from), layer(to));
    from == to || above < below || (above == below && LAYERS[above].1)
}

#[test]
fn imports_go_downwards_and_parts_do_not_know_each_other() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src");
    let mut wrong = Vec::new();
    let files = rust_files(&src);
    assert!(files.len() > 40, "only {} files were found", files.len());
    for file in files.iter().filter(|file| !is_test(file)) {
        let own = module_of(file.strip_prefix(&src).expect("below src"));
        let text = fs::read_to_string(file).expect("a source file");
        for imported in imports(&text) {
            if !may(&own, &imported) {
                wrong.push(format!("{} imports crate::{imported}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the layers of DESIGN 2:\n{}", wrong.join("\n"));
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a source directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Files that are modules of tests.
fn is_test(file: &Path) -> bool {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem == "tests" || stem == "testing" || stem.ends_with("_tests")
}

/// `plugins/watch.rs` belongs to `plugins`.
fn module_of(path: &Path) -> String {
    let first = path.components().next().expect("a path").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that stand after `crate::`, in `use` lines and elsewhere, comments and unit tests apart.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => found.extend(in_group(group)),
            None => found.extend(identifier(after)),
        }
    }
    found
}

/// The first names of `{a, b::c, d::{e, f}}`, the opening brace apart.
fn in_group(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut expecting) = (1, Vec::new(), true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expecting = true,
            c if expecting && !c.is_whitespace() => {
                names.extend(identifier(&group[at..]));
                expecting = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    // A path from the crate to an item of its root names no module.
    let name = text.get(..end).filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))?;
    Some(name.to_owned())
}

#[test]
fn the_reader_of_imports_reads() {
    let text =
        "use crate::model::x;\nuse crate::{health, host::{a, b}, http};\n// crate::no\nlet x = crate::files::y();";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["files", "health", "host", "http", "model"]);
    assert!(may("cli", "model") && may("app", "http") && may("health", "health") && may("telemetry", "clock"));
    assert!(!may("http", "health") && !may("model", "clock") && !may("files", "host") && !may("config", "app"));
}
