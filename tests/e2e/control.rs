//! What an operator asks of the agent over its control socket: `vitald maintenance`, `status`, `handover`.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Agent, Ended, Etcd, Site, check, ended, eventually, guest, program, service, that, throughout, vitald, vitald_of,
    write,
};
use crate::registration::{KEY, settled, shop};

pub const SOON: Duration = Duration::from_secs(15);
/// `nobody`
const STRANGER: u32 = 65534;

pub fn socket(site: &Site) -> PathBuf {
    site.run_dir().join("host-1.sock")
}

pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o777
}

/// A command that does what it is to do.
pub fn done(site: &Site, arguments: &[&str]) -> Ended {
    ends_with(site, arguments, 0)
}

pub fn ends_with(site: &Site, arguments: &[&str], code: i32) -> Ended {
    let ended = vitald_of(site, arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    ended
}

pub fn gone(etcd: &Etcd) -> Result<(), String> {
    that(etcd.get(KEY).is_none(), || "the key is there".into())
}

pub fn there(etcd: &Etcd) -> Result<(), String> {
    that(etcd.get(KEY).is_some(), || "no key".into())
}

pub fn says(agent: &Agent, words: &str) -> Result<(), String> {
    that(agent.log().contains(words), || format!("the log does not say {words:?}"))
}

/// A host without a registry whose service is ill: its one check is DOWN.
pub fn ill() -> (Site, Agent) {
    let site = Site::new();
    site.plugin("down", guest("down"));
    site.plugin("noop", guest("noop"));
    site.drop_in("shop", [service("shop"), check("app", "down").of("shop"), check("host", "noop")]);
    let agent = site.start();
    agent.until("app", "DOWN");
    agent.until("host", "UP");
    (site, agent)
}

#[test]
fn the_socket_is_for_its_owner_and_goes_with_the_agent() {
    let site = Site::new();
    let mut agent = site.start();
    let path = socket(&site);
    assert_eq!((mode(&site.run_dir()), mode(&path)), (0o755, 0o600));
    done(&site, &["maintenance", "list"]);

    // A killed agent leaves it behind; nobody listens, and the next one replaces it.
    agent.kill();
    assert!(path.exists());
    let ended = ends_with(&site, &["maintenance", "list"], 69);
    assert!(ended.stderr.contains(path.to_str().unwrap()) && ended.stderr.contains("nobody listens"), "{ended:?}");
    let mut agent = site.start();
    done(&site, &["maintenance", "list"]);

    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
    assert!(!path.exists());
}

#[test]
fn where_the_run_directory_cannot_be_had_the_socket_is_with_the_state() {
    let site = Site::new();
    write(&site.run_dir(), "not a directory");
    let _agent = site.start();
    assert_eq!(mode(&site.path().join("state/control.sock")), 0o600);
    done(&site, &["maintenance", "list"]);
}

/// The same program, started by somebody else.
pub fn as_stranger(site: &Site, arguments: &[&str]) -> Ended {
    let own = site.path().join("vitald");
    if !own.exists() {
        std::fs::set_permissions(site.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        // The program may lie where strangers cannot go.
        std::fs::hard_link(program(), &own).or_else(|_| std::fs::copy(program(), &own).map(drop)).unwrap();
    }
    let mut command = Command::new(own);
    command.args(arguments).arg("--socket").arg(socket(site)).uid(STRANGER).gid(STRANGER);
    ended(&mut command)
}

#[test]
fn another_user_is_refused() {
    let (site, agent) = ill();
    let on = ["maintenance", "on", "--service", "shop", "--for", "1h"];
    let ended = as_stranger(&site, &on);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("only root and the agent's own user"), "{ended:?}");

    // Whoever loosens the file's mode does not loosen the agent.
    std::fs::set_permissions(socket(&site), std::fs::Permissions::from_mode(0o666)).unwrap();
    let ended = as_stranger(&site, &on);
    assert_eq!(ended.code, 1, "{ended:?}");
    let line = "only root and uid 0 may use this socket, and you are uid 65534";
    assert_eq!(ended.stderr.trim_end(), format!("vitald: {line}"));
    eventually("it is logged", SOON, || says(&agent, "uid 65534 may not use the control socket"));
    let ended = as_stranger(&site, &["status"]);
    assert_eq!((ended.code, ended.stdout.trim_end()), (3, &*format!("UNKNOWN: {line}")));
    agent.answers("/health", 503).unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_and_says_what_does() {
    let (site, _agent) = ill();
    let ended = ends_with(&site, &["maintenance", "on", "--service", "shopp"], 1);
    assert!(ended.stderr.contains("no service shopp") && ended.stderr.contains("there are shop"), "{ended:?}");
    let ended = done(&site, &["maintenance", "off"]);
    assert!(ended.stdout.contains("the host was not in maintenance"), "{ended:?}");
    let ended = done(&site, &["maintenance", "off", "--service", "shop"]);
    assert!(ended.stdout.contains("shop was not in maintenance"), "{ended:?}");
    for wrong in [&["on", "--for", "soon"][..], &["on", "--service", "No Name"], &["away"], &[]] {
        let ended = vitald(&[&["maintenance"], wrong].concat());
        assert_eq!(ended.code, 64, "{wrong:?}: {ended:?}");
    }
    let nowhere = site.path().join("none.sock");
    let ended = vitald(&["maintenance", "list", "--socket", nowhere.to_str().unwrap()]);
    assert_eq!(ended.code, 69, "{ended:?}");
    assert!(ended.stderr.contains("no agent answers") && ended.stderr.contains("none.sock"), "{ended:?}");
    let ended = vitald(&["status", "--socket", nowhere.to_str().unwrap()]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stdout.starts_with("UNKNOWN: no agent answers"), "{ended:?}");
}

#[test]
fn an_agent_of_another_state_is_not_asked() {
    let (site, agent) = ill();
    let other = site.path().join("other.toml");
    let text = std::fs::read_to_string(site.main()).unwrap().replace("\"state\"", "\"state-2\"");
    write(&other, text);
    let mut command = Command::new(program());
    command.args(["maintenance", "on", "--config"]).arg(&other).env("RUNTIME_DIRECTORY", site.run_dir());
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("keeps its state in"), "{stderr}");
    assert!(!agent.log().contains("asks for maintenance"));
}

#[test]
fn status_ends_with_the_codes_of_nagios() {
    let site = Site::new();
    site.plugin("app", guest("noop"));
    site.plugin("noop", guest("noop"));
    site.plugin("picky", guest("down"));
    let soft = check("soft", "noop").of("shop").with("severity", "warning");
    site.drop_in("shop", [service("shop"), check("app", "app").of("shop"), soft]);
    let agent = site.start();
    agent.until("app", "UP");
    agent.until("soft", "UP");
    let text = done(&site, &["status"]).stdout;
    assert!(text.starts_with("UP: agent host-1"), "{text}");
    assert!(!text.contains('\x1b'), "no colour outside a terminal: {text}");
    assert!(text.contains("etcd: there is no [registry]"), "{text}");

    let soft = check("soft", "picky").of("shop").with("severity", "warning");
    site.drop_in("shop", [service("shop"), check("app", "app").of("shop"), soft]);
    agent.until("soft", "DOWN");
    ends_with(&site, &["status"], 1);
    ends_with(&site, &["status", "shop"], 1);
    done(&site, &["status", "app"]);
    ends_with(&site, &["status", "soft"], 2);

    site.plugin("app", guest("down"));
    agent.until("app", "DOWN");
    let ended = ends_with(&site, &["status"], 2);
    assert!(ended.stdout.starts_with("DOWN: agent host-1"), "{ended:?}");
    ends_with(&site, &["status", "shop"], 2);

    site.plugin("app", guest("trapper"));
    agent.until_unknown("app", "trap");
    let ended = ends_with(&site, &["status", "app"], 3);
    assert!(ended.stdout.contains("UNKNOWN") && ended.stdout.contains("DOWN") && ended.stdout.contains("(trap)"));
    let ended = ends_with(&site, &["status", "nobody"], 3);
    assert!(ended.stdout.contains("services: shop") && ended.stdout.contains("checks: app, soft"), "{ended:?}");
}

#[test]
fn status_says_what_is_known_of_keys_runs_and_reloads() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let agent = site.start();
    settled(&site, &etcd);
    agent.until("app", "UP");
    let json = |site: &Site| -> Value { serde_json::from_str(&done(site, &["status", "--json"]).stdout).unwrap() };
    let status = eventually("the key is known to be there", SOON, || {
        let status = json(&site);
        that(status["services"][0]["keys"][0]["state"] == "registered", || status.to_string())?;
        Ok(status)
    });
    let (shop, etcd_state) = (&status["services"][0], &status["registry"]);
    assert_eq!((&shop["name"], &shop["status"], &shop["keys"][0]["key"]), (&"shop".into(), &"UP".into(), &KEY.into()));
    assert_eq!((&etcd_state["up"], &etcd_state["endpoint"]), (&true.into(), &etcd.url().into()), "{status}");
    assert_eq!(etcd_state["lease"]["granted_ttl_ms"], 5000);
    let id = i64::from_str_radix(etcd_state["lease"]["id"].as_str().unwrap(), 16).unwrap();
    assert_eq!(etcd.leases(), [id]);
    let app = &status["checks"][0];
    assert!(app["age_ms"].as_u64().unwrap() < 5_000 && app["next_run_in_ms"].is_u64(), "{app}");
    assert_eq!(status["configuration"]["mistakes"], 0);

    site.drop_in_text("broken", "[[check]]\nname = 7\n");
    eventually("the mistake is shown", SOON, || {
        let text = done(&site, &["status"]).stdout;
        that(text.contains("NOT TAKEN OVER") && text.contains("broken.toml:1"), || text)
    });
    site.remove_drop_in("broken");
    eventually("the mistake is gone", SOON, || {
        let status = json(&site);
        that(status["configuration"]["mistakes"] == 0, || status.to_string())
    });
}

