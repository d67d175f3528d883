//! A real node_exporter, whose series dashboards and alert rules know: what the agent's are compared with.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::Server;
use super::http::request;
use super::metrics::Metrics;
use super::ports::free_port;
use super::roots::Roots;
use super::wait::eventually;

const START: Duration = Duration::from_secs(20);
/// Where Debian's build has other defaults than node_exporter itself, whose defaults are the agent's.
const UPSTREAM: [&str; 3] = [
    "--no-collector.systemd",
    "--collector.netdev.device-exclude=",
    "--collector.filesystem.mount-points-exclude=\
     ^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
];

pub struct NodeExporter {
    url: String,
    server: Server,
    _dir: TempDir,
}

impl NodeExporter {
    /// Looks at this machine, with node_exporter's defaults.
    pub fn live() -> Self {
        Self::start(|_| {})
    }

    /// Looks at a host that there is not. Network devices it must then read from procfs, and not ask the kernel.
    pub fn on(roots: &Roots) -> Self {
        Self::start(|command| {
            let path = |below: &str| roots.path(below).display().to_string();
            command.arg(format!("--path.procfs={}", path("proc")));
            command.arg(format!("--path.sysfs={}", path("sys")));
            command.arg(format!("--path.rootfs={}", path("root")));
            command.arg(format!("--path.udev.data={}", path("udev")));
            command.arg(format!("--collector.textfile.directory={}", path("root/textfile")));
            command.arg("--no-collector.netdev.netlink");
        })
    }

    fn start(options: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus-node-exporter");
        command.arg(format!("--web.listen-address={address}"));
        command.args(UPSTREAM);
        options(&mut command);
        let server = Server::start("prometheus-node-exporter", &mut command, &dir.path().join("log"));
        let exporter = Self { url: format!("http://{address}"), server, _dir: dir };
        eventually("node_exporter answers", START, || exporter.get("/").map(drop));
        exporter
    }

    fn get(&self, path: &str) -> Result<String, String> {
        let answer = request("GET", &format!("{}{path}", self.url), &[])?;
        if answer.code == 200 { Ok(answer.body) } else { Err(format!("{path} {}: {}", answer.code, answer.body)) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// `/metrics`, as it is.
    pub fn text(&self) -> String {
        self.get("/metrics").unwrap_or_else(|error| panic!("{error}"))
    }

    /// `/metrics`
    pub fn metrics(&self) -> Metrics {
        parsed(&self.text())
    }

    /// What one collector serves.
    pub fn collected(&self, collector: &str) -> Metrics {
        let path = format!("/metrics?collect[]={collector}");
        parsed(&self.get(&path).unwrap_or_else(|error| panic!("{error}")))
    }
}

fn parsed(text: &str) -> Metrics {
    Metrics::parse(text).unwrap_or_else(|error| panic!("node_exporter's metrics cannot be parsed: {error}"))
}
