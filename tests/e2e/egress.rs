//! What a check may reach: names go through a DNS server of the test's own, which answers what an attacker would.

use std::net::UdpSocket;
use std::time::Duration;

use crate::harness::{
    Agent, Deaf, Dns, Listener, Manner, OwnAddress, Said, Site, Table, check, eventually, guest, that, throughout,
};

const SOON: Duration = Duration::from_secs(20);
/// Longer than what the DNS server says may be kept, by some intervals.
const FORGOTTEN: Duration = Duration::from_secs(5);
/// Seconds.
const TTL: u32 = 1;
const METADATA: &str = "169.254.169.254";

fn site(dns: &Dns, guests: &[&str]) -> Site {
    let site = Site::new().with("dns", &dns.table());
    for name in guests {
        site.plugin(name, guest(name));
    }
    site
}

/// A check that goes to where it is told, by that way.
fn visitor(name: &str, via: &str, to: &str) -> Table {
    check(name, "trespasser").line(&format!("params = {{ to = {to:?}, via = {via:?} }}"))
}

fn allowing(check: Table, grant: &str) -> Table {
    check.line(&format!("allow = [{grant:?}]"))
}

fn message(agent: &Agent, check: &str) -> String {
    agent.check(check)["message"].as_str().unwrap_or_default().to_owned()
}

fn denials(agent: &Agent, check: &str) -> f64 {
    agent.metrics().sum("vitald_egress_denied_total", &[("check", check)])
}

fn runs(agent: &Agent, check: &str, result: &str) -> f64 {
    agent.metrics().sum("vitald_check_runs_total", &[("check", check), ("result", result)])
}

#[test]
fn a_granted_name_leads_to_no_address_of_the_host_or_its_cloud() {
    let dns = Dns::start(TTL);
    let names = [
        ("loopback", Said::address("127.0.0.2")),
        ("metadata", Said::address(METADATA)),
        ("unspecified", Said::address("0.0.0.0")),
        ("loopback-6", Said::address("::1")),
        ("mapped", Said::address("::ffff:169.254.169.254")),
        ("nat64", Said::address("64:ff9b::a9fe:a9fe")),
        ("link-local", Said::address("fe80::1")),
        ("by-tcp", Said::OverTcp(vec!["127.0.0.2".parse().unwrap()])),
    ];
    let site = site(&dns, &["trespasser"]);
    let mut tables = Vec::new();
    for (name, said) in names.clone() {
        let host = format!("{name}.test");
        dns.says(&host, [said]);
        for via in ["net", "std", "http"] {
            let to = format!("{host}:9");
            tables.push(allowing(visitor(&format!("{name}-{via}"), via, &to), &format!("tcp://{to}")));
        }
        let to = format!("{host}:9");
        tables.push(allowing(visitor(&format!("{name}-udp"), "udp", &to), &format!("udp://{to}")));
    }
    site.drop_in("checks", tables);
    let agent = site.start();
    for (name, _) in names {
        for via in ["net", "std", "http", "udp"] {
            let check = format!("{name}-{via}");
            agent.until_unknown(&check, "denied");
            assert!(denials(&agent, &check) >= 1.0, "{check} was not counted");
        }
    }
}

