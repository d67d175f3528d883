use proptest::prelude::*;

use super::*;

/// Kernels 6.x, 4.19, 4.4 and 2.6: a whole disk, discards and no flushes, neither, and a partition of old.
const KERNELS: &str = "\
 254       0 vda 154523 2331 9347258 62330 2312441 1203311 79234464 1810337 3 912340 1900012 7 1 4096 5 8801 27345
   8       0 sda 20 1 400 8 30 2 600 9 0 17 19 5 6 7 8
   8      16 sdb 20 1 400 8 30 2 600 9 0 17 19
   8      17 sdb1 11 88 12 96
 259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19
";

fn collect(dir: &tempfile::TempDir, diskstats: &str, filter: Filter) -> (Families, Result<(), CollectError>) {
    std::fs::write(dir.path().join("diskstats"), diskstats).unwrap();
    let settings = Settings {
        roots: Roots { procfs: dir.path().into(), udev_data: dir.path().into(), ..Roots::default() },
        filters: [("diskstats", filter)].into(),
        ..Settings::below(dir.path())
    };
    let mut families = Families::default();
    let result = Diskstats::new(&settings).collect(&mut families);
    (families, result)
}

/// The series of a family: labels and value.
fn shown<'a>(families: &'a Families, name: &str) -> Vec<(&'a str, f64)> {
    let family = families.0.iter().find(|family| family.name == name);
    family.into_iter().flat_map(|family| &family.series).map(|s| (s.labels.rendered(), s.value)).collect()
}

#[test]
fn kernels_count_what_they_know() {
    let dir = tempfile::tempdir().unwrap();
    let (families, result) = collect(&dir, KERNELS, Filter::default());
    result.unwrap();
    let (vda, sda, sdb) = (r#"device="vda""#, r#"device="sda""#, r#"device="sdb""#);
    let nvme = r#"device="nvme0n1""#;
    assert_eq!(
        shown(&families, "node_disk_read_bytes_total"),
        [(vda, 9_347_258.0 * 512.0), (sda, 400.0 * 512.0), (sdb, 400.0 * 512.0), (nvme, 3.0 * 512.0)]
    );
    assert_eq!(shown(&families, "node_disk_io_now")[0], (vda, 3.0));
    assert_eq!(shown(&families, "node_disk_io_time_seconds_total")[1], (sda, 0.017));
    assert_eq!(shown(&families, "node_disk_io_time_weighted_seconds_total")[2], (sdb, 0.019));
    assert_eq!(shown(&families, "node_disk_discarded_sectors_total"), [(vda, 4096.0), (sda, 7.0), (nvme, 14.0)]);
    assert_eq!(shown(&families, "node_disk_flush_requests_time_seconds_total"), [(vda, 27.345), (nvme, 0.017)]);
    assert_eq!(
        shown(&families, "node_disk_info")[0].0,
        r#"device="vda",major="254",minor="0",path="",wwn="",model="",serial="",revision="""#
    );
}

#[test]
fn the_filter_hides_devices() {
    let dir = tempfile::tempdir().unwrap();
    let exclude = Some(regex::Regex::new("^(vd|sd)[a-z]$").unwrap());
    let (families, _) = collect(&dir, KERNELS, Filter { include: None, exclude });
    assert_eq!(shown(&families, "node_disk_io_now"), [(r#"device="nvme0n1""#, 9.0)]);
    assert_eq!(shown(&families, "node_disk_info").len(), 1);
}

#[test]
fn udev_knows_more() {
    let dir = tempfile::tempdir().unwrap();
    let udev = "S:disk/by-id/ata-X\nI:1234\nE:ID_PATH=pci-0000:00:1f.2-ata-1\nE:ID_MODEL=old\nE:ID_MODEL=X=Y\n\
                E:ID_SERIAL_SHORT=S1\nE:ID_REVISION=R2\nE:ID_WWN=0x5\nE:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\n\
                E:ID_ATA_WRITE_CACHE_ENABLED=0\nE:ID_ATA_ROTATION_RATE_RPM=fast\nE:ID_FS_TYPE=ext4\n\
                E:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=u-1\nE:ID_FS_VERSION=1.0\nG:systemd\nnonsense\n";
    std::fs::write(dir.path().join("b8:0"), udev).unwrap();
    std::fs::write(
        dir.path().join("b8:16"),
        "E:DM_NAME=vg-root\nE:DM_UUID=LVM-1\nE:DM_VG_NAME=vg\nE:DM_LV_NAME=root\n",
    )
    .unwrap();
    let (families, result) = collect(&dir, KERNELS, Filter::default());
    result.unwrap();
    assert_eq!(
        shown(&families, "node_disk_info")[1].0,
        r#"device="sda",major="8",minor="0",path="pci-0000:00:1f.2-ata-1",wwn="0x5",model="X=Y",serial="S1",revision="R2""#
    );
    assert_eq!(
        shown(&families, "node_disk_filesystem_info"),
        [(r#"device="sda",type="ext4",usage="filesystem",uuid="u-1",version="1.0""#, 1.0)]
    );
    assert_eq!(
        shown(&families, "node_disk_device_mapper_info"),
        [(r#"device="sdb",name="vg-root",uuid="LVM-1",vg_name="vg",lv_name="root",lv_layer="""#, 1.0)]
    );
    assert_eq!(shown(&families, "node_disk_ata_write_cache"), [(r#"device="sda""#, 1.0)]);
    assert_eq!(shown(&families, "node_disk_ata_write_cache_enabled"), [(r#"device="sda""#, 0.0)]);
    assert_eq!(shown(&families, "node_disk_ata_rotation_rate_rpm"), [], "what is no number is not shown");
}

#[test]
fn an_odd_line_costs_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (families, result) =
        collect(&dir, "8 0 sda 1 2 3 4 5 6 7 8 9 10 eleven\n\n 8 16 sdb 0 0 0 0 0 0 0 0 0 0 0\n", Filter::default());
    let error = result.unwrap_err().to_string();
    assert!(error.contains("eleven"), "{error}");
    assert_eq!(shown(&families, "node_disk_io_now"), [(r#"device="sdb""#, 0.0)]);
}

#[test]
fn a_host_without_the_file_has_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { procfs: dir.path().into(), ..Roots::default() };
    let mut collector = Diskstats { roots, filter: Filter::default() };
    assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Read { .. })));
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[\\PC\n 0-9]*") {
        prop_assert!(parse(&text).0.len() <= text.lines().count());
    }

    #[test]
    fn numbers_come_out_as_they_went_in(major: u32, minor: u32, numbers in prop::collection::vec(any::<u64>(), 11..=17)) {
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let text = format!("{major:4} {minor:7} sda {}\n", words.join(" "));
        prop_assert_eq!(parse(&text), (vec![Device { major, minor, name: "sda", numbers }], None));
    }
}
