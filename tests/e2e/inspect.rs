//! `vitald plugin inspect`: what a plugin is and what it asks for, said without an agent and as an agent would say it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::compiling::until_state;
use crate::harness::{
    Ended, Listener, Manner, Site, bundled, by_hand, check, cpu_bomb, guest, memory_bomb, vitald, with_schema,
    with_sin, write,
};

const SOON: Duration = Duration::from_secs(20);
const EXIT_UNUSABLE: i32 = 1;

fn inspect(what: &str) -> Ended {
    vitald(&["plugin", "inspect", what])
}

/// What it says of a plugin that is good.
fn facts(what: &str) -> Value {
    let ended = vitald(&["plugin", "inspect", what, "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// A file with these bytes, and its path.
fn file(site: &Site, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = site.path().join(format!("{name}.wasm"));
    write(&path, bytes);
    text(&path)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The line that begins so.
fn line<'a>(ended: &'a Ended, head: &str) -> &'a str {
    let found = ended.stdout.lines().find(|line| line.trim_start().starts_with(head));
    found.unwrap_or_else(|| panic!("no line begins with {head:?}:\n{}", ended.stdout))
}

/// What the README promises of sizes.
#[test]
fn bundled_checkers_are_small() {
    for name in ["tcp", "http", "redis", "host", "postgres", "mysql"] {
        let size = facts(name)["size_bytes"].as_u64().unwrap();
        let most = if name == "tcp" { 200 << 10 } else { 1536 << 10 };
        assert!((10 << 10..most).contains(&size), "{name}: {size} bytes");
        println!("measured: {name}: {} KiB", (size + 512) >> 10);
    }
}

#[test]
fn what_a_plugin_asks_for_is_said_in_words() {
    let site = Site::new();
    for (name, can_reach, reads) in
        [("tcp", true, false), ("http", true, false), ("redis", true, false), ("host", false, true)]
    {
        let ended = inspect(name);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
        let does_not_use = line(&ended, "does not use");
        assert!(does_not_use.contains("files"), "{name}: {does_not_use}");
        assert_eq!(does_not_use.contains("network"), !can_reach, "{name}: {does_not_use}");
        assert_eq!(does_not_use.contains("host numbers"), !reads, "{name}: {does_not_use}");
        assert_eq!(ended.stdout.contains("network, as granted"), can_reach, "{name}:\n{}", ended.stdout);
        assert!(ended.stdout.contains("environment"), "{name}:\n{}", ended.stdout);
        assert!(!ended.stdout.contains("wasi:"), "import names say nothing to operators:\n{}", ended.stdout);
        let by_file = inspect(&file(&site, name, bundled(name)));
        let same = ["does not use", "can reach", "reads"];
        for head in same.into_iter().filter(|head| ended.stdout.contains(head)) {
            assert_eq!(line(&by_file, head), line(&ended, head), "{name}");
        }
    }
}

#[test]
fn parameters_stand_in_a_table_with_their_types_and_defaults() {
    let ended = inspect("http");
    for name in ["method", "headers"] {
        assert!(ended.stdout.lines().any(|line| line.trim_start().starts_with(name)), "{name}:\n{}", ended.stdout);
    }
    let site = Site::new();
    let schema = serde_json::json!({
        "type": "object",
        "required": ["query"],
        "properties": {
            "query": { "type": "string", "description": "What is asked." },
            "rows": { "type": "integer", "default": 7, "description": "How many are wanted." },
            "mode": { "enum": ["fast", "slow"], "default": "fast" },
            "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "tags": { "type": "array", "items": { "type": "string" } },
            "inner": { "$ref": "#/$defs/Inner" },
        },
        "$defs": { "Inner": { "type": "object", "properties": { "depth": { "type": "number", "default": 1.5 } } } },
        "additionalProperties": false,
    });
    let ended = inspect(&file(&site, "asker", with_schema(&schema.to_string())));
    assert_eq!(ended.code, 0, "{ended:?}");
    for (head, words) in [
        ("query", &["string", "required", "What is asked."][..]),
        ("rows", &["integer", "7", "How many are wanted."]),
        ("mode", &["fast", "slow"]),
        ("note", &["string"]),
        ("tags", &["string"]),
        ("inner", &[]),
    ] {
        let line = line(&ended, head);
        let missing = words.iter().find(|word| !line.contains(*word));
        assert!(missing.is_none(), "{head}: {missing:?} is not in {line:?}");
    }
    assert!(ended.stdout.contains("depth") && ended.stdout.contains("1.5"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("$ref") && !ended.stdout.contains("$defs"), "{}", ended.stdout);
}

#[test]
fn it_says_what_an_agent_says() {
    let listener = Listener::start(Manner::Closing);
    let site = Site::new();
    for name in ["noop", "picky", "trespasser"] {
        site.plugin(name, guest(name));
    }
    site.drop_in("checks", [check("web", "tcp").target(&listener.url())]);
    let agent = site.start();
    agent.until("web", "UP");
    for name in ["tcp", "noop", "picky", "trespasser"] {
        let seen = until_state(&agent, name, "ready", SOON);
        let said = if name == "tcp" { facts(name) } else { facts(&text(&site.plugin_path(name))) };
        for key in ["name", "version", "summary", "digest", "schemes", "powers", "params_schema"] {
            assert_eq!(said[key], seen[key], "{name}: {key}");
        }
        let bytes = if name == "tcp" { bundled(name) } else { guest(name) };
        let size = said["size_bytes"].as_u64().unwrap();
        // What is bundled was built apart.
        assert!(name == "tcp" || size == bytes.len() as u64, "{said}");
        assert!(said["code_bytes"].as_u64() > Some(size) && said["compile_ms"].as_u64() > Some(0), "{said}");
    }
}

#[test]
fn what_no_agent_would_load_is_refused_for_the_same_reason() {
    let site = Site::new();
    let missing = text(&site.path().join("missing.wasm"));
    let cases = [
        (file(&site, "core", b"\0asm\x01\0\0\0"), "component"),
        (file(&site, "garbage", "no component at all"), "component"),
        (file(&site, "empty", ""), "component"),
        (file(&site, "half", &guest("noop")[..10_000]), ""),
        (file(&site, "mute", guest("describe_trap")), "describe"),
        (file(&site, "endless", guest("describe_loop")), "describe"),
        (file(&site, "stranger", by_hand("unknown_import")), "does not offer"),
        (file(&site, "many", by_hand("instance_bomb")), "does not fit the sandbox"),
        (file(&site, "bomb", memory_bomb()), "memory"),
        (missing.clone(), "missing.wasm"),
        (text(site.path()), ""),
        ("no-such".into(), "no-such"),
    ];
    for (path, reason) in &cases {
        for arguments in [&["plugin", "inspect", path][..], &["plugin", "inspect", path, "--json"]] {
            // Once is enough for what takes long.
            if path.contains("bomb") && arguments.len() == 4 {
                continue;
            }
            let ended = vitald(arguments);
            println!("{}: {}", path.rsplit('/').next().unwrap(), ended.stderr.trim_end());
            assert_eq!((ended.code, ended.stdout.as_str()), (EXIT_UNUSABLE, ""), "{path}: {ended:?}");
            assert!(!ended.stderr.is_empty() && ended.stderr.contains(reason), "{path}: {ended:?}");
            // A guest may say that it panicked; we may not.
            let ours = ended.stderr.contains("panicked") && !path.contains("mute");
            assert!(!ours && ended.stderr.lines().count() <= 3, "{path}: {ended:?}");
        }
    }
}

#[test]
fn a_hostile_plugin_is_inspected_without_harm() {
    let site = Site::new();
    // It calls itself what a terminal would obey.
    let path = file(&site, "obeyed", with_sin("(data (i32.const 16) \"\\1b[2J\\0a\")"));
    for arguments in [&["plugin", "inspect", &path][..], &["plugin", "inspect", &path, "--json"]] {
        let ended = vitald(arguments);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "{ended:?}");
    }
    let ended = inspect(&file(&site, "no-text", by_hand("bad_description")));
    assert_eq!(ended.code, EXIT_UNUSABLE, "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}

#[test]
fn a_file_that_no_agent_takes_for_its_name_is_told_so() {
    let site = Site::new();
    let ended = inspect(&file(&site, "My Check", guest("noop")));
    assert_eq!(ended.code, EXIT_UNUSABLE, "{ended:?}");
    assert!(ended.stdout.contains("no agent takes a file of this name"), "{}", ended.stdout);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn long_a_component_that_never_compiles_is_given_up() {
    let site = Site::new();
    let begun = std::time::Instant::now();
    let ended = inspect(&file(&site, "bomb", cpu_bomb()));
    println!("measured: inspecting a component that never compiles: {:?} after {:.1?}", ended.stderr, begun.elapsed());
    assert_eq!(ended.code, EXIT_UNUSABLE, "{ended:?}");
}
