//! "Your first check", followed to the letter: what a newcomer copies from the README must work.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Site, eventually};

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
    // As in a newcomer's own shell, not as in a test that cargo runs.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if (text.starts_with("CARGO") && text != "CARGO_HOME") || text.starts_with("RUST") && text != "RUSTUP_HOME" {
            command.env_remove(&name);
        }
    }
    let output = command.output().expect("sh");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A mail server as far as the check looks at it.
fn greeter() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"220 mail ready\r\n");
        }
    });
    port
}

#[test]
fn the_first_check_of_the_readme_works_as_written() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(repository.join("README.md")).unwrap();
    let [create, manifest, source, deploy] =
        blocks(&readme, "\n## Your first check\n").try_into().expect("four blocks");
    assert_eq!([&*create.0, &*manifest.0, &*source.0, &*deploy.0], ["sh", "toml", "rust", "sh"]);

    let site = Site::new();
    let agent = site.start();
    let home = site.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::symlink(repository, home.join("vitald")).unwrap();
    shell(&home, &create.1);
    let banner = home.join("banner");
    fs::write(banner.join("Cargo.toml"), manifest.1).unwrap();
    fs::write(banner.join("src/lib.rs"), source.1).unwrap();

    // The reader's own directories, mail server and agent are elsewhere, and nothing else differs.
    let port = greeter();
    let deploy = deploy.1.replace("/etc/vitald/plugins", &site.path().join("plugins").display().to_string());
    let deploy = deploy.replace("/etc/vitald/conf.d", &site.path().join("conf.d").display().to_string());
    let deploy = deploy.replace("smtp://127.0.0.1:25", &format!("smtp://127.0.0.1:{port}"));
    let (deploy, ask) = deploy.split_once("curl localhost:9720").expect("the last line asks the agent");
    shell(&banner, deploy);
    let path = ask.split_whitespace().next().unwrap();
    eventually("the README's check judges", SOON, || {
        let seen = agent.get(path).json();
        let as_written = seen["status"] == "UP" && seen["message"] == "220 mail ready";
        if as_written { Ok(()) } else { Err(seen.to_string()) }
    });
}