#[test]
fn an_address_of_a_cloud_is_refused_in_every_spelling() {
    let dns = Dns::start(TTL);
    let literals = [
        ("plain", METADATA.to_owned()),
        ("mapped", format!("[::ffff:{METADATA}]")),
        ("nat64", "[64:ff9b::a9fe:a9fe]".to_owned()),
        ("six-to-four", "[2002:a9fe:a9fe::1]".to_owned()),
    ];
    let site = site(&dns, &["trespasser"]);
    let mut tables = Vec::new();
    for (name, host) in &literals {
        for via in ["net", "std", "udp", "http"] {
            let to = format!("{host}:80");
            // A network that includes it is no grant of that very address.
            let table = visitor(&format!("{name}-{via}"), via, &to);
            tables.push(table.line(r#"allow = ["tcp://169.254.0.0/16:80", "udp://169.254.0.0/16:80"]"#));
        }
    }
    site.drop_in("checks", tables);
    let agent = site.start();
    for (name, _) in &literals {
        for via in ["net", "std", "udp", "http"] {
            let check = format!("{name}-{via}");
            // wasi:sockets knows no such addresses, whoever asks.
            if *name == "mapped" && ["std", "udp"].contains(&via) {
                let seen = agent.until_unknown(&check, "internal");
                assert!(message(&agent, &check).contains("Invalid argument"), "{seen}");
                continue;
            }
            agent.until_unknown(&check, "denied");
            assert!(denials(&agent, &check) >= 1.0, "{check} was not counted");
        }
    }
    assert_eq!(dns.queries(), Vec::<String>::new(), "an address needs no DNS");
}

#[test]
fn a_granted_name_leads_to_its_service_in_every_way() {
    const ANSWER: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let (dns, own) = (Dns::start(TTL), OwnAddress::find());
    let listener = Listener::at(own.ip(), Manner::Answering(ANSWER));
    dns.says("good.test", [Said::Addresses(vec![own.ip()])]);
    dns.says("long.test", [Said::OverTcp(vec![own.ip()])]);
    // What must not be used is left out, and the rest is used.
    dns.says("both.test", [Said::Addresses(vec!["127.0.0.2".parse().unwrap(), own.ip()])]);
    let site = site(&dns, &["trespasser"]);
    let mut tables = Vec::new();
    for host in ["good.test", "long.test", "both.test"] {
        for via in ["net", "std", "http", "lookup"] {
            let to = format!("{host}:{}", listener.port());
            tables.push(allowing(visitor(&format!("{host}-{via}"), via, &to), &format!("tcp://{to}")));
        }
    }
    site.drop_in("checks", tables);
    let agent = site.start();
    for host in ["good.test", "long.test", "both.test"] {
        for via in ["net", "std", "http", "lookup"] {
            let check = format!("{host}-{via}");
            agent.until(&check, "UP");
            let said = message(&agent, &check);
            let reached = if via == "http" { "status 204".to_owned() } else { own.ip().to_string() };
            assert!(said.contains(&reached) && !said.contains("127.0.0.2"), "{check}: {said}");
        }
    }
    let refused = agent.metrics().sum("vitald_egress_denied_total", &[]);
    assert_eq!(refused, 0.0, "refused although granted");
}

#[test]
fn a_name_that_changes_its_mind_keeps_its_first_answer_for_the_run() {
    let (dns, own) = (Dns::start(0), OwnAddress::find());
    let listener = Listener::at(own.ip(), Manner::Closing);
    let site = site(&dns, &["rebinder"]);
    let mut tables = Vec::new();
    for via in ["net", "std"] {
        let host = format!("{via}.test");
        dns.says(&host, [Said::Addresses(vec![own.ip()]), Said::address("127.0.0.2")]);
        let target = format!("tcp://{host}:{}", listener.port());
        tables.push(check(via, "rebinder").target(&target).line(&format!("params = {{ via = {via:?} }}")));
    }
    site.drop_in("checks", tables);
    let agent = site.start();
    let place = format!("{}:{}", own.ip(), listener.port());
    for via in ["net", "std"] {
        eventually(&format!("{via} got both answers, twice"), SOON, || {
            let (up, denied) = (runs(&agent, via, "up"), runs(&agent, via, "denied"));
            that(up >= 2.0 && denied >= 2.0, || format!("{up} runs up, {denied} denied; {}", agent.check(via)))
        });
        eventually(&format!("{via} is UP"), SOON, || agent.shows(via, "UP"));
        assert_eq!(message(&agent, via), format!("{place} then {place}"));
        let asked = dns.queries().iter().filter(|name| **name == format!("{via}.test")).count() as f64;
        let all = agent.metrics().sum("vitald_check_runs_total", &[("check", via)]);
        assert!(asked <= all + 1.0, "{via}: asked {asked} times in {all} runs");
    }
}

/// Kills the server in one way or another, and looks at who knew a name and who did not.
fn last_good_addresses_are_kept(end: impl FnOnce(&mut Dns)) {
    let (mut dns, own) = (Dns::start(TTL), OwnAddress::find());
    let listener = Listener::at(own.ip(), Manner::Closing);
    for name in ["net.test", "std.test", "late.test"] {
        dns.says(name, [Said::Addresses(vec![own.ip()])]);
    }
    let visit = |name: &str, via: &str, host: &str| {
        let to = format!("{host}:{}", listener.port());
        allowing(visitor(name, via, &to), &format!("tcp://{to}"))
    };
    let site = site(&dns, &["trespasser"]);
    site.drop_in("known", [visit("net", "net", "net.test"), visit("std", "std", "std.test")]);
    let agent = site.start();
    agent.until("net", "UP");
    agent.until("std", "UP");

    end(&mut dns);
    site.drop_in("late", [visit("late", "net", "late.test"), visit("late-std", "std", "late.test")]);
    throughout("who knew its name stays UP, who did not is not DOWN", FORGOTTEN, || {
        for known in ["net", "std"] {
            agent.shows(known, "UP")?;
        }
        let details = agent.get("/health").json()["details"].clone();
        let down = ["late", "late-std"].into_iter().find(|late| details[*late]["status"] == "DOWN");
        that(down.is_none(), || details.to_string())
    });
    for late in ["late", "late-std"] {
        agent.until_unknown(late, "resolver");
        for evidence in ["down", "timeout"] {
            assert_eq!(runs(&agent, late, evidence), 0.0, "{late} ended with {evidence}");
        }
    }
    let metrics = agent.metrics();
    for known in ["net", "std"] {
        let of = |labels: &[(&str, &str)]| metrics.sum("vitald_check_runs_total", labels);
        let up = of(&[("check", known), ("result", "up")]);
        assert_eq!(up, of(&[("check", known)]), "{known} had runs that were not up");
    }
}

#[test]
fn a_dns_server_that_is_killed_takes_nobody_down() {
    last_good_addresses_are_kept(Dns::stop);
}

#[test]
fn a_dns_server_that_says_nothing_takes_nobody_down() {
    last_good_addresses_are_kept(|dns| {
        for name in ["net.test", "std.test", "late.test"] {
            dns.says(name, [Said::Nothing]);
        }
    });
}

#[test]
fn a_dns_server_that_fails_takes_nobody_down() {
    last_good_addresses_are_kept(|dns| {
        for name in ["net.test", "std.test", "late.test"] {
            dns.says(name, [Said::ServerFailure]);
        }
    });
}

#[test]
fn a_name_that_does_not_exist_is_evidence() {
    let dns = Dns::start(TTL);
    dns.says("gone.test", [Said::NoSuchName]);
    let site = site(&dns, &["trespasser"]);
    site.drop_in("checks", [allowing(visitor("gone", "net", "gone.test:9"), "tcp://gone.test:9")]);
    let agent = site.start();
    agent.until("gone", "DOWN");
    assert_eq!(message(&agent, "gone"), "connect gone.test:9: name not found");
}

#[test]
fn a_secret_in_a_name_is_never_asked_for() {
    let dns = Dns::start(TTL);
    dns.says("other.example", [Said::address("192.0.2.1")]);
    let site = site(&dns, &["exfiltrator", "trespasser"]);
    let tell = |via: &str| {
        let params = format!("params = {{ name = \"SECRET.evil.example\", via = {via:?} }}");
        // A name that may be asked for does not make another so.
        allowing(check(via, "exfiltrator").line(&params), "tcp://other.example:53")
    };
    let go = |via: &str| visitor(via, via, "SECRET.evil.example:53");
    site.drop_in("checks", [tell("net"), tell("std"), go("udp"), go("http")]);
    let agent = site.start();
    for via in ["net", "std", "udp", "http"] {
        agent.until_unknown(via, "denied");
        assert!(denials(&agent, via) >= 1.0);
        assert!(runs(&agent, via, "denied") >= 1.0);
    }
    assert_eq!(dns.queries(), Vec::<String>::new(), "the secret is out");
    let log = agent.log().to_ascii_lowercase();
    let said = "check std may not look up secret.evil.example";
    assert_eq!(log.lines().filter(|line| line.contains(said)).count(), 1, "of {said:?}");
}

#[test]
fn udp_arrives_where_it_is_granted_and_nowhere_else() {
    let dns = Dns::start(TTL);
    let open = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        (socket, address)
    };
    let ((granted, there), (other, elsewhere)) = (open(), open());
    let site = site(&dns, &["trespasser"]);
    let mut tables = Vec::new();
    for via in ["udp", "udp-connected"] {
        let grant = format!("udp://{there}");
        tables.push(allowing(visitor(&format!("{via}-there"), via, &there), &grant));
        tables.push(allowing(visitor(&format!("{via}-elsewhere"), via, &elsewhere), &grant));
        // A grant for TCP is none for UDP.
        tables.push(allowing(visitor(&format!("{via}-as-tcp"), via, &elsewhere), &format!("tcp://{elsewhere}")));
    }
    site.drop_in("checks", tables);
    let agent = site.start();
    for via in ["udp", "udp-connected"] {
        agent.until(&format!("{via}-there"), "UP");
        agent.until_unknown(&format!("{via}-elsewhere"), "denied");
        agent.until_unknown(&format!("{via}-as-tcp"), "denied");
    }
    let mut buffer = [0; 64];
    let length = granted.recv(&mut buffer).expect("what was sent is there");
    assert_eq!(&buffer[..length], b"trespassing");
    let nothing = other.recv(&mut buffer).expect_err("nothing was sent there");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_refusal_is_counted_always_and_logged_once_with_what_would_allow_it() {
    let dns = Dns::start(TTL);
    let site = site(&dns, &["trespasser"]);
    let ways = [("net", "tcp"), ("std", "tcp"), ("http", "tcp"), ("udp", "udp"), ("udp-connected", "udp")];
    let mut tables: Vec<Table> = ways.iter().map(|(via, _)| visitor(via, via, "127.0.0.1:1")).collect();
    tables.push(visitor("name", "net", "db.internal:5432"));
    site.drop_in("checks", tables);
    let agent = site.start();
    let expected = ways.iter().map(|(via, protocol)| (*via, "127.0.0.1:1", *protocol));
    for (check, destination, protocol) in expected.chain([("name", "db.internal:5432", "tcp")]) {
        eventually(&format!("{check} was refused thrice"), SOON, || {
            let (denials, runs) = (denials(&agent, check), runs(&agent, check, "denied"));
            that(denials >= 3.0 && runs >= 3.0, || format!("{denials} refusals in {runs} runs; {}", agent.check(check)))
        });
        let verb = if protocol == "udp" { "send" } else { "connect" };
        let refusal = format!("check {check} may not {verb} to {destination};");
        let advice = format!("to allow it, add \"{protocol}://{destination}\" to the check's allow");
        let log = agent.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&refusal)).collect();
        assert!(lines.len() == 1 && lines[0].contains(&advice), "{refusal} {advice}: {lines:?}");
    }
    assert_eq!(dns.queries(), Vec::<String>::new());
}

#[test]
fn a_target_that_drops_what_is_sent_is_down_whatever_the_interface() {
    let deaf = Deaf::start();
    let site = Site::new();
    site.plugin("trespasser", guest("trespasser"));
    let by_std = format!("params = {{ to = {0:?}, via = \"std\" }}\nallow = [\"tcp://{0}\"]", deaf.address());
    let checks = [
        check("net", "tcp").target(&format!("tcp://{}", deaf.address())),
        check("tls", "redis").target(&format!("rediss://{}", deaf.address())),
        check("std", "trespasser").line(&by_std),
    ];
    site.drop_in("deaf", checks);
    let agent = site.start();
    for name in ["net", "tls", "std"] {
        agent.until(name, "DOWN");
        let seen = agent.check(name);
        let text = seen["message"].as_str().unwrap_or_default();
        assert!(text.contains("timeout") && text.contains(&deaf.address()), "{name}: {seen}");
    }
}
