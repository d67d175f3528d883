use proptest::prelude::*;

use super::*;

/// As OpenZFS 2.1 shows them, shortened.
const ARC: &str = "13 1 0x01 123 33456 5276434567 86345678912\n\
    name                            type data\n\
    hits                            4    19384757\n\
    memory_available_bytes          3    -912\n\
    l2_hits-and-misses              4    7\n\
    kstat.zfs.deep                  4    8\n\
    not/a/name                      4    9\n\
    cached                          7    text\n";
const IO: &str = "22 3 0x00 1 80 9876543210 1234567890\n\
    nread    nwritten reads    writes   wtime    wlentime wupdate  rtime    rlentime rupdate  wcnt     rcnt    \n\
    1884160  3206144  22       132      7155     1041     7921     2416     1041     7921     0        1       \n";
const OBJSET: &str = "41 1 0x01 7 2160 5214787391 73405258558961\n\
    name                            type data\n\
    dataset_name                    7    tank/home\n\
    writes                          4    12\n\
    nwritten                        4    4096\n";

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = dir.path().join("spl/kstat/zfs").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn collect(dir: &tempfile::TempDir) -> (Vec<String>, Result<(), CollectError>) {
    let mut families = Families::default();
    let result = Zfs { roots: Roots { procfs: dir.path().into(), ..Roots::default() } }.collect(&mut families);
    let shown = families
        .0
        .iter()
        .flat_map(|family| family.series.iter().map(move |series| (family, series)))
        .map(|(family, s)| format!("{} {}{{{}}} {}", family.kind.word(), family.name, s.labels.rendered(), s.value))
        .collect();
    (shown, result)
}

#[test]
fn the_module_counts() {
    let (shown, result) = collect(&tree(&[("arcstats", ARC), ("dbufs", "other\n")]));
    result.unwrap();
    assert_eq!(
        shown,
        [
            "untyped node_zfs_arc_hits{} 19384757",
            "untyped node_zfs_arc_l2_hits_and_misses{} 7",
            "untyped node_zfs_arc_deep{} 8"
        ]
    );
}

#[test]
fn pools_and_their_datasets_count() {
    let tree = tree(&[
        ("tank/io", IO),
        ("tank/state", "DEGRADED\n"),
        ("tank/objset-0x36", OBJSET),
        ("tank/objset-0x37", OBJSET),
        ("tank/txgs", "other\n"),
    ]);
    let (shown, result) = collect(&tree);
    result.unwrap();
    assert_eq!(shown.len(), 12 + 6 + 2);
    for wanted in [
        r#"untyped node_zfs_zpool_nread{zpool="tank"} 1884160"#,
        r#"untyped node_zfs_zpool_rcnt{zpool="tank"} 1"#,
        r#"gauge node_zfs_zpool_state{zpool="tank",state="online"} 0"#,
        r#"gauge node_zfs_zpool_state{zpool="tank",state="degraded"} 1"#,
        r#"untyped node_zfs_zpool_dataset_writes{zpool="tank",dataset="tank/home"} 12"#,
        r#"untyped node_zfs_zpool_dataset_nwritten{zpool="tank",dataset="tank/home"} 4096"#,
    ] {
        assert!(shown.iter().any(|series| series == wanted), "{wanted} is not in {shown:#?}");
    }
}

#[test]
fn what_is_odd_costs_itself() {
    let tree = tree(&[
        ("fm", "name type data\nbroken 4 -5\nwhole 4 5\n"),
        ("zil", "nothing\n"),
        ("tank/io", "1 2\nnread writes\nmany 7\n"),
        ("tank/objset-1", "empty\n"),
    ]);
    let (shown, result) = collect(&tree);
    assert!(matches!(result, Err(CollectError::Odd { .. })), "{result:?}");
    assert_eq!(shown, ["untyped node_zfs_fm_whole{} 5", r#"untyped node_zfs_zpool_writes{zpool="tank"} 7"#]);
    assert!(matches!(collect(&tempfile::tempdir().unwrap()).1, Err(CollectError::Absent(_))));
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(name type data\n|[a-z.-]+ 4 [0-9]+\n|[\\PC\n])*") {
        let dir = tree(&[("fm", &text), ("tank/io", &text), ("tank/objset-1", &text), ("tank/state", &text)]);
        let (shown, _) = collect(&dir);
        let mut names: Vec<&str> = shown.iter().filter_map(|series| Some(series.rsplit_once(' ')?.0)).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        prop_assert_eq!(names.len(), all, "a series stands twice");
    }
}
