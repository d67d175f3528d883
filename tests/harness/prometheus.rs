//! A real Prometheus.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::child::Server;
use super::http::request;
use super::ports::free_port;
use super::wait::eventually;

const START: Duration = Duration::from_secs(20);

pub struct Prometheus {
    url: String,
    dir: TempDir,
    _server: Server,
}

impl Prometheus {
    /// Asks that URL every second what there is, and scrapes that every second. Each label gets the value of a
    /// `__meta_` label.
    pub fn discovering(sd_url: &str, labels: &[(&str, &str)]) -> Self {
        let mut config = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n- job_name: discovered\n  \
             http_sd_configs:\n  - url: {sd_url}\n    refresh_interval: 1s\n  relabel_configs:\n"
        );
        for (label, source) in labels {
            writeln!(config, "  - source_labels: [{source}]\n    target_label: {label}").expect("text");
        }
        Self::with(&[("prometheus.yml", &config)])
    }

    /// With these files in its directory; `prometheus.yml` is its configuration.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("the configuration can be written");
        }
        let file = dir.path().join("prometheus.yml");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let server = Server::start("prometheus", &mut command, &dir.path().join("log"));
        let prometheus = Self { url: format!("http://{address}"), dir, _server: server };
        eventually("Prometheus answers", START, || prometheus.get("/-/ready").map(drop));
        prometheus
    }

    fn get(&self, path: &str) -> Result<String, String> {
        let answer = request("GET", &format!("{}{path}", self.url), &[])?;
        if answer.code == 200 { Ok(answer.body) } else { Err(format!("{path} {}: {}", answer.code, answer.body)) }
    }

    /// Anything of its API.
    pub fn api(&self, path: &str) -> Result<Value, String> {
        let body: Value = serde_json::from_str(&self.get(path)?).map_err(|error| error.to_string())?;
        Ok(body["data"].clone())
    }

    /// What it scrapes now: `labels`, `discoveredLabels`, `health`, `lastError` of each.
    pub fn targets(&self) -> Result<Vec<Value>, String> {
        let data = self.api("/api/v1/targets?state=active")?;
        Ok(data["activeTargets"].as_array().cloned().unwrap_or_default())
    }

    /// The series that a selector has now, with their values.
    pub fn query(&self, selector: &str) -> Result<Vec<(Value, String)>, String> {
        let escaped: String = selector.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("/api/v1/query?query={escaped}"))?;
        let series = data["result"].as_array().cloned().unwrap_or_default();
        let value = |one: &Value| one["value"][1].as_str().unwrap_or_default().to_owned();
        Ok(series.iter().map(|one| (one["metric"].clone(), value(one))).collect())
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}
