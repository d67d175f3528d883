use super::*;

const UUID: &str = "7a2c0f3e-0b0e-4c53-9c53-2f9d8c1d7f10";

fn shown(families: &Families) -> Vec<String> {
    families
        .0
        .iter()
        .flat_map(|family| family.series.iter().map(move |series| (family, series)))
        .map(|(family, series)| format!("{} {} {}", family.name, series.labels.rendered(), series.value))
        .collect()
}

fn tree(dir: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = dir.join("fs/btrfs").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn file_system(dir: &Path, uuid: &str) {
    let file = |name: &str| format!("{uuid}/{name}");
    tree(
        dir,
        &[
            (&file("label"), "pool\n"),
            (&file("allocation/global_rsv_size"), "16777216\n"),
            (&file("allocation/data/bytes_reserved"), "4096\n"),
            (&file("allocation/data/raid5/used_bytes"), "100\n"),
            (&file("allocation/data/raid5/total_bytes"), "200\n"),
            (&file("allocation/metadata/bytes_reserved"), "0\n"),
            (&file("allocation/metadata/raid1/used_bytes"), "10\n"),
            (&file("allocation/metadata/raid1/total_bytes"), "20\n"),
            (&file("allocation/system/bytes_reserved"), "0\n"),
            (&file("devices/vdb/size"), "2048\n"),
            (&file("devices/vdc/size"), "4096\n"),
            (&file("devices/vdd/size"), "8192\n"),
        ],
    );
}

fn collect(dir: &Path) -> (Families, Result<(), CollectError>) {
    let roots = Roots { sysfs: dir.into(), procfs: dir.into(), ..Roots::default() };
    let mut families = Families::default();
    let result = Btrfs { roots }.collect(&mut families);
    (families, result)
}

#[test]
fn a_file_system_that_may_not_be_asked_is_shown_from_sysfs() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(collect(dir.path()).1, Err(CollectError::Absent(_))));
    tree(dir.path(), &[("features/raid56", "0\n")]);
    assert_eq!(collect(dir.path()).0, Families::default());
    file_system(dir.path(), UUID);
    let (families, result) = collect(dir.path());
    result.unwrap();
    let wanted: Vec<String> = [
        ("node_btrfs_info", r#",label="pool""#, "1"),
        ("node_btrfs_global_rsv_size_bytes", "", "16777216"),
        ("node_btrfs_reserved_bytes", r#",block_group_type="data""#, "4096"),
        ("node_btrfs_reserved_bytes", r#",block_group_type="metadata""#, "0"),
        ("node_btrfs_reserved_bytes", r#",block_group_type="system""#, "0"),
        ("node_btrfs_used_bytes", r#",block_group_type="data",mode="raid5""#, "100"),
        ("node_btrfs_used_bytes", r#",block_group_type="metadata",mode="raid1""#, "10"),
        ("node_btrfs_size_bytes", r#",block_group_type="data",mode="raid5""#, "200"),
        ("node_btrfs_size_bytes", r#",block_group_type="metadata",mode="raid1""#, "20"),
        ("node_btrfs_allocation_ratio", r#",block_group_type="data",mode="raid5""#, "1.5"),
        ("node_btrfs_allocation_ratio", r#",block_group_type="metadata",mode="raid1""#, "2"),
        ("node_btrfs_device_size_bytes", r#",device="vdb""#, "1048576"),
        ("node_btrfs_device_size_bytes", r#",device="vdc""#, "2097152"),
        ("node_btrfs_device_size_bytes", r#",device="vdd""#, "4194304"),
    ]
    .map(|(name, labels, value)| format!(r#"{name} uuid="{UUID}"{labels} {value}"#))
    .into();
    assert_eq!(shown(&families), wanted);
}

#[test]
fn its_later_identity_names_it_and_an_odd_file_costs_itself() {
    let dir = tempfile::tempdir().unwrap();
    file_system(dir.path(), UUID);
    tree(
        dir.path(),
        &[(&format!("{UUID}/metadata_uuid"), "later-1\n"), (&format!("{UUID}/allocation/global_rsv_size"), "much\n")],
    );
    let (families, result) = collect(dir.path());
    let error = result.unwrap_err().to_string();
    assert!(error.ends_with("global_rsv_size: \"much\" is not a number"), "{error}");
    assert!(shown(&families).iter().all(|series| series.contains(r#"uuid="later-1""#)));
    assert_eq!(shown(&families).len(), 13);
}

#[test]
fn devices_that_were_asked_say_more() {
    let mut families = Families::default();
    let mut reading = Reading { dir: PathBuf::new(), uuid: "u-1".into(), out: &mut families, error: None };
    let device = ioctl::Device {
        uuid: "ab12".into(),
        path: "/dev/mapper/vdb".into(),
        used: 3,
        size: 10,
        errors: [1, 2, 3, 4, 5],
    };
    reading.device(&device);
    let labels = r#"device="vdb",btrfs_dev_uuid="ab12""#;
    assert_eq!(
        shown(&families),
        [
            format!(r#"node_btrfs_device_size_bytes uuid="u-1",{labels} 10"#),
            format!(r#"node_btrfs_device_unused_bytes uuid="u-1",{labels} 7"#),
            format!(r#"node_btrfs_device_errors_total uuid="u-1",type="write",{labels} 1"#),
            format!(r#"node_btrfs_device_errors_total uuid="u-1",type="read",{labels} 2"#),
            format!(r#"node_btrfs_device_errors_total uuid="u-1",type="flush",{labels} 3"#),
            format!(r#"node_btrfs_device_errors_total uuid="u-1",type="corruption",{labels} 4"#),
            format!(r#"node_btrfs_device_errors_total uuid="u-1",type="generation",{labels} 5"#),
        ]
    );
}

#[test]
fn layouts_cost_what_they_cost() {
    for (mode, devices, wanted) in [
        ("single", 3, 1.0),
        ("raid0", 3, 1.0),
        ("dup", 1, 2.0),
        ("raid10", 4, 2.0),
        ("raid1c3", 3, 3.0),
        ("raid1c4", 4, 4.0),
        ("raid5", 4, 4.0 / 3.0),
        ("raid6", 4, 2.0),
        ("raid6", 2, 0.0),
        ("raid5", 0, 0.0),
        ("raid9", 4, 0.0),
    ] {
        assert_eq!(ratio(mode, devices), wanted, "{mode} over {devices}");
    }
}
