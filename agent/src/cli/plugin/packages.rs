//! Are the packages of a JavaScript project there? npm writes what it has installed beside it when it has ended, so that
//! an install that was interrupted, or one of before the project's `package-lock.json`, is told from a whole one.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// The project's, which npm reads and people keep.
const WANTED: &str = "package-lock.json";
/// npm's own.
const INSTALLED: &str = "node_modules/.package-lock.json";
/// What tells versions of a package apart.
const VERSION: [&str; 3] = ["version", "resolved", "integrity"];

/// Whatever cannot be read is not installed: npm then says why.
pub fn are_installed(dir: &Path) -> bool {
    let Some(installed) = packages(&dir.join(INSTALLED)) else { return false };
    let Some(wanted) = packages(&dir.join(WANTED)) else { return true };
    wanted.iter().filter(|(path, package)| is_needed(path, package)).all(|(path, package)| {
        let there =
            installed.get(path).is_some_and(|there| VERSION.iter().all(|key| there.get(key) == package.get(key)));
        there && dir.join(path).is_dir()
    })
}

/// The project itself has no path. What is for other systems is not installed, and nothing says which that is.
fn is_needed(path: &str, package: &Value) -> bool {
    let is = |key: &str| package.get(key).and_then(Value::as_bool) == Some(true);
    path.starts_with("node_modules/") && !is("optional") && !is("devOptional") && !is("peer") && !is("link")
}

fn packages(lock: &Path) -> Option<Map<String, Value>> {
    let lock: Value = serde_json::from_str(&fs::read_to_string(lock).ok()?).ok()?;
    lock.get("packages").and_then(Value::as_object).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_installed_to_its_end_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, packages: Value| {
            fs::write(path(name), json!({"lockfileVersion": 3, "packages": packages}).to_string()).expect("written");
        };
        let of = |version: &str| {
            json!({
                "": {"name": "mine"}, "node_modules/a": {"version": version},
                "node_modules/for-another-system": {"version": "1", "optional": true},
            })
        };
        let installed = || are_installed(dir.path());
        write(WANTED, of("1"));
        assert!(!installed());
        fs::create_dir_all(path("node_modules/a")).expect("made");
        assert!(!installed(), "npm has not ended");
        write(INSTALLED, json!({"node_modules/a": {"version": "1"}}));
        assert!(installed());
        write(WANTED, of("2"));
        assert!(!installed(), "another version");
        fs::remove_file(path(WANTED)).expect("removed");
        assert!(installed(), "nothing says what it should be");
        write(WANTED, of("1"));
        fs::remove_dir(path("node_modules/a")).expect("removed");
        assert!(!installed(), "somebody took it away");
    }
}
