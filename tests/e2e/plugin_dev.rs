//! `vitald plugin dev`: each run's verdict, a build whenever a file is saved, and nothing left behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Greeter, Server, Site, ended, eventually, that};
use crate::plugin_new::plugin;

/// For a build, on a machine that others use too.
const BUILT: Duration = Duration::from_secs(180);
const SOON: Duration = Duration::from_secs(20);

/// A session, with temporary files of its own.
fn dev(site: &Site, arguments: &[&str]) -> Server {
    let tmp = site.path().join("tmp");
    fs::create_dir_all(&tmp).expect("made");
    let mut command = plugin(site.path(), &["dev"]);
    Server::start("", command.args(arguments).env("TMPDIR", tmp), &site.path().join("dev.log"))
}

/// The first line with these words after what is known already; all until there is known then.
fn until(server: &Server, known: &mut usize, words: &str, budget: Duration) -> String {
    eventually(&format!("it says {words:?}"), budget, || {
        let log = server.log();
        let news = log.get(*known..).unwrap_or_default();
        let at = news.find(words).ok_or_else(|| news.to_owned())?;
        let end = news.get(at..).and_then(|rest| rest.find('\n')).ok_or("half a line")?;
        *known += at + end;
        Ok(news[..at + end].lines().last().unwrap_or_default().to_owned())
    })
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("a file");
    assert!(text.contains(from), "{from:?} is not in {}", file.display());
    fs::write(file, text.replace(from, to)).expect("written");
}

/// The processes that work in a directory.
fn at_work(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let inside =
        processes.filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)));
    let name = |process: &fs::DirEntry| fs::read_to_string(process.path().join("comm")).unwrap_or_default();
    inside.map(|process| format!("{} {}", process.file_name().to_string_lossy(), name(&process).trim())).collect()
}

fn nobody_is_left(site: &Site) {
    eventually("nobody is left", SOON, || {
        let left = at_work(site.path());
        that(left.is_empty(), || format!("{left:?}"))
    });
}

#[test]
fn an_edit_is_built_and_the_new_verdict_seen() {
    let site = Site::new();
    assert_eq!(ended(&mut plugin(site.path(), &["new", "live"])).code, 0);
    let mail = Greeter::start("220 ready\r\n");
    let url = format!("smtp://127.0.0.1:{}", mail.port());
    edit(&site.path().join("live/check.toml"), "smtp://127.0.0.1:25", &url);
    let mut dev = dev(&site, &["live", "--interval", "200ms", "--install", "plugins"]);
    let mut known = 0;
    until(&dev, &mut known, "built in", BUILT);
    let line = until(&dev, &mut known, "UP", SOON);
    assert!(line.contains("220 ready") && line.contains(" ms)"), "{line}");
    until(&dev, &mut known, "UP", SOON);
    let installed = site.path().join("plugins/live.wasm");
    let first = fs::read(&installed).expect("it is installed");

    let source = site.path().join("live/src/lib.rs");
    edit(
        &source,
        "Ok(up(line.trim_end()))",
        "run.log(Level::Info, \"so far so good\");\n        Ok(degraded(\"seen anew\"))",
    );
    until(&dev, &mut known, "built in", BUILT);
    let line = until(&dev, &mut known, "DEGRADED", SOON);
    assert!(line.contains("seen anew"), "{line}");
    until(&dev, &mut known, "so far so good", SOON);
    assert_ne!(fs::read(&installed).expect("it is installed"), first);

    // A mistake is shown as the compiler says it, and the good one runs on.
    edit(&source, "seen anew", "seen \" anew");
    until(&dev, &mut known, "error", BUILT);
    until(&dev, &mut known, "the build before runs on", BUILT);
    until(&dev, &mut known, "seen anew", SOON);
    edit(&source, "seen \" anew", "mended");
    until(&dev, &mut known, "built in", BUILT);
    until(&dev, &mut known, "mended", SOON);

    // The check is a source too.
    edit(&site.path().join("live/check.toml"), "\"220 \"", "\"221 \"");
    until(&dev, &mut known, "unexpected greeting", BUILT);
    edit(&site.path().join("live/check.toml"), "starts_with", "begins_with");
    until(&dev, &mut known, "begins_with", BUILT);

    dev.signal(Signal::INT);
    assert_eq!(dev.end(SOON), 0);
    let left: Vec<_> = fs::read_dir(site.path().join("tmp")).expect("a directory").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    nobody_is_left(&site);
}

