//! `vitald plugin new`, `test` and `build`: from nothing to a plugin that an agent runs, as a newcomer types it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Ended, Greeter, Site, check, ended, program, vitald};

const EXIT_FAILED: i32 = 1;
const EXIT_USAGE: i32 = 64;

/// What such projects are built into: once for all tests, and kept for the next time.
pub fn target_dir() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.ancestors().nth(3).expect("<target>/release/deps/<test>").join("projects")
}

/// `vitald plugin ..`, in a directory.
pub fn plugin(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("plugin").args(arguments).current_dir(dir).env("CARGO_TARGET_DIR", target_dir());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Ended {
    ended(&mut plugin(dir, arguments))
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/examples")
}

/// Every file below a directory that a template would have.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let made = ["target", "node_modules", "__pycache__", "build", "dist", ".venv"];
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a directory").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && !made.contains(&name.as_str()) {
                open.push(path);
            } else if path.is_file() && !name.ends_with(".wasm") {
                let relative = path.strip_prefix(dir).expect("below").display().to_string();
                found.insert(relative, fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

#[test]
fn a_new_plugin_is_tested_built_tried_and_run_by_an_agent() {
    let site = Site::new();
    let begun = Instant::now();
    let made = run(site.path(), &["new", "mail-greeting"]);
    assert_eq!((made.code, made.stderr.as_str()), (0, ""), "{made:?}");
    assert!(made.stdout.contains("sdk"), "it says which SDK:\n{}", made.stdout);
    let next: Vec<&str> = made.stdout.lines().skip_while(|line| *line != "Next:").skip(1).collect();
    assert_eq!(next.len(), 3, "{}", made.stdout);
    for (line, command) in
        next.iter().zip(["plugin test mail-greeting", "plugin dev mail-greeting", "plugin build mail"])
    {
        assert!(line.contains(command), "{line}");
    }

    let tested = run(site.path(), &["test", "mail-greeting"]);
    assert_eq!(tested.code, 0, "{tested:?}");
    assert!(tested.stdout.contains("test result: ok") && !tested.stdout.contains(" 0 passed"), "{}", tested.stdout);

    let built = run(site.path(), &["build", "mail-greeting"]);
    assert_eq!(built.code, 0, "{built:?}");
    let line = built.stdout.lines().next().expect("a line");
    for part in ["mail-greeting/mail-greeting.wasm: ", " KiB, version 0.1.0", "smtp://", "starts_with", "uses network"]
    {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let lock = |path: PathBuf| {
        let text = fs::read_to_string(path).expect("a file").replace("mail-greeting", "banner");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (own, used) = (lock(examples().join("rust/Cargo.lock")), lock(site.path().join("mail-greeting/Cargo.lock")));
    assert!(own == used, "it is out of date: run `cargo metadata` in sdk/examples/rust, and keep its Cargo.lock");

    let file = site.path().join("mail-greeting/mail-greeting.wasm");
    let size = fs::metadata(&file).expect("it is there").len();
    println!("measured: a new plugin: {size} bytes, tested and built in {:.1?}", begun.elapsed());
    assert!(size < 250 << 10, "{size} bytes");

    let mail = Greeter::start("220 mail ready\r\n");
    let url = format!("smtp://127.0.0.1:{}", mail.port());
    let tried = vitald(&["try", file.to_str().expect("text"), "--target", &url, "-p", "starts_with=220", "--json"]);
    let said: Value = serde_json::from_str(&tried.stdout).unwrap_or_else(|error| panic!("{error}: {tried:?}"));
    assert_eq!((tried.code, &said["status"], &said["message"]), (0, &"UP".into(), &"220 mail ready".into()), "{said}");

    site.plugin("mail-greeting", fs::read(&file).expect("it is there"));
    site.drop_in("checks", [check("mail", "mail-greeting").target(&url).line("params = { starts_with = \"220\" }")]);
    let agent = site.start();
    agent.until("mail", "UP");
}

/// What takes a package manager is built by tests/components/build, from the same files.
#[test]
fn other_languages_have_their_own_tools() {
    let site = Site::new();
    assert_eq!(run(site.path(), &["new", "tape-drive", "--lang", "c"]).code, 0);
    let tested = run(site.path(), &["test", "tape-drive"]);
    assert_eq!(tested.code, 0, "{tested:?}");
    let built = run(site.path(), &["build", "tape-drive"]);
    assert_eq!(built.code, 0, "{built:?}");
    assert!(built.stdout.contains("tape-drive/tape-drive.wasm: "), "{}", built.stdout);
    let server = Greeter::start("220 ready\r\n");
    let (file, url) = (site.path().join("tape-drive/tape-drive.wasm"), format!("tcp://127.0.0.1:{}", server.port()));
    let tried = vitald(&["try", file.to_str().expect("text"), "--target", &url, "--nagios"]);
    assert!(tried.code == 0 && tried.stdout.contains("220 ready"), "{tried:?}");

    assert_eq!(run(site.path(), &["new", "slide-rule", "--lang", "python"]).code, 0);
    let tested = run(site.path(), &["test", "slide-rule"]);
    assert!(tested.code == 0 && tested.stderr.contains("OK"), "{tested:?}");
    let no_sdk = run(site.path(), &["new", "abacus", "--lang", "c", "--sdk", "/"]);
    assert!(no_sdk.code == EXIT_FAILED && no_sdk.stderr.contains("wit/"), "{no_sdk:?}");
}

#[test]
fn a_new_project_is_formatted_and_clippy_says_nothing() {
    let site = Site::new();
    assert_eq!(run(site.path(), &["new", "tidy"]).code, 0);
    let project = site.path().join("tidy");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        ended(command.args(arguments).current_dir(&project).env("CARGO_TARGET_DIR", target_dir()))
    };
    let formatted = cargo(&["fmt", "--check"]);
    assert_eq!((formatted.code, formatted.stdout.as_str()), (0, ""), "{formatted:?}");
    let linted = cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]);
    assert_eq!(linted.code, 0, "{}", linted.stderr);
}

#[test]
fn templates_are_the_examples_of_the_sdk() {
    let site = Site::new();
    for entry in fs::read_dir(examples()).expect("the examples").flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let lang = if name == "javascript" { "js" } else { &name };
        let into = site.path().join(&name);
        let made = run(site.path(), &["new", "banner", "--lang", lang, "--into", into.to_str().expect("text")]);
        assert_eq!(made.code, 0, "{name}: {made:?}");
        let (example, mut project) = (files(&entry.path()), files(&into));
        if let Some(manifest) = project.get_mut("Cargo.toml") {
            let sdk = examples().parent().expect("sdk").canonicalize().expect("it is there").display().to_string();
            assert!(manifest.contains(&sdk), "{manifest}");
            *manifest = manifest.replace(&sdk, "../..");
        }
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&project), names(&example), "{name}");
        assert_eq!(project, example, "{name}");
        // What the projects do not have by other means.
        assert!(
            project.contains_key("README.md") && project.contains_key("check.toml"),
            "{name}: {:?}",
            names(&project)
        );
        assert!(name == "rust" || project.contains_key("wit/checker.wit"), "{name}: {:?}", names(&project));
    }
    let ours = fs::read_to_string(examples().join("../../rust-toolchain.toml")).expect("a file");
    assert_eq!(files(&site.path().join("rust"))["rust-toolchain.toml"], ours);
}

