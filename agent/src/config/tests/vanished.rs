//! What is empty, torn or not there for a moment takes nothing away.

use crate::model::checkset::{DefinitionSource as _, Reading};

use super::reload::{HEAD, Place, check, good, names, wrong};
use super::*;

fn renewed(reading: Reading) -> Arc<Definitions> {
    match reading {
        Reading::Wrong { definitions, .. } => definitions,
        other => panic!("not wrong: {other:?}"),
    }
}

#[test]
fn secrets_are_read_again_beside_somebody_elses_mistake() {
    let place = Place::new("");
    place.write("secrets/db", "first-password");
    place.write("conf.d/a.toml", &(check("a") + "params = { password = \"${file:db}\" }\n"));
    let source = place.source();
    let (before, _) = good(source.load(true));
    place.write("conf.d/b.toml", "[[check]\n");
    let same = renewed(source.load(true));
    assert!(Arc::ptr_eq(&before, &same));
    place.write("secrets/db", "second-password");
    assert_eq!(source.load(false), Reading::Unsettled, "it may be half of it");
    let after = renewed(source.load(false));
    let (old, new) = (&before.checks[&name("a")], &after.checks[&name("a")]);
    assert_eq!(new.params["password"], "second-password");
    assert!(old.is_defined_as(new));
    assert!(Arc::ptr_eq(&after, &renewed(source.load(false))));
    // What is written meanwhile waits, whatever it is.
    place.write("conf.d/a.toml", &check("c"));
    assert_eq!(names(&renewed(source.load(true))), ["a"]);
    std::fs::remove_file(place.dir.path().join("conf.d/b.toml")).expect("remove");
    assert_eq!(names(&good(source.load(true)).0), ["c"]);
}

#[test]
fn an_empty_main_file_is_a_mistake() {
    let place = Place::new(&check("a"));
    let source = place.source();
    for text in ["", "\n \t\n", "\u{feff}# all\n#of it\n"] {
        place.write("vitald.toml", text);
        let found = wrong(source.load(true));
        assert!(
            found.len() == 1 && found[0].ends_with("vitald.toml: it is empty; write at least [agent]"),
            "{found:?}"
        );
        assert!(load(&place.file()).is_err());
        let (copy, _) = LastGood::new(place.dir.path()).load(&place.file()).expect("a copy");
        assert_eq!(names(&copy.definitions), ["a"]);
    }
}

#[test]
fn an_empty_drop_in_is_a_mistake() {
    let place = Place::new(&check("a"));
    place.write("conf.d/b.toml", &check("b"));
    let source = place.source();
    place.write("conf.d/b.toml", "# nothing\n");
    let found = wrong(source.load(true));
    assert!(
        found.len() == 1 && found[0].ends_with("b.toml: it is empty: remove the file, or write into it"),
        "{found:?}"
    );
    assert!(load(&place.file()).is_err());
}

#[test]
fn what_vanishes_is_waited_for() {
    let place = Place::new(&check("a"));
    place.write("conf.d/b.toml", &(check("b") + &check("c")));
    let mut source = place.source();
    good(source.load(true));
    place.write("conf.d/b.toml", &check("b"));
    for _ in 0..3 {
        assert_eq!(source.load(false), Reading::Unsettled);
    }
    source.vanishing = Duration::ZERO;
    assert_eq!(names(&good(source.load(false)).0), ["a", "b"]);
    source.vanishing = Duration::from_secs(3600);
    std::fs::remove_file(place.dir.path().join("conf.d/b.toml")).expect("remove");
    assert_eq!(source.load(false), Reading::Unsettled);
    assert_eq!(names(&good(source.load(true)).0), ["a"], "who asks for it has it at once");
}

