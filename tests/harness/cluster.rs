//! An etcd of three real members on a network that can be cut.
//!
//! The agent reaches the members over the switch; the test asks and watches over control lines that are never cut. A
//! fault of a member is a fault of its process (killed, stopped, wiped) or of its cable; packets are dropped silently.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{Error, StatusResponse};
use rustix::process::Signal;
use tempfile::TempDir;

use super::child::Server;
use super::etcd::{OPTIONS, Store};
use super::network::{Network, Port};
use super::wait::{eventually, that};

const MEMBERS: usize = 3;
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// To elect a leader, to catch up with the others.
const START: Duration = Duration::from_secs(30);

/// Everything is ended and removed in `Drop`.
pub struct Cluster {
    servers: [Option<Server>; MEMBERS],
    store: Store,
    /// Counts the clusters that these members were.
    life: u32,
    dir: TempDir,
    /// The last: processes are ended before their network is.
    network: Network,
}

impl Cluster {
    /// Three members that have elected a leader, with nothing in them.
    pub fn start() -> Self {
        let network = Network::start(MEMBERS);
        let controls = (0..MEMBERS).map(|member| format!("http://{}:{CLIENT_PORT}", network.control(member)));
        let store = Store::at(controls.collect());
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut cluster = Self { servers: Default::default(), store, life: 0, dir, network };
        cluster.restart_all();
        cluster
    }

    /// Where the agent reaches the members.
    pub fn urls(&self) -> Vec<String> {
        (0..MEMBERS).map(|member| format!("http://{}:{CLIENT_PORT}", self.network.address(member))).collect()
    }

    pub fn members(&self) -> std::ops::Range<usize> {
        0..MEMBERS
    }

    /// Which member leads, as those see it that answer; of two that say so, the one of the later term.
    pub fn leader(&self) -> usize {
        eventually("there is a leader", START, || {
            let seen: Vec<_> = self.members().map(|member| self.status(member)).collect();
            let leads = |status: &StatusResponse| status.header().is_some_and(|it| it.member_id() == status.leader());
            let leaders = seen.iter().enumerate().filter_map(|(member, status)| {
                let status = status.as_ref().ok().filter(|status| leads(status))?;
                Some((status.raft_term(), member))
            });
            leaders.max().map(|(_, member)| member).ok_or_else(|| format!("{seen:?}"))
        })
    }

    /// Does a leader that was stopped revoke leases that others renewed meanwhile, once it goes on? etcd did so before
    /// 3.4.31 and 3.5.13: <https://github.com/etcd-io/etcd/issues/15247>. No client can help it.
    pub fn old_leaders_revoke(&self) -> bool {
        let status = self.ask(async |client| client.status().await).expect("the cluster answers");
        let parts: Vec<u32> = status.version().split(['.', '-']).filter_map(|part| part.parse().ok()).collect();
        let mended = if parts < vec![3, 5] { [3, 4, 31] } else { [3, 5, 13] };
        parts.as_slice() < mended.as_slice()
    }

    /// Hands the lead to that member.
    pub fn lead(&self, member: usize) {
        let id = self.status(member).expect("the member answers").header().expect("a header").member_id();
        eventually("it leads", START, || {
            let leader = self.leader();
            if leader != member {
                self.ask_at(leader, async |client| client.move_leader(id).await)?;
            }
            that(leader == member, || format!("{leader} leads"))
        });
    }

    /// The members that the agent is connected to: over the switch it is the only one in the root namespace.
    pub fn used_by_agent(&self) -> Vec<usize> {
        const ESTABLISHED: &str = "01";
        let table = fs::read_to_string("/proc/net/tcp").expect("the kernel tells its connections");
        let to = |member| {
            // As the kernel writes it: in the machine's byte order.
            let address = u32::from_ne_bytes(self.network.address(member).octets());
            format!("{address:08X}:{CLIENT_PORT:04X}")
        };
        let connected = |member: &usize| {
            let to = to(*member);
            table.lines().any(|line| {
                let mut fields = line.split_whitespace().skip(2);
                fields.next() == Some(&to) && fields.next() == Some(ESTABLISHED)
            })
        };
        self.members().filter(connected).collect()
    }

    /// SIGKILL.
    pub fn kill(&mut self, member: usize) {
        self.servers[member] = None;
    }

    /// Starts it again with the data that it had, and waits until it is in step.
    pub fn restart(&mut self, member: usize) {
        self.launch(member, "new");
        self.until_healthy(member);
    }

    /// SIGSTOP: its connections stay open, and nothing answers.
    pub fn stop(&self, member: usize) {
        self.signal(member, Signal::STOP);
        let tasks = format!("/proc/{}/task", self.server(member).pid());
        eventually("all of its threads stand still", START, || {
            let threads = fs::read_dir(&tasks).map_err(|error| error.to_string())?.flatten();
            let mut states = threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
            that(states.all(|stat| stat.contains(") T ")), || "one runs".to_owned())
        });
    }

    pub fn cont(&self, member: usize) {
        self.signal(member, Signal::CONT);
    }

    fn signal(&self, member: usize, signal: Signal) {
        self.server(member).signal(signal);
    }

    fn server(&self, member: usize) -> &Server {
        self.servers[member].as_ref().expect("the member runs")
    }

