//! "Your first check", followed to the letter: what a newcomer copies from the README must work.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Greeter, Site, eventually, program};
use crate::plugin_new::target_dir;

/// A newcomer's build, on a machine that others use too.
const SOON: Duration = Duration::from_secs(15);

/// The code blocks of a section, with their languages.
fn blocks(readme: &str, heading: &str) -> Vec<(String, String)> {
    let section = readme.split(heading).nth(1).unwrap_or_else(|| panic!("the README has {heading:?}"));
    let section = section.split("\n## ").next().unwrap();
    let parts: Vec<&str> = section.split("```").collect();
    let code = parts.iter().skip(1).step_by(2);
    code.map(|block| block.split_once('\n').unwrap()).map(|(l, text)| (l.to_owned(), text.to_owned())).collect()
}

fn shell(dir: &Path, script: &str) {
    let mut command = Command::new("sh");
    command.current_dir(dir).args(["-e", "-c", script]);
    let bin = program();
    let own = bin.parent().unwrap().display().to_string();
    command.env("PATH", format!("{own}:{}", std::env::var("PATH").unwrap()));
    // As in a newcomer's own shell, not as in a test that cargo runs.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if (text.starts_with("CARGO") && text != "CARGO_HOME") || text.starts_with("RUST") && text != "RUSTUP_HOME" {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_TARGET_DIR", target_dir());
    let output = command.output().expect("sh");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_first_check_of_the_readme_works_as_written() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(repository.join("README.md")).unwrap();
    let [create, source, work, deploy] = blocks(&readme, "\n## Your first check\n").try_into().expect("four blocks");
    assert_eq!([&*create.0, &*source.0, &*work.0, &*deploy.0], ["sh", "rust", "sh", "sh"]);
    let written = source.1.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(written <= 20, "{written} lines are more than a newcomer was promised");

    let site = Site::new();
    let agent = site.start();
    let home = site.path().join("home");
    fs::create_dir(&home).unwrap();
    shell(&home, &create.1);
    let banner = home.join("banner");
    let made = fs::read_to_string(banner.join("src/lib.rs")).unwrap();
    assert!(made.contains(&source.1), "the README shows another checker than `plugin new` makes:\n{made}");

    // The reader's own mail server, directories and agent are elsewhere, and nothing else differs.
    let mail = Greeter::start("220 mail ready\r\n");
    let here = format!("smtp://127.0.0.1:{}", mail.port());
    shell(&banner, &work.1.replace("smtp://127.0.0.1:25", &here));
    let check = banner.join("check.toml");
    let told = fs::read_to_string(&check).unwrap();
    assert!(told.contains("smtp://127.0.0.1:25"), "{told}");
    fs::write(&check, told.replace("smtp://127.0.0.1:25", &here)).unwrap();
    let deploy = deploy.1.replace("/etc/vitald/plugins", &site.path().join("plugins").display().to_string());
    let deploy = deploy.replace("/etc/vitald/conf.d", &site.path().join("conf.d").display().to_string());
    let (deploy, ask) = deploy.split_once("curl localhost:9720").expect("the last line asks the agent");
    shell(&banner, deploy);
    let path = ask.split_whitespace().next().unwrap();
    eventually("the README's check judges", SOON, || {
        let seen = agent.get(path).json();
        let as_written = seen["status"] == "UP" && seen["message"] == "220 mail ready";
        if as_written { Ok(()) } else { Err(seen.to_string()) }
    });
}
