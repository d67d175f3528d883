use std::os::unix::fs::symlink;

use super::*;
use crate::model::host::HostFamily;

struct Dir {
    dir: tempfile::TempDir,
    textfile: Textfile,
}

impl Dir {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let textfile = Textfile::of(dir.path().to_owned());
        let dir = Self { dir, textfile };
        files.iter().for_each(|(name, text)| dir.write(name, text));
        dir
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn collect(&mut self) -> Families {
        self.collect_beside(&[])
    }

    fn collect_beside(&mut self, taken: &[&'static str]) -> Families {
        let mut out = Families::default();
        for name in taken {
            out.family(HostKind::Gauge, *name, "Taken.");
        }
        self.textfile.collect(&mut out).unwrap();
        out.0.retain(|family| !family.series.is_empty());
        out
    }

    /// What is said of a file.
    fn fault(&self, name: &str) -> &str {
        self.textfile.said.get(&self.path(name)).map_or("", String::as_str)
    }
}

fn names(families: &Families) -> Vec<&str> {
    families.0.iter().map(|family| &*family.name).filter(|name| !name.starts_with("node_textfile_")).collect()
}

fn family<'a>(families: &'a Families, name: &str) -> &'a HostFamily {
    families.0.iter().find(|family| family.name == name).unwrap()
}

fn shown(families: &Families, name: &str) -> Vec<String> {
    let line =
        |one: &crate::model::host::HostSeries| format!("{}{{{}}} {}", one.suffix, one.labels.rendered(), one.value);
    family(families, name).series.iter().map(line).collect()
}

fn error(families: &Families) -> f64 {
    family(families, SCRAPE_ERROR).series[0].value
}

#[test]
fn good_files_are_shown_with_their_times() {
    let mut dir =
        Dir::with(&[("a.prom", "# HELP a An a.\n# TYPE a counter\na 1\n"), ("b.txt", "no\n"), (".prom", "c 3\n")]);
    let families = dir.collect();
    assert_eq!(names(&families), ["c", "a"]);
    assert_eq!((family(&families, "a").kind, &*family(&families, "a").help), (HostKind::Counter, "An a."));
    assert_eq!(
        &*family(&families, "c").help,
        format!("Left without a description in {}.", dir.path(".prom").display())
    );
    assert_eq!(error(&families), 0.0);
    let time = std::fs::metadata(dir.path("a.prom")).unwrap().mtime();
    let wanted = format!("{{file=\"{}\"}} {time}", dir.path("a.prom").display());
    assert_eq!(shown(&families, MTIME)[1], wanted);
}

#[test]
fn a_bad_file_costs_itself() {
    let large = format!("{}\n", "#".repeat(usize::try_from(MAX_BYTES).unwrap()));
    let many: String = (0..=parse::MAX_SERIES).map(|n| format!("many{{n=\"{n}\"}} 1\n")).collect();
    let mut dir = Dir::with(&[("good.prom", "good 1\n"), ("large.prom", &large), ("many.prom", &many)]);
    dir.write("syntax.prom", "x 1\nx{ 1\n");
    dir.write("time.prom", "# a\ntime 1 1700000000000\n");
    dir.write("own.prom", "vitald_up 1\n");
    dir.write("utf8.prom", b"x 1\ny{l=\"\xff\"} 1\n");
    dir.write("half.prom", "half 1");
    std::fs::create_dir(dir.path("dir.prom")).unwrap();
    symlink("/nowhere/at/all", dir.path("gone.prom")).unwrap();
    symlink("/dev/null", dir.path("device.prom")).unwrap();
    assert!(matches!(stamp(&dir.path("device.prom"), MAX_TOTAL), Err(Fault::NotAFile)), "it is not opened");
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path("pipe.prom"), rustix::fs::Mode::RUSR).unwrap();

    let families = dir.collect();
    assert_eq!(names(&families), ["good"]);
    assert_eq!(error(&families), 1.0);
    assert_eq!(shown(&families, MTIME).len(), 1);
    for (file, wanted) in [
        ("large.prom", "larger than"),
        ("many.prom", "line 10001: more than 10000 series"),
        ("syntax.prom", "line 2: "),
        ("time.prom", "line 2: a timestamp"),
        ("own.prom", "line 1: names that start with vitald_"),
        ("utf8.prom", "line 2: it is not UTF-8"),
        ("half.prom", "line 1: the last line does not end"),
        ("dir.prom", "no regular file"),
        ("pipe.prom", "no regular file"),
        ("device.prom", "no regular file"),
        ("gone.prom", "cannot be read"),
    ] {
        assert!(dir.fault(file).contains(wanted), "{file}: {:?}", dir.fault(file));
    }
}

