//! What btrfs says of its devices to those who ask it: three requests of `include/uapi/linux/btrfs.h`, which need no
//! privilege but to open the mount point. None changes anything.

#![expect(unsafe_code, reason = "rustix cannot know the requests of one file system; each is checked here")]

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// Reads and writes of the device that failed, in the kernel's order.
pub const ERRORS: [&str; 5] = ["write", "read", "flush", "corruption", "generation"];

#[derive(Debug, PartialEq)]
pub struct Device {
    pub uuid: String,
    /// As the kernel knows it; empty where it is missing.
    pub path: String,
    pub used: u64,
    pub size: u64,
    /// In the order of [`ERRORS`].
    pub errors: [u64; ERRORS.len()],
}

/// Numbers of devices are given out in order, and anew where one is replaced. What has more is broken.
const MAX_ID: u64 = 4096;

const BTRFS: u8 = 0x94;
/// `struct btrfs_ioctl_fs_info_args`, `..dev_info_args` and `..get_dev_stats`, as bytes: no alignment is asked for.
type FsInfo = [u8; 1024];
type DevInfo = [u8; 4096];
type DevStats = [u8; 1032];
const FS_INFO: Opcode = opcode::read::<FsInfo>(BTRFS, 31);
const DEV_INFO: Opcode = opcode::read_write::<DevInfo>(BTRFS, 30);
const DEV_STATS: Opcode = opcode::read_write::<DevStats>(BTRFS, 52);

/// The file system mounted there: its UUID and its devices.
///
/// # Errors
///
/// Fails where the mount point may not be opened, or is not btrfs.
pub fn look(point: &Path) -> io::Result<(String, Vec<Device>)> {
    let flags = (OFlags::DIRECTORY | OFlags::NONBLOCK).bits().cast_signed();
    let dir = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(point)?;
    let info = fs_info(&dir)?;
    let (max_id, count) = (number(&info, 0), number(&info, 1));
    let mut devices = Vec::new();
    for id in 0..=max_id.min(MAX_ID) {
        if u64::try_from(devices.len()).is_ok_and(|found| found == count) {
            break;
        }
        devices.extend(device(&dir, id)?);
    }
    Ok((uuid(&info, 2), devices))
}

/// None where no device has that number.
fn device(dir: &File, id: u64) -> io::Result<Option<Device>> {
    let info = match dev_info(dir, id) {
        Err(Errno::NODEV) => return Ok(None),
        info => info?,
    };
    let stats = dev_stats(dir, id)?;
    let path = info.get(3072..).unwrap_or_default().split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(Some(Device {
        uuid: uuid(&info, 1),
        path: String::from_utf8_lossy(path).into_owned(),
        used: number(&info, 3),
        size: number(&info, 4),
        errors: std::array::from_fn(|index| number(&stats, index.saturating_add(3))),
    }))
}

fn fs_info(dir: &File) -> Result<FsInfo, Errno> {
    let mut info = [0; _];
    // SAFETY: btrfs writes a struct of exactly the size that the request names, and that `info` has.
    unsafe { ioctl(dir, Updater::<FS_INFO, FsInfo>::new(&mut info)) }?;
    Ok(info)
}

/// Asks by number: the identity that it could be asked by is left zero.
fn dev_info(dir: &File, id: u64) -> Result<DevInfo, Errno> {
    let mut info = [0; _];
    set(&mut info, 0, id);
    // SAFETY: btrfs reads and writes a struct of exactly the size that the request names, and that `info` has.
    unsafe { ioctl(dir, Updater::<DEV_INFO, DevInfo>::new(&mut info)) }?;
    Ok(info)
}

/// Flags are left zero: the counters are not set back.
fn dev_stats(dir: &File, id: u64) -> Result<DevStats, Errno> {
    let mut stats = [0; _];
    set(&mut stats, 0, id);
    set(&mut stats, 1, 5);
    // SAFETY: btrfs reads and writes a struct of exactly the size that the request names, and that `stats` has.
    unsafe { ioctl(dir, Updater::<DEV_STATS, DevStats>::new(&mut stats)) }?;
    Ok(stats)
}

/// The number at a place, counted in numbers.
fn number(bytes: &[u8], place: usize) -> u64 {
    bytes.as_chunks::<8>().0.get(place).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn set(bytes: &mut [u8], place: usize, number: u64) {
    if let Some(bytes) = bytes.as_chunks_mut::<8>().0.get_mut(place) {
        *bytes = number.to_ne_bytes();
    }
}

/// The UUID at a place, counted in numbers.
fn uuid(bytes: &[u8], place: usize) -> String {
    let begin = place.saturating_mul(8);
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().skip(begin).take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_kernel() {
        assert_eq!((FS_INFO, DEV_INFO, DEV_STATS), (0x8400_941f, 0xd000_941e, 0xc408_9434));
    }

    #[test]
    fn numbers_are_put_and_read_at_their_places() {
        let mut bytes = [0; 20];
        set(&mut bytes, 1, 7);
        set(&mut bytes, 2, 8);
        assert_eq!([number(&bytes, 0), number(&bytes, 1), number(&bytes, 2)], [0, 7, 0], "the third does not fit");
        let bytes: Vec<u8> = (0..40).collect();
        assert_eq!(uuid(&bytes, 1), "08090a0b-0c0d-0e0f-1011-121314151617");
    }

    #[test]
    fn what_is_no_btrfs_says_so() {
        let error = look(Path::new("/proc")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NOTTY.raw_os_error()), "{error}");
        assert_eq!(look(Path::new("/does/not/exist")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(look(Path::new("/proc/self/maps")).is_err(), "a file is no mount point to look at");
    }
}
