//! `[host]`

use super::*;

#[test]
fn the_hosts_numbers_as_node_exporter_has_them() {
    let host = good("").host;
    assert_eq!(host.interval, Duration::from_secs(5));
    assert!(host.collectors.contains(&"cpu") && !host.collectors.contains(&"systemd"));
    let filter = |name| host.settings.filter(name);
    assert!(filter("filesystem").allows("/") && !filter("filesystem").allows("/proc/sys/fs/binfmt_misc"));
    assert!(filter("diskstats").allows("nvme0n1") && !filter("diskstats").allows("nvme0n1p1"));
    assert!(filter("netdev").allows("lo"));
    assert!(filter("netstat").allows("Tcp_CurrEstab") && !filter("netstat").allows("Tcp_MaxConn"));
}

#[test]
fn what_is_said_of_the_hosts_numbers_takes_the_place_of_the_default() {
    let dir = tempfile::tempdir().expect("tempdir");
    let text = format!(
        "[host]\ninterval = \"1s\"\nprocfs = {0:?}\nrootfs = {0:?}\ncollectors = {{ systemd = true, zfs = false }}\n\
         netdev = {{ exclude = \"^veth\" }}\ndiskstats = {{ exclude = \"\" }}\n\
         filesystem = {{ include = \"^/srv\", exclude_types = \"^tmpfs$\", mount_timeout = \"500ms\" }}\n\
         textfile = {{ directory = \"metrics\" }}\n",
        dir.path()
    );
    let host = good(&text).host;
    let settings = &host.settings;
    assert!(host.collectors.contains(&"systemd") && !host.collectors.contains(&"zfs"));
    assert!(!settings.filter("netdev").allows("veth0") && settings.filter("diskstats").allows("sda1"));
    assert!(settings.filter("filesystem").allows("/srv/a") && !settings.filter("filesystem").allows("/home"));
    assert!(!settings.filter("filesystem").allows("/proc"), "include and exclude are apart");
    assert_eq!(settings.mount_timeout, Duration::from_millis(500));
    assert_eq!(settings.textfile_dir.as_deref(), Some(Path::new("/etc/vitald/metrics")));
    assert_eq!(settings.roots.procfs, dir.path());
    assert_eq!(settings.roots.udev_data, dir.path().join("run/udev/data"));
}

#[test]
fn mistakes_in_what_is_said_of_the_hosts_numbers() {
    let cases = [
        ("interval = \"100ms\"", "host.interval: 1s to 1h is wanted"),
        ("netdev = { exclude = \"(\" }", "host.netdev.exclude: not a regular expression: unclosed group"),
        ("netdev = { ignore = \"x\" }", "unknown field `ignore`"),
        ("collectors = { cpus = true }", "host.collectors.cpus: no collector has that name; did you mean \"cpu\"?"),
        ("collectors = [\"cpu\"]", "host.collectors: invalid type"),
        ("procfs = \"/no/such\"", "host.procfs: there is no directory /no/such"),
        ("filesystem = { mount_timeout = \"1h\" }", "host.filesystem.mount_timeout: 100ms to 30s"),
    ];
    for (line, problem) in cases {
        let found = mistakes(&format!("[host]\n{line}\n"));
        assert!(found.len() == 1 && found[0].contains(problem), "{line}: {found:?} is not {problem}");
    }
}
