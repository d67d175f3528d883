use proptest::prelude::*;

use super::*;

const WHOLE: Array<'static> =
    Array { name: "md0", state: "active", active: 2, required: 2, failed: 0, spare: 0, blocks: 1000, synced: 1000 };

/// An array from its lines, between what else is in the file.
fn one(lines: &'static str) -> Array<'static> {
    let text = format!("Personalities : [raid1] [raid6] [raid0] \n{lines}\nunused devices: <none>\n").leak();
    let (mut arrays, odd) = parse(text);
    assert_eq!((arrays.len(), odd), (1, None), "{text}");
    arrays.remove(0)
}

#[test]
fn a_whole_array_has_all_its_disks() {
    assert_eq!(one("md0 : active raid1 vdb1[0] vdc1[1]\n      1000 blocks super 1.2 [2/2] [UU]\n      \n"), WHOLE);
    // With a bitmap, as mdadm makes them for large disks.
    let text = "md0 : active raid1 vdb1[0] vdc1[1]\n      1000 blocks super 1.2 [2/2] [UU]\n      \
                bitmap: 0/1 pages [0KB], 65536KB chunk\n\n";
    assert_eq!(one(text), WHOLE);
    let text = "md0 : active (auto-read-only) raid1 vdb1[0] vdc1[1]\n      1000 blocks [2/2] [UU]\n\n";
    assert_eq!(one(text), WHOLE, "kernels of old, read-only until it is written");
}

#[test]
fn a_degraded_array_says_what_is_gone() {
    let text = "md0 : active raid6 vdf1[4](S) vde1[3](F) vdd1[2] vdc1[1] vdb1[0]\n      \
                1000 blocks super 1.2 level 6, 512k chunk, algorithm 2 [4/3] [UUU_]\n      \n";
    assert_eq!(one(text), Array { active: 3, required: 4, failed: 1, spare: 1, ..WHOLE });
}

#[test]
fn an_array_that_is_synchronised_says_why_and_how_far() {
    let head = "md0 : active raid1 vdb1[0] vdc1[1]\n      1000 blocks super 1.2 [2/1] [U_]\n      ";
    for (line, state, synced) in [
        ("[==>........]  recovery = 12.5% (125/1000) finish=0.1min speed=125K/sec", "recovering", 125),
        ("[>..........]  resync =  1.0% (10/1000) finish=9.1min speed=25K/sec", "resync", 10),
        ("[>..........]  check =  2.0% (20/1000) finish=9.1min speed=25K/sec", "check", 20),
        ("\tresync=DELAYED", "resync", 0),
        ("\tresync=PENDING", "resync", 0),
        ("\tresync=REMOTE", "resync", 0),
        ("\tcheck=DELAYED", "check", 0),
        ("[>..........]  reshape =  2.0% (20/1000) finish=9.1min speed=25K/sec", "active", 1000),
    ] {
        for bitmap in ["", "\n      bitmap: 1/1 pages [4KB], 65536KB chunk"] {
            let text = format!("{head}{line}{bitmap}\n\n").leak();
            assert_eq!(one(text), Array { state, active: 1, synced, ..WHOLE }, "{line}{bitmap}");
        }
    }
}

#[test]
fn arrays_without_redundancy_count_what_is_listed() {
    assert_eq!(one("md0 : active raid0 vdc1[1] vdb1[0]\n      1000 blocks super 1.2 512k chunks\n      \n"), WHOLE);
    assert_eq!(one("md0 : active linear vdc1[1] vdb1[0]\n      1000 blocks super 1.2 0k rounding\n      \n"), WHOLE);
}

#[test]
fn an_inactive_array_has_disks_that_wait() {
    let inactive = Array { state: "inactive", active: 0, required: 0, ..WHOLE };
    let text = "md0 : inactive vdc[1](S) vdb[0](S)\n      1000 blocks super external:imsm\n       \n";
    assert_eq!(one(text), Array { spare: 2, ..inactive.clone() });
    assert_eq!(one("md0 : inactive \n      \n"), Array { blocks: 0, synced: 0, ..inactive });
}

#[test]
fn what_is_odd_costs_its_array() {
    let text = "Personalities : [raid1] \nmd1 : active raid1 vdb1[0]\n      many blocks [2/2] [UU]\n\n\
                md0 : active raid1 vdb1[0] vdc1[1]\n      1000 blocks super 1.2 [2/2] [UU]\n      \nmd2\n";
    assert_eq!(parse(text), (vec![WHOLE], Some("md1")));
    assert_eq!(parse("md2 : active\n"), (vec![], Some("md2")));
    assert_eq!(parse("Personalities : \nunused devices: <none>\n"), (vec![], None));
}

#[test]
fn each_state_has_its_series() {
    let mut families = Families::default();
    Array { state: "recovering", active: 1, synced: 125, ..WHOLE }.show(&mut families);
    let shown: Vec<String> = families
        .0
        .iter()
        .flat_map(|family| family.series.iter().map(move |s| (family, s)))
        .map(|(family, series)| format!("{} {} {}", family.name, series.labels.rendered(), series.value))
        .collect();
    assert_eq!(
        shown,
        [
            r#"node_md_state device="md0",state="active" 0"#,
            r#"node_md_state device="md0",state="inactive" 0"#,
            r#"node_md_state device="md0",state="recovering" 1"#,
            r#"node_md_state device="md0",state="resync" 0"#,
            r#"node_md_state device="md0",state="check" 0"#,
            r#"node_md_disks device="md0",state="active" 1"#,
            r#"node_md_disks device="md0",state="failed" 0"#,
            r#"node_md_disks device="md0",state="spare" 0"#,
            r#"node_md_disks_required device="md0" 2"#,
            r#"node_md_blocks device="md0" 1000"#,
            r#"node_md_blocks_synced device="md0" 125"#,
        ]
    );
}

#[test]
fn a_host_without_the_file_has_no_arrays() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = Mdadm { roots: Roots { procfs: dir.path().into(), ..Roots::default() } };
    assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Absent(_))));
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(md[0-9] : (in)?active (raid1|raid0)? ?|[\\PC]|\n|      |\\[[0-9]/[0-9]\\]|resync =|[0-9 ]+)*") {
        prop_assert!(parse(&text).0.len() <= text.lines().count());
    }
}
