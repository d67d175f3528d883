//! Hosts that nobody has: trees of kernel files, kept as one text a scene in `roots/*.roots` and unpacked for a test.
//!
//! ```text
//! # What is before the first header, and what stands before a later one, is a comment.
//! == proc/mdstat
//! The content of a file, until the next header. Blank lines at its end are not meant.
//! == sys/class/net/eth0/
//! mtu = 1500
//! device -> ../../../0000:01:00.0
//! queues/
//! == sys/devices/system/cpu/cpu{0..63}/
//! topology/core_id = {}
//! ```
//!
//! A header that ends with `/` begins a table: files of one line, links, and directories. `{A..B}` in a header stands for
//! each of those numbers, and `{}` below it for that number. `\xHH` is that byte; a line that ends with `\` has no end.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A scene, unpacked until it is dropped.
pub struct Roots(TempDir);

impl Roots {
    pub fn unpack(scene: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("roots").join(format!("{scene}.roots"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let roots = Self(tempfile::tempdir().expect("a temporary directory"));
        for dir in ["proc", "sys", "root", "udev"] {
            fs::create_dir(roots.path(dir)).expect("a new directory");
        }
        for entry in entries(&text) {
            entry.write(roots.0.path());
        }
        roots
    }

    /// `proc`, `sys`, `root`, `udev`, or what is below them.
    pub fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }
}

/// What a scene has at a path.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    path: Vec<u8>,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    File(Vec<u8>),
    Link(Vec<u8>),
    Dir,
}

impl Entry {
    fn new(path: &str, what: What) -> Self {
        Self { path: unescaped(path.trim_end_matches('/')), what }
    }

    fn write(&self, root: &Path) {
        let path = root.join(Path::new(std::ffi::OsStr::from_bytes(&self.path)));
        let parent = path.parent().expect("below the root");
        let written = fs::create_dir_all(parent).and_then(|()| match &self.what {
            What::File(content) => fs::write(&path, content),
            What::Link(target) => symlink(std::ffi::OsStr::from_bytes(target), &path),
            What::Dir => fs::create_dir_all(&path),
        });
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn entries(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut sections = format!("\n{text}").split("\n== ").map(str::to_owned).collect::<Vec<_>>().into_iter();
    let about = sections.next().unwrap_or_default();
    assert!(about.lines().all(is_aside), "what is before the first header is not a comment: {about}");
    for section in sections {
        let mut lines: Vec<&str> = section.lines().collect();
        while lines.len() > 1 && lines.last().is_some_and(|line| is_aside(line)) {
            lines.pop();
        }
        for (header, number) in expanded(lines[0]) {
            let lines: Vec<String> = lines[1..].iter().map(|line| filled(line, number.as_deref())).collect();
            match header.strip_suffix('/') {
                Some(dir) => entries.extend(table(dir, &lines)),
                None => entries.push(Entry::new(&header, What::File(content(&lines)))),
            }
        }
    }
    entries
}

/// Nothing, or a comment.
fn is_aside(line: &str) -> bool {
    line.is_empty() || line == "#" || line.starts_with("# ")
}

/// A header for each number that it stands for.
fn expanded(header: &str) -> Vec<(String, Option<String>)> {
    let range = header.split_once('{').and_then(|(before, rest)| {
        let (range, after) = rest.split_once('}')?;
        let (from, to) = range.split_once("..")?;
        Some((before, from.parse::<u32>().ok()?, to.parse::<u32>().ok()?, after))
    });
    let Some((before, from, to, after)) = range else { return vec![(header.to_owned(), None)] };
    (from..=to).map(|number| (format!("{before}{number}{after}"), Some(number.to_string()))).collect()
}

fn filled(line: &str, number: Option<&str>) -> String {
    number.map_or_else(|| line.to_owned(), |number| line.replace("{}", number))
}

fn table(dir: &str, lines: &[String]) -> Vec<Entry> {
    let mut entries = vec![Entry::new(dir, What::Dir)];
    for line in lines.iter().filter(|line| !is_aside(line)) {
        let at = |name: &str| format!("{dir}/{name}");
        entries.push(if let Some((name, target)) = line.split_once(" -> ") {
            Entry::new(&at(name), What::Link(unescaped(target)))
        } else if let Some((name, value)) = line.split_once(" =") {
            Entry::new(&at(name), What::File(content(&[value.strip_prefix(' ').unwrap_or(value).to_owned()])))
        } else {
            assert!(line.ends_with('/'), "{dir}/ has neither a value, nor a link, nor a directory: {line}");
            Entry::new(&at(line), What::Dir)
        });
    }
    entries
}

fn content(lines: &[String]) -> Vec<u8> {
    let mut content = Vec::new();
    for line in lines {
        let open = line.strip_suffix('\\');
        content.extend(unescaped(open.unwrap_or(line)));
        if open.is_none() {
            content.push(b'\n');
        }
    }
    content
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or_else(|| panic!("\\x without two hexadecimal digits: {text}")));
        bytes.extend(&part.as_bytes()[2..]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_is_what_its_text_says() {
        let text = "# about\n\n== proc/x\na\n# kept\nb\\xff\\\n\n# of the next\n== sys/c{1..2}/\nid = 7{}\nno =\nl -> ../{}\nd/\n";
        let file = |path: &str, content: &[u8]| Entry::new(path, What::File(content.to_vec()));
        let dir = |path: &str| Entry::new(path, What::Dir);
        let link = |path: &str, to: &str| Entry::new(path, What::Link(to.into()));
        assert_eq!(
            entries(text),
            [
                file("proc/x", b"a\n# kept\nb\xff"),
                dir("sys/c1"),
                file("sys/c1/id", b"71\n"),
                file("sys/c1/no", b"\n"),
                link("sys/c1/l", "../1"),
                dir("sys/c1/d"),
                dir("sys/c2"),
                file("sys/c2/id", b"72\n"),
                file("sys/c2/no", b"\n"),
                link("sys/c2/l", "../2"),
                dir("sys/c2/d"),
            ]
        );
    }
}