#[test]
fn a_conf_dir_that_held_drop_ins_and_is_not_there_is_a_mistake() {
    let place = Place::new(&check("a"));
    let (dir, aside) = (place.dir.path().join("conf.d"), place.dir.path().join("aside"));
    std::fs::remove_dir(&dir).expect("remove");
    let source = place.source();
    assert_eq!(names(&good(source.load(true)).0), ["a"], "it held none");
    std::fs::create_dir(&dir).expect("mkdir");
    place.write("conf.d/b.toml", &check("b"));
    assert_eq!(names(&good(source.load(true)).0), ["a", "b"]);
    std::fs::rename(&dir, &aside).expect("rename");
    let found = wrong(source.load(true));
    let expected = format!("{}: it is not there, and held 1 drop-in: make it anew", dir.display());
    assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
    let at_start = load(&place.file()).expect_err("refused").to_string();
    assert!(at_start.starts_with(&expected), "{at_start}");
    assert_eq!(names(&LastGood::new(place.dir.path()).load(&place.file()).expect("a copy").0.definitions), ["a", "b"]);
    place.write("vitald.toml", &(HEAD.replace("\"conf.d\"", "") + &check("a")));
    assert_eq!(names(&good(source.load(true)).0), ["a"], "it is wanted no more");
    place.main(&check("a"));
    std::fs::create_dir(&dir).expect("mkdir");
    assert_eq!(names(&good(source.load(true)).0), ["a"]);
}

#[test]
fn a_link_to_nothing_is_a_mistake() {
    let place = Place::new(&check("a"));
    let source = place.source();
    std::os::unix::fs::symlink("..data/x.toml", place.dir.path().join("conf.d/x.toml")).expect("link");
    let found = wrong(source.load(true));
    assert!(found.len() == 1 && found[0].contains("x.toml: it is a link to what is not there"), "{found:?}");
}

#[test]
fn a_directory_that_is_named_twice_is_read_once() {
    let place = Place::new("");
    place.write("conf.d/a.toml", &check("a"));
    place.write("vitald.toml", &HEAD.replace("[\"conf.d\"]", "[\"conf.d\", \"conf.d/\", \"./conf.d\"]"));
    assert_eq!(names(&load(&place.file()).unwrap_or_else(|mistakes| panic!("{mistakes}")).config.definitions), ["a"]);
}

#[test]
fn mistakes_of_whole_files_have_their_path_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new(&check("a"));
    std::fs::set_permissions(place.file(), std::fs::Permissions::from_mode(0o666)).expect("chmod");
    let found = load(&place.file()).expect_err("refused").to_string();
    let path = place.file().display().to_string();
    assert!(found.starts_with(&format!("{path}: can be written by others")), "{found}");
    std::fs::remove_file(place.file()).expect("remove");
    let found = load(&place.file()).expect_err("refused").to_string();
    assert_eq!(found.matches(&path).count(), 1, "{found}");
}

#[test]
fn the_copy_of_another_main_file_is_not_used() {
    let place = Place::new(&check("a"));
    good(place.source().load(true));
    place.write("other.toml", HEAD);
    let copy = LastGood::new(place.dir.path());
    let error = copy.load(&place.dir.path().join("other.toml")).expect_err("another's").to_string();
    assert!(error.ends_with(&format!("last-good.json: it is a copy of {}", place.file().display())), "{error}");
    // The same file by another path.
    std::os::unix::fs::symlink(place.file(), place.dir.path().join("link.toml")).expect("link");
    assert!(copy.load(&place.dir.path().join("link.toml")).is_ok());
}

#[test]
fn a_copy_that_cannot_be_used_is_set_aside_and_not_written_over() {
    let place = Place::new(&check("a"));
    let path = place.dir.path().join("last-good.json");
    let aside = place.dir.path().join("last-good.json.unusable");
    std::fs::write(&path, "{\"version\":9}\nmuch more").expect("write");
    good(place.source().load(true));
    assert_eq!(std::fs::read_to_string(&aside).expect("kept"), "{\"version\":9}\nmuch more");
    std::fs::remove_file(&path).expect("remove");
    std::fs::create_dir(&path).expect("mkdir");
    place.source();
    assert!(path.is_file());
    assert!(LastGood::new(place.dir.path()).load(&place.file()).is_ok());
}

