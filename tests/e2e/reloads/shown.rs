//! `vitald config show`: what holds, and which line of which file says so.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Ended, Site, check, service, vitald, write};

const EXIT_CONFIG: i32 = 78;
const SECRETS: [&str; 3] = ["typed-in-plainly", "told-to-the-guest", "of-the-header"];

fn show(file: &Path, more: &[&str]) -> Ended {
    vitald(&[&["config", "show", file.to_str().unwrap()], more].concat())
}

/// The list of `--json`.
fn listed(file: &Path) -> Vec<Value> {
    let ended = show(file, &["--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("not JSON: {error}: {}", ended.stdout))
}

fn entry<'a>(list: &'a [Value], key: &str) -> &'a Value {
    list.iter().find(|entry| entry["key"] == key).unwrap_or_else(|| panic!("no {key} in {list:#?}"))
}

/// The line of a file that begins so.
fn line_of(file: &Path, start: &str) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().position(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start:?} in {text}")) + 1
}

fn stands_at(list: &[Value], key: &str, file: &Path, start: &str) {
    let origin = &entry(list, key)["origin"];
    assert_eq!(origin["file"], file.to_str().unwrap(), "{key}: {origin}");
    assert_eq!(origin["line"], line_of(file, start), "{key}: {origin}");
}

/// A service and a check of it in a drop-in, with secrets wherever they may stand.
fn site() -> Site {
    let site = Site::new();
    site.secret("from-a-file", SECRETS[1]);
    let typed = format!("redis://someone:{}@127.0.0.1:6379", SECRETS[0]);
    site.drop_in(
        "shop",
        [
            service("shop").line("weight = 7"),
            check("cache", "redis").of("shop").target(&typed).with("timeout", "123ms"),
            check("told", "redis").target("redis://:${file:from-a-file}@127.0.0.1:6379"),
            check("web", "http")
                .target("http://127.0.0.1:1/")
                .line(&format!("params = {{ headers = {{ X-Token = {:?} }} }}", SECRETS[2])),
        ],
    );
    site
}

#[test]
fn every_value_has_the_place_that_says_so() {
    let site = site();
    let (main, shop) = (site.main(), site.drop_in_path("shop"));
    let list = listed(&main);
    stands_at(&list, "agent.id", &main, "id =");
    stands_at(&list, "agent.listen", &main, "listen =");
    stands_at(&list, "agent.state_dir", &main, "state_dir =");
    stands_at(&list, "service.shop.weight", &shop, "weight =");
    stands_at(&list, "check.cache.timeout", &shop, "timeout =");
    stands_at(&list, "check.cache.interval", &main, "interval =");
    assert_eq!(entry(&list, "agent.advertise")["origin"]["default"], true);
    assert_eq!(entry(&list, "agent.advertise")["value"], "auto");
    assert_eq!(entry(&list, "agent.id")["value"], "host-1");
    assert_eq!(entry(&list, "service.shop.weight")["value"], 7);
    for entry in &list {
        let origin = &entry["origin"];
        let known = origin["default"] == true || (origin["file"].is_string() && origin["line"].as_u64() > Some(0));
        assert!(known, "nothing says where {entry} is from");
    }
}

#[test]
fn the_text_has_a_place_behind_every_value() {
    let site = site();
    let ended = show(&site.main(), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let (mut values, mut of_drop_in, mut defaults) = (0, 0, 0);
    for line in ended.stdout.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', '[']) {
            continue;
        }
        let (_, place) =
            line.rsplit_once(" # ").unwrap_or_else(|| panic!("no place behind {line:?}:\n{}", ended.stdout));
        let in_file = |path: &Path| place.contains(&format!("{}:", path.display()));
        let is_default = place.starts_with("default");
        assert!(is_default || in_file(&site.main()) || in_file(&site.drop_in_path("shop")), "{line}");
        values += 1;
        of_drop_in += u32::from(in_file(&site.drop_in_path("shop")));
        defaults += u32::from(is_default);
    }
    println!("measured: {values} values, {of_drop_in} of the drop-in, {defaults} defaults");
    assert!(of_drop_in >= 10 && defaults >= 10, "{}", ended.stdout);
}

#[test]
fn secrets_are_not_shown() {
    let site = site();
    for arguments in [&[][..], &["--json"]] {
        let ended = show(&site.main(), arguments);
        assert_eq!(ended.code, 0, "{ended:?}");
        let said = ended.stdout + &ended.stderr;
        for secret in SECRETS {
            assert!(!said.contains(secret), "{secret} is in {said}");
        }
        assert!(said.contains("***"), "{said}");
    }
}

#[test]
fn mistakes_are_shown_instead() {
    let site = site();
    site.drop_in_text("wrong", "[[check]]\nname = \"a\"\nchcker = \"http\"\n");
    for arguments in [&[][..], &["--json"]] {
        let ended = show(&site.main(), arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (EXIT_CONFIG, ""), "{ended:?}");
        assert!(ended.stderr.contains("wrong.toml:3: check.a.chcker"), "{ended:?}");
    }
}

#[test]
fn what_is_shown_can_be_used_again() {
    let site = Site::new();
    let main = std::fs::read_to_string(site.main()).unwrap();
    let web = check("web", "http").of("shop").target("http://127.0.0.1:8080/ready?a=%20b").with("severity", "warning");
    let shop = service("shop").line("tags = [\"a\", \"b\"]\nmetadata = { zone = \"it's \\\"a\\\"\" }");
    write(&site.main(), format!("{main}\n{shop}\n{web}"));
    let ended = show(&site.main(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let again = site.path().join("again.toml");
    write(&again, &ended.stdout);
    let checked = vitald(&["config", "check", again.to_str().unwrap()]);
    assert_eq!(checked.code, 0, "{checked:?}\n{}", ended.stdout);
    let values = |file: &Path| -> Vec<(Value, Value)> {
        listed(file).into_iter().map(|entry| (entry["key"].clone(), entry["value"].clone())).collect()
    };
    assert_eq!(values(&again), values(&site.main()));
}
