use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use crate::model::checkset::{Description, Power, Powers, Scheme};

use super::*;

const BYTES: &[u8] = b"compiled code";

fn digest(of: char) -> String {
    std::iter::repeat_n(of, 64).collect()
}

fn code(bytes: &[u8]) -> Code {
    let mut file = Code::in_memory().expect("a file in memory");
    file.write_all(bytes).expect("writes");
    Code::new(file)
}

fn said() -> Description {
    Description {
        summary: "Looks at \"it\".".into(),
        version: "1.2.3".into(),
        params_schema: "{}".into(),
        schemes: vec![Scheme { name: "tcp".into(), default_port: Some(7) }],
    }
}

struct World {
    dir: TempDir,
    cache: Cache,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::new(dir.path().join("compiled"), "engine");
        Self { dir, cache }
    }

    fn add(&self, of: char) {
        let (_, sum) = self.cache.keep(&digest(of), &code(BYTES)).expect("kept");
        self.cache.complete(&digest(of), Note::new(sum, 7, 640, &Powers::from([Power::Network]), &said()));
    }

    /// With one whole entry.
    fn with_entry() -> Self {
        let world = Self::new();
        world.add('a');
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("compiled").join(name)
    }

    fn code_path(&self) -> PathBuf {
        self.path(&format!("engine/{}.cwasm", digest('a')))
    }

    fn note_path(&self) -> PathBuf {
        self.path(&format!("engine/{}.json", digest('a')))
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    /// Is what is there refused, and removed?
    fn assert_refused_once(&self) {
        assert!(matches!(self.cache.find(&digest('a')), Found::Refused));
        assert!(matches!(self.cache.find(&digest('a')), Found::Miss), "it is removed");
        self.add('a');
        assert!(matches!(self.cache.find(&digest('a')), Found::Hit(..)), "and made anew");
    }
}

#[test]
fn what_was_kept_is_found_with_what_was_noted() {
    let world = World::with_entry();
    let Found::Hit(code, note) = world.cache.find(&digest('a')) else { panic!("a hit") };
    let mut read = Vec::new();
    code.copy_to(&mut read).expect("reads");
    assert_eq!(read, BYTES);
    assert_eq!((note.wasm_bytes, note.compile_ms, &note.powers), (7, 640, &Powers::from([Power::Network])));
    assert_eq!(note.description(), said());
    assert!(matches!(world.cache.find(&digest('b')), Found::Miss));
    let mode = |path: &Path| fs::metadata(path).expect("is there").mode() & 0o777;
    assert_eq!((mode(&world.path("")), mode(&world.path("engine"))), (0o700, 0o700));
    assert_eq!((mode(&world.code_path()), mode(&world.note_path())), (0o600, 0o600));
}

#[test]
fn an_entry_counts_once_it_is_complete() {
    let world = World::new();
    world.cache.keep(&digest('a'), &code(BYTES)).expect("kept");
    assert!(matches!(world.cache.find(&digest('a')), Found::Miss), "nobody knows what it is yet");
    let world = World::with_entry();
    fs::remove_file(world.code_path()).expect("removes");
    assert!(matches!(world.cache.find(&digest('a')), Found::Miss));
}

#[test]
fn what_is_damaged_is_refused_and_removed() {
    let spoil: [fn(&World); 5] = [
        |world| fs::write(world.code_path(), b"compiled cod").expect("torn"),
        |world| fs::write(world.code_path(), b"compiled cOde").expect("a bit"),
        |world| fs::write(world.note_path(), b"{").expect("torn"),
        |world| {
            let note = fs::read_to_string(world.note_path()).expect("reads");
            fs::write(world.note_path(), note.replace("1.2.3", "1.2.4")).expect("altered");
        },
        |world| {
            let note = fs::read_to_string(world.note_path()).expect("reads");
            fs::write(world.note_path(), note.replace("\"format\":1", "\"format\":2")).expect("newer");
        },
    ];
    for (at, spoil) in spoil.iter().enumerate() {
        let world = World::with_entry();
        spoil(&world);
        assert!(matches!(world.cache.find(&digest('a')), Found::Refused), "{at}");
        world.add('a');
        assert!(matches!(world.cache.find(&digest('a')), Found::Hit(..)), "{at}");
    }
}

#[test]
fn what_others_can_write_is_refused_and_made_anew() {
    for path in [World::code_path, World::note_path] {
        let world = World::with_entry();
        World::chmod(&path(&world), 0o620);
        world.assert_refused_once();
        World::chmod(&path(&world), 0o602);
        world.assert_refused_once();
    }
    for dir in ["", "engine"] {
        let world = World::with_entry();
        World::chmod(&world.path(dir), 0o770);
        world.assert_refused_once();
    }
}

