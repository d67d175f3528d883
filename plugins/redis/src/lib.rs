//! The `redis` checker: `PING` must answer `PONG`; what `INFO` says is shown.
//!
//! What the server refuses is evidence of the target and therefore down. But for our user: a server that refuses it is
//! there, and degraded unless the check says otherwise. `INFO` may be refused (`NOPERM`): then nothing is shown, and a `role`
//! that was asked for cannot be judged.

mod info;
mod link;

use redis::{Cmd, cmd};
use vitald_sdk::prelude::*;

use crate::info::{Info, Replication};
use crate::link::{Link, Reply};

/// What to look at beside PING.
#[params]
#[serde(default)]
struct Params {
    /// Show what INFO says: clients, memory, uptime, commands, replication.
    info: bool,
    /// The place in replication that the server must have.
    role: Option<Role>,
    /// What it means that the server refuses the user of the target.
    auth_failure: AuthFailure,
}

/// A place in replication.
#[params]
#[serde(rename_all = "lowercase")]
enum Role {
    /// It takes writes.
    Master,
    /// It copies a master.
    Replica,
}

impl Default for Params {
    fn default() -> Self {
        Self { info: true, role: None, auth_failure: AuthFailure::default() }
    }
}

impl Role {
    fn name(&self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Replica => "replica",
        }
    }
}

/// Answers PING, in the role that is asked for; shows what INFO says.
#[checker(schemes = ["redis:6379", "rediss:6379"])]
fn redis(target: Target, params: Params, run: &mut Run) -> Result<Outcome> {
    let database = database(target.path())?;
    let mut link = Link::new(target.connect()?);
    let pong = match greet(&mut link, &target, database)? {
        Reply::Value(pong) => pong,
        Reply::Refused(why) if is_of_the_user(&why) => return Ok(params.auth_failure.outcome(why)),
        Reply::Refused(why) => return Ok(down(why)),
    };
    if pong != "PONG" {
        return Ok(down(format!("PING was answered with {pong}")));
    }
    if !params.info && params.role.is_none() {
        return Ok(up(pong));
    }
    match link.ask::<String>(&cmd("INFO"))? {
        Reply::Value(text) => Ok(judge(&Info::new(&text), &params, run)),
        Reply::Refused(why) if params.role.is_some() => Err(run.cannot_judge(format!("role: INFO: {why}"))),
        Reply::Refused(why) => Ok(up(format!("PONG; INFO: {why}"))),
    }
}

/// Logs in, takes the database, and says PING; the answer, or the first refusal.
fn greet(link: &mut Link, target: &Target, database: Option<u32>) -> Result<Reply<String>> {
    let select = database.map(|number| cmd("SELECT").arg(number).to_owned());
    for command in [auth(target), select].into_iter().flatten() {
        if let Reply::Refused(why) = link.ask::<()>(&command)? {
            return Ok(Reply::Refused(why));
        }
    }
    link.ask(&cmd("PING"))
}

fn auth(target: &Target) -> Option<Cmd> {
    let password = target.password()?;
    let mut auth = cmd("AUTH");
    // A password without a user is the default user's, as before there were users.
    if let Some(user) = target.user().filter(|user| !user.is_empty()) {
        auth.arg(user);
    }
    auth.arg(password);
    Some(auth)
}

/// A server that is full or still loads refuses AUTH, too.
fn is_of_the_user(refusal: &str) -> bool {
    const SINCE_6: [&str; 4] = ["WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH <password> called without any password"];
    const BEFORE: [&str; 3] =
        ["ERR invalid password", "ERR Client sent AUTH", "ERR wrong number of arguments for 'auth'"];
    SINCE_6.iter().chain(&BEFORE).any(|words| refusal.starts_with(words))
}

/// `/3` is database 3; nothing and `/` leave it at 0, which needs no command.
fn database(path: &str) -> Result<Option<u32>> {
    match path.trim_start_matches('/') {
        "" => Ok(None),
        number => match number.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::invalid_params("target: the path of a redis target is a database, as in /3")),
        },
    }
}

fn judge(info: &Info<'_>, params: &Params, run: &mut Run) -> Outcome {
    if params.info {
        info.measure(run);
    }
    let replication = info.replication();
    if let Some(replication) = &replication {
        run.part("replication", replication.status(), replication.text());
    }
    outcome(replication.as_ref(), params.role.as_ref())
}

fn outcome(replication: Option<&Replication<'_>>, wanted: Option<&Role>) -> Outcome {
    let role = replication.map_or("unknown", Replication::role);
    match (wanted, replication) {
        (Some(wanted), _) if wanted.name() != role => down(format!("role {role}, expected {}", wanted.name())),
        (_, Some(replication)) => Outcome::new(replication.status(), replication.text()),
        (_, None) => up("PONG"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICA: &str = "role:slave\r\nmaster_host:m\r\nmaster_link_status:up\r\n";

    #[test]
    fn the_path_is_a_database() {
        assert_eq!(database("").unwrap(), None);
        assert_eq!(database("/").unwrap(), None);
        assert_eq!(database("/3").unwrap(), Some(3));
        assert!(!database("/orders").unwrap_err().is_down());
    }

    #[test]
    fn only_words_about_the_user_are_of_the_user() {
        for refusal in [
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOAUTH Authentication required.",
            "NOPERM this user has no permissions to run the 'ping' command",
            "ERR AUTH <password> called without any password configured for the default user.",
            "ERR invalid password",
            "ERR Client sent AUTH, but no password is set",
            "ERR wrong number of arguments for 'auth' command",
        ] {
            assert!(is_of_the_user(refusal), "{refusal}");
        }
        for refusal in ["ERR max number of clients reached", "LOADING Redis is loading", "ERR DB index is out of range"]
        {
            assert!(!is_of_the_user(refusal), "{refusal}");
        }
    }

    #[test]
    fn the_role_must_be_the_one_asked_for() {
        let replication = Info::new(REPLICA).replication();
        let replica = outcome(replication.as_ref(), Some(&Role::Replica));
        assert_eq!((replica.status, replica.message.as_str()), (Status::Up, "replica of m, link up"));
        let master = outcome(replication.as_ref(), Some(&Role::Master));
        assert_eq!((master.status, master.message.as_str()), (Status::Down, "role replica, expected master"));
        let unknown = outcome(None, Some(&Role::Master));
        assert_eq!(unknown.message, "role unknown, expected master");
        assert_eq!(outcome(None, None).message, "PONG");
    }

    #[test]
    fn a_replica_without_its_master_is_degraded() {
        let cut = Info::new("role:slave\r\nmaster_host:m\r\nmaster_link_status:down\r\n").replication();
        assert_eq!(outcome(cut.as_ref(), None).status, Status::Degraded);
    }
}
