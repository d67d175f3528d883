//! What a run of each checker costs, against its real server: the table of `sdk/examples/README.md` and of the bundled
//! checkers' pages.

use std::fs;

use serde_json::Value;

use crate::harness::{Greeter, MariaDb, Nginx, Postgres, Redis, Site, alone, bundled, component, vitald};

/// Enough for a median; an interpreter takes milliseconds.
const RUNS: &str = "500";

/// A checker, the bytes of its component, and what it is asked.
struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    arguments: Vec<String>,
}

fn row(name: &'static str, bytes: Vec<u8>, target: &str) -> Row {
    Row { name, bytes, arguments: vec!["--target".into(), target.into()] }
}

#[test]
#[ignore = "takes a minute: tests/run --long"]
fn long_cost_of_a_run_of_each_checker() {
    let _machine = alone();
    let (nginx, redis) = (Nginx::http("/"), Redis::start());
    let (postgres, mysql, greeter) = (Postgres::start(), MariaDb::start(), Greeter::start("220 ready\r\n"));
    let greeting = format!("tcp://127.0.0.1:{}", greeter.port());
    let rows = [
        Row {
            name: "tcp",
            bytes: bundled("tcp"),
            arguments: ["--target", &greeting, "-p", "expect=220 *"].map(str::to_owned).to_vec(),
        },
        row("http", bundled("http"), &nginx.url()),
        row("redis", bundled("redis"), &redis.url()),
        row("postgres", bundled("postgres"), &postgres.url()),
        row("mysql", bundled("mysql"), &mysql.url("health")),
        Row {
            name: "host",
            bytes: bundled("host"),
            arguments: ["--allow", "host", "-p", "memory_available_below=1%"].map(str::to_owned).to_vec(),
        },
        row("c-banner", component("c-banner"), &greeting),
        row("javascript-banner", component("javascript-banner"), &greeting),
        row("python-banner", component("python-banner"), &greeting),
    ];
    let site = Site::new();
    println!("COST | checker | size, KiB | CPU of a run, ms (median) | time, ms (median) | memory, MiB");
    for Row { name, bytes, arguments } in rows {
        let file = site.path().join(format!("{name}.wasm"));
        fs::write(&file, &bytes).expect("written");
        let file = file.to_str().expect("text");
        let common = [&["try", file, "--json", "--timeout", "2s", "--count", RUNS], [].as_slice()].concat();
        let all: Vec<&str> = common.into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let ended = vitald(&all);
        let said: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        let of = |key: &str| said["runs"][key]["median"].as_f64().expect("a number");
        let memory = said["memory_peak_bytes"].as_f64().expect("a number") / f64::from(1 << 20);
        println!(
            "COST | {name} | {} | {:.2} | {:.2} | {memory:.1}",
            (bytes.len() + 512) >> 10,
            of("cpu_ms"),
            of("duration_ms")
        );
        assert_eq!(said["runs"]["statuses"]["UP"].to_string(), RUNS, "{name}: {said}");
    }
}
