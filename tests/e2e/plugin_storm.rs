//! Plugins are replaced as fast as the disk takes them, under checks that run: nothing is lost, nothing is wrong, and
//! nothing piles up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    Agent, Listener, Manner, Poll, Site, alone, check, eventually, guest, request, stamped, that, throughout, write,
};
use crate::plugin_files::{ONE, SOON, TWO, reloads, running, says, warnings};
use crate::plugin_gate::digest_of;

const STORM: Duration = Duration::from_secs(20);
const CHECKS: usize = 100;
const MIB: u64 = 1 << 20;

#[derive(Debug)]
struct Account {
    due: f64,
    runs: f64,
    skipped: f64,
}

fn accounts(agent: &Agent) -> BTreeMap<String, Account> {
    let metrics = agent.metrics();
    let checks = metrics.values_of("vitald_schedule_due_total", "check").into_iter();
    let account = |check: String| {
        let sum = |name| metrics.sum(name, &[("check", check.as_str())]);
        let (due, runs) = (sum("vitald_schedule_due_total"), sum("vitald_check_runs_total"));
        let account = Account { due, runs, skipped: sum("vitald_check_skipped_total") };
        (check, account)
    };
    checks.map(account).collect()
}

/// A host with so many checks, a fifth of them with the plugin that is replaced.
fn crowded(listener: &Listener) -> Site {
    let site = Site::new();
    for name in ["app", "steady"] {
        site.plugin(name, guest("noop"));
    }
    let checks = (0..CHECKS).map(|n| {
        let interval = ["400ms", "600ms", "800ms", "1s"][n / 5 % 4];
        let table = match n % 5 {
            0 => check(&format!("app-{n}"), "app"),
            1 => check(&format!("tcp-{n}"), "tcp").target(&listener.url()),
            _ => check(&format!("steady-{n}"), "steady"),
        };
        table.with("interval", interval).with("timeout", "350ms")
    });
    site.drop_in("checks", checks);
    site
}

/// Is every check UP, in one answer?
fn all_up(url: &str) -> Result<(), String> {
    let answer = request("GET", url, &[])?;
    let checks = answer.json();
    let details = checks["details"].as_object().ok_or("no details")?;
    let ill: Vec<String> = details
        .iter()
        .filter(|(_, seen)| seen["status"] != "UP")
        .map(|(name, seen)| format!("{name} {seen}"))
        .collect();
    that(answer.code == 200 && details.len() == CHECKS && ill.is_empty(), || {
        format!("{}, {} checks, ill: {ill:?}", answer.code, details.len())
    })
}

