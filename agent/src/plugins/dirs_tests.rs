//! What the plugin directories hold in sum: the same name twice, names without a file, more than is read.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tokio::time::sleep;

use super::inventory;
use super::look::At;
use super::testing::{MS, Site, plain};

#[tokio::test(start_paused = true)]
async fn a_file_in_a_later_directory_waits_until_the_one_before_it_is_gone() {
    let mut site = Site::new(&[("a", "app")]);
    let later = site.dir.path().join("later");
    fs::create_dir(&later).expect("mkdir");
    fs::write(later.join("app.wasm"), plain("old")).expect("write");
    site.change(|definitions| definitions.places.plugin_dirs.push(later));
    site.put("app.wasm", &plain("1"));
    site.start().await;
    site.until("app", "ready 1").await;
    fs::remove_file(site.path("app.wasm")).expect("remove");
    sleep(150 * MS).await;
    site.put("app.wasm", &plain("2"));
    site.until("app", "ready 2").await;
    let plugins = site.dir.path().join("plugins");
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o777)).expect("chmod");
    site.until("app", "kept 2").await;
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("chmod");
    site.until("app", "ready 2").await;
    fs::remove_file(site.path("app.wasm")).expect("remove");
    site.until("app", "ready old").await;
    site.put("app.wasm", &plain("3"));
    site.until("app", "ready 3").await;
    assert_eq!(site.loaded(), ["1", "2", "old", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_leads_nowhere_says_so_and_what_runs_stays() {
    let mut site = Site::new(&[("a", "app")]);
    let target = site.dir.path().join("built.wasm");
    fs::write(&target, plain("1")).expect("write");
    symlink(&target, site.path("app.wasm")).expect("link");
    site.start().await;
    site.until("app", "ready 1").await;
    fs::remove_file(&target).expect("remove");
    site.until("app", "kept 1").await;
    assert!(site.notice("a").contains("which is not there"), "{}", site.notice("a"));
    fs::remove_file(site.path("app.wasm")).expect("remove");
    site.until("app", "none").await;
}

#[test]
fn what_is_too_much_or_has_odd_names_is_said_in_one_line() {
    let dir = tempfile::tempdir().expect("tempdir");
    for number in 0..1_003 {
        fs::write(dir.path().join(format!("p{number:04}.wasm")), "").expect("write");
    }
    fs::write(dir.path().join("a\nb.wasm"), "").expect("write");
    let inventory = inventory::read(&[dir.path().to_owned()], &BTreeSet::new(), &At::default());
    assert_eq!(inventory.files.len(), 999);
    let said: Vec<_> = inventory.refused.iter().map(|refused| format!("{refused:?}")).collect();
    assert!(said[0].contains("p0999.wasm, and not the 3 after it"), "{said:?}");
    assert!(inventory.refused[1].path.display().to_string().ends_with("a\\nb.wasm"), "{said:?}");
}
