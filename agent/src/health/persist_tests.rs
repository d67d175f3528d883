use crate::model::outcome::Status;
use crate::model::testing::{at, definition, judged, name, observation};

use super::super::reduce::reduce;
use super::*;

fn memory(check: &str, second: u64) -> Memory {
    let definition = definition(check, &["s"]);
    let mut verdict = Verdict::default();
    reduce(&mut verdict, &definition.policy, &observation(check, judged(Status::Down), at(second)));
    let remembered = Remembered::new(&definition, Arc::new(verdict), Some(vec![0, 255, 7]));
    Memory { checks: [(name(check), remembered)].into(), services: BTreeMap::new() }
}

#[test]
fn what_was_saved_is_restored_while_it_is_fresh() {
    let dir = tempfile::tempdir().expect("tempdir");
    let persist = Persist::new(dir.path());
    assert_eq!(persist.load(at(0)), Memory::default());
    persist.write(&memory("a", 100)).expect("written");
    let loaded = persist.load(at(131));
    assert_eq!(loaded, memory("a", 100));
    let restore = |definition: &CheckDef, now| loaded.checks[&name("a")].clone().restore(definition, at(now));
    let same = definition("a", &["s"]);
    let (verdict, state) = restore(&same, 131).expect("fresh");
    assert_eq!((verdict.status, state), (Some(Status::Down), Some(vec![0, 255, 7])));
    assert!(restore(&same, 132).is_none(), "older than stale_after");
    let other = CheckDef { checker: name("other"), ..definition("a", &["s"]) };
    let (verdict, state) = restore(&other, 101).expect("fresh");
    assert_eq!((verdict.status, state), (Some(Status::Down), None), "another checker's state is of no use");
}

#[test]
fn another_boot_or_the_future_is_forgotten() {
    let dir = tempfile::tempdir().expect("tempdir");
    let persist = Persist::new(dir.path());
    persist.write(&memory("a", 100)).expect("written");
    assert_eq!(persist.load(at(99)), Memory::default());
    let other = Persist { boot_id: Some("another".into()), ..Persist::new(dir.path()) };
    assert_eq!(other.load(at(101)), Memory::default());
}

#[test]
fn a_file_that_cannot_be_used_is_set_aside() {
    let dir = tempfile::tempdir().expect("tempdir");
    let persist = Persist::new(dir.path());
    for bytes in [&b"{\"version\":2,\"len"[..], b"{\"version\":999}", b"", b"\xff\xfe"] {
        std::fs::write(dir.path().join("verdicts.json"), bytes).expect("write");
        assert_eq!(persist.load(at(1)), Memory::default());
        assert_eq!(std::fs::read(dir.path().join("verdicts.json.unusable")).expect("kept"), bytes);
        persist.write(&memory("a", 1)).expect("and the agent goes on");
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_no_more_than_a_warning() {
    let persist = Persist::new(Path::new("/proc/no-such-directory"));
    assert!(persist.write(&memory("a", 1)).is_err());
}

#[test]
fn the_wall_clock_may_say_what_it_likes() {
    const YEAR: u64 = 366 * 24 * 3600;
    let dir = tempfile::tempdir().expect("tempdir");
    let persist = Persist::new(dir.path());
    persist.write(&memory("a", 2 * YEAR)).expect("written");
    let same = definition("a", &["s"]);
    for wall in [YEAR, 3 * YEAR] {
        let at_boot = |boot| Moment { boot: std::time::Duration::from_secs(boot), ..at(wall) };
        let restored = |boot| persist.load(at_boot(boot)).checks[&name("a")].clone().restore(&same, at_boot(boot));
        assert!(restored(2 * YEAR + 31).is_some(), "ages are on the clock of the boot");
        assert!(restored(2 * YEAR + 32).is_none(), "older than stale_after");
        assert_eq!(persist.load(at_boot(YEAR)), Memory::default(), "a moment that has not come yet");
    }
}

#[test]
fn a_checkers_state_is_of_no_use_without_its_verdict() {
    let memory = memory("a", 100);
    let defined = |check: CheckDef| BTreeMap::from([(name("a"), Arc::new(check))]);
    let states = |defined: &BTreeMap<Name, Arc<CheckDef>>, now| memory.states(defined, at(now)).into_keys().count();
    let same = defined(definition("a", &["s"]));
    assert_eq!((states(&same, 131), states(&same, 132)), (1, 0));
    assert_eq!(states(&BTreeMap::new(), 101), 0, "nobody has that name");
    assert_eq!(states(&defined(CheckDef { checker: name("other"), ..definition("a", &["s"]) }), 101), 0);
}
