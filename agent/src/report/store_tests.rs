//! What a restart finds.

use std::os::unix::fs::PermissionsExt as _;

use crate::model::testing::name;

use super::*;

fn open(dir: &Path) -> Found {
    Store::open(dir, &name("central"), &name("host-1"))
}

fn own(dir: &Path) -> PathBuf {
    dir.join("reports/central")
}

fn files_of(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(own(dir)).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn numbers_go_on_over_restarts_also_when_nothing_waits() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    assert_eq!((first.next, first.waiting.len(), first.sent), (1, 0, None));
    for number in 1..=3 {
        first.store.put(number, b"report").expect("writes");
    }
    let mode = fs::metadata(own(dir.path())).expect("a directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let second = open(dir.path());
    assert_eq!((second.stream.clone(), second.next), (first.stream, 4));
    assert_eq!(second.waiting, [(1, 6), (2, 6), (3, 6)]);
    assert_eq!(second.store.read(2).expect("reads"), b"report");
    second.store.retire(1, None).expect("renames");
    second.store.retire(2, Some(1)).expect("renames");
    second.store.retire(3, Some(2)).expect("renames");
    assert_eq!(files_of(dir.path()), ["00000000000000000003.sent", "stream.json"]);
    let third = open(dir.path());
    assert_eq!((third.next, third.waiting.len(), third.sent, third.stream), (4, 0, Some(3), second.stream));
}

#[test]
fn a_wiped_directory_is_another_stream() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    first.store.put(1, b"report").expect("writes");
    fs::remove_dir_all(own(dir.path())).expect("removes");
    // It is made anew while the agent runs, and keeps its name.
    first.store.put(2, b"report").expect("writes");
    assert_eq!(open(dir.path()).stream, first.stream);
    fs::remove_dir_all(own(dir.path())).expect("removes");
    assert_ne!(open(dir.path()).stream, first.stream);
}

#[test]
fn a_clone_and_a_damaged_stream_begin_another_one_and_keep_what_waits() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    first.store.put(5, b"report").expect("writes");
    let elsewhere = serde_json::json!({"stream": &*first.stream, "machine_id": "another", "agent": "host-1"});
    let of_another = serde_json::json!({"stream": &*first.stream, "machine_id": machine_id(), "agent": "host-2"});
    for text in
        [elsewhere.to_string().as_str(), of_another.to_string().as_str(), "{", "{\"stream\":\"x\",\"machine_id\":\"\"}"]
    {
        fs::write(own(dir.path()).join(STREAM), text).expect("writes");
        let found = open(dir.path());
        assert_ne!(found.stream, first.stream, "{text}");
        assert_eq!((found.next, found.waiting), (6, vec![(5, 6)]), "{text}");
        found.store.put(6, b"another").expect("writes");
        assert_eq!(open(dir.path()).stream, found.stream, "it was written with the first report");
        found.store.remove(&[6]).expect("removes");
    }
}

#[test]
fn what_cannot_be_the_stream_is_replaced_and_lost_numbers_are_another_one() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    first.store.put(1, b"report").expect("writes");
    let stream = own(dir.path()).join(STREAM);
    fs::set_permissions(&stream, fs::Permissions::from_mode(0o666)).expect("chmod");
    let second = open(dir.path());
    assert_ne!(second.stream, first.stream, "others may have written it");
    second.store.put(2, b"report").expect("writes");
    assert_eq!(open(dir.path()).stream, second.stream);
    fs::remove_file(&stream).expect("removes");
    fs::create_dir(&stream).expect("a directory");
    let third = open(dir.path());
    third.store.put(3, b"report").expect("writes");
    assert_eq!(open(dir.path()).stream, third.stream);
    third.store.remove(&[1, 2, 3]).expect("removes");
    assert_ne!(open(dir.path()).stream, third.stream, "1 was given already");
}

#[test]
fn rests_and_strangers_do_not_count() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = open(dir.path());
    first.store.put(1, b"report").expect("writes");
    for name in ["00000000000000000002.json.gz.tmp", "7.json.gz", "note.txt", "0000000000000000000x.sent"] {
        fs::write(own(dir.path()).join(name), "x").expect("writes");
    }
    fs::create_dir(own(dir.path()).join("00000000000000000009.json.gz")).expect("a directory");
    let found = open(dir.path());
    assert_eq!((found.next, found.waiting), (2, vec![(1, 6)]));
    assert!(!files_of(dir.path()).iter().any(|name| name.ends_with(".tmp")));
}

#[test]
fn what_cannot_be_written_says_where() {
    let dir = tempfile::tempdir().expect("tempdir");
    fs::write(dir.path().join("reports"), "a file").expect("writes");
    let found = open(dir.path());
    assert!(found.problem.is_some(), "{found:?}");
    let error = found.store.put(1, b"report").expect_err("no directory").to_string();
    assert!(error.contains("reports"), "{error}");
}
