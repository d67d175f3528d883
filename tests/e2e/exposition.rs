//! What is served at `/metrics`, as Prometheus' own programs judge it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Agent, Etcd, Nginx, Prometheus, Redis, Site, check, eventually, guest, promtool_remarks, request, service, that,
};

const SOON: Duration = Duration::from_secs(20);

/// An agent that serves whatever it can: checks that measure, a fault, a registry, and what others registered.
struct Everything {
    agent: Agent,
    _site: Site,
    _nginx: Nginx,
    _redis: Redis,
    _etcd: Etcd,
}

impl Everything {
    fn start() -> Self {
        let (etcd, redis, nginx) = (Etcd::start(), Redis::start(), Nginx::http("/"));
        let site = Site::new().registered_at(&etcd).with("discovery", "watch = [\"*\"]");
        site.plugin("odd", guest("trapper"));
        site.plugin("old", "\0asm but not really");
        let checks = [
            check("cache", "redis").of("shop").target(&redis.url()),
            check("page", "http").of("shop").target(&nginx.url()),
            check("gone", "tcp").target("tcp://127.0.0.1:1"),
            check("odd", "odd"),
        ];
        site.drop_in("shop", std::iter::once(service("shop")).chain(checks));
        let agent = site.start();
        for (check, status) in [("cache", "UP"), ("page", "UP"), ("gone", "DOWN"), ("odd", "UNKNOWN")] {
            agent.until(check, status);
        }
        let everything = Self { agent, _site: site, _nginx: nginx, _redis: redis, _etcd: etcd };
        let registered = || everything.agent.metrics().sum("vitald_service_registered", &[]);
        eventually("it is registered", SOON, || that(registered() == 1.0, || registered().to_string()));
        let sampled = || everything.agent.metrics().get("node_load1", &[]);
        eventually("the host is sampled", SOON, || that(sampled().is_some(), || "not yet".to_owned()));
        everything
    }
}

/// The host's numbers have the names that they must have, whatever promtool thinks of them.
#[test]
fn promtool_says_nothing_of_what_is_ours() {
    let everything = Everything::start();
    let metrics = everything.agent.metrics();
    for name in ["vitald_discovery_up", "vitald_plugin_reloads_total", "vitald_value_latency_seconds"] {
        assert!(metrics.names().contains(name), "{name} is not there to be judged");
    }
    let remarks = promtool_remarks(&everything.agent.get("/metrics").body);
    let ours: Vec<&String> = remarks.iter().filter(|line| !line.starts_with("node_")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

/// Every family with its kind, as Prometheus learned it from one target.
fn kinds(prometheus: &Prometheus, instance: &str) -> Result<BTreeSet<(String, String)>, String> {
    let data = prometheus.api(&format!("/api/v1/targets/metadata?match_target=%7Binstance%3D%22{instance}%22%7D"))?;
    let entries = data.as_array().cloned().unwrap_or_default();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    Ok(entries.iter().map(|entry| (word(entry, "metric"), word(entry, "type"))).collect())
}

#[test]
fn a_real_prometheus_reads_the_same_from_text_and_from_openmetrics() {
    let everything = Everything::start();
    let url = everything.agent.url();
    // Prometheus asks for OpenMetrics; the proxy asks for text in its place.
    let text = Nginx::asking(url, "text/plain");
    for (url, kind) in [(text.url().as_str(), "text/plain"), (url, "application/openmetrics-text")] {
        let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let answer = request("GET", &format!("{url}/metrics"), &[("Accept", accept)]).unwrap();
        assert!(answer.header("content-type").starts_with(kind), "{:?}", answer.headers);
    }
    let target = |name: &str, url: &str| {
        let address = url.strip_prefix("http://").expect("a URL");
        format!(
            "- job_name: {name}\n  static_configs:\n  - {{targets: [\"{address}\"], labels: {{instance: {name}}}}}\n"
        )
    };
    let config = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n{}{}",
        target("text", &text.url()),
        target("openmetrics", url)
    );
    let prometheus = Prometheus::with(&[("prometheus.yml", &config)]);
    for job in ["text", "openmetrics"] {
        eventually(&format!("{job} is scraped"), SOON, || {
            let up = prometheus.query(&format!("up{{job=\"{job}\"}}"))?;
            that(up.first().is_some_and(|(_, value)| value == "1"), || format!("{:?}", prometheus.targets()))
        });
    }
    // A counter's family has no `_total` in OpenMetrics: there the samples have it.
    let plain = |kinds: BTreeSet<(String, String)>| -> BTreeSet<(String, String)> {
        let bare = |name: String, kind: &str| match name.strip_suffix("_total") {
            Some(bare) if kind == "counter" => bare.to_owned(),
            _ => name,
        };
        kinds.into_iter().map(|(name, kind)| (bare(name, &kind), kind)).collect()
    };
    let (text, open) = (plain(kinds(&prometheus, "text").unwrap()), plain(kinds(&prometheus, "openmetrics").unwrap()));
    assert!(text.len() > 100, "{text:?}");
    let differ: Vec<_> = text.symmetric_difference(&open).filter(|(_, kind)| kind != "unknown").collect();
    assert!(differ.is_empty(), "{differ:#?}");
    // The same series, but for what came or went between the two scrapes.
    let count = |job: &str| prometheus.query(&format!("count by (__name__) ({{job=\"{job}\",__name__=~\".+\"}})"));
    eventually("both have the same series", SOON, || {
        let (text, open) = (count("text")?, count("openmetrics")?);
        let differ: Vec<_> = text.iter().filter(|one| !open.contains(one)).collect();
        that(text.len() == open.len() && differ.is_empty(), || format!("{} and {}: {differ:?}", text.len(), open.len()))
    });
}