#[test]
fn a_name_stands_where_the_template_has_its_own() {
    let site = Site::new();
    for entry in fs::read_dir(examples()).expect("the examples").flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let lang = if name == "javascript" { "js" } else { &name };
        let made = run(site.path(), &["new", "tape-drive", "--lang", lang, "--into", &name]);
        assert_eq!(made.code, 0, "{name}: {made:?}");
        for (path, text) in files(&site.path().join(&name)) {
            assert!(!path.to_lowercase().contains("banner"), "{name}: {path}");
            let left: Vec<&str> = text.lines().filter(|line| line.to_lowercase().contains("banner")).collect();
            assert!(left.is_empty(), "{name}: {path}: {left:?}");
        }
        let check = fs::read_to_string(site.path().join(&name).join("check.toml")).expect("a file");
        assert!(check.contains("checker = \"tape-drive\""), "{name}: {check}");
    }
}

#[test]
fn what_is_no_name_is_refused_with_what_is() {
    let site = Site::new();
    for (name, words) in [
        ("Mail", "a-z, 0-9"),
        ("../mail", "a-z, 0-9"),
        ("mail check", "a-z, 0-9"),
        ("", "a-z, 0-9"),
        ("9mail", "begin with a letter"),
        ("mail.v2", "begin with a letter"),
        ("match", "that word is taken"),
        ("vitald-sdk", "that word is taken"),
    ] {
        let refused = run(site.path(), &["new", name]);
        assert_eq!((refused.code, refused.stdout.as_str()), (EXIT_FAILED, ""), "{name}: {refused:?}");
        assert!(refused.stderr.contains(words) && refused.stderr.lines().count() == 1, "{name}: {refused:?}");
        assert!(name.is_empty() || !site.path().join(name).exists(), "{name}");
    }
    assert_eq!(run(site.path(), &["new"]).code, EXIT_USAGE);
    assert_eq!(run(site.path(), &["new", "a", "--lang", "cobol"]).code, EXIT_USAGE);
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let site = Site::new();
    let dir = site.path().join("mail");
    fs::create_dir(&dir).expect("made");
    assert_eq!(run(site.path(), &["new", "mail"]).code, 0, "an empty directory will do");
    let before = files(&dir);
    for arguments in
        [&["new", "mail"][..], &["new", "other", "--into", "mail"], &["new", "x", "--into", "mail/README.md"]]
    {
        let refused = run(site.path(), arguments);
        assert_eq!(refused.code, EXIT_FAILED, "{refused:?}");
        assert!(refused.stderr.contains("mail"), "{refused:?}");
    }
    assert_eq!(files(&dir), before);
    let file = run(site.path(), &["new", "y", "--into", "mail/README.md/y"]);
    assert!(file.stderr.contains("mail/README.md is a file; name another directory"), "{file:?}");
    let shadows = run(site.path(), &["new", "tcp"]);
    assert!(shadows.code == 0 && shadows.stdout.contains("override = [\"tcp\"]"), "{shadows:?}");
}

