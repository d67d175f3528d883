//! Reading everything again: what is taken over, what waits for the next start, and what a mistake changes.

use crate::model::checkset::{DefinitionSource as _, Reading};
use crate::telemetry::Metrics;

use super::*;

/// A main file with its conf dir, secrets and state, on disk.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
}

impl Place {
    /// `rest` follows the keys of `[agent]`.
    pub(super) fn new(rest: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().expect("tempdir") };
        for dir in ["conf.d", "more.d", "secrets"] {
            std::fs::create_dir(place.dir.path().join(dir)).expect("mkdir");
        }
        place.main(rest);
        place
    }

    pub(super) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join(file), text).expect("write");
    }

    pub(super) fn main(&self, rest: &str) {
        self.write("vitald.toml", &format!("{HEAD}{rest}"));
    }

    pub(super) fn file(&self) -> PathBuf {
        self.dir.path().join("vitald.toml")
    }

    fn loaded(&self) -> Loaded {
        load(&self.file()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    pub(super) fn source(&self) -> ReloadingSource {
        let Loaded { config, sources } = self.loaded();
        let last_good = LastGood::new(self.dir.path());
        last_good.save(&sources).expect("saved");
        ReloadingSource::new(&config, sources, last_good, Origin::File, &Metrics::default())
    }
}

pub(super) const HEAD: &str =
    "[agent]\nid = \"web-1\"\nstate_dir = \".\"\nsecret_dirs = [\"secrets\"]\nconf_dirs = [\"conf.d\"]\n";

pub(super) fn check(name: &str) -> String {
    format!("[[check]]\nname = \"{name}\"\nchecker = \"tcp\"\ntarget = \"tcp://h:1\"\n")
}

pub(super) fn good(reading: Reading) -> (Arc<Definitions>, Vec<String>) {
    match reading {
        Reading::Good { definitions, at_next_start } => (definitions, at_next_start),
        other => panic!("not good: {other:?}"),
    }
}

pub(super) fn wrong(reading: Reading) -> Vec<String> {
    match reading {
        Reading::Wrong { mistakes, .. } => mistakes,
        other => panic!("not wrong: {other:?}"),
    }
}

pub(super) fn names(definitions: &Definitions) -> Vec<String> {
    definitions.checks.keys().map(ToString::to_string).collect()
}

#[test]
fn the_main_file_is_read_again() {
    let place = Place::new(&check("a"));
    let source = place.source();
    let (first, _) = good(source.load(false));
    assert_eq!(names(&first), ["a"]);
    let (same, waiting) = good(source.load(true));
    assert!(Arc::ptr_eq(&first, &same) && waiting.is_empty());
    place.main(&(check("a") + &check("b") + "[plugins]\nreload = \"manual\"\n[defaults]\nfall = 7\n"));
    let (second, waiting) = good(source.load(true));
    assert_eq!((names(&second), waiting), (vec!["a".to_owned(), "b".to_owned()], Vec::new()));
    assert_eq!(second.checks[&name("a")].policy.fall, 7);
    assert_eq!(second.rules.reload, crate::model::checkset::ReloadGate::Manual);
    let (copy, _) = LastGood::new(place.dir.path()).load(&place.file()).expect("a copy");
    assert_eq!(copy.definitions.checks.len(), 2);
}

#[test]
fn the_conf_dirs_may_change() {
    let place = Place::new("");
    place.write("conf.d/a.toml", &check("a"));
    place.write("more.d/b.toml", &check("b"));
    let source = place.source();
    assert_eq!(names(&good(source.load(true)).0), ["a"]);
    let main = HEAD.replace("[\"conf.d\"]", "[\"conf.d\", \"more.d\"]");
    place.write("vitald.toml", &main);
    let (definitions, waiting) = good(source.load(true));
    assert_eq!((names(&definitions), waiting), (vec!["a".to_owned(), "b".to_owned()], Vec::new()));
    assert_eq!(definitions.places.conf_dirs.len(), 2);
}

#[test]
fn a_mistake_anywhere_changes_nothing() {
    let place = Place::new(&check("a"));
    place.write("conf.d/b.toml", &check("b"));
    let source = place.source();
    let state = source.reload();
    let (first, _) = good(source.load(true));
    place.write("conf.d/c.toml", "[[check]]\nname = 7\n");
    place.main(&(check("a") + &check("d")));
    let mistakes = wrong(source.load(true));
    assert!(mistakes.iter().all(|mistake| mistake.contains("c.toml:")), "{mistakes:?}");
    assert_eq!(state.borrow().mistakes, mistakes.len());
    let (copy, _) = LastGood::new(place.dir.path()).load(&place.file()).expect("a copy");
    assert_eq!(copy.definitions.checks.len(), 2, "the copy is of what was good");
    std::fs::remove_file(place.dir.path().join("conf.d/c.toml")).expect("remove");
    let (second, _) = good(source.load(true));
    assert_eq!((names(&second).len(), state.borrow().mistakes), (3, 0));
    assert!(!Arc::ptr_eq(&first, &second));
    std::fs::remove_file(place.file()).expect("remove");
    let mistakes = wrong(source.load(true));
    assert!(mistakes.len() == 1 && mistakes[0].contains("vitald.toml"), "{mistakes:?}");
}

#[test]
fn a_drop_in_that_others_can_write_is_a_mistake() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new("");
    let source = place.source();
    place.write("conf.d/a.toml", &check("a"));
    let path = place.dir.path().join("conf.d/a.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("chmod");
    let mistakes = wrong(source.load(true));
    assert!(mistakes.len() == 1 && mistakes[0].contains("chmod go-w"), "{mistakes:?}");
}

#[test]
fn what_may_still_be_written_is_seen_twice() {
    let place = Place::new(&check("a"));
    let source = place.source();
    good(source.load(false));
    place.write("conf.d/b.toml", &check("b"));
    assert_eq!(source.load(false), Reading::Unsettled);
    place.write("conf.d/b.toml", &(check("b") + "interv"));
    assert_eq!(source.load(false), Reading::Unsettled);
    let complaint = wrong(source.load(false));
    assert_eq!(wrong(source.load(false)), complaint, "no more is to come");
    place.write("conf.d/b.toml", &(check("b") + "interval = \"20s\"\n"));
    assert_eq!(source.load(false), Reading::Unsettled);
    assert_eq!(names(&good(source.load(false)).0), ["a", "b"]);
    std::fs::remove_file(place.dir.path().join("conf.d/b.toml")).expect("remove");
    assert_eq!(source.load(false), Reading::Unsettled);
    place.write("conf.d/b.toml", &(check("b") + "interval = \"20s\"\n"));
    assert_eq!(names(&good(source.load(false)).0), ["a", "b"], "it was put in place again: nothing happened");
}

#[test]
fn a_secret_that_changes_is_no_change_of_definition() {
    let place = Place::new("");
    place.write("secrets/db", "hunter22\n");
    let text = "[[check]]\nname = \"a\"\nchecker = \"redis\"\ntarget = \"redis://u:${file:db}@h:1\"\n\
                params = { key = \"${file:db}\", n = 5 }\n";
    place.write("conf.d/a.toml", text);
    let source = place.source();
    let (before, _) = good(source.load(true));
    place.write("secrets/db", "rotated99\n");
    assert_eq!(source.load(false), Reading::Unsettled);
    let (after, waiting) = good(source.load(false));
    let (before, after) = (&before.checks[&name("a")], &after.checks[&name("a")]);
    assert!(before.is_defined_as(after) && before.keeps_state(after) && before != after);
    assert_eq!(after.params["key"], "rotated99");
    assert_eq!(after.written.params["key"], "${file:db}");
    assert_eq!(after.target.as_ref().expect("a target").url(), "redis://u:rotated99@h:1");
    assert_eq!(after.masker.mask("rotated99".into()), "***");
    assert!(waiting.is_empty());
    place.write("conf.d/a.toml", &text.replace("n = 5", "n = 6"));
    let (changed, _) = good(source.load(true));
    assert!(!after.is_defined_as(&changed.checks[&name("a")]));
}

#[test]
fn what_only_a_start_takes_over_is_named() {
    let registry =
        "[registry]\nendpoints = [\"http://127.0.0.1:2379\"]\nusername = \"u\"\npassword = \"${file:etcd}\"\n";
    let service = "[[service]]\nname = \"orders\"\naddress = \":80\"\nchecks = \"none\"\n";
    let place = Place::new("");
    place.write("secrets/etcd", "first-password");
    place.main(&format!("{registry}{service}"));
    let source = place.source();
    assert_eq!(good(source.load(true)).1, Vec::<String>::new());
    let main = HEAD.replace("web-1", "web-2") + "listen = [\"0.0.0.0:9720\"]\n";
    place.write("secrets/etcd", "second-password");
    place.write(
        "vitald.toml",
        &format!("{main}{registry}{service}[sandbox]\nconcurrency = 8\n[discovery]\nwatch = [\"*\"]\n"),
    );
    let (definitions, waiting) = good(source.load(true));
    let file = place.file().display().to_string();
    let expected = [
        format!("agent.id: runs with \"web-1\", the file has \"web-2\" ({file}:2); takes effect at the next start"),
        format!(
            "agent.listen: runs with [\"127.0.0.1:9720\"], the file has [\"0.0.0.0:9720\"] ({file}:6); \
             takes effect at the next start"
        ),
        format!("sandbox.concurrency: runs with 256, the file has 8 ({file}:16); takes effect at the next start"),
        format!("discovery: it is not in use, the file has it now ({file}:18); takes effect at the next start"),
    ];
    assert_eq!(waiting, expected);
    assert_eq!(source.reload().borrow().at_next_start, expected);
    assert_eq!(&*definitions.services[&name("orders")].id, "orders-web-1", "the id is that of the agent that runs");
    place.main(service);
    let (_, waiting) = good(source.load(true));
    assert_eq!(waiting, ["registry: it is in use, the file has it no more; takes effect at the next start"]);
    place.write("secrets/etcd", "first-password");
    place.main(&format!("{registry}{service}"));
    assert_eq!(good(source.load(true)).1, Vec::<String>::new());
}

#[test]
fn services_must_fit_the_registry_that_runs() {
    let registry = |dialect: &str| format!("[registry]\nendpoints = [\"http://h:1\"]\ndialects = [\"{dialect}\"]\n");
    let place = Place::new(&registry("skydns"));
    let source = place.source();
    place.main(&(registry("native") + "[[service]]\nname = \"a.b\"\naddress = \":80\"\nchecks = \"none\"\n"));
    let found = wrong(source.load(true));
    assert!(found.len() == 1 && found[0].contains("until its next start"), "{found:?}");
    assert!(load(&place.file()).is_ok(), "a start takes it");
}

#[test]
fn a_mended_file_takes_the_place_of_the_last_good_copy() {
    let place = Place::new(&check("a"));
    let Loaded { config, sources } = place.loaded();
    let source =
        ReloadingSource::new(&config, sources, LastGood::new(place.dir.path()), Origin::LastGood, &Metrics::default());
    source.started_from_copy();
    let state = source.reload();
    assert_eq!((state.borrow().origin, state.borrow().mistakes), ("last-good", 1));
    place.main("no such = thing\n");
    wrong(source.load(true));
    assert_eq!(state.borrow().origin, "last-good");
    place.main(&check("b"));
    assert_eq!(names(&good(source.load(true)).0), ["b"]);
    assert_eq!((state.borrow().origin, state.borrow().mistakes, &state.borrow().mistake), ("file", 0, &None));
}

#[test]
fn a_start_with_one_broken_drop_in_finds_the_copy_of_all() {
    let place = Place::new(&check("a"));
    place.write("conf.d/b.toml", &check("b"));
    good(place.source().load(true));
    place.write("conf.d/b.toml", "[[check]\n");
    assert!(load(&place.file()).is_err());
    let state_dir = state_dir_of(&place.file());
    let (config, _) = LastGood::new(&state_dir).load(&place.file()).expect("a copy");
    assert_eq!(names(&config.definitions), ["a", "b"]);
    // Also where the main file is broken: the state dir is read as far as it can be.
    place.main("listen = [\"127.0.0.1\n[[check]\n");
    assert_eq!(state_dir_of(&place.file()), state_dir);
}

#[test]
fn the_demonstration_is_never_read_again() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { config, sources } = demo::load(dir.path()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.definitions.places.main, None);
    let source = ReloadingSource::new(&config, sources, LastGood::new(dir.path()), Origin::Demo, &Metrics::default());
    for settled in [true, false] {
        let (definitions, waiting) = good(source.load(settled));
        assert!(Arc::ptr_eq(&definitions, &config.definitions) && waiting.is_empty());
    }
    assert_eq!(source.reload().borrow().origin, "demo");
}

#[test]
fn etcds_password_is_renewed_without_a_start_also_beside_mistakes() {
    let place = Place::new("");
    place.write("secrets/etcd", "first-password");
    place.main("[registry]\nendpoints = [\"http://127.0.0.1:2379\"]\nusername = \"u\"\npassword = \"${file:etcd}\"\n");
    let loaded = place.loaded();
    let user = loaded.config.registry.as_ref().and_then(|registry| registry.etcd.credentials.clone()).expect("a user");
    let last_good = LastGood::new(place.dir.path());
    let source = ReloadingSource::new(&loaded.config, loaded.sources, last_good, Origin::File, &Metrics::default());
    place.write("secrets/etcd", "second-password");
    assert_eq!(good(source.load(true)).1, Vec::<String>::new(), "it does not wait for a start");
    assert_eq!(user.password.get(), "second-password");
    place.write("conf.d/odd.toml", "[[chek]]\n");
    place.write("secrets/etcd", "third-password");
    assert!(matches!(source.load(true), Reading::Wrong { .. }));
    assert_eq!(user.password.get(), "third-password");
}
