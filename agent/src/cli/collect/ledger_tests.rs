//! What stands in the file, and after what.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn head(stream: &str, sequence: u64, time: &str) -> Head {
    Head { stream: stream.to_owned(), sequence, time: time.to_owned() }
}

fn enter_at(ledger: &mut Ledger, stream: &str, sequence: u64, time: &str) -> Entered {
    let report = serde_json::json!({"stream": stream, "sequence": sequence, "time": time, "text": "a\nb"});
    let json = format!("{report:#}");
    ledger.enter(&head(stream, sequence, time), "host-1", json.as_bytes()).expect("it can be written")
}

fn enter(ledger: &mut Ledger, stream: &str, sequence: u64) -> Entered {
    enter_at(ledger, stream, sequence, &format!("t{sequence}"))
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("a file").lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_report_stands_there_once_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("out.jsonl");
    let mut ledger = Ledger::open(&path).expect("opens");
    assert_eq!(enter(&mut ledger, "a", 1), Entered::Written);
    assert_eq!(enter(&mut ledger, "a", 3), Entered::Written);
    assert_eq!(enter(&mut ledger, "b", 1), Entered::Written);
    for (stream, sequence) in [("a", 3), ("a", 2), ("b", 1)] {
        assert_eq!(enter(&mut ledger, stream, sequence), Entered::Known);
    }
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Locked { .. })));
    drop(ledger);
    let mut again = Ledger::open(&path).expect("opens");
    assert_eq!((again.streams(), enter(&mut again, "a", 3)), (2, Entered::Known));
    assert_eq!(enter(&mut again, "a", 4), Entered::Written);
    assert_eq!(lines(&path).len(), 4);
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o137, 0, "others cannot read it: {mode:o}");
}

#[test]
fn numbers_that_go_back_are_other_reports_if_they_are_later() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("out.jsonl");
    let mut ledger = Ledger::open(&path).expect("opens");
    assert_eq!(enter_at(&mut ledger, "a", 9, "t1"), Entered::Written);
    assert_eq!(enter_at(&mut ledger, "a", 5, "t2"), Entered::Written, "it was restored");
    assert_eq!(enter_at(&mut ledger, "a", 6, "t3"), Entered::Written);
    drop(ledger);
    let mut again = Ledger::open(&path).expect("opens");
    assert_eq!(enter_at(&mut again, "a", 6, "t3"), Entered::Known);
    assert_eq!(enter_at(&mut again, "a", 5, "t2"), Entered::Known);
    assert_eq!(enter_at(&mut again, "a", 7, "t4"), Entered::Written);
}

#[test]
fn a_file_that_was_moved_or_removed_is_made_anew() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (path, aside) = (dir.path().join("out.jsonl"), dir.path().join("out.jsonl.1"));
    let mut ledger = Ledger::open(&path).expect("opens");
    enter(&mut ledger, "a", 1);
    fs::rename(&path, &aside).expect("renames");
    assert_eq!(enter(&mut ledger, "a", 1), Entered::Known, "what it knows it knows still");
    assert_eq!(enter(&mut ledger, "a", 2), Entered::Written);
    assert_eq!((lines(&aside).len(), lines(&path).len()), (1, 1));
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Locked { .. })));
    fs::remove_file(&path).expect("removes");
    assert_eq!(enter(&mut ledger, "a", 3), Entered::Written);
    assert_eq!(lines(&path).len(), 1);
    // As logrotate makes it.
    fs::rename(&path, &aside).expect("renames");
    fs::write(&path, "").expect("writes");
    assert_eq!(enter(&mut ledger, "a", 4), Entered::Written);
    assert_eq!(lines(&path).len(), 1);
}

#[test]
fn a_line_that_was_cut_off_is_cut_away() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("out.jsonl");
    enter(&mut Ledger::open(&path).expect("opens"), "a", 1);
    let whole = fs::read(&path).expect("a file");
    for cut in 1..whole.len() {
        fs::write(&path, [&whole[..], &whole[..cut]].concat()).expect("writes");
        let mut ledger = Ledger::open(&path).expect("opens");
        assert_eq!(fs::read(&path).expect("a file"), whole);
        assert_eq!(enter(&mut ledger, "a", 1), Entered::Known);
    }
}

#[test]
fn a_line_that_is_too_long_does_not_keep_it_from_starting() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("out.jsonl");
    enter(&mut Ledger::open(&path).expect("opens"), "a", 1);
    let own = fs::read(&path).expect("a file");
    let long = [BEGINNING, &vec![b'x'; MAX_LINE as usize], b"\n"].concat();
    fs::write(&path, [&long[..], &own, &own[..9]].concat()).expect("writes");
    let mut ledger = Ledger::open(&path).expect("opens");
    assert_eq!(enter(&mut ledger, "a", 1), Entered::Known);
    assert_eq!(
        fs::metadata(&path).expect("a file").len(),
        (long.len() + own.len()) as u64,
        "only the rest is cut away"
    );
    drop(ledger);
    fs::write(&path, &long[BEGINNING.len()..]).expect("writes");
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Foreign { line: 1, .. })));
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("passwd");
    fs::write(&path, "root:x:0:0\n").expect("writes");
    let error = Ledger::open(&path).expect_err("no report").to_string();
    assert!(error.contains("line 1") && error.contains("passwd"), "{error}");
    assert_eq!(lines(&path), ["root:x:0:0"]);
    assert!(matches!(Ledger::open(Path::new("/dev/null")), Err(LedgerError::NotAFile { .. })));
}

#[test]
fn the_stream_that_was_heard_of_longest_ago_is_forgotten() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut ledger = Ledger::open(&dir.path().join("out.jsonl")).expect("opens");
    for stream in 0..MAX_STREAMS {
        ledger.hear(&head(&stream.to_string(), 1, "t"));
    }
    ledger.hear(&head("0", 2, "t"));
    ledger.hear(&head("new", 1, "t"));
    assert_eq!(ledger.streams(), MAX_STREAMS);
    assert!(ledger.streams.contains_key("0") && !ledger.streams.contains_key("1"));
}