    /// Kills it, throws its data away, and lets it join the others as a new member.
    pub fn wipe(&mut self, member: usize) {
        self.kill(member);
        let peer = self.peer(member);
        let list = self.ask(async |client| client.member_list().await).expect("the others answer");
        let id = list.members().iter().find(|one| one.peer_urls().contains(&peer)).expect("it was a member").id();
        self.reconfigure("it is removed", async |client| client.member_remove(id).await.map(drop));
        fs::remove_dir_all(self.data(member)).expect("it had data");
        // Refused until the others have been connected for five seconds.
        self.reconfigure("it is added", async |client| client.member_add([peer.as_str()], None).await.map(drop));
        self.launch(member, "existing");
        self.until_healthy(member);
    }

    fn reconfigure(&self, what: &str, change: impl AsyncFn(&mut etcd_client::Client) -> Result<(), Error>) {
        eventually(what, START, || self.ask(&change));
    }

    /// Pulls its cable: neither the others nor the agent reach it.
    pub fn cut(&self, member: usize) {
        self.network.cut(Port::Host(member));
    }

    pub fn heal(&self, member: usize) {
        self.network.heal(Port::Host(member));
    }

    /// Parts it from the other members; the agent still reaches it.
    pub fn isolate(&self, member: usize) {
        self.members().filter(|other| *other != member).for_each(|other| self.network.part(member, other));
    }

    pub fn join(&self, member: usize) {
        self.members().filter(|other| *other != member).for_each(|other| self.network.join(member, other));
    }

    /// Pulls the agent's cable.
    pub fn cut_agent(&self) {
        self.network.cut(Port::Root);
    }

    pub fn heal_agent(&self) {
        self.network.heal(Port::Root);
    }

    pub fn kill_all(&mut self) {
        self.servers = Default::default();
    }

    /// Starts all that do not run, with the data that they had, and waits until they answer.
    pub fn restart_all(&mut self) {
        for member in self.members() {
            if self.servers[member].is_none() {
                self.launch(member, "new");
            }
        }
        self.until_answering();
    }

    /// A new cluster on the same addresses.
    pub fn restart_all_empty(&mut self) {
        self.kill_all();
        self.life += 1;
        self.restart_all();
    }

    /// Waits until the cluster as a whole answers.
    pub fn until_answering(&self) {
        eventually("the cluster answers", START, || self.try_now().map(drop));
    }

    /// Waits until every member serves.
    pub fn until_all_healthy(&self) {
        self.members().for_each(|member| self.until_healthy(member));
    }

    /// Waits until it serves what needs a leader.
    pub fn until_healthy(&self, member: usize) {
        let what = format!("member {member} serves");
        eventually(&what, START, || self.ask_at(member, async |client| client.get("/", None).await).map(drop));
    }

    fn status(&self, member: usize) -> Result<StatusResponse, String> {
        that(self.servers[member].is_some(), || "it does not run".to_owned())?;
        self.ask_at(member, async |client| client.status().await)
    }

    fn peer(&self, member: usize) -> String {
        format!("http://{}:{PEER_PORT}", self.network.address(member))
    }

    fn data(&self, member: usize) -> PathBuf {
        self.dir.path().join(format!("data-{}-{member}", self.life))
    }

    /// `state` is what it finds where it has no data: a "new" cluster, or an "existing" one.
    fn launch(&mut self, member: usize, state: &str) {
        let peers: Vec<_> = self.members().map(|other| format!("m{other}={}", self.peer(other))).collect();
        let (peer, client) = (self.peer(member), &self.urls()[member]);
        let mut command = self.network.command(member, "etcd");
        command.args(OPTIONS).args(["--name", &format!("m{member}")]).arg("--data-dir").arg(self.data(member));
        let everywhere = format!("http://0.0.0.0:{CLIENT_PORT}");
        command.args(["--listen-client-urls", &everywhere, "--advertise-client-urls", client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", state]);
        command.args(["--initial-cluster-token", &format!("vitald-{}", self.life)]);
        let log = self.dir.path().join(format!("log-{member}"));
        self.servers[member] = Some(Server::start("iproute2 etcd-server", &mut command, &log));
    }
}

impl Deref for Cluster {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;
    use std::time::Duration;

    use super::super::wait::{beside_others, eventually, that};
    use super::Cluster;

    const SOON: Duration = Duration::from_secs(15);

    /// Without this, a fault that does nothing would prove everything.
    #[test]
    fn the_faults_are_real() {
        let _machine = beside_others();
        let cluster = Cluster::start();
        let serves = |member| cluster.ask_at(member, async |client| client.get("/", None).await);
        let reached = |member: usize| reaches(&cluster.urls()[member]);
        cluster.cut(0);
        assert_eq!([0, 1, 2].map(reached), [false, true, true]);
        eventually("a member that is cut off loses the leader", SOON, || {
            that(serves(0).is_err(), || "it serves".into())
        });
        cluster.heal(0);
        cluster.until_healthy(0);
        assert!(reached(0));

        cluster.isolate(1);
        eventually("a member without its peers does not serve", SOON, || {
            that(serves(1).is_err(), || "it serves".into())
        });
        assert_eq!([0, 1, 2].map(reached), [true, true, true]);
        cluster.until_healthy(0);
        cluster.join(1);
        cluster.until_healthy(1);

        cluster.stop(2);
        assert!(serves(2).is_err(), "a stopped member serves");
        assert!(reached(2), "the kernel takes connections in its place");
        cluster.cont(2);
        cluster.until_healthy(2);

        cluster.cut_agent();
        assert_eq!([0, 1, 2].map(reached), [false, false, false]);
        cluster.until_all_healthy();
        cluster.heal_agent();
        assert_eq!([0, 1, 2].map(reached), [true, true, true]);
    }

    /// From where the agent is. A packet that is dropped is sent again after a second.
    fn reaches(url: &str) -> bool {
        let address = url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
        match TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "dropped, not refused: {error}");
                false
            }
        }
    }
}
