//! Mistakes and what becomes of good texts.

mod effective;
mod host;
mod plugins;
mod quoted;
mod reload;
mod report;
mod vanished;

use std::time::Duration;

use crate::discovery::Watched;
use crate::model::check::{Judges, OnFault, Severity};
use crate::model::testing::name;
use crate::registry::{Dialect, OnDown};

use super::*;

fn sources(main: &str, drop_ins: &[(&str, &str)]) -> Sources {
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.to_owned() };
    Sources {
        main: file("/etc/vitald/vitald.toml", main),
        drop_ins: drop_ins.iter().map(|(path, text)| file(path, text)).collect(),
    }
}

/// A main file with an id, so that the tests do not depend on the host's name.
fn with_id(rest: &str) -> String {
    format!("[agent]\nid = \"web-1\"\n{rest}")
}

fn good(rest: &str) -> Config {
    build(&sources(&with_id(rest), &[])).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The mistakes, as they are printed.
fn mistakes(rest: &str) -> Vec<String> {
    match build(&sources(&with_id(rest), &[])) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.0.iter().map(ToString::to_string).collect(),
    }
}

const CHECK: &str = "[[check]]\nname = \"a\"\nchecker = \"tcp\"\ntarget = \"tcp://h:1\"\n";

#[test]
fn all_mistakes_are_reported_at_once_with_their_places() {
    let text = "colour = \"red\"
[sandbox]
concurrency = \"many\"
[[service]]
name = \"Orders\"
address = \":8080\"
checks = \"none\"
[[check]]
name = \"a\"
checker = \"tcp\"
timeot = \"1s\"
service = \"nobody\"
interval = 5
";
    let found = mistakes(text);
    let expected = [
        ("/etc/vitald/vitald.toml:3: agent.colour", "unknown key"),
        ("/etc/vitald/vitald.toml:5: sandbox.concurrency", "string"),
        ("/etc/vitald/vitald.toml:7: service.Orders.name", "is not a name"),
        ("/etc/vitald/vitald.toml:13: check.a.timeot", "did you mean \"timeout\"?"),
        ("/etc/vitald/vitald.toml:14: check.a.service", "there is no service \"nobody\""),
        ("/etc/vitald/vitald.toml:15: check.a.interval", "length of time with its unit"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((place, problem), mistake) in expected.iter().zip(&found) {
        assert!(mistake.starts_with(place) && mistake.contains(problem), "{mistake} is not {place} … {problem}");
    }
}

#[test]
fn one_mistake_each() {
    let cases = [
        ("x =\n", "not TOML"),
        ("[registry]\n", "endpoints is missing"),
        ("[registry]\nendpoints = [\"ftp://x\"]\n", "no endpoint"),
        ("[registry]\nendpoints = [\"http://u:p@x:1\"]\n", "set username and password"),
        ("[registry]\nendpoints = [\"http://x\"]\n", "write http://HOST:PORT"),
        ("[registry]\nendpoints = [\"http://x:1\"]\nttl = \"2s\"\n", "5s to"),
        ("[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"dns\"]\n", "there are native, plain"),
        ("[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"native\", \"native\"]\n", "twice"),
        ("[registry]\nendpoints = [\"http://x:1\"]\ngrpc = { prefix = \"x\" }\n", "would not be used"),
        ("[registry]\nendpoints = [\"http://x:1\"]\nremove_after = \"1h\"\n", "on_down = \"mark\""),
        ("[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"plain\"]\non_down = \"mark\"\n", "only the dialect"),
        ("[registry]\nendpoints = [\"http://x:1\"]\nusername = \"u\"\n", "wants a password"),
        ("[registry]\nendpoints = [\"http://x:1\"]\npassword = \"p\"\n", "wants a username"),
        ("[registry]\nendpoints = [\"http://x:1\"]\ntls = { ca_file = \"x\" }\n", "no endpoint is https"),
        ("[registry]\nendpoints = [\"http://x:1\"]\nkeep_at_least = 51\n", "0 to 50"),
        (
            "[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"traefik\"]\ntraefik = { scheme = \"ftp\" }\n",
            "write \"http\"",
        ),
        (
            "[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"skydns\"]\nskydns = { domain = \"a..b\" }\n",
            "is no domain",
        ),
        (
            "[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"native\", \"plain\"]\n[[service]]\nname = \"s\"\naddress = \":1\"\nchecks = \"none\"\n",
            "give each dialect a prefix of its own",
        ),
        ("[discovery]\nwatch = [\"*\"]\n", "no [registry] to watch"),
        ("[registry]\nendpoints = [\"http://x:1\"]\n[discovery]\nwatch = []\n", "name the services"),
        (
            "[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"plain\"]\n[discovery]\nwatch = [\"*\"]\n",
            "wants the dialect",
        ),
        (
            "[registry]\nendpoints = [\"http://x:1\"]\ndialects = [\"skydns\"]\n[[service]]\nname = \"a.b\"\naddress = \":1\"\nchecks = \"none\"\n",
            "a dot in its name",
        ),
        (
            "[registry]\nendpoints = [\"http://x:1\"]\nprefix = \"/vitald\"\n[[service]]\nname = \"s\"\naddress = \":1\"\nchecks = \"none\"\n",
            "give each dialect a prefix",
        ),
        ("[registry]\nendpoints = [\"http://x:1\"]\nprefix = \"services\"\n", "starts with /"),
        ("[[notify]]\nurl = \"x\"\n", "does not have it yet"),
        ("[report]\nurl = \"http://h/\"\n", "write [[report]]"),
        ("[defaults]\nfall = 0\n", "from 1 to"),
        ("[defaults]\nstale_after = \"300000000000y\"\n", "of a year at most"),
        ("[host]\ninterval = \"1ms\"\n", "1s to 1h"),
        ("[service]\nname = \"x\"\n", "write [[service]]"),
        ("[[service]]\nname = \"x\"\naddress = \"8080\"\nchecks = \"none\"\n", "is no address"),
        ("[[service]]\nname = \"x\"\naddress = \":8080\"\n", "no check names this service"),
        ("[[check]]\nname = \"a\"\n", "checker is missing"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\ntarget = \"h:1\"\n", "no scheme"),
        ("[dns]\nservers = []\n", "at least one server"),
        ("[dns]\nservers = [\"ns1.example\"]\n", "is no DNS server"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\ntls = { ca = \"x\" }\n", "unknown field"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\ntls = { cert_file = \"x\" }\n", "belong together"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\ntls = { server_name = \"a b\" }\n", "is no host name"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\nlimits = { sockets = 5000 }\n", "from 0 to 1024"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\nallow = [\"tcp://*:1\"]\n", "bare *"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\ntimeout = \"20s\"\n", "no longer than the interval"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\nlimits = { memory = \"1KiB\" }\n", "1MiB to 1GiB"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\nlimits = { memory = 5 }\n", "size with its unit"),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\nseverity = \"bad\"\n", "\"critical\" or \"warning\" or \"info\""),
        ("[[check]]\nname = \"a\"\nchecker = \"tcp\"\nparams = { x = \"${oops}\" }\n", "neither ${env:NAME}"),
    ];
    for (text, problem) in cases {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].contains(problem), "{text}: {} does not say {problem:?}", found[0]);
    }
}

#[test]
fn names_stand_once() {
    let found = mistakes(&format!("{CHECK}{CHECK}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("/etc/vitald/vitald.toml:7: ") && found[0].contains(":3: check.a"), "{found:?}");
    let drop_in = [("/etc/vitald/conf.d/x.toml", CHECK)];
    let error = build(&sources(&with_id(CHECK), &drop_in)).expect_err("twice").to_string();
    assert!(error.starts_with("/etc/vitald/conf.d/x.toml:1: "), "{error}");
}

#[test]
fn drop_ins_hold_services_and_checks_only() {
    let drop_in = [("/etc/vitald/conf.d/x.toml", "[agent]\nid = \"x\"\n")];
    let error = build(&sources(&with_id(""), &drop_in)).expect_err("refused").to_string();
    assert!(error.contains("x.toml:1: agent: unknown key; here stand service, check"), "{error}");
}

#[test]
fn localhost_is_no_id() {
    let error = build(&sources("[agent]\nid = \"localhost\"\n", &[])).expect_err("refused").to_string();
    assert!(error.contains("NODE_NAME"), "{error}");
}

#[test]
fn defaults_are_those_of_the_reference() {
    let config = good(CHECK);
    assert_eq!(config.http.listen, [([127, 0, 0, 1], 9720).into()]);
    assert_eq!((config.sandbox.concurrency, config.sandbox.memory), (256, 512 << 20));
    assert!(config.registry.is_none());
    assert_eq!(config.definitions.places.plugin_dirs, [PathBuf::from("/etc/vitald/plugins")]);
    let check = &config.definitions.checks[&name("a")];
    let policy = &check.policy;
    let seconds = |length: Duration| length.as_secs_f64();
    assert_eq!((seconds(policy.interval), seconds(policy.timeout), policy.fall, policy.rise), (10.0, 1.0, 3, 2));
    assert_eq!((seconds(policy.retry_interval), seconds(policy.stale_after)), (2.5, 31.0));
    assert_eq!((check.severity, &check.judges, policy.on_fault), (Severity::Critical, &Judges::Host, OnFault::Keep));
    let registry = good("[registry]\nendpoints = [\"http://127.0.0.1:2379\"]\n").registry.expect("a registry");
    assert_eq!((registry.prefix.as_str(), registry.agents_prefix.as_str()), ("/services", "/vitald/agents"));
    assert_eq!((seconds(registry.ttl), seconds(registry.drain)), (15.0, 0.0));
    assert_eq!((seconds(registry.etcd.connect_timeout), seconds(registry.etcd.request_timeout)), (5.0, 3.0));
}

#[test]
fn everything_of_this_version_is_understood() {
    let text = r#"
listen = ["127.0.0.1:0", "[::1]:0"]
advertise = "eth0"
plugin_dirs = ["plugins"]
conf_dirs = ["conf.d"]
secret_dirs = ["secrets"]
state_dir = "state"
[dns]
servers = ["10.0.0.53", "[fd00::53]:5353"]
[sandbox]
concurrency = 8
memory = "64MiB"
workers = 1
[registry]
endpoints = ["https://10.0.0.1:2379/", "https://10.0.0.2:2379"]
on_stop = "keep"
on_down = "mark"
remove_after = "1h"
keep_at_least = 2
dialects = ["native", "grpc", "skydns", "traefik"]
drain = "1s"
username = "vitald"
password = "a password"
tls = { ca_file = "etcd-ca.pem" }
grpc = { prefix = "names/" }
skydns = { prefix = "/coredns", domain = "Services.Internal." }
traefik = { root = "t", scheme = "h2c" }
[discovery]
watch = ["orders", "users"]
[host]
interval = "1s"
[defaults]
interval = "5s"
timeout = "500ms"
fall = 1
rise = 1
retry_interval = "1s"
stale_after = "1m"
on_fault = "down"
[[service]]
name = "orders"
address = "10.0.0.1:8080"
id = "orders-1"
tags = ["v2"]
weight = 10
metadata = { zone = "a" }
[[check]]
name = "a"
checker = "http"
target = "http://127.0.0.1/"
service = ["orders"]
severity = "warning"
allow = ["tcp://h:1", "host"]
params = { status = "200" }
limits = { memory = "32MiB", sockets = 4, log_lines = 5 }
tls = { ca_file = "ca.pem", cert_file = "/x/cert.pem", key_file = "/x/key.pem", server_name = "db.internal", insecure = true }
[[check]]
name = "b"
checker = "tcp"
service = "*"
"#;
    let config = good(text);
    let definitions = &config.definitions;
    let service = &definitions.services[&name("orders")];
    assert_eq!((service.host.as_deref(), service.port, &*service.id), (Some("10.0.0.1"), 8080, "orders-1"));
    let check = &definitions.checks[&name("a")];
    assert_eq!((check.limits.memory, check.severity, check.allow.len()), (Some(32 << 20), Severity::Warning, 2));
    assert_eq!((check.limits.sockets, check.limits.log_lines), (Some(4), Some(5)));
    let tls = &check.tls;
    assert_eq!(tls.ca_file, Some(PathBuf::from("/etc/vitald/ca.pem")));
    assert_eq!(tls.identity, Some((PathBuf::from("/x/cert.pem"), PathBuf::from("/x/key.pem"))));
    assert_eq!((tls.server_name.as_deref(), tls.insecure), (Some("db.internal"), true));
    assert_eq!((check.policy.fall, check.policy.on_fault), (1, OnFault::Down));
    assert_eq!(definitions.checks[&name("b")].judges, Judges::All);
    assert_eq!(config.definitions.places.plugin_dirs, [PathBuf::from("/etc/vitald/plugins")]);
    assert_eq!(config.state_dir, PathBuf::from("/etc/vitald/state"));
    let registry = config.registry.as_ref().expect("a registry");
    assert_eq!(registry.etcd.endpoints, ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]);
    assert_eq!(registry.etcd.credentials.as_ref().map(|user| user.password.get()), Some("a password".to_owned()));
    assert_eq!(registry.etcd.tls.ca_file, Some(PathBuf::from("/etc/vitald/etcd-ca.pem")));
    assert_eq!(registry.on_down, OnDown::Mark { remove_after: Some(Duration::from_secs(3600)) });
    assert_eq!(registry.keep_at_least, 2);
    let dialects = [
        Dialect::Native,
        Dialect::Grpc { prefix: "names".into() },
        Dialect::Skydns { prefix: "/coredns".into(), domain: "services.internal".into() },
        Dialect::Traefik { root: "t".into(), scheme: "h2c".into() },
    ];
    assert_eq!(registry.dialects, dialects);
    let discovery = config.discovery.as_ref().expect("discovery");
    assert_eq!(discovery.watched, Watched::These(vec![name("orders"), name("users")]));
    assert_eq!(
        config.sandbox.dns_servers,
        ["10.0.0.53:53", "[fd00::53]:5353"].map(|text| text.parse().expect("address"))
    );
}

#[test]
fn a_secret_that_is_not_there_is_the_checks_own_problem() {
    let text = format!(
        "{CHECK}params = {{ password = \"${{file:no-such-secret}}\" }}\n[[check]]\nname = \"b\"\nchecker = \"tcp\"\n"
    );
    let config = good(&text);
    let problem = config.definitions.checks[&name("a")].problem.clone().expect("a problem");
    assert!(problem.contains("check.a.params.password") && problem.contains("no-such-secret"), "{problem}");
    assert_eq!(config.definitions.checks[&name("b")].problem, None);
}

#[test]
fn names_with_dots_do_not_take_each_others_problems() {
    let check = |name: &str, params: &str| format!("[[check]]\nname = \"{name}\"\nchecker = \"tcp\"\n{params}\n");
    let text = check("a", "") + &check("a.params", "params = { x = \"${file:no-such-secret}\" }");
    let config = good(&text);
    assert_eq!(config.definitions.checks[&name("a")].problem, None);
    assert!(config.definitions.checks[&name("a.params")].problem.is_some());
}

#[test]
fn secrets_are_put_in_and_known_to_the_masker() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("db"), "hunter22\n").expect("write");
    let text = format!(
        "secret_dirs = [{:?}]\n[[check]]\nname = \"a\"\nchecker = \"redis\"\ntarget = \"redis://u:${{file:db}}@h:1\"\n\
         params = {{ token = \"typed-in\", query = \"select 1\" }}\n",
        dir.path()
    );
    let config = good(&text);
    let check = &config.definitions.checks[&name("a")];
    let target = check.target.as_ref().expect("a target");
    assert_eq!((target.url(), target.to_string().as_str()), ("redis://u:hunter22@h:1", "redis://u:***@h:1"));
    let shown = check.masker.mask("hunter22 typed-in select 1".into());
    assert_eq!(shown, "*** *** select 1");
}

#[test]
fn the_last_good_copy_makes_the_same_configuration_again() {
    let dir = tempfile::tempdir().expect("tempdir");
    let sources =
        sources(&with_id(CHECK), &[("/etc/vitald/conf.d/b.toml", "[[check]]\nname = \"b\"\nchecker = \"tcp\"\n")]);
    let copy = LastGood::new(dir.path());
    assert!(copy.load(Path::new("/etc/vitald/vitald.toml")).is_err_and(|error| error.is_missing()));
    copy.save(&sources).expect("saves");
    let (config, again) = copy.load(Path::new("/etc/vitald/vitald.toml")).expect("loads");
    assert_eq!(again, sources);
    assert_eq!(config.definitions.checks.len(), 2);
    std::fs::write(dir.path().join("last-good.json"), "{").expect("write");
    let error = copy.load(Path::new("/etc/vitald/vitald.toml")).expect_err("damaged");
    assert!(!error.is_missing() && error.to_string().contains("last-good.json: it is damaged"), "{error}");
}

#[test]
fn the_demonstration_is_a_good_configuration() {
    let loaded = demo::load(Path::new("/tmp/demo")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.config.definitions.checks.len(), 2);
    assert!(loaded.config.registry.is_none());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(\\[\\[?(agent|check|service|registry)\\]?\\]\n|[a-z_]{1,8} = (\"[^\"]{0,9}\"|[0-9]{1,9}|\\{\\}|\\[\\])\n){0,12}") {
        let _ = build(&sources(&text, &[("/x.toml", &text)]));
    }
}
