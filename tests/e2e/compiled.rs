//! Compiled code is kept for the next start: in a directory that only the agent writes, and only while it is what the
//! agent made. Everything else there is refused and made anew.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::compiling::until_state;
use crate::harness::{Agent, Listener, Manner, Site, check, eventually, guest, stamped, that};

const SOON: Duration = Duration::from_secs(20);
/// `nobody`
const STRANGER: u32 = 65534;

/// Where an agent keeps what it compiled.
struct Kept(PathBuf);

impl Kept {
    fn of(site: &Site) -> Self {
        Self(site.path().join("state/compiled"))
    }

    /// The directory of this build of the agent.
    fn own(&self) -> PathBuf {
        let dirs: Vec<PathBuf> = entries(&self.0);
        assert_eq!(dirs.len(), 1, "{dirs:?}");
        dirs[0].clone()
    }

    fn code(&self, digest: &str) -> PathBuf {
        self.own().join(format!("{digest}.cwasm"))
    }

    fn note(&self, digest: &str) -> PathBuf {
        self.own().join(format!("{digest}.json"))
    }

    /// The names of all files, below all directories.
    fn files(&self) -> BTreeSet<String> {
        let files =
            entries(&self.0).into_iter().flat_map(|path| if path.is_dir() { entries(&path) } else { vec![path] });
        files.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// Are these versions kept, and nothing else?
    fn holds(&self, digests: &[&str]) -> Result<(), String> {
        let wanted: BTreeSet<String> =
            digests.iter().flat_map(|digest| [format!("{digest}.cwasm"), format!("{digest}.json")]).collect();
        let files = self.files();
        that(files == wanted, || format!("{files:?}, not {wanted:?}"))
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn stop(mut agent: Agent) {
    agent.signal(Signal::TERM);
    assert_eq!(agent.end(SOON), 0);
}

fn digest(agent: &Agent, plugin: &str) -> String {
    until_state(agent, plugin, "ready", SOON)["digest"].as_str().expect("a digest").to_owned()
}

fn looked_up(agent: &Agent, result: &str) -> f64 {
    agent.metrics().sum("vitald_compiled_cache_total", &[("result", result)])
}

/// Starts the agent of a site whose checks are well then; returns also what it logged.
fn start(site: &Site, checks: &[&str]) -> (Agent, String) {
    let before = fs::read_to_string(site.log()).unwrap_or_default().len();
    let agent = site.start();
    for name in checks {
        agent.until(name, "UP");
        // Remembered verdicts are there at once, and the code perhaps not yet.
        let checker = agent.get(&format!("/api/v1/checks/{name}")).json()["checker"].as_str().unwrap().to_owned();
        until_state(&agent, &checker, "ready", SOON);
    }
    let log = agent.log()[before..].to_owned();
    (agent, log)
}

fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect()
}

/// A plugin file whose compiled code was harmed while the agent was stopped.
struct Harm {
    what: &'static str,
    /// To the code and the note beside it.
    done: fn(&Path, &Path),
}

const HARMS: [Harm; 10] = [
    Harm { what: "a byte of the code is another", done: |code, _| flip(code) },
    Harm { what: "the code is cut off", done: |code, _| truncate(code) },
    Harm { what: "the code is empty", done: |code, _| fs::write(code, "").unwrap() },
    Harm { what: "the code is gone", done: |code, _| fs::remove_file(code).unwrap() },
    Harm { what: "the note has another form", done: |_, note| fs::write(note, "{\"version\":999}").unwrap() },
    Harm { what: "the note is cut off", done: |_, note| truncate(note) },
    Harm { what: "the code is somebody else's", done: |code, _| chown(code, Some(STRANGER), None).unwrap() },
    Harm { what: "the note is somebody else's", done: |_, note| chown(note, Some(STRANGER), None).unwrap() },
    Harm { what: "the group may write the code", done: |code, _| mode(code, 0o660) },
    Harm { what: "the code is a link to elsewhere", done: |code, _| lead_elsewhere(code) },
];

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn lead_elsewhere(path: &Path) {
    let elsewhere = path.parent().unwrap().ancestors().nth(3).unwrap().join("elsewhere");
    fs::rename(path, &elsewhere).unwrap();
    symlink(elsewhere, path).unwrap();
}

#[test]
fn a_start_takes_the_code_that_the_one_before_compiled() {
    let listener = Listener::start(Manner::Closing);
    let site = Site::new();
    site.plugin("app", guest("noop"));
    site.drop_in("checks", [check("app", "app"), check("web", "tcp").target(&listener.url())]);
    let (agent, _) = start(&site, &["app", "web"]);
    assert_eq!((looked_up(&agent, "hit"), looked_up(&agent, "miss")), (0.0, 2.0));
    assert_eq!(agent.metrics().sum("vitald_compile_seconds_count", &[]), 2.0);
    let (app, tcp) = (digest(&agent, "app"), digest(&agent, "tcp"));
    let before = agent.plugin("tcp").unwrap();
    stop(agent);
    let kept = Kept::of(&site);
    kept.holds(&[&app, &tcp]).unwrap();
    for (path, wanted) in [(kept.0.clone(), 0o700), (kept.own(), 0o700), (kept.code(&app), 0o600)] {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, wanted, "{}: {mode:o}", path.display());
    }

    let (agent, log) = start(&site, &["app", "web"]);
    assert_eq!((looked_up(&agent, "hit"), looked_up(&agent, "miss")), (2.0, 0.0));
    assert_eq!(agent.metrics().sum("vitald_compile_seconds_count", &[]), 0.0, "something was compiled");
    assert_eq!(agent.plugin("tcp").unwrap(), before, "what the plugin says of itself is remembered too");
    assert!(warnings(&log).is_empty(), "{log}");
    stop(agent);
    kept.holds(&[&app, &tcp]).unwrap();
}

#[test]
fn code_that_is_not_as_the_agent_left_it_is_made_anew() {
    let site = Site::new();
    let names: Vec<String> = (0..HARMS.len()).map(|n| format!("app-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (name, number) in names.iter().zip(0..) {
        site.plugin(name, stamped(&guest("noop"), number));
    }
    // One more, which nobody touches.
    site.plugin("other", guest("version_two"));
    site.drop_in("checks", names.iter().copied().chain(["other"]).map(|name| check(name, name)));
    let (agent, _) = start(&site, &names);
    let digests: Vec<String> = names.iter().map(|name| digest(&agent, name)).collect();
    agent.until("other", "UP");
    let other = digest(&agent, "other");
    stop(agent);

    let kept = Kept::of(&site);
    let foreign = fs::read(kept.code(&other)).unwrap();
    for (harm, digest) in HARMS.iter().zip(&digests) {
        (harm.done)(&kept.code(digest), &kept.note(digest));
    }
    let (agent, log) = start(&site, &names);
    assert_eq!(looked_up(&agent, "hit"), 1.0, "only the one that nobody touched");
    let warned = warnings(&log);
    for (harm, digest) in HARMS.iter().zip(&digests) {
        let line = warned.iter().find(|line| line.contains(digest));
        println!("{}: {}", harm.what, line.unwrap_or(&"nothing is said"));
        // What is not there is an ordinary miss.
        assert!(line.is_some() || harm.what.ends_with("is gone"), "{}: no warning:\n{log}", harm.what);
    }
    stop(agent);

    let (agent, log) = start(&site, &names);
    assert_eq!(looked_up(&agent, "hit"), names.len() as f64 + 1.0);
    assert!(warnings(&log).is_empty(), "{log}");
    stop(agent);

    // Good code, and that of another plugin.
    fs::write(kept.code(&digests[0]), foreign).unwrap();
    let (agent, _) = start(&site, &names);
    assert_eq!(agent.check(names[0])["message"], "ok", "the code of another plugin ran");
    assert_eq!(looked_up(&agent, "hit"), names.len() as f64);
}

#[test]
fn a_directory_that_others_write_is_refused_until_it_is_mended() {
    type Change = fn(&Kept);
    let cases: [(&str, Change, Change); 4] = [
        ("the group may write it", |kept| mode(&kept.own(), 0o770), |kept| mode(&kept.own(), 0o700)),
        ("everyone may write all of it", |kept| mode(&kept.0, 0o777), |kept| mode(&kept.0, 0o700)),
        (
            "it is somebody else's",
            |kept| chown(&kept.0, Some(STRANGER), None).unwrap(),
            |kept| chown(&kept.0, Some(0), None).unwrap(),
        ),
        (
            "it is no directory",
            |kept| {
                fs::rename(&kept.0, kept.0.with_extension("aside")).unwrap();
                fs::write(&kept.0, "in its way").unwrap();
            },
            |kept| {
                fs::remove_file(&kept.0).unwrap();
                fs::rename(kept.0.with_extension("aside"), &kept.0).unwrap();
            },
        ),
    ];
    assert!(rustix::process::geteuid().is_root(), "files are given away: run the tests as root");
    let site = Site::new();
    site.plugin("app", guest("noop"));
    site.drop_in("checks", [check("app", "app")]);
    let (agent, _) = start(&site, &["app"]);
    stop(agent);
    let kept = Kept::of(&site);
    for (what, harm, mend) in cases {
        harm(&kept);
        let (agent, log) = start(&site, &["app"]);
        let line = warnings(&log).into_iter().find(|line| line.contains("compiled"));
        println!("{what}: {}", line.unwrap_or_default());
        assert!(line.is_some_and(|line| line.contains("state/compiled")), "{what}: no warning:\n{log}");
        assert_eq!(looked_up(&agent, "hit"), 0.0, "{what}");
        stop(agent);
        mend(&kept);
        let (agent, log) = start(&site, &["app"]);
        assert!(warnings(&log).is_empty(), "{what}, mended:\n{log}");
        stop(agent);
        let (agent, _) = start(&site, &["app"]);
        assert_eq!(looked_up(&agent, "hit"), 1.0, "{what}, mended");
        stop(agent);
    }
}

#[test]
fn what_no_plugin_uses_is_swept() {
    let site = Site::new();
    site.plugin("app", guest("noop"));
    site.plugin("gone", stamped(&guest("noop"), 1));
    site.drop_in("checks", [check("app", "app")]);
    let (agent, _) = start(&site, &["app"]);
    let (app, gone) = (digest(&agent, "app"), digest(&agent, "gone"));
    let kept = Kept::of(&site);
    eventually("both are kept", SOON, || kept.holds(&[&app, &gone]));

    fs::remove_file(site.plugin_path("gone")).unwrap();
    eventually("one is swept", SOON, || kept.holds(&[&app]));
    site.plugin("app", guest("version_two"));
    let two = eventually("it is replaced", SOON, || {
        let seen = agent.plugin("app").ok_or("it is not listed")?["digest"].clone();
        that(seen != *app, || "not yet".into()).map(|()| seen.as_str().unwrap().to_owned())
    });
    eventually("the version before is swept", SOON, || kept.holds(&[&two]));
    // What runs is the last good one; what stands in its place is nothing to be kept.
    site.plugin("app", "no component");
    until_state(&agent, "app", "kept", SOON);
    kept.holds(&[&two]).unwrap();
    stop(agent);

    // Of another build of the agent, and of one that was killed while it wrote.
    fs::write(kept.own().join(format!("{app}.cwasm.tmp")), "half of the co").unwrap();
    let older = kept.0.join("0123456789abcdef");
    fs::create_dir(&older).unwrap();
    fs::write(older.join(format!("{app}.cwasm")), "old code").unwrap();
    let (agent, _) = start(&site, &["app"]);
    assert_eq!(agent.check("app")["message"], "ok from version two");
    eventually("what nobody uses is swept", SOON, || {
        kept.holds(&[&two])?;
        that(!older.exists(), || "the directory of another build is there".into())
    });
}

#[test]
fn compiled_code_in_a_plugin_directory_is_no_plugin() {
    let site = Site::new();
    site.plugin("app", guest("noop"));
    site.drop_in("checks", [check("app", "app"), check("code", "code")]);
    let (agent, _) = start(&site, &["app"]);
    let code = fs::read(Kept::of(&site).code(&digest(&agent, "app"))).unwrap();
    site.plugin("code", &code);
    let seen = until_state(&agent, "code", "broken", SOON);
    assert!(seen["error"].as_str().unwrap().contains("component"), "{seen}");
    // Whatever its name is: only *.wasm are looked at.
    fs::write(site.path().join("plugins/other.cwasm"), code).unwrap();
    assert_eq!(agent.plugin("other"), None);
}
