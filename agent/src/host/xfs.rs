//! What each mounted XFS did: `/sys/fs/xfs/DEVICE/stats/stats`, in the form of `/proc/fs/xfs/stat`, whose lines and
//! columns are those of `struct __xfsstats` in the kernel's `fs/xfs/xfs_stats.h`.
//!
//! Of the lines only those are shown that node_exporter shows. Columns that a newer kernel adds are passed over. The
//! kernel counts in 32 bits: these counters wrap.

use std::io::ErrorKind;

use super::collector::{self, CollectError, Collector, Families, Roots, Settings, float};
use crate::model::host::HostKind;

pub struct Xfs {
    roots: Roots,
}

/// A line of the file, and of its columns each name and what is said of it.
type Line = (&'static str, &'static [(&'static str, &'static str)]);

const LINES: [Line; 8] = [
    (
        "extent_alloc",
        &[
            ("node_xfs_extent_allocation_extents_allocated_total", "Extents that were allocated."),
            ("node_xfs_extent_allocation_blocks_allocated_total", "Blocks that were allocated."),
            ("node_xfs_extent_allocation_extents_freed_total", "Extents that were freed."),
            ("node_xfs_extent_allocation_blocks_freed_total", "Blocks that were freed."),
        ],
    ),
    (
        "abt",
        &[
            ("node_xfs_allocation_btree_lookups_total", "Look-ups in the trees of free space."),
            ("node_xfs_allocation_btree_compares_total", "Comparisons in the trees of free space."),
            ("node_xfs_allocation_btree_records_inserted_total", "Records put into the trees of free space."),
            ("node_xfs_allocation_btree_records_deleted_total", "Records taken out of the trees of free space."),
        ],
    ),
    (
        "blk_map",
        &[
            ("node_xfs_block_mapping_reads_total", "Look-ups of where a file's blocks are, to read them."),
            ("node_xfs_block_mapping_writes_total", "Look-ups of where a file's blocks are, to write them."),
            ("node_xfs_block_mapping_unmaps_total", "Blocks that were taken from files."),
            ("node_xfs_block_mapping_extent_list_insertions_total", "Extents put into lists of files."),
            ("node_xfs_block_mapping_extent_list_deletions_total", "Extents taken out of lists of files."),
            ("node_xfs_block_mapping_extent_list_lookups_total", "Look-ups in lists of extents."),
            ("node_xfs_block_mapping_extent_list_compares_total", "Comparisons in lists of extents."),
        ],
    ),
    (
        "bmbt",
        &[
            ("node_xfs_block_map_btree_lookups_total", "Look-ups in the trees of files' blocks."),
            ("node_xfs_block_map_btree_compares_total", "Comparisons in the trees of files' blocks."),
            ("node_xfs_block_map_btree_records_inserted_total", "Records put into the trees of files' blocks."),
            ("node_xfs_block_map_btree_records_deleted_total", "Records taken out of the trees of files' blocks."),
        ],
    ),
    (
        "dir",
        &[
            (
                "node_xfs_directory_operation_lookup_total",
                "Look-ups of names that the kernel's own cache did not have.",
            ),
            ("node_xfs_directory_operation_create_total", "Names that were put into directories."),
            ("node_xfs_directory_operation_remove_total", "Names that were taken out of directories."),
            ("node_xfs_directory_operation_getdents_total", "Readings of directories."),
        ],
    ),
    (
        "ig",
        &[
            ("node_xfs_inode_operation_attempts_total", "Look-ups in the inode cache."),
            ("node_xfs_inode_operation_found_total", "Look-ups that found the inode in the cache."),
            ("node_xfs_inode_operation_recycled_total", "Look-ups that found the inode, but about to be reused."),
            ("node_xfs_inode_operation_missed_total", "Look-ups that did not find the inode in the cache."),
            ("node_xfs_inode_operation_duplicates_total", "Inodes that another had put into the cache meanwhile."),
            ("node_xfs_inode_operation_reclaims_total", "Inodes taken out of the cache to free memory."),
            ("node_xfs_inode_operation_attribute_changes_total", "Changes of an inode's attributes."),
        ],
    ),
    (
        "rw",
        &[
            ("node_xfs_write_calls_total", "Calls of write(2) for files of the file system."),
            ("node_xfs_read_calls_total", "Calls of read(2) for files of the file system."),
        ],
    ),
    (
        "vnodes",
        &[
            ("node_xfs_vnode_active_total", "Vnodes that are on no free list."),
            ("node_xfs_vnode_allocate_total", "Vnodes that were allocated."),
            ("node_xfs_vnode_get_total", "Times that a vnode was got."),
            ("node_xfs_vnode_hold_total", "Times that a vnode was held."),
            ("node_xfs_vnode_release_total", "Times that a vnode was released."),
            ("node_xfs_vnode_reclaim_total", "Times that a vnode was reclaimed."),
            ("node_xfs_vnode_remove_total", "Times that a vnode was removed."),
        ],
    ),
];

