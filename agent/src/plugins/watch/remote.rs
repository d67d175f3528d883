//! File systems on which others make changes that the kernel does not tell us about.

use std::path::Path;

/// `f_type` of statfs(2), and the name; from linux/magic.h and the file systems' own sources.
const REMOTE: [(u64, &str); 16] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
];

/// The name of the file system that a path is on, if it is one of these.
pub fn file_system(path: &Path) -> Option<&'static str> {
    name_of(rustix::fs::statfs(path).ok()?.f_type as u64)
}

fn name_of(f_type: u64) -> Option<&'static str> {
    // Its width and its sign differ between architectures.
    let f_type = f_type & u64::from(u32::MAX);
    REMOTE.iter().find(|(magic, _)| *magic == f_type).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remote_is_known_whatever_the_width() {
        assert_eq!(name_of(0x6969), Some("NFS"));
        assert_eq!(name_of(0xffff_ffff_ff53_4d42), Some("CIFS"));
        assert_eq!(name_of(0xef53), None, "ext4");
        assert_eq!(file_system(Path::new("/proc")), None);
    }
}