#[test]
fn the_first_of_two_files_that_contradict_each_other_stays() {
    let first = "# HELP a An a.\n# TYPE a gauge\na{x=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\n";
    let cases = [
        ("# TYPE a counter\na{x=\"2\"} 1\n", "line 1: a is a gauge in"),
        ("\n# HELP a Another a.\n# TYPE a gauge\na{x=\"2\"} 1\n", "line 2: a has another HELP in"),
        ("# TYPE a gauge\na{x=\"1\",y=\"\"} 2\n", "has the series a{x=\"1\"} too"),
        ("b 1\nh_count 1\n", "line 2: the name h_count is taken by h of"),
        ("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\n", "has the series h_bucket{le=\"+Inf\"} too"),
    ];
    for (second, wanted) in cases {
        let mut dir = Dir::with(&[("1.prom", first), ("2.prom", second), ("3.prom", "third 1\n")]);
        let families = dir.collect();
        assert_eq!(names(&families), ["a", "h", "third"], "{second}");
        assert_eq!(shown(&families, "a"), ["{x=\"1\"} 1"], "{second}");
        assert_eq!(error(&families), 1.0);
        assert!(dir.fault("2.prom").contains(wanted), "{:?}", dir.fault("2.prom"));
    }
}

#[test]
fn files_that_agree_share_a_family() {
    let mut dir = Dir::with(&[
        ("1.prom", "# TYPE a gauge\na{x=\"1\"} 1\n"),
        ("2.prom", "# HELP a An a.\n# TYPE a gauge\na{x=\"2\"} 2\n"),
        ("3.prom", "# HELP a An a.\n# TYPE a gauge\na{x=\"3\"} 3\n"),
    ]);
    let families = dir.collect();
    assert_eq!(shown(&families, "a"), ["{x=\"1\"} 1", "{x=\"2\"} 2", "{x=\"3\"} 3"]);
    assert_eq!(&*family(&families, "a").help, "An a.");
    assert_eq!(error(&families), 0.0);
}

#[test]
fn a_name_of_another_collector_costs_the_whole_file() {
    let mut dir = Dir::with(&[
        ("1.prom", "fine 1\nnode_load1 7\n"),
        ("2.prom", "node_textfile_scrape_error 0\n"),
        ("3.prom", "# TYPE node_x histogram\nnode_x_sum 1\n"),
        ("4.prom", "other 1\n"),
    ]);
    let families = dir.collect_beside(&["node_load1", "node_x_count"]);
    assert_eq!(names(&families), ["other"]);
    assert_eq!(error(&families), 1.0);
    assert_eq!(dir.fault("1.prom"), "line 2: the name node_load1 is that of another collector");
    assert_eq!(dir.fault("2.prom"), "line 1: the name node_textfile_scrape_error is that of another collector");
    assert_eq!(dir.fault("3.prom"), "line 1: the name node_x_count is that of another collector");

    assert_eq!(names(&dir.collect_beside(&["node_x_count"])), ["fine", "node_load1", "other"]);
}