#[test]
fn the_state_dir_is_found_in_what_is_broken() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new("");
    let found = || state_dir_of(&place.file());
    let expected = place.dir.path().join("elsewhere");
    for text in [
        "[agent\nid = \"x\"\nstate_dir = \"elsewhere\" # there\n",
        "[agent]\nlisten = [\n  state_dir   =   'elsewhere'\n",
        "agent.state_dir = \"elsewhere\"\nx = \n",
        "[agent]\nstate_dir = \"else\\u0077here\"\nid = \n",
    ] {
        place.write("vitald.toml", text);
        assert_eq!(found(), expected, "{text}");
    }
    let mut bytes = b"[agent]\nid = \"\xff\xfe\"\nstate_dir = \"elsewhere\"\n".to_vec();
    std::fs::write(place.file(), &bytes).expect("write");
    assert_eq!(found(), expected);
    bytes.retain(u8::is_ascii);
    std::fs::write(place.file(), &bytes).expect("write");
    std::fs::set_permissions(place.file(), std::fs::Permissions::from_mode(0o666)).expect("chmod");
    assert_eq!(found(), expected);
    // Of a whole file only its own key counts.
    place.write("vitald.toml", "[agent]\nid = \"x\"\n[check.x]\nstate_dir = \"no\"\n");
    assert_eq!(found(), default_state_dir());
}

const NEEDY: &str = "[registry]\nendpoints = [\"http://127.0.0.1:1\"]\nusername = \"u\"\npassword = \"${file:etcd}\"\n\
                     [[report]]\nname = \"central\"\nurl = \"http://127.0.0.1:1/\"\nheaders = { X-Key = \"${file:key}\" }\n\
                     [[report]]\nname = \"other\"\nurl = \"http://127.0.0.1:1/\"\n";

#[test]
fn absent_secrets_of_reports_and_of_the_registry_cost_only_these() {
    let place = Place::new(&(check("a") + NEEDY));
    place.write("secrets/etcd", "the-password");
    place.write("secrets/key", "the-key");
    let source = place.source();
    assert_eq!(good(source.load(true)).1, Vec::<String>::new());
    for secret in ["etcd", "key"] {
        std::fs::remove_file(place.dir.path().join("secrets").join(secret)).expect("remove");
    }

    // While it runs they are named, and block nothing.
    place.main(&(check("a") + &check("b") + NEEDY));
    let (definitions, waiting) = good(source.load(true));
    assert_eq!((names(&definitions), waiting.len()), (vec!["a".to_owned(), "b".to_owned()], 2), "{waiting:?}");
    let lines = waiting.join("\n");
    for part in ["registry.password: there is no secret", "report.central.headers.X-Key: there is no secret"] {
        assert!(lines.contains(part) && lines.contains("the next start wants it"), "{lines}");
    }

    // A plain start does without nothing, the last good copy without these.
    assert_eq!(load(&place.file()).expect_err("refused").0.len(), 2);
    let (config, _) = LastGood::new(place.dir.path()).load(&place.file()).expect("a copy");
    assert_eq!(names(&config.definitions), ["a", "b"]);
    let reports = config.report.expect("a report").targets;
    assert_eq!(reports.iter().map(|target| &*target.name).collect::<Vec<_>>(), ["other"]);
    let credentials = config.registry.expect("a registry").etcd.credentials.expect("a user");
    assert_eq!((credentials.username.as_str(), credentials.password.get()), ("u", String::new()));
    assert_eq!(config.absent.len(), 2);

    place.write("secrets/etcd", "the-password");
    place.write("secrets/key", "the-key");
    assert_eq!(good(source.load(true)).1, Vec::<String>::new());
}
