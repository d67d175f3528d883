//! The table of mounts, which more than one collector needs. Its format is that of `fstab(5)`, described for
//! `/proc/PID/mounts` in `Documentation/filesystems/proc.rst`.
//!
//! The host's table is that of its process 1; where that is hidden, the table this process has is taken instead. A
//! line with too few words costs itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::collector::{self, CollectError, Roots};

/// A mount, as the host's processes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub device: String,
    pub point: String,
    pub fstype: String,
    pub read_only: bool,
}

/// The table's text, and where it was read.
pub fn read(roots: &Roots) -> Result<(PathBuf, String), CollectError> {
    let first = roots.proc("1/mounts");
    match collector::read(&first) {
        // `hidepid` hides other users' processes.
        Err(CollectError::Read { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            let own = roots.proc("mounts");
            collector::read(&own).map(|text| (own, text))
        }
        read => read.map(|text| (first, text)),
    }
}

/// The mounts of a table, and the first line that is none.
pub fn parse<'a>(text: &'a str, rootfs: &Path) -> (Vec<Mount>, Option<&'a str>) {
    let mut odd = None;
    let mounts = text
        .lines()
        .filter_map(|line| {
            let mount = parse_line(line, rootfs);
            if mount.is_none() {
                odd = odd.or(Some(line));
            }
            mount
        })
        .collect();
    (mounts, odd)
}

/// The kernel writes one space between words, and escapes those in words: a device may be an empty word.
fn parse_line(line: &str, rootfs: &Path) -> Option<Mount> {
    let mut words = line.split(' ');
    let (device, point, fstype, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
    Some(Mount {
        device: device.to_owned(),
        point: as_the_host_sees(unescaped(point), rootfs),
        fstype: fstype.to_owned(),
        read_only: options.split(',').any(|option| option == "ro"),
    })
}

/// Space, tab, newline, backslash and `#` stand as a backslash and three octal digits.
fn unescaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        text.push(code.map_or('\\', char::from));
        rest = if code.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    text.push_str(rest);
    text
}

/// In a container that has its host's root mounted at `rootfs`, the table may name that.
fn as_the_host_sees(point: String, rootfs: &Path) -> String {
    if rootfs == Path::new("/") {
        return point;
    }
    match Path::new(&point).strip_prefix(rootfs) {
        Ok(inside) => format!("/{}", inside.display()),
        Err(_) => point,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mount(device: &str, point: &str, fstype: &str, read_only: bool) -> Mount {
        Mount { device: device.into(), point: point.into(), fstype: fstype.into(), read_only }
    }

    #[test]
    fn a_table_is_read_line_by_line() {
        let text = "/dev/vda / ext4 rw,relatime,discard 0 0\n\
                    tmpfs /run/lock tmpfs ro,nosuid,size=5120k 0 0\n\
                    //nas/a\\040b /mnt/a\\040b\\011c\\134d cifs rw,errors=remount-ro 0 0\n";
        let (mounts, odd) = parse(text, Path::new("/"));
        assert_eq!(
            mounts,
            [
                mount("/dev/vda", "/", "ext4", false),
                mount("tmpfs", "/run/lock", "tmpfs", true),
                mount("//nas/a\\040b", "/mnt/a b\tc\\d", "cifs", false),
            ]
        );
        assert_eq!(odd, None);
    }

    #[test]
    fn an_odd_line_costs_itself() {
        let (mounts, odd) = parse("tmpfs /a tmpfs rw 0 0\nnonsense\n\n /b tmpfs ro 0 0\n", Path::new("/"));
        assert_eq!(mounts, [mount("tmpfs", "/a", "tmpfs", false), mount("", "/b", "tmpfs", true)]);
        assert_eq!(odd, Some("nonsense"));
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for (word, wanted) in
            [("a\\", "a\\"), ("\\04", "\\04"), ("\\09x1", "\\09x1"), ("\\777", "\\777"), ("\\é1", "\\é1")]
        {
            assert_eq!(unescaped(word), wanted);
        }
        assert_eq!(unescaped("\\134040"), "\\040", "what was unescaped is not unescaped again");
    }

    #[test]
    fn mounts_are_named_as_the_host_sees_them() {
        for (rootfs, point, wanted) in [
            ("/", "/home", "/home"),
            ("/host", "/host", "/"),
            ("/host", "/host/home", "/home"),
            ("/host/", "/host/home", "/home"),
            ("/host", "/hostage", "/hostage"),
            ("/host", "/etc/hosts", "/etc/hosts"),
        ] {
            assert_eq!(as_the_host_sees(point.to_owned(), Path::new(rootfs)), wanted, "{point} below {rootfs}");
        }
    }

    #[test]
    fn the_table_of_process_1_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { procfs: dir.path().into(), ..Roots::default() };
        assert!(matches!(read(&roots), Err(CollectError::Read { .. })));
        std::fs::write(dir.path().join("mounts"), "own").unwrap();
        assert_eq!(read(&roots).unwrap(), (dir.path().join("mounts"), "own".to_owned()));
        std::fs::create_dir(dir.path().join("1")).unwrap();
        std::fs::write(dir.path().join("1/mounts"), "host").unwrap();
        assert_eq!(read(&roots).unwrap(), (dir.path().join("1/mounts"), "host".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[\\PC\n \\\\]*") {
            let (mounts, _) = parse(&text, Path::new("/host"));
            prop_assert!(mounts.len() <= text.lines().count());
        }

        #[test]
        fn a_point_comes_out_as_it_went_in(point in "/[a-z \t\n\\\\#é]{0,20}") {
            let escaped: String = point
                .chars()
                .map(|c| if " \t\n\\#".contains(c) { format!("\\{:03o}", u32::from(c)) } else { c.to_string() })
                .collect();
            let text = format!("dev {escaped} ext4 rw 0 0\n");
            prop_assert_eq!(&parse(&text, Path::new("/")).0, &[mount("dev", &point, "ext4", false)]);
        }
    }
}
