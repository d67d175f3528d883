//! What the target's URL asks for beside its hosts: who logs in to what, how, and which server will do.
//!
//! `postgres://USER:PASSWORD@HOST[:PORT][,HOST..]/DATABASE?sslmode=..&target_session_attrs=..`, in libpq's words
//! (<https://www.postgresql.org/docs/current/libpq-connect.html>).

use tokio_postgres::Config;
use vitald_sdk::prelude::*;

/// What the URL asks for.
pub(crate) struct Wish {
    pub(crate) login: Config,
    pub(crate) options: Options,
}

/// What stands behind the `?`.
#[params]
#[derive(Default)]
#[serde(default)]
pub(crate) struct Options {
    pub(crate) sslmode: SslMode,
    pub(crate) target_session_attrs: Role,
}

/// Whether there must be TLS. The agent verifies certificates and names always, so that the last three are one.
#[params]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SslMode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Which of several servers will do.
#[params]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
}

impl Wish {
    pub(crate) fn of(target: &Target) -> Result<Self> {
        let Some(user) = target.user().filter(|user| !user.is_empty()) else {
            return Err(Error::invalid_params("target: a user is missing, as in postgres://health@.."));
        };
        let mut login = Config::new();
        login.user(user).application_name("vitald");
        if let Some(password) = target.password() {
            login.password(password);
        }
        if let Some(database) = target.database() {
            login.dbname(database);
        }
        Ok(Self { login, options: target.options()? })
    }

    /// `PasswordMessage`: the crate answers it to whoever asks.
    pub(crate) fn password_in_clear(&self) -> Vec<u8> {
        let Some(password) = self.login.get_password() else { return Vec::new() };
        let [.., high, middle, low] = (password.len() + 5).to_be_bytes();
        [&[b'p', 0, high, middle, low], password, &[0]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(url: &str) -> Result<Wish> {
        Wish::of(&Target::new(url, Vec::new()))
    }

    fn refused(url: &str) -> String {
        let error = wish(url).err().expect("it is refused");
        assert!(!error.is_down());
        error.message().to_owned()
    }

    #[test]
    fn user_password_and_database_are_decoded() {
        let wish = wish("postgres://o%27brien:p%40ss@db/the%20orders").unwrap();
        assert_eq!(wish.login.get_user(), Some("o'brien"));
        assert_eq!(wish.login.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(wish.login.get_dbname(), Some("the orders"));
    }

    #[test]
    fn what_is_never_sent_in_clear_is_what_the_crate_would_send() {
        assert_eq!(wish("postgres://u:p%40ss@db").unwrap().password_in_clear(), b"p\0\0\0\x09p@ss\0");
        assert_eq!(wish("postgres://u@db").unwrap().password_in_clear(), b"");
    }

    #[test]
    fn what_is_left_out_is_as_libpq_has_it() {
        let wish = wish("postgres://health@db").unwrap();
        assert_eq!((wish.options.sslmode, wish.options.target_session_attrs), (SslMode::Prefer, Role::Any));
        assert_eq!((wish.login.get_dbname(), wish.login.get_password()), (None, None));
        assert_eq!(wish.login.get_application_name(), Some("vitald"));
    }

    #[test]
    fn modes_and_roles_are_those_of_libpq() {
        let mode = |text| wish(&format!("postgres://u@db/?sslmode={text}")).unwrap().options.sslmode;
        assert_eq!([mode("disable"), mode("verify-full")], [SslMode::Disable, SslMode::VerifyFull]);
        let attrs = wish("postgres://u@db?target_session_attrs=read-write").unwrap().options.target_session_attrs;
        assert_eq!(attrs, Role::ReadWrite);
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let key = refused("postgres://u:secret@db/?sslrootcert=/ca");
        for known in ["sslrootcert", "sslmode", "target_session_attrs"] {
            assert!(key.contains(known), "{key}");
        }
        let mode = refused("postgres://u@db?sslmode=allow");
        assert!(mode.contains("`prefer`") && mode.contains("`verify-full`"), "{mode}");
        assert!(refused("postgres://u@db?sslmode=require&sslmode=disable").contains("duplicate"));
        assert!(refused("postgres://:pw@db").contains("a user is missing"));
    }
}
