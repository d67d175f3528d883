//! Over real directories. The file systems that tell nothing are tested end to end.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use tokio::time::timeout;

use super::*;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

struct Fixture {
    _dir: tempfile::TempDir,
    root: PathBuf,
    places: Places,
    watch: Watch,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let root = fs::canonicalize(dir.path()).expect("real");
        let places = Places {
            main: Some(root.join("etc/vitald.toml")),
            plugin_dirs: vec![root.join("plugins")],
            ..Places::default()
        };
        fs::create_dir(root.join("etc")).expect("mkdir");
        Self { _dir: dir, root, places, watch: Watch::default() }
    }

    fn arrange(&mut self) {
        let arranged = self.watch.arranging()(&self.places, &At::default());
        assert!(arranged.troubles.is_empty(), "{arranged:?}");
        self.watch.arranged(arranged);
    }

    /// Was there an event since? Looks again, as the loop does.
    async fn sees(&mut self) -> bool {
        let seen = timeout(LONG, self.watch.changed()).await.is_ok();
        self.arrange();
        while timeout(SHORT, self.watch.changed()).await.is_ok() {
            self.arrange();
        }
        seen
    }

    async fn sees_nothing(&mut self) -> bool {
        timeout(SHORT, self.watch.changed()).await.is_err()
    }
}

#[tokio::test]
async fn a_directory_is_seen_from_before_it_is_there_and_after_it_was_replaced() {
    let mut fixture = Fixture::new();
    let plugins = fixture.root.join("plugins");
    fixture.arrange();
    assert!(fixture.sees_nothing().await);
    fs::create_dir(&plugins).expect("mkdir");
    assert!(fixture.sees().await, "it is made");
    fs::write(plugins.join("a.wasm"), "1").expect("write");
    assert!(fixture.sees().await, "a file comes");
    fs::write(plugins.join("a.wasm"), "2").expect("write");
    assert!(fixture.sees().await, "a file is written in place");
    fs::rename(&plugins, fixture.root.join("old")).expect("rename");
    fs::create_dir(&plugins).expect("mkdir");
    assert!(fixture.sees().await, "it is replaced");
    fs::write(plugins.join("b.wasm"), "1").expect("write");
    assert!(fixture.sees().await, "the new one is watched");
    fs::write(fixture.root.join("old/a.wasm"), "3").expect("write");
    assert!(fixture.sees_nothing().await, "the old one is not");
}

/// `notify` ends the watch of what is renamed, with all below it.
#[tokio::test]
async fn a_directory_that_goes_and_comes_back_is_watched_again() {
    let mut fixture = Fixture::new();
    let (parent, away) = (fixture.root.join("a"), fixture.root.join("away"));
    let plugins = parent.join("plugins");
    fixture.places.plugin_dirs = vec![plugins.clone()];
    fs::create_dir_all(&plugins).expect("mkdir");
    fixture.arrange();
    fs::rename(&parent, &away).expect("rename");
    fs::rename(&away, &parent).expect("rename");
    assert!(fixture.sees().await, "it went");
    fs::write(plugins.join("a.wasm"), "1").expect("write");
    assert!(fixture.sees().await, "a file comes");
    fs::remove_dir_all(&plugins).expect("remove");
    fs::create_dir(&plugins).expect("mkdir");
    assert!(fixture.sees().await, "it is another, maybe with the same inode");
    fs::write(plugins.join("a.wasm"), "1").expect("write");
    assert!(fixture.sees().await, "a file comes");
}

#[tokio::test]
async fn one_directory_under_two_paths_is_watched_for_both() {
    let mut fixture = Fixture::new();
    let (first, second) = (fixture.root.join("etc"), fixture.root.join("etc/../etc"));
    let named = |name: &str| Filter { names: [name.into()].into(), ..Filter::default() };
    let wanted = Wanted([(first.clone(), named("a")), (second, named("b"))].into());
    let watches = go_on(None, fixture.watch.sender.clone()).expect("watches");
    let arranged = arrange(watches, wanted, &At::default());
    assert!(arranged.troubles.is_empty(), "{arranged:?}");
    fixture.watch.arranged(arranged);
    for name in ["a", "b"] {
        fs::write(first.join(name), "").expect("write");
        assert!(timeout(LONG, fixture.watch.changed()).await.is_ok(), "{name}");
        while !fixture.sees_nothing().await {}
    }
    fs::write(first.join("c"), "").expect("write");
    assert!(fixture.sees_nothing().await);
}

#[tokio::test]
async fn rights_that_are_mended_are_seen() {
    let mut fixture = Fixture::new();
    let file = fixture.root.join("plugins/a.wasm");
    fs::create_dir(fixture.root.join("plugins")).expect("mkdir");
    fs::write(&file, "1").expect("write");
    fixture.arrange();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
    assert!(fixture.sees().await);
}

#[tokio::test]
async fn reading_and_other_peoples_files_are_no_events() {
    let mut fixture = Fixture::new();
    fs::create_dir(fixture.root.join("plugins")).expect("mkdir");
    fs::write(fixture.root.join("plugins/a.wasm"), "1").expect("write");
    fs::write(fixture.root.join("etc/vitald.toml"), "").expect("write");
    fixture.arrange();
    fs::read(fixture.root.join("plugins/a.wasm")).expect("read");
    fs::write(fixture.root.join("etc/other"), "").expect("write");
    fs::write(fixture.root.join("other"), "").expect("write");
    assert!(fixture.sees_nothing().await);
    fs::write(fixture.root.join("etc/vitald.toml"), "x").expect("write");
    assert!(fixture.sees().await);
}

#[tokio::test]
async fn what_links_lead_to_is_seen() {
    let mut fixture = Fixture::new();
    for release in ["releases/1", "releases/2"] {
        fs::create_dir_all(fixture.root.join(release)).expect("mkdir");
    }
    symlink("releases/1", fixture.root.join("plugins")).expect("link");
    symlink("../../real.wasm", fixture.root.join("releases/1/a.wasm")).expect("link");
    fs::write(fixture.root.join("real.wasm"), "1").expect("write");
    fixture.arrange();
    fs::write(fixture.root.join("real.wasm"), "2").expect("write");
    assert!(fixture.sees().await, "a file elsewhere");
    symlink("releases/2", fixture.root.join("next")).expect("link");
    fs::rename(fixture.root.join("next"), fixture.root.join("plugins")).expect("rename");
    assert!(fixture.sees().await, "the link is swapped");
    fs::write(fixture.root.join("releases/2/b.wasm"), "1").expect("write");
    assert!(fixture.sees().await, "what it leads to now");
}
