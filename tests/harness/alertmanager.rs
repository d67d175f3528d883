//! A real Alertmanager, alone, that is handed alerts as Prometheus hands them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::child::Server;
use super::http::request;
use super::ports::free_port;
use super::recorder::passes;
use super::wait::eventually;

const START: Duration = Duration::from_secs(20);

pub struct Alertmanager {
    url: String,
    _dir: TempDir,
    _server: Server,
}

impl Alertmanager {
    pub fn start(config: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
        let server = Server::start("prometheus-alertmanager", &mut command, &dir.path().join("log"));
        let alertmanager = Self { url: format!("http://{address}"), _dir: dir, _server: server };
        eventually("Alertmanager answers", START, || alertmanager.get("/-/ready").map(drop));
        alertmanager
    }

    fn get(&self, path: &str) -> Result<String, String> {
        let answer = request("GET", &format!("{}{path}", self.url), &[])?;
        if answer.code == 200 { Ok(answer.body) } else { Err(format!("{path} {}: {}", answer.code, answer.body)) }
    }

    /// An alert with these labels fires from now on.
    pub fn fires(&self, labels: &[&str]) {
        let mut command = Command::new("amtool");
        command.args(["--alertmanager.url", &self.url, "alert", "add"]).args(labels);
        passes("prometheus-alertmanager", &mut command);
    }

    /// What it would not tell anybody now, and what it would, as `alertname/instance/check`, in order.
    pub fn inhibited(&self) -> Result<(Vec<String>, Vec<String>), String> {
        let alerts: Vec<Value> =
            serde_json::from_str(&self.get("/api/v2/alerts")?).map_err(|error| error.to_string())?;
        let told = |alert: &Value| alert["status"]["inhibitedBy"].as_array().is_none_or(Vec::is_empty);
        let name = |alert: &Value| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
            [label("alertname"), label("instance"), label("check")].join("/")
        };
        let (told, inhibited): (Vec<_>, Vec<_>) = alerts.iter().partition(|alert| told(alert));
        let sorted = |alerts: Vec<&Value>| {
            let mut names: Vec<String> = alerts.into_iter().map(name).collect();
            names.sort();
            names
        };
        Ok((sorted(inhibited), sorted(told)))
    }
}