#[test]
fn all_files_together_have_a_cap() {
    let series = |name: &str| (0..parse::MAX_SERIES).map(|n| format!("{name}{{n=\"{n}\"}} 1\n")).collect::<String>();
    let mut dir = Dir::with(&[]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        dir.write(&format!("{name}.prom"), series(name));
    }
    assert_eq!(names(&dir.collect()), ["a", "b", "c", "d", "e"]);
    assert_eq!(dir.fault("f.prom"), "the text files together have 50000 series already");
    dir.write("a.prom", "a 1\n");
    assert_eq!(names(&dir.collect()), ["a", "b", "c", "d", "e"]);
    assert!(dir.fault("f.prom").contains("the text files together have more than 50000 series"));
}

#[test]
fn all_files_together_have_a_cap_in_bytes() {
    let mut dir = Dir::with(&[("z.prom", "z 1\n")]);
    let megabyte = |n: usize| {
        let label = "x".repeat(usize::try_from(MAX_BYTES).unwrap() - 100);
        format!("a{{n=\"{n:02}\",l=\"{label}\"}} 1\n")
    };
    for n in 0..18 {
        dir.write(&format!("{n:02}.prom"), megabyte(n));
    }
    let families = dir.collect();
    assert_eq!((names(&families), family(&families, "a").series.len()), (vec!["a", "z"], 16));
    for name in ["16.prom", "17.prom"] {
        assert!(dir.fault(name).contains("more than 16777216 bytes"), "{}", dir.fault(name));
        assert!(!dir.textfile.files.contains_key(name));
    }
}

#[test]
fn what_is_refused_is_not_kept_and_is_read_again_when_it_may_fit() {
    let mut dir = Dir::with(&[("1.prom", "a 1\n"), ("2.prom", "a 2\n"), ("3.prom", "b 3\n")]);
    assert_eq!(names(&dir.collect()), ["a", "b"]);
    assert!(matches!(dir.textfile.files["2.prom"].content, Err(Fault::Clash(_))));
    std::fs::remove_file(dir.path("1.prom")).unwrap();
    let families = dir.collect();
    assert_eq!((shown(&families, "a"), error(&families)), (vec!["{} 2".to_owned()], 0.0));
}

#[test]
fn while_nothing_changes_nothing_is_put_together_anew() {
    let mut dir = Dir::with(&[("1.prom", "a 1\n"), ("2.prom", "b 2\n"), ("3.prom", "b 3\n")]);
    dir.collect();
    let settle = |dir: &mut Dir| dir.textfile.files.values_mut().for_each(|file| file.stamp.changed.0 = 1);
    settle(&mut dir);
    let mut found: Vec<(String, Stamp)> =
        dir.textfile.files.iter().map(|(name, file)| (name.clone(), file.stamp)).collect();
    assert!(dir.textfile.is_as_it_was(&found, &[]));
    assert!(!dir.textfile.is_as_it_was(&found, &[("a".into(), HostKind::Gauge)]), "another collector's");
    assert!(!dir.textfile.is_as_it_was(&found[1..], &[]), "one is gone");
    found[1].1.size += 1;
    assert!(!dir.textfile.is_as_it_was(&found, &[]), "one changed");
}