/// Puts versions of the plugin `app` there from another thread; how many, once it is stopped, and the last one.
fn storm(site: &Site, put: fn(&Path, &[u8])) -> impl FnOnce() -> (u64, Vec<u8>) + use<> {
    let (path, stop) = (site.plugin_path("app"), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let writing = std::thread::spawn(move || {
        let versions = [guest("noop"), guest("version_two")];
        let (mut number, mut last) = (0_u64, Vec::new());
        while !stopped.load(Ordering::Relaxed) {
            number += 1;
            last = stamped(&versions[usize::from(number.is_multiple_of(2))], number);
            put(&path, &last);
        }
        (number, last)
    });
    move || {
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    }
}

/// Waits until the last version that a storm left is the one that judges.
fn until_it_judges(site: &Site, agent: &Agent, check: &str, number: u64, last: &[u8]) {
    let message = if number.is_multiple_of(2) { TWO } else { ONE };
    let path = site.path().join("last.wasm");
    fs::write(&path, last).unwrap();
    let digest = digest_of(&path);
    eventually("the last one judges", SOON * 2, || {
        let (plugin, check) = (agent.plugin("app").unwrap(), agent.check(check));
        let runs = plugin["digest"].as_str().is_some_and(|seen| seen.ends_with(&digest));
        that(runs && plugin["state"] == "ready" && check["message"] == message, || format!("{plugin} {check}"))
    });
}

/// How many versions have their code in the cache.
fn cached(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_code = |path: &Path| path.extension().is_some_and(|extension| extension == "cwasm");
    entries.map(|path| if path.is_dir() { cached(&path) } else { usize::from(is_code(&path)) }).sum()
}

/// Due = runs + skipped for every check, and each has run since `before` as often as it should.
fn nothing_is_lost(agent: &Agent, before: &BTreeMap<String, Account>, since: Instant) {
    let now = eventually("due = runs + skipped for every check", SOON, || {
        let now = accounts(agent);
        let balance = |account: &Account| account.due == account.runs + account.skipped;
        that(now.len() == CHECKS && now.values().all(balance), || format!("{now:?}")).map(|()| now)
    });
    let passed = since.elapsed().as_secs_f64();
    let grown = |of: fn(&Account) -> f64| now.values().map(of).sum::<f64>() - before.values().map(of).sum::<f64>();
    println!("measured: due {}, runs {}, skipped {}", grown(|a| a.due), grown(|a| a.runs), grown(|a| a.skipped));
    for (check, account) in &now {
        // At the slowest interval; half of it, for the machine was busy.
        let runs = account.runs - before[check].runs;
        assert!(runs >= passed / 2.0, "{check} starved: {runs} runs in {passed} s");
    }
}

/// Memory and the cache are as before.
fn nothing_piles_up(site: &Site, agent: &Agent, before: u64, highest: u64) {
    let bound = before + before / 2 + 60 * MIB;
    let after = eventually("the memory of before", SOON, || {
        let after = agent.resident();
        that(after < bound, || format!("{} MiB", after / MIB)).map(|()| after)
    });
    println!("measured: VmRSS {} MiB before, {} MiB at most, {} MiB after", before / MIB, highest / MIB, after / MIB);
    let kept = eventually("code that no plugin uses is swept", SOON, || {
        let kept = cached(&site.path().join("state"));
        that(kept <= 8, || format!("{kept} versions")).map(|()| kept)
    });
    println!("measured: {kept} versions in the cache");
}

#[test]
fn replacements_as_fast_as_the_disk_takes_them_harm_nobody() {
    let _machine = alone();
    let listener = Listener::start(Manner::Closing);
    let site = crowded(&listener);
    let agent = site.start();
    let url = format!("{}/health", agent.url());
    eventually("all are UP", SOON, || all_up(&url));
    throughout("all are UP", Duration::from_secs(2), || all_up(&url));
    let (before, resident, loaded) = (accounts(&agent), agent.resident(), reloads(&agent, "success"));
    assert_eq!(before.len(), CHECKS);

    let (begun, healthy) = (Instant::now(), Poll::start(&agent, "/health", 200));
    let stop = storm(&site, |path, bytes| write(path, bytes));
    let mut highest = resident;
    throughout("all are UP", STORM, || {
        highest = highest.max(agent.resident());
        all_up(&url)
    });
    let (written, last) = stop();
    let swapped = reloads(&agent, "success") - loaded;
    println!("measured: {written} replacements in {STORM:?} under {CHECKS} checks: {swapped} swapped in");
    let ended = Instant::now();
    until_it_judges(&site, &agent, "app-0", written, &last);
    println!("measured: the last one judges {:.1?} after the storm", ended.elapsed());
    healthy.stop();

    assert!(written > 100 && swapped >= 3.0, "there is no progress");
    assert_eq!(reloads(&agent, "failure"), 0.0, "{}", agent.log());
    nothing_is_lost(&agent, &before, begun);
    nothing_piles_up(&site, &agent, resident, highest);
}

#[test]
fn a_file_that_is_rewritten_in_place_all_the_time_is_never_called_broken() {
    let site = Site::new();
    let agent = running(&site);
    let healthy = Poll::start(&agent, "/health", 200);
    let stop = storm(&site, |path, bytes| fs::write(path, bytes).unwrap());
    throughout("a version that is whole judges", Duration::from_secs(5), || {
        let seen = agent.check("app");
        that(seen["notice"].is_null(), || seen.to_string())?;
        says(&agent, ONE).or_else(|_| says(&agent, TWO))
    });
    let (written, last) = stop();
    until_it_judges(&site, &agent, "app", written, &last);
    healthy.stop();
    println!("measured: rewritten {written} times in 5 s: {} swapped in", reloads(&agent, "success"));
    assert_eq!(reloads(&agent, "failure"), 0.0);
    assert_eq!(warnings(&agent), Vec::<String>::new());
}