impl Xfs {
    pub fn new(settings: &Settings) -> Self {
        Self { roots: settings.roots.clone() }
    }
}

impl Collector for Xfs {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let all = self.roots.sys("fs/xfs");
        let mut result = Ok(());
        for device in collector::entries(&all).map_err(CollectError::or_absent)? {
            let path = all.join(&device).join("stats/stats");
            match collector::read(&path) {
                Ok(text) => {
                    if let Some(line) = show(&text, &device, out) {
                        result = Err(CollectError::odd(path, format!("{line:?} is not a name and numbers")));
                    }
                }
                // Beside the devices stand directories of the kernel's own.
                Err(CollectError::Read { source, .. })
                    if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

/// Adds what the file says; returns the first line that says nothing.
fn show<'a>(text: &'a str, device: &str, out: &mut Families) -> Option<&'a str> {
    let mut odd = None;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        let columns = LINES.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, columns)| columns);
        let numbers: Result<Vec<u64>, _> = words.take(columns.len()).map(str::parse).collect();
        match numbers {
            Ok(numbers) => {
                for (&(name, help), &number) in columns.iter().zip(&numbers) {
                    out.family(HostKind::Counter, name, help).add(&[("device", device)], float(number));
                }
            }
            Err(_) => odd = odd.or(Some(line)),
        }
    }
    odd
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As kernel 6.x shows a file system that was used a little.
    const STATS: &str = "extent_alloc 8 14 3 5\nabt 0 0 0 0\nblk_map 96 41 7 11 5 152 0\nbmbt 1 2 3 4\n\
        dir 75 11 3 260\ntrans 0 105 3\nig 81 20 1 61 2 4 9\nlog 19 412 0 44 18\n\
        push_ail 243 0 21 17 0 3 0 1 0 2\nxstrat 6 0\nrw 12 34\nattr 6 0 0 0\nicluster 9 2 6\n\
        vnodes 57 1 2 3 4 5 6 7\nbuf 640 40 600 0 0 40 0 40 18\nabtb2 44 90 3 3 0 0 0 0 0 0 0 0 0 0 7\n\
        qm 0 0 0 0 0 0 0 0\nxpc 4096 184320 98304\ndebug 0\n";

    fn value(families: &Families, name: &str) -> Option<f64> {
        families.0.iter().find(|family| family.name == name).map(|family| family.series[0].value)
    }

    #[test]
    fn lines_are_told_apart() {
        let mut families = Families::default();
        assert_eq!(show(STATS, "vda1", &mut families), None);
        let named: usize = LINES.iter().map(|(_, columns)| columns.len()).sum();
        assert_eq!((families.0.len(), named), (39, 39));
        for (name, wanted) in [
            ("node_xfs_extent_allocation_blocks_freed_total", 5.0),
            ("node_xfs_block_mapping_extent_list_lookups_total", 152.0),
            ("node_xfs_directory_operation_getdents_total", 260.0),
            ("node_xfs_inode_operation_attribute_changes_total", 9.0),
            ("node_xfs_write_calls_total", 12.0),
            ("node_xfs_read_calls_total", 34.0),
            ("node_xfs_vnode_remove_total", 6.0),
        ] {
            assert_eq!(value(&families, name), Some(wanted), "{name}");
        }
        assert_eq!(families.0[0].series[0].labels.rendered(), r#"device="vda1""#);
    }

    #[test]
    fn what_is_odd_costs_its_line() {
        let mut families = Families::default();
        assert_eq!(show("rw 1 2 3\nabt one\n\ndir 5\nlog x\n", "vda1", &mut families), Some("abt one"));
        assert_eq!(value(&families, "node_xfs_read_calls_total"), Some(2.0));
        assert_eq!(value(&families, "node_xfs_directory_operation_lookup_total"), Some(5.0));
        assert_eq!(families.0.len(), 3);
    }

    #[test]
    fn each_file_system_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = Xfs { roots: Roots { sysfs: dir.path().into(), ..Roots::default() } };
        assert!(matches!(collector.collect(&mut Families::default()), Err(CollectError::Absent(_))));
        for device in ["vda1", "vdb"] {
            std::fs::create_dir_all(dir.path().join("fs/xfs").join(device).join("stats")).unwrap();
            std::fs::write(dir.path().join("fs/xfs").join(device).join("stats/stats"), STATS).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("fs/xfs/stats")).unwrap();
        std::fs::write(dir.path().join("fs/xfs/stats/stats"), STATS).unwrap();
        let mut families = Families::default();
        collector.collect(&mut families).unwrap();
        let devices: Vec<&str> = families.0[0].series.iter().map(|series| series.labels.rendered()).collect();
        assert_eq!(devices, [r#"device="vda1""#, r#"device="vdb""#]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((rw|abt|dir) ([0-9]+ )*\n|[\\PC\n])*") {
            show(&text, "vda1", &mut Families::default());
        }
    }
}