#[test]
fn the_command_line_says_what_the_check_does_not() {
    let site = Site::new();
    assert_eq!(ended(&mut plugin(site.path(), &["new", "said"])).code, 0);
    fs::remove_file(site.path().join("said/check.toml")).expect("removed");
    let mail = Greeter::start("220 ready\r\n");
    let url = format!("tcp://127.0.0.1:{}", mail.port());
    // A text, although it looks like a number.
    let arguments = ["said", "--interval", "200ms", "--target", &url, "-p", "starts_with=220"];
    let mut dev = dev(&site, &arguments);
    let mut known = 0;
    let line = until(&dev, &mut known, "UP", BUILT);
    assert!(line.contains("220 ready"), "{line}");

    // A crash is told once, and each run has its line.
    let source = site.path().join("said/src/lib.rs");
    edit(
        &source,
        "let mut line = String::new();",
        "let mut line = String::new();\n    assert!(line == \"x\", \"oh no\");",
    );
    let line = until(&dev, &mut known, "UNKNOWN", BUILT);
    assert!(line.contains("oh no") && !line.contains("RUST_BACKTRACE"), "{line}");
    let told = known;
    for _ in 0..3 {
        until(&dev, &mut known, "UNKNOWN", SOON);
    }
    let log = dev.log();
    let told = log.get(told..known).expect("what it said meanwhile");
    assert_eq!(told.matches("The checker crashed").count(), 1, "{told}");
    assert!(!told.contains("core::panicking"), "{told}");

    // Two checks: it says which it runs.
    let check = "[[check]]\nname = \"one\"\nchecker = \"other\"\n[[check]]\nname = \"two\"\nchecker = \"said\"\n";
    fs::write(site.path().join("said/check.toml"), check).expect("written");
    let line = until(&dev, &mut known, "this runs", BUILT);
    assert!(line.contains("check.toml has 2 checks; this runs two"), "{line}");
    // Broken, it is shown as it is drawn.
    fs::write(site.path().join("said/check.toml"), format!("{check}oh = = dear\n")).expect("written");
    let line = until(&dev, &mut known, "oh = = dear", BUILT);
    assert!(line.trim_start().starts_with("7 |"), "{line}");
    until(&dev, &mut known, "the build before runs on", BUILT);

    fs::remove_dir_all(site.path().join("said")).expect("removed");
    assert_eq!(dev.end(SOON), 1, "{}", dev.log());
    assert!(dev.log().trim_end().ends_with("said is gone"), "{}", dev.log());
    nobody_is_left(&site);
}

#[test]
fn a_build_that_is_interrupted_leaves_nothing() {
    let site = Site::new();
    assert_eq!(ended(&mut plugin(site.path(), &["new", "stopped"])).code, 0);
    // A build script that never ends stands for a build that takes long; its own child, too.
    fs::write(
        site.path().join("stopped/build.rs"),
        "fn main() { std::process::Command::new(\"sleep\").arg(\"1000\").status().unwrap(); }",
    )
    .expect("written");
    let mut dev = dev(&site, &["stopped"]);
    let busy = || {
        let seen = at_work(site.path());
        that(seen.iter().any(|process| process.ends_with(" sleep")), || format!("{seen:?}\n{}", dev.log()))
    };
    eventually("the build is under way", BUILT, busy);
    dev.signal(Signal::INT);
    assert_eq!(dev.end(SOON), 0);
    nobody_is_left(&site);
}

#[test]
fn what_cannot_begin_says_why() {
    let site = Site::new();
    let wrong = ended(&mut plugin(site.path(), &["dev", "nowhere"]));
    assert!(wrong.code == 1 && wrong.stderr.contains("nowhere"), "{wrong:?}");
    for interval in ["soon", "1ms"] {
        let wrong = ended(&mut plugin(site.path(), &["dev", ".", "--interval", interval]));
        assert!(wrong.code == 64 && wrong.stderr.contains("--interval"), "{wrong:?}");
    }
    // Not only after a build.
    for (flag, value) in [
        ("--target", "nonsense"),
        ("--timeout", "soon"),
        ("--allow", "everything"),
        ("-p", "starts_with"),
        ("--install", "/no/such"),
    ] {
        let wrong = ended(&mut plugin(site.path(), &["dev", "nowhere", flag, value]));
        assert!(wrong.code == 64 && wrong.stderr.contains(flag), "{wrong:?}");
    }
}
