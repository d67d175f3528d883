//! Hosts on a switch, each in a network namespace of its own, whose cables can be pulled: packets are then dropped
//! without a word, as a broken network does it.
//!
//! The switch is a bridge in a namespace of its own too, so that neither a firewall nor the addresses of this machine
//! meddle with it. The root namespace, where the agent runs, has a cable to the switch like any host. Beside that each
//! host has a control line to the root namespace, which is never cut: over it a test sees what goes on.
//!
//! It needs root and iproute2. What a killed run has left is removed by the next, which leaves its addresses alone all
//! the same: an agent may have been left too, and goes on asking there.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{eventually, that};

/// 198.18.0.0/15 is for tests of networks (RFC 2544): it holds as many networks of 256 addresses.
const NETWORKS: u16 = 512;
/// A network card that nobody has.
const NOBODY: &str = "02:00:00:00:00:ff";
const SOON: Duration = Duration::from_secs(10);

/// The end of a cable at the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Host(usize),
    /// Of the root namespace: the agent's.
    Root,
}

/// Removed in `Drop`; the processes in it are to be ended before.
pub struct Network {
    number: u16,
    hosts: usize,
    /// Tells others that somebody lives who will remove it.
    _lock: File,
}

impl Network {
    pub fn start(hosts: usize) -> Self {
        (0..NETWORKS).for_each(remove_what_was_left);
        let (number, lock) = take_number();
        let network = Self { number, hosts, _lock: lock };
        network.lay().unwrap_or_else(|error| {
            panic!("network namespaces are needed: run the tests as root, with iproute2 installed: {error}")
        });
        network
    }

    /// Of a host, on the switch.
    pub fn address(&self, host: usize) -> Ipv4Addr {
        self.at(11 + host)
    }

    /// Of a host, on its control line.
    pub fn control(&self, host: usize) -> Ipv4Addr {
        self.at(129 + 2 * host)
    }

    /// A program that will run on a host.
    pub fn command(&self, host: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(host), program]);
        command
    }

    /// Pulls the cable.
    pub fn cut(&self, port: Port) {
        self.at_switch(&format!("link set {} nomaster", port_name(port)));
    }

    pub fn heal(&self, port: Port) {
        self.at_switch(&format!("link set {} master switch", port_name(port)));
    }

    /// Between two hosts alone: everybody else still reaches both.
    pub fn part(&self, one: usize, other: usize) {
        self.neighbours("replace", one, other, &format!("lladdr {NOBODY} nud permanent"));
    }

    pub fn join(&self, one: usize, other: usize) {
        self.neighbours("del", one, other, "");
    }

    fn neighbours(&self, command: &str, one: usize, other: usize, entry: &str) {
        for (from, to) in [(one, other), (other, one)] {
            let line = format!("neigh {command} {} dev cable {entry}", self.address(to));
            batch(Some(&self.host(from)), &line).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    fn at_switch(&self, line: &str) {
        batch(Some(&self.switch()), line).unwrap_or_else(|error| panic!("{error}"));
    }

    fn at(&self, last: usize) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(198, 18 + high, low, u8::try_from(last).expect("few hosts"))
    }

    fn switch(&self) -> String {
        format!("{}switch", namespaces(self.number))
    }

    fn host(&self, host: usize) -> String {
        format!("{}{host}", namespaces(self.number))
    }

    /// The root namespace's end of a line.
    fn line(&self, line: &str) -> String {
        format!("{}{line}", lines(self.number))
    }

    fn lay(&self) -> Result<(), String> {
        let (switch, root) = (self.switch(), self.line("root"));
        let mut lines = vec![
            format!("netns add {switch}"),
            format!("link add {root} type veth peer name root netns {switch}"),
            format!("addr add {}/25 dev {root}", self.at(1)),
            format!("link set {root} up"),
        ];
        let mut at_switch = vec![
            "link add switch type bridge".to_owned(),
            "link set switch up".to_owned(),
            "link set root up master switch".to_owned(),
        ];
        for host in 0..self.hosts {
            let (name, line) = (self.host(host), self.line(&host.to_string()));
            lines.push(format!("netns add {name}"));
            lines.push(format!("link add cable netns {name} type veth peer name host{host} netns {switch}"));
            lines.push(format!("link add {line} type veth peer name control netns {name}"));
            lines.push(format!("addr add {}/31 dev {line}", self.at(128 + 2 * host)));
            lines.push(format!("link set {line} up"));
            at_switch.push(format!("link set host{host} up master switch"));
        }
        batch(None, &lines.join("\n"))?;
        batch(Some(&switch), &at_switch.join("\n"))?;
        (0..self.hosts).try_for_each(|host| self.lay_host(host))
    }

    fn lay_host(&self, host: usize) -> Result<(), String> {
        let (address, control) = (self.address(host), self.control(host));
        let lines = format!(
            "link set lo up\naddr add {address}/25 dev cable\nlink set cable up\n\
             addr add {control}/31 dev control\nlink set control up"
        );
        batch(Some(&self.host(host)), &lines)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let removed = remove(self.number).and_then(|()| {
            let path = lock_path(self.number);
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))
        });
        if !std::thread::panicking() {
            removed.unwrap_or_else(|error| panic!("the network cannot be removed: {error}"));
        }
    }
}