#[test]
fn a_broken_main_file_still_leads_to_its_agent() {
    let (site, _agent) = ill();
    let text = std::fs::read_to_string(site.main()).unwrap();
    write(&site.main(), text + "\n[[check]]\nname = \nthis is no TOML\n");
    ends_with(&site, &["status"], 2);
    done(&site, &["maintenance", "list"]);
}

#[test]
fn handing_over_leaves_the_keys_to_the_next_agent() {
    let etcd = Etcd::start();
    let site = shop(&etcd);
    let mut agent = site.start();
    let before = settled(&site, &etcd);
    let revision = etcd.revision();
    let ended = done(&site, &["handover"]);
    assert_eq!(ended.stdout, "handed over: the keys stay for 5s, start the next agent within that\n");
    assert_eq!(agent.ended(), Some(0), "the command returns when the agent has ended");
    let agent = site.start();
    agent.until("app", "UP");
    throughout("the key is there", Duration::from_secs(7), || there(&etcd));
    assert_eq!(etcd.events_since(revision, "/"), Vec::<String>::new());
    assert_eq!(etcd.get(KEY), Some(before));
    says(&agent, "uid 0 asks to hand over").unwrap();
}

#[test]
fn an_agent_that_stands_alone_hands_nothing_over() {
    let (site, mut agent) = ill();
    let ended = done(&site, &["handover"]);
    assert!(ended.stdout.contains("no keys to hand over"), "{ended:?}");
    assert_eq!(agent.ended(), Some(0));
    ends_with(&site, &["handover"], 69);
}

/// As `docker exec` has it, or a hook of another unit: the agent's process cannot be seen.
#[test]
fn a_handover_from_another_pid_namespace_returns_when_the_agent_has_ended() {
    let (site, mut agent) = ill();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]).arg(program()).arg("handover").arg("--config").arg(site.main());
    let output = command.env("RUNTIME_DIRECTORY", site.run_dir()).output().expect("unshare of util-linux");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Its connection ends a moment before its process.
    eventually("the agent has ended", Duration::from_secs(1), || that(agent.ended() == Some(0), || "it runs".into()));
}
