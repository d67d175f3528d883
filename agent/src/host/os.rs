//! Which distribution the host runs, from `etc/os-release`, else `usr/lib/os-release`, below `rootfs` (os-release(5)).
//! A line that is no assignment is left out. The file is read again when it was changed.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::model::host::HostKind;

use super::collector::{CollectError, Collector, Families, Settings, read};

/// Label and key.
const LABELS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

pub struct Os {
    paths: [PathBuf; 2],
    /// What was read, and from which file as it was when.
    known: Option<(PathBuf, SystemTime, Release)>,
}

/// By label.
type Release = [String; LABELS.len()];

impl Os {
    pub fn new(settings: &Settings) -> Self {
        Self { paths: ["etc/os-release", "usr/lib/os-release"].map(|path| settings.roots.host(path)), known: None }
    }

    fn release(&mut self) -> Result<&Release, CollectError> {
        let (path, changed) = self.newest()?;
        let known = match self.known.take() {
            Some(known) if known.0 == path && known.1 == changed => known,
            _ => {
                let release = parse(&read(&path)?);
                (path, changed, release)
            }
        };
        Ok(&self.known.insert(known).2)
    }

    fn newest(&self) -> Result<(PathBuf, SystemTime), CollectError> {
        for path in &self.paths {
            match fs::metadata(path).and_then(|metadata| metadata.modified()) {
                Ok(changed) => return Ok((path.clone(), changed)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(CollectError::Read { path: path.clone(), source }),
            }
        }
        Err(CollectError::Absent("the host has no os-release".into()))
    }
}

impl Collector for Os {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let release = self.release()?;
        let labels: Vec<(&str, &str)> =
            LABELS.iter().zip(release).map(|((label, _), value)| (*label, value.as_str())).collect();
        let help = "1, with what os-release says of the distribution as labels.";
        out.family(HostKind::Gauge, "node_os_info", help).add(&labels, 1.0);
        let short = |wanted: &[&str]| -> Vec<(&str, &str)> {
            labels.iter().filter(|(label, _)| wanted.contains(label)).copied().collect()
        };
        if let Some(version) = labels.last().and_then(|(_, id)| major_minor(id)) {
            let help = "Version of the distribution, as far as it is a number: major.minor.";
            out.family(HostKind::Gauge, "node_os_version", help).add(&short(&["id", "id_like", "name"]), version);
        }
        Ok(())
    }
}

/// `20.04` of `20.04.2`; nothing where it does not start with a number, or is zero.
fn major_minor(version: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(version);
    let end = match version.get(major..).and_then(|rest| rest.strip_prefix('.')) {
        Some(minor) if major > 0 => major + 1 + digits(minor),
        _ => major,
    };
    version.get(..end)?.parse().ok().filter(|version| *version > 0.0)
}

fn parse(text: &str) -> Release {
    let mut release = Release::default();
    for line in text.lines() {
        let line = line.trim();
        let Some((key, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else { continue };
        let place = LABELS.iter().zip(&mut release).find(|((_, known), _)| *known == key);
        if let (Some((_, place)), Some(value)) = (place, unquoted(value)) {
            *place = value;
        }
    }
    release
}

/// A value as the shell reads it. None where a quote is not closed.
fn unquoted(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut quote = None;
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => text.push(letters.next()?),
            (' ' | '\t', None) => break,
            _ => text.push(letter),
        }
    }
    quote.is_none().then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn what_the_distribution_says_of_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut os = Os::new(&Settings::below(dir.path()));
        let (_, ended) = seen_by(&mut os);
        assert!(matches!(ended, Err(CollectError::Absent(_))));

        let fedora = "# comment\nNAME=\"Fedora Linux\"\nVERSION=\"39 (Server Edition)\"\nID=fedora\nVERSION_ID=39\n\
                      export VARIANT_ID=server\nnothing\nPRETTY_NAME='Fedora Linux 39'\nANSI_COLOR=\"0;38\"\n";
        put(dir.path(), "usr/lib/os-release", fedora);
        let (out, ended) = seen_by(&mut os);
        ended.unwrap();
        let labels = &out.0[0].series[0].labels;
        let wanted = [
            ("name", "Fedora Linux"),
            ("version", "39 (Server Edition)"),
            ("variant_id", "server"),
            ("pretty_name", "Fedora Linux 39"),
            ("build_id", ""),
        ];
        for (label, value) in wanted {
            assert_eq!(labels.get(label).unwrap(), value);
        }
        let version = out.value("node_os_version", r#"id="fedora",id_like="",name="Fedora Linux""#);
        assert_eq!(version, Some(39.0));
    }

    #[test]
    fn a_file_that_was_changed_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut os = Os::new(&Settings::below(dir.path()));
        put(dir.path(), "etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
        for _ in 0..2 {
            let (out, _) = seen_by(&mut os);
            assert_eq!(out.value("node_os_version", r#"id="debian",id_like="",name="""#), Some(12.0));
        }
        let path = dir.path().join("etc/os-release");
        let changed = fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(1);
        fs::write(&path, "ID=debian\nVERSION_ID=\"13\"\n").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
        let (out, _) = seen_by(&mut os);
        assert_eq!(out.value("node_os_version", r#"id="debian",id_like="",name="""#), Some(13.0));
    }

    #[test]
    fn versions() {
        let cases = [
            ("20.04", Some(20.04)),
            ("11.4.2", Some(11.4)),
            ("12", Some(12.0)),
            ("7.", Some(7.0)),
            ("3.15.4_alpha", Some(3.15)),
            ("rolling", None),
            ("", None),
            (".5", None),
            ("0", None),
        ];
        for (version, wanted) in cases {
            assert_eq!(major_minor(version), wanted, "{version}");
        }
    }

    #[test]
    fn values_as_the_shell_reads_them() {
        let cases = [
            ("plain", Some("plain")),
            ("\"two words\"", Some("two words")),
            (r#""a \"b\" \$c""#, Some(r#"a "b" $c"#)),
            (r"'a \ b'", Some(r"a \ b")),
            ("one # two", Some("one")),
            ("\"open", None),
        ];
        for (value, wanted) in cases {
            assert_eq!(unquoted(value).as_deref(), wanted, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*", value in "[ '\"\\\\a=é]{0,12}", version in "[0-9.é]{0,9}") {
            parse(&text);
            parse(&format!("NAME={value}"));
            major_minor(&version);
        }

        #[test]
        fn what_is_written_is_read(name in "[A-Za-z0-9 ./()'-]{0,20}") {
            prop_assert_eq!(&parse(&format!("NAME=\"{name}\"\n"))[5], &name);
        }
    }
}