fn port_name(port: Port) -> String {
    match port {
        Port::Host(host) => format!("host{host}"),
        Port::Root => "root".to_owned(),
    }
}

/// What the names of a network's namespaces begin with.
fn namespaces(number: u16) -> String {
    format!("vitald-{number}-")
}

/// What the names of its lines in the root namespace begin with; the kernel wants them short.
fn lines(number: u16) -> String {
    format!("vt{number}-")
}

/// There while a network is, or if it was left.
fn lock_path(number: u16) -> PathBuf {
    format!("/run/vitald-test-network-{number}.lock").into()
}

/// The first number that no other test has or had left.
fn take_number() -> (u16, File) {
    for number in 0..NETWORKS {
        let path = lock_path(number);
        match File::create_new(&path).and_then(|file| file.lock().map(|()| file)) {
            Ok(lock) => return (number, lock),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                let path = path.display();
                panic!("network namespaces are needed: run the tests as root: {path}: {error}")
            }
        }
    }
    panic!("all {NETWORKS} networks are taken or were left: see /run/vitald-test-network-*.lock");
}

/// The network of a test that was killed; its number stays taken.
fn remove_what_was_left(number: u16) {
    let path = lock_path(number);
    let Ok(lock) = File::open(&path) else { return };
    // Another file may have taken its place before it was locked.
    let same = || Some(fs::metadata(&path).ok()?.ino() == lock.metadata().ok()?.ino());
    if lock.try_lock().is_ok() && same() == Some(true) {
        remove(number).unwrap_or_else(|error| panic!("what an earlier run has left: {error}"));
    }
}

/// Whatever there is of a network.
fn remove(number: u16) -> Result<(), String> {
    for line in names("/sys/class/net", &lines(number)) {
        batch(None, &format!("link del {line}"))?;
    }
    for name in names("/run/netns", &namespaces(number)) {
        end_processes(&name)?;
        batch(None, &format!("netns del {name}"))?;
    }
    Ok(())
}

fn names(dir: &str, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Those that a killed run has left in a namespace.
fn end_processes(namespace: &str) -> Result<(), String> {
    let pids = || ip(&["netns", "pids", namespace], "");
    for pid in pids()?.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    eventually("what runs in the namespace has ended", SOON, || pids().and_then(|left| that(left.is_empty(), || left)));
    Ok(())
}

/// Commands of `ip`, one a line, in a namespace.
fn batch(namespace: Option<&str>, lines: &str) -> Result<(), String> {
    let mut arguments = namespace.map_or(Vec::new(), |name| vec!["-netns", name]);
    arguments.extend(["-batch", "-"]);
    ip(&arguments, lines).map(drop)
}

fn ip(arguments: &[&str], input: &str) -> Result<String, String> {
    let failed = |error: String| format!("ip {}: {error}; given:\n{input}", arguments.join(" "));
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).map_err(|error| failed(error.to_string()))?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
