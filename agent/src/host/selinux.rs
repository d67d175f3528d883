//! Whether SELinux is on, from selinuxfs (`/sys/fs/selinux`), and what `/etc/selinux/config` asks for (selinux_config(5)).
//!
//! 1 is enforcing, 0 permissive, -1 off or unknown. Where SELinux is off only that is shown.

use std::path::{Path, PathBuf};

use super::collector::{CollectError, Collector, Families, Settings, read, read_value};

const OFF: f64 = -1.0;

pub struct Selinux {
    enforce: PathBuf,
    context: PathBuf,
    config: PathBuf,
}

impl Selinux {
    pub fn new(settings: &Settings) -> Self {
        Self {
            enforce: settings.roots.sys("fs/selinux/enforce"),
            context: settings.roots.proc("self/attr/current"),
            config: settings.roots.host("etc/selinux/config"),
        }
    }

    /// selinuxfs is mounted, and a policy is loaded: until then every process runs as `kernel`.
    fn is_on(&self) -> bool {
        self.enforce.exists() && read_value(&self.context).is_ok_and(|context| context.trim_matches('\0') != "kernel")
    }
}

impl Collector for Selinux {
    fn collect(&mut self, out: &mut Families) -> Result<(), CollectError> {
        let on = self.is_on();
        out.gauge("node_selinux_enabled", "1 where SELinux is on, else 0.", f64::from(u8::from(on)));
        if on {
            let help = "The mode that the configuration asks for: 1 enforcing, 0 permissive, -1 off.";
            out.gauge("node_selinux_config_mode", help, configured(&self.config));
            let help = "The mode that is in force: 1 enforcing, 0 permissive, -1 unknown.";
            out.gauge("node_selinux_current_mode", help, current(&self.enforce));
        }
        Ok(())
    }
}

fn configured(config: &Path) -> f64 {
    read(config).map_or(OFF, |text| mode(&text))
}

fn current(enforce: &Path) -> f64 {
    read_value(enforce).ok().and_then(|mode| mode.parse::<i32>().ok()).map_or(OFF, f64::from)
}

/// The first line `SELINUX=` counts.
fn mode(config: &str) -> f64 {
    match config.lines().find_map(|line| line.trim().strip_prefix("SELINUX=")).map(|value| value.trim_matches('"')) {
        Some("enforcing") => 1.0,
        Some("permissive") => 0.0,
        _ => OFF,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::collector::{put, seen_by};

    #[test]
    fn a_host_with_selinux() {
        let dir = tempfile::tempdir().unwrap();
        let mut selinux = Selinux::new(&Settings::below(dir.path()));
        put(dir.path(), "sys/fs/selinux/enforce", "0");
        put(dir.path(), "proc/self/attr/current", "system_u:system_r:init_t:s0\0");
        put(dir.path(), "etc/selinux/config", "# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n");
        let (out, ended) = seen_by(&mut selinux);
        ended.unwrap();
        assert_eq!(out.value("node_selinux_enabled", ""), Some(1.0));
        assert_eq!(out.value("node_selinux_config_mode", ""), Some(1.0));
        assert_eq!(out.value("node_selinux_current_mode", ""), Some(0.0));
    }

    #[test]
    fn a_host_without_it_says_so_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut selinux = Selinux::new(&Settings::below(dir.path()));
        let off = |(out, _): (Families, Result<(), CollectError>)| {
            out.0.len() == 1 && out.value("node_selinux_enabled", "") == Some(0.0)
        };
        assert!(off(seen_by(&mut selinux)));
        put(dir.path(), "sys/fs/selinux/enforce", "0");
        put(dir.path(), "proc/self/attr/current", "kernel\0");
        assert!(off(seen_by(&mut selinux)), "no policy is loaded yet");
    }

    #[test]
    fn modes_of_the_configuration() {
        let cases = [
            ("SELINUX=\"permissive\"\nSELINUX=enforcing\n", 0.0),
            ("SELINUX=disabled", -1.0),
            ("", -1.0),
            ("SELINUXTYPE=enforcing\n;SELINUX=enforcing", -1.0),
        ];
        for (config, wanted) in cases {
            assert_eq!(mode(config), wanted, "{config}");
        }
    }

    proptest! {
        #[test]
        fn any_configuration_is_read_without_panic(config in ".*") {
            prop_assert!([-1.0, 0.0, 1.0].contains(&mode(&config)));
        }
    }
}
