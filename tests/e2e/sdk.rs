//! What the SDK gives a checker beside one connection: several at once, with time limits, and UDP.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use crate::harness::{Agent, Dns, Listener, Manner, Said, Site, Table, check, guest};

/// Seconds.
const TTL: u32 = 1;
/// A run that waits for its own end this long is a failure with another text.
const TIMEOUT: &str = "timeout = \"10s\"\ninterval = \"10s\"";

fn doing(what: &str, target: &str) -> Table {
    check(what, "concurrent").target(target).line(&format!("params = {{ does = {what:?} }}\n{TIMEOUT}"))
}

fn message(agent: &Agent, check: &str) -> String {
    agent.check(check)["message"].as_str().unwrap_or_default().to_owned()
}

/// Answers each connection as `serve` does.
fn server(serve: impl Fn(std::net::TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(connection));
        }
    });
    address
}

#[test]
fn a_checker_waits_for_several_peers_at_once() {
    // The first endpoint speaks only when the second was heard and left: who waits for them in turn waits for ever.
    let (spoken, other_has_spoken) = mpsc::sync_channel(16);
    let other_has_spoken = std::sync::Arc::new(std::sync::Mutex::new(other_has_spoken));
    let late = server(move |mut connection| {
        other_has_spoken.lock().unwrap().recv().unwrap();
        let _ = connection.write_all(b"late\n");
    });
    let early = server(move |mut connection| {
        connection.write_all(b"early\n").unwrap();
        let _ = connection.read(&mut [0; 16]);
        spoken.send(()).unwrap();
    });
    let echo = server(|mut connection| {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = connection.read(&mut buffer) {
            if connection.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
    let site = Site::new();
    site.plugin("concurrent", guest("concurrent"));
    let silent = Listener::start(Manner::Silent);
    site.drop_in(
        "checks",
        [
            doing("lines", &format!("tcp://{late},{early}")),
            doing("echo", &format!("tcp://{echo}")),
            doing("sleeps", &silent.url()),
            doing("timeout", &silent.url()),
            doing("stuck", &silent.url()),
        ],
    );
    let agent = site.start();
    agent.until("lines", "UP");
    assert_eq!(message(&agent, "lines"), "early, then late");
    agent.until("echo", "UP");
    agent.until("sleeps", "UP");
    agent.until("timeout", "DOWN");
    assert_eq!(message(&agent, "timeout"), "no answer within 50 ms");
    // What nothing could ever wake does not hang until the deadline.
    agent.until_unknown("stuck", "trap");
    assert!(message(&agent, "stuck").contains("nothing would ever wake it"), "{}", agent.check("stuck"));
}

fn asking(name: &str, server: &str, params: &str) -> Table {
    check(name, "asker").target(&format!("dns://{server}")).line(&format!("params = {{ {params} }}\n{TIMEOUT}"))
}

#[test]
fn udp_to_the_target_has_an_answer_or_a_deadline() {
    let dns = Dns::start(TTL);
    dns.says("known.test", [Said::address("10.0.0.1")]);
    dns.says("silent.test", [Said::Nothing]);
    let (server, port) = (dns.address(), dns.address().rsplit(':').next().unwrap().to_owned());
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let site = Site::new();
    site.plugin("asker", guest("asker"));
    site.drop_in(
        "checks",
        [
            asking("known", &server, "name = \"known.test\", within = \"5s\""),
            asking("by-name", &format!("localhost:{port}"), "name = \"known.test\", within = \"5s\""),
            asking("silent", &server, "name = \"silent.test\", within = \"100ms\""),
            asking("nobody", &nobody, "name = \"known.test\", within = \"5s\""),
            asking("elsewhere", &server, "name = \"known.test\", within = \"5s\", port = 9"),
        ],
    );
    let agent = site.start();
    for name in ["known", "by-name"] {
        agent.until(name, "UP");
        assert_eq!(message(&agent, name), "1 addresses");
    }
    agent.until("silent", "DOWN");
    assert_eq!(message(&agent, "silent"), format!("read {server}: timeout"));
    let took = agent.check("silent")["duration_ms"].as_f64().unwrap();
    let (within, budget) = (Duration::from_millis(100), Duration::from_secs(1));
    assert!((within.as_millis() as f64..budget.as_millis() as f64).contains(&took), "{took} ms");
    agent.until("nobody", "DOWN");
    assert_eq!(message(&agent, "nobody"), format!("read {nobody}: refused"));
    agent.until_unknown("elsewhere", "denied");
}
