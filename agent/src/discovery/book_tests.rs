use super::super::parse::{MAX_VALUE, Skipped};
use super::*;

const TTL: Duration = Duration::from_secs(15);

fn at(seconds: u64) -> Moment {
    Moment { boot: Duration::from_secs(1000 + seconds), wall: Duration::from_secs(seconds) }
}

fn read(service: &str, id: &str, status: &str, revision: i64) -> Read {
    let text = format!(r#"{{"id":"{id}","service":"{service}","address":"h","port":1,"status":"{status}"}}"#);
    let instance = Arc::new(serde_json::from_str(&text).expect("an instance"));
    let parsed = Parsed { service: service.parse().expect("a name"), instance, size: text.len() };
    Read { key: format!("/services/{service}/{id}").into_bytes(), revision, what: Ok(parsed) }
}

fn junk(key: &str, revision: i64) -> Read {
    Read { key: key.as_bytes().to_vec(), revision, what: Err(Skipped::Key) }
}

fn put(id: &str, revision: i64) -> Change {
    Change::Put(read("shop", id, "UP", revision))
}

fn delete(id: &str, revision: i64) -> Change {
    Change::Delete { key: format!("/services/shop/{id}").into_bytes(), revision }
}

fn listing(ids: &str, cluster: u64, revision: i64) -> Listing {
    let reads = ids.split_whitespace().map(|id| read("shop", id, "UP", revision)).collect();
    Listing { cluster, revision, reads }
}

/// A book that knows these instances of `shop`.
fn book(ids: &str) -> Book {
    let mut book = Book::new("/services", TTL);
    book.relist(listing(ids, 1, 10), at(0)).expect("fits");
    book.look();
    book
}

/// `a b? c`, where b is suspect.
fn shown(book: &mut Book) -> String {
    let (services, _) = book.look();
    let found = services.get("shop").map(|found| found.to_vec()).unwrap_or_default();
    let words = found.iter().map(|found| {
        let mark = if found.suspect.is_some() { "?" } else { "" };
        format!("{}{mark}", found.instance.id)
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn more_than_half() {
    // left, vanished, suspicious
    let cases = [
        (0, 0, false),
        (1, 0, false),
        // One that was alone goes at once.
        (0, 1, false),
        // One of two is a half.
        (1, 1, false),
        (0, 2, true),
        (2, 1, false),
        (1, 2, true),
        (0, 3, true),
        (2, 2, false),
        (2, 3, true),
        (50, 50, false),
        (49, 51, true),
        (usize::MAX, usize::MAX, false),
    ];
    for (left, vanished, suspicious) in cases {
        assert_eq!(is_suspicious(left, vanished), suspicious, "{left} left, {vanished} vanished");
    }
}

/// Instances, what happens to them when (seconds; -a: deleted, +a: put), when that is looked at, and what is shown then.
type Story = (&'static str, &'static [(u64, &'static str)], u64, &'static str);

const STORIES: &[Story] = &[
    ("alone", &[(1, "-alone")], 1, ""),
    ("a b", &[(1, "-a")], 1, "b"),
    ("a b", &[(1, "-a -b")], 1, "a? b?"),
    ("a b", &[(1, "-a"), (10, "-b")], 10, "a? b?"),
    // One after another over longer than a TTL: they stopped in order.
    ("a b", &[(1, "-a"), (17, "-b")], 17, ""),
    ("a b c d", &[(1, "-a"), (5, "-b")], 5, "c d"),
    ("a b c d", &[(1, "-a"), (5, "-b"), (9, "-c")], 9, "a? b? c? d"),
    ("a b c d", &[(1, "-a"), (17, "-b"), (33, "-c"), (49, "-d")], 49, ""),
    ("a b c d", &[(1, "-a -b -c -d")], 1, "a? b? c? d?"),
    // They come back, or their time is over.
    ("a b c d", &[(1, "-a -b -c -d"), (3, "+a +b")], 3, "a b c? d?"),
    ("a b c d", &[(1, "-a -b -c -d")], 300, "a? b? c? d?"),
    ("a b c d", &[(1, "-a -b -c -d")], 302, ""),
    ("a b c d", &[(1, "-a -b -c"), (200, "-d")], 200, "a? b? c?"),
    // New ones take the place of old ones.
    ("a b c", &[(1, "+x -a"), (2, "+y -b"), (3, "+z -c")], 3, "x y z"),
    // The same one again and again is no mass.
    ("a b c", &[(1, "-a"), (2, "+a"), (3, "-a"), (4, "+a"), (5, "-a")], 5, "b c"),
];

#[test]
fn those_that_vanish_together_are_suspect() {
    for (ids, story, when, expected) in STORIES {
        let mut book = book(ids);
        let mut revision = 10;
        for (second, steps) in *story {
            book.expire(at(*second));
            let changes = steps.split_whitespace().map(|step| {
                revision += 1;
                step.strip_prefix('-').map_or_else(|| put(&step[1..], revision), |id| delete(id, revision))
            });
            book.apply(changes.collect(), at(*second)).expect("fits");
        }
        book.expire(at(*when));
        assert_eq!(shown(&mut book), *expected, "{ids}: {story:?} at {when}");
    }
}

#[test]
fn what_a_list_does_not_have_is_gone() {
    let mut book = book("a b c");
    book.relist(listing("b c", 1, 20), at(5)).expect("fits");
    assert_eq!((shown(&mut book).as_str(), book.revision()), ("b c", 20));
    book.relist(listing("b c d e", 1, 30), at(60)).expect("fits");
    assert_eq!(shown(&mut book), "b c d e");
    book.relist(listing("b", 1, 40), at(120)).expect("fits");
    assert_eq!(shown(&mut book), "b c? d? e?");
    book.relist(listing("b c d e", 1, 50), at(121)).expect("fits");
    assert_eq!(shown(&mut book), "b c d e");
}

#[test]
fn a_registry_that_lost_its_data_takes_nobody() {
    for (cluster, revision) in [(1, 2), (2, 99)] {
        let mut book = book("alone");
        book.relist(listing("", cluster, revision), at(5)).expect("fits");
        assert_eq!(shown(&mut book), "alone?");
        book.relist(listing("alone", cluster, revision + 1), at(6)).expect("fits");
        assert_eq!(shown(&mut book), "alone");
    }
    let mut same = book("alone");
    same.relist(listing("", 1, 99), at(5)).expect("fits");
    assert_eq!(shown(&mut same), "");
}

#[test]
fn only_changes_change() {
    let mut book = book("a b");
    book.apply(vec![put("a", 11)], at(1)).expect("fits");
    assert_eq!((book.look().1, book.revision()), (false, 11));
    book.relist(listing("a b", 1, 12), at(2)).expect("fits");
    assert!(!book.look().1);
    book.apply(vec![Change::Put(read("shop", "a", "DOWN", 13))], at(3)).expect("fits");
    let (services, changed) = book.look();
    assert!(changed);
    assert_eq!(services["shop"][0].instance.status, "DOWN");
    book.apply(vec![delete("nobody", 14)], at(4)).expect("fits");
    assert!(!book.look().1);
    book.apply(vec![Change::Delete { key: b"/services/other/x".to_vec(), revision: 15 }], at(4)).expect("fits");
    assert!(!book.look().1);
}

#[test]
fn what_is_no_instance_is_counted_and_shown_to_nobody() {
    let mut book = book("a b");
    book.apply(vec![Change::Put(junk("/services/x", 11)), Change::Put(junk("/services/shop/a", 12))], at(1))
        .expect("fits");
    assert_eq!((shown(&mut book).as_str(), book.skipped()), ("b", 2));
    // Its owner repairs it.
    book.apply(vec![put("a", 13)], at(2)).expect("fits");
    assert_eq!((shown(&mut book).as_str(), book.skipped()), ("a b", 2));
    let mut list = listing("a b", 1, 20);
    list.reads.push(junk("/services/x", 11));
    book.relist(list, at(3)).expect("fits");
    assert_eq!(book.skipped(), 2, "the same value is not counted again");
}

#[test]
fn it_is_due_when_something_expires() {
    let mut book = book("a b c d");
    assert_eq!(book.due(at(0)), None);
    book.apply(vec![delete("a", 11)], at(0)).expect("fits");
    assert_eq!(book.due(at(5)), Some(Duration::from_secs(10) + TICK));
    book.expire(at(16));
    assert_eq!(book.due(at(16)), None);
    book.apply(vec![delete("b", 12), delete("c", 13)], at(20)).expect("fits");
    assert_eq!(book.due(at(20)), Some(SUSPECT_FOR + TICK));
    book.expire(at(321));
    assert_eq!((shown(&mut book).as_str(), book.due(at(321))), ("d", None));
}

#[test]
fn who_puts_and_deletes_for_ever_fills_no_memory() {
    let mut book = book("");
    let large = MAX_BYTES / 100;
    for n in 0..1000_u16 {
        let id = format!("i{n}");
        let mut read = read("shop", &id, "UP", i64::from(n) + 11);
        if let Ok(parsed) = &mut read.what {
            parsed.size = large;
        }
        book.apply(vec![Change::Put(read), delete(&id, i64::from(n) + 11)], at(1)).expect("fits");
    }
    assert_eq!((book.gone, book.gone_bytes), (100, 100 * large));
    book.apply(vec![put("i7", 2000)], at(2)).expect("fits");
    assert_eq!((book.gone, book.gone_bytes), (99, 99 * large), "it is back");
    book.expire(at(1000));
    assert_eq!((book.gone, book.gone_bytes), (0, 0));
}

#[test]
fn too_much_is_an_error() {
    let mut list = listing("", 1, 10);
    list.reads = (0..=MAX_KEYS).map(|n| junk(&format!("/services/{n}"), 1)).collect();
    let error = Book::new("/services", TTL).relist(list, at(0)).expect_err("too many");
    assert!(error.to_string().contains("more than 100000 keys below /services"), "{error}");

    let mut book = book("");
    let mut large = read("shop", "a", "UP", 11);
    if let Ok(parsed) = &mut large.what {
        parsed.size = MAX_BYTES;
    }
    book.apply(vec![Change::Put(large)], at(0)).expect("fits");
    let error = book.apply(vec![put("b", 12)], at(0)).expect_err("too large");
    assert!(error.to_string().contains("64 MiB"), "{error}");
    book.apply(vec![delete("a", 13)], at(0)).expect("fits again");
    const { assert!(MAX_VALUE < MAX_BYTES) };
}