#[test]
fn many_files_of_one_family_are_put_together_at_once() {
    let parsed: Vec<Vec<TextFamily>> = (0..900)
        .map(|file| {
            let text: String = (0..55).map(|n| format!("a{{f=\"{file}\",n=\"{n}\"}} 1\n")).collect();
            parse::parse(&text).unwrap()
        })
        .collect();
    let begun = std::time::Instant::now();
    let mut merge = Merge::new("/d".into(), &[]);
    for (number, families) in parsed.iter().enumerate() {
        merge.add(&number.to_string(), families).unwrap();
    }
    assert!(merge.add("again", &parsed[899]).is_err());
    assert_eq!(merge.finish().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
}

#[test]
fn a_file_whose_name_has_a_newline_forges_no_log_line() {
    let mut dir = Dir::with(&[("a\nERROR forged.prom", "a 1\n"), ("b.prom", "a 1\n")]);
    dir.collect();
    assert!(dir.fault("b.prom").contains("a\\nERROR forged.prom"), "{}", dir.fault("b.prom"));
}

#[test]
fn of_too_many_files_the_first_are_shown() {
    let mut dir = Dir::with(&[]);
    for n in 0..=MAX_FILES {
        dir.write(&format!("{n:04}.prom"), format!("a{{n=\"{n}\"}} 1\n"));
    }
    let families = dir.collect();
    assert_eq!((family(&families, "a").series.len(), error(&families)), (MAX_FILES, 1.0));
    assert!(dir.fault("").contains("more than 1000 files"));
}

#[test]
fn what_changes_is_seen_and_what_goes_is_forgotten() {
    let mut dir = Dir::with(&[("a.prom", "a 1\n"), ("b.prom", "b 1\n")]);
    assert_eq!(names(&dir.collect()), ["a", "b"]);

    dir.write("a.prom", "x 1\n");
    std::fs::remove_file(dir.path("b.prom")).unwrap();
    assert_eq!(names(&dir.collect()), ["x"]);

    dir.write("a.prom", "bad\n");
    assert_eq!((names(&dir.collect()), error(&dir.collect())), (vec![], 1.0));
    dir.write("a.prom", "good 1\n");
    assert_eq!((names(&dir.collect()), error(&dir.collect())), (vec!["good"], 0.0));
}

#[test]
fn a_file_that_did_not_change_is_not_read_again() {
    let mut dir = Dir::with(&[("a.prom", "a 1\n")]);
    dir.collect();
    // A file that has not changed for long, by its stamp; what is kept of it is shown, not what it says.
    let stamp = Stamp { changed: (1, 0), ..dir.textfile.files["a.prom"].stamp };
    let kept = read_content(b"kept 1\n");
    let known = TextFile { stamp, content: kept };
    assert!(stamp.settled() && !dir.textfile.files["a.prom"].stamp.settled());

    assert!(!TextFile { stamp, content: Err(Fault::Read(std::io::ErrorKind::Other.into())) }.is_still(stamp));
    let same = still(known, stamp).unwrap();
    assert_eq!(same.content.as_ref().unwrap()[0].name, "kept");
    let (later, larger) = (Stamp { modified: (stamp.modified.0, 7), ..stamp }, Stamp { size: 5, ..stamp });
    assert!(still(same, later).is_none());
    assert!(still(TextFile { stamp, content: Ok(Vec::new()) }, larger).is_none());
    let fresh = dir.textfile.files["a.prom"].stamp;
    assert!(still(TextFile { stamp: fresh, content: Ok(Vec::new()) }, fresh).is_none(), "it may change within a tick");
}

#[test]
fn no_directory_is_an_error_and_none_configured_is_not() {
    let mut dir = Dir::with(&[]);
    assert_eq!(error(&dir.collect()), 0.0);
    dir.textfile.dir = dir.path("missing");
    assert_eq!(error(&dir.collect()), 1.0);
    assert!(dir.fault("missing").contains("cannot be read"));
    dir.textfile.dir = PathBuf::new();
    assert_eq!(error(&dir.collect()), 0.0);
}

#[test]
fn a_fault_is_news_once() {
    let faults =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(path, fault)| (path.into(), (*fault).to_owned())).collect();
    let (one, other): (Faults, Faults) = (faults(&[("a", "x"), ("b", "y")]), faults(&[("a", "z"), ("c", "y")]));
    assert_eq!(news(&Faults::new(), &one), [(Path::new("a"), Some("x")), (Path::new("b"), Some("y"))]);
    assert_eq!(news(&one, &one), []);
    let wanted = [(Path::new("a"), Some("z")), (Path::new("c"), Some("y")), (Path::new("b"), None)];
    assert_eq!(news(&one, &other), wanted);
}
