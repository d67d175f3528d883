//! An etcd that asks who is there: users and roles, tokens that end soon, TLS. It is told so as an operator tells it.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::etcd::Etcd;
use super::tls::{Ca, Identity};

const ROOT: (&str, &str) = ("root", "root's own");

impl Etcd {
    /// Whoever comes from now on has to say who it is; the tests are root.
    pub fn demand_users(&self) {
        let (root, password) = ROOT;
        self.must(async |client| client.user_add(root, password, None).await);
        self.must(async |client| client.user_grant_role(root, root).await);
        self.must(async |client| client.auth_enable().await);
        self.log_in(root, password);
    }

    /// Whoever comes is served again.
    pub fn admit_everybody(&self) {
        self.must(async |client| client.auth_disable().await);
        self.log_out();
    }

    /// A user with a role of its own, which has no permission yet.
    pub fn add_user(&self, name: &str, password: &str) {
        self.must(async |client| client.user_add(name, password, None).await);
        self.must(async |client| client.role_add(name).await);
        self.must(async |client| client.user_grant_role(name, name).await);
    }

    /// An operator's lines of shell, with `etcdctl` as root.
    pub fn operator(&self, dir: &Path, script: &str) {
        let mut command = Command::new("sh");
        command.current_dir(dir).args(["-e", "-c", script]);
        command.env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", self.url());
        command.env("ETCDCTL_USER", format!("{}:{}", ROOT.0, ROOT.1));
        succeeded(script, &command.output().expect("sh"));
    }
}

/// What makes passwords cheap to check: the tests check many.
pub fn cheap_passwords() -> Vec<String> {
    vec!["--bcrypt-cost=4".to_owned()]
}

/// Tokens that are signed, and end after that many seconds whatever is done with them.
pub struct Tokens {
    dir: TempDir,
    seconds: u32,
}

impl Tokens {
    pub fn ending_after(seconds: u32) -> Self {
        let tokens = Self { dir: tempfile::tempdir().expect("a temporary directory"), seconds };
        let script = "openssl genrsa -out private.pem 2048 && openssl rsa -in private.pem -pubout -out public.pem";
        let output = Command::new("sh").current_dir(tokens.dir.path()).args(["-c", script]).output().expect("sh");
        succeeded("openssl (install it with `sudo apt-get install openssl`)", &output);
        tokens
    }

    pub fn options(&self) -> Vec<String> {
        let (dir, seconds) = (self.dir.path().display(), self.seconds);
        let token = format!("jwt,pub-key={dir}/public.pem,priv-key={dir}/private.pem,sign-method=RS256,ttl={seconds}s");
        [cheap_passwords(), vec!["--auth-token".to_owned(), token]].concat()
    }
}

fn succeeded(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Shows this certificate.
pub fn showing(identity: &Identity) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    vec!["--cert-file".to_owned(), path(&identity.cert), "--key-file".to_owned(), path(&identity.key)]
}

/// As [`showing`], and wants one of that authority of whoever comes.
pub fn showing_to_clients_of(identity: &Identity, ca: &Ca) -> Vec<String> {
    let asks = ["--client-cert-auth".to_owned(), "--trusted-ca-file".to_owned(), ca.file().display().to_string()];
    [showing(identity), asks.to_vec()].concat()
}
