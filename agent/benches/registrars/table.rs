//! The figures as a table in Markdown: a column for each scene.

use std::time::Duration;

use super::figures::{Figures, Spread};
use super::scenes::{AWAY, Played};

pub fn print(count: usize, ttl: Duration, played: &Played) {
    let scenes = &played.scenes;
    println!("\n### {} registrars, TTL {} s\n", thousands(count as f64), ttl.as_secs());
    let names: Vec<&str> = scenes.iter().map(|scene| scene.name).collect();
    println!("| | {} |", names.join(" | "));
    println!("|---|{}", "---:|".repeat(names.len()));
    let row = |name: &str, cell: fn(&Figures) -> String| {
        let cells: Vec<String> = scenes.iter().map(|scene| cell(&scene.figures)).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    row("length, s", |figures| seconds(figures.length));
    row("etcd: CPU, s (of one core)", |figures| cpu(figures.etcd_cpu, figures));
    row("etcd: resident memory, at the end (most), MB", |figures| {
        format!("{} ({})", figures.memory >> 20, figures.memory_peak >> 20)
    });
    row("registrars and watcher: CPU, s (of one core)", |figures| cpu(figures.own_cpu, figures));
    row("keys put + deleted", |figures| format!("{} + {}", thousands(figures.puts), thousands(figures.deletes)));
    row("writes/s", |figures| rate(figures.puts + figures.deletes, figures));
    row("keepalives/s", |figures| rate(requests(figures, |method| method == "LeaseKeepAlive"), figures));
    row("other requests", |figures| thousands(requests(figures, |method| method != "LeaseKeepAlive")));
    row("events of own keys delivered", |figures| thousands(figures.deliveries));
    row("events of own keys/s", |figures| rate(figures.deliveries, figures));
    row("own keys watched at the end", |figures| thousands(figures.watchers));
    row("change until a watcher sees it: p50, p99, max, ms", |figures| spread(figures.changes));
    row("registered after: 50 %, 99 %, all, ms", |figures| spread(figures.back));
    row("DELETEs of well instances", |figures| figures.deleted.to_string());
    row("errors that registrars met", |figures| thousands(figures.errors));
    let (away, own) = (AWAY.as_secs(), seconds(played.cpu_while_away));
    println!("\nWhile etcd was away, for {away} s, the registrars used {own} s of CPU. Other requests:");
    for scene in scenes {
        let methods = scene.figures.requests.iter().filter(|(method, _)| *method != "LeaseKeepAlive");
        let methods: Vec<String> = methods.map(|(method, count)| format!("{method} {}", thousands(*count))).collect();
        println!("- {}: {}", scene.name, if methods.is_empty() { "none".to_owned() } else { methods.join(", ") });
    }
}

fn requests(figures: &Figures, which: impl Fn(&str) -> bool) -> f64 {
    figures.requests.iter().filter(|(method, _)| which(method)).map(|(_, count)| count).sum()
}

fn rate(count: f64, figures: &Figures) -> String {
    thousands(count / figures.length.as_secs_f64())
}

/// A share of less than a second would only say when the scene ended.
fn cpu(used: Duration, figures: &Figures) -> String {
    if figures.length < Duration::from_secs(1) {
        return seconds(used);
    }
    let share = used.as_secs_f64() / figures.length.as_secs_f64() * 100.0;
    format!("{} ({share:.1} %)", seconds(used))
}

fn seconds(length: Duration) -> String {
    format!("{:.2}", length.as_secs_f64())
}

fn spread(spread: Option<Spread>) -> String {
    let Some(Spread { half, most, all }) = spread else { return "–".to_owned() };
    [half, most, all].map(|length| thousands(length.as_secs_f64() * 1e3)).join(", ")
}

/// `12,345`, and one digit more below ten.
fn thousands(number: f64) -> String {
    if number.abs() < 10.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{:.0}", number.abs());
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{}{}", if number <= -0.5 { "-" } else { "" }, groups.join(","))
}