#[test]
fn what_comes_next_can_be_copied_to_a_shell() {
    let site = Site::new();
    let made = run(site.path(), &["new", "tidy", "--into", "it's a dir", "--lang", "c"]);
    let line = made.stdout.lines().find(|line| line.contains("plugin build")).expect("it says how");
    let command = line.split('#').next().expect("a command").trim();
    let shell = ended(Command::new("sh").args(["-e", "-c", command]).current_dir(site.path()));
    assert_eq!(shell.code, 0, "{command}: {shell:?}");
    assert!(site.path().join("it's a dir/tidy.wasm").is_file(), "{shell:?}");
    let copied = shell.stdout.lines().find(|line| line.trim_start().starts_with("cp ")).expect("it says how");
    assert!(copied.contains("\"it's a dir/tidy.wasm\" /etc"), "{copied}");
}

#[test]
fn the_sdk_can_be_named() {
    let site = Site::new();
    let sdk = examples().parent().expect("sdk").canonicalize().expect("it is there");
    let link = site.path().join("vitald");
    std::os::unix::fs::symlink(sdk.parent().expect("the sources"), &link).expect("a link");
    let made = run(site.path(), &["new", "one", "--sdk", sdk.to_str().expect("text")]);
    assert_eq!(made.code, 0, "{made:?}");
    let manifest = fs::read_to_string(site.path().join("one/Cargo.toml")).expect("a file");
    assert!(manifest.contains(&format!("path = \"{}\"", sdk.display())), "{manifest}");
    // A relative one stays so, and leads there from the project.
    assert_eq!(run(site.path(), &["new", "two", "--sdk", "vitald/sdk"]).code, 0);
    let manifest = fs::read_to_string(site.path().join("two/Cargo.toml")).expect("a file");
    let path =
        manifest.split("vitald-sdk = { path = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a path");
    assert!(path.starts_with("../"), "{manifest}");
    assert_eq!(site.path().join("two").join(path).canonicalize().expect("it is there"), sdk);
    let wrong = run(site.path(), &["new", "three", "--sdk", "."]);
    assert!(wrong.code == EXIT_FAILED && wrong.stderr.contains("no crate vitald-sdk"), "{wrong:?}");
    assert!(!site.path().join("three").exists());
}

#[test]
fn what_is_wrong_with_a_project_is_said() {
    let site = Site::new();
    let no_project = run(site.path(), &["build", "plugins"]);
    assert!(no_project.code == EXIT_FAILED && no_project.stderr.contains("plugin new NAME"), "{no_project:?}");
    let missing = run(site.path(), &["test", "nowhere"]);
    assert!(missing.code == EXIT_FAILED && missing.stderr.contains("nowhere"), "{missing:?}");

    // The compiler's own words, and one line of ours.
    assert_eq!(run(site.path(), &["new", "torn"]).code, 0);
    let source = site.path().join("torn/src/lib.rs");
    let good = fs::read_to_string(&source).expect("a file");
    fs::write(&source, good.replace("use vitald_sdk::prelude::*;", "use vitald_sdk::prelude::*; nonsense"))
        .expect("written");
    let broken = run(site.path(), &["build", "torn"]);
    assert_eq!((broken.code, broken.stdout.as_str()), (EXIT_FAILED, ""), "{broken:?}");
    assert!(broken.stderr.contains("error: expected"), "{}", broken.stderr);
    assert!(broken.stderr.ends_with("vitald: cargo exited with 101; see above\n"), "{}", broken.stderr);
    assert!(!site.path().join("torn/torn.wasm").exists());

    // A test that fails is a failure of the command.
    fs::write(&source, good.replace("\"220 mail ready\");", "\"something else\");")).expect("written");
    assert_eq!(run(site.path(), &["test", "torn"]).code, EXIT_FAILED);

    // What builds and is no checker.
    let plain = "#[unsafe(no_mangle)]\npub extern \"C\" fn nothing() {}\n";
    fs::write(&source, plain).expect("written");
    let no_checker = run(site.path(), &["build", "torn"]);
    assert_eq!(no_checker.code, EXIT_FAILED, "{no_checker:?}");
    assert!(no_checker.stderr.contains("no agent would load it"), "{}", no_checker.stderr);
    assert!(no_checker.stderr.contains("is there a `#[checker]` function?"), "{}", no_checker.stderr);

    // Without the tool: which, and how to have it.
    let lost = ended(plugin(site.path(), &["build", "torn"]).env("PATH", site.path()));
    assert!(lost.code == EXIT_FAILED && lost.stderr.contains("https://rustup.rs"), "{lost:?}");
}