#[test]
fn links_are_not_followed() {
    let world = World::with_entry();
    let elsewhere = world.dir.path().join("elsewhere");
    fs::rename(world.code_path(), &elsewhere).expect("renames");
    symlink(&elsewhere, world.code_path()).expect("links");
    world.assert_refused_once();
    assert!(elsewhere.exists());

    let world = World::with_entry();
    let elsewhere = world.dir.path().join("elsewhere");
    fs::rename(world.path(""), &elsewhere).expect("renames");
    symlink(&elsewhere, world.dir.path().join("compiled")).expect("links");
    assert!(matches!(world.cache.find(&digest('a')), Found::Refused));
    assert!(world.cache.keep(&digest('b'), &code(BYTES)).is_none(), "a directory elsewhere is not used");
    world.cache.keep_only(&BTreeSet::new());
    assert!(elsewhere.join("engine").join(format!("{}.cwasm", digest('a'))).exists(), "nor swept");
}

#[test]
fn a_disk_that_takes_nothing_is_no_error() {
    let world = World::new();
    fs::write(world.dir.path().join("compiled"), b"in the way").expect("writes");
    assert!(world.cache.keep(&digest('a'), &code(BYTES)).is_none());
    assert!(matches!(world.cache.find(&digest('a')), Found::Refused));
    fs::remove_file(world.dir.path().join("compiled")).expect("removes");
    world.add('a');
    assert!(matches!(world.cache.find(&digest('a')), Found::Hit(..)), "it is used once it can be");
}

#[test]
fn no_digest_leads_out_of_the_directory() {
    let world = World::with_entry();
    for digest in ["", "0", "../../../etc/passwd", &"A".repeat(64), &format!("{}/", "a".repeat(63))] {
        assert!(matches!(world.cache.find(digest), Found::Miss), "{digest}");
        assert!(world.cache.keep(digest, &code(BYTES)).is_none(), "{digest}");
        world.cache.remove(digest);
    }
}

#[test]
fn a_sweep_leaves_what_is_used() {
    let world = World::with_entry();
    world.add('b');
    fs::create_dir(world.path("older")).expect("creates");
    fs::write(world.path("older/x.cwasm"), b"").expect("writes");
    fs::write(world.path("stray"), b"").expect("writes");
    fs::write(world.path(&format!("engine/{}.tmp", digest('a'))), b"").expect("writes");
    fs::write(world.path(&format!("engine/{}.json.tmp", digest('a'))), b"").expect("writes");
    world.cache.keep_only(&BTreeSet::from([digest('a')]));
    let mut left: Vec<PathBuf> = entries(&world.path("engine")).collect();
    left.sort();
    assert_eq!(left, [world.code_path(), world.note_path()]);
    assert_eq!(entries(&world.path("")).collect::<Vec<_>>(), [world.path("engine")]);
    assert!(matches!(world.cache.find(&digest('a')), Found::Hit(..)));
}

#[test]
fn what_stands_where_a_file_should_is_mended() {
    for path in [World::code_path, World::note_path] {
        let world = World::with_entry();
        fs::remove_file(path(&world)).expect("removes");
        fs::create_dir(path(&world)).expect("creates");
        fs::write(path(&world).join("x"), b"").expect("writes");
        world.assert_refused_once();
        fs::remove_file(path(&world)).expect("removes");
        fs::create_dir(path(&world)).expect("creates");
        world.cache.keep_only(&BTreeSet::from([digest('a')]));
        assert!(!path(&world).exists(), "and swept");
    }
}

#[test]
fn what_cannot_be_opened_is_known_for_what_it_is() {
    let world = World::with_entry();
    let busy = || io::Error::from(io::ErrorKind::PermissionDenied);
    assert!(unopened(&world.code_path(), busy()).is_of_the_host(), "the file itself is as it should be");
    assert!(unopened(&world.path("gone"), busy()).is_of_the_host());
    symlink("/dev/null", world.path("link")).expect("links");
    assert!(matches!(unopened(&world.path("link"), busy()), Refusal::Kind { .. }));
    World::chmod(&world.code_path(), 0o622);
    assert!(matches!(unopened(&world.code_path(), busy()), Refusal::Writable { .. }));
}

#[test]
fn what_does_not_compile_is_remembered() {
    let world = World::new();
    assert_eq!(world.cache.failure(&digest('a')), None);
    world.cache.note_failure(&digest('a'), "it took \"long\"");
    assert_eq!(world.cache.failure(&digest('a')).as_deref(), Some("it took \"long\""));
    assert!(matches!(world.cache.find(&digest('a')), Found::Miss));
    world.cache.keep_only(&BTreeSet::from([digest('a')]));
    assert!(world.cache.failure(&digest('a')).is_some());
    let path = world.cache.failure_path(&digest('a'));
    let text = fs::read_to_string(&path).expect("reads");
    fs::write(&path, text.replace("long", "lonG")).expect("alters");
    assert_eq!(world.cache.failure(&digest('a')), None);
    world.cache.keep_only(&BTreeSet::new());
    assert!(!path.exists());
}
