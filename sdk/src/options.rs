//! What a target's URL says behind its hosts: a database in the path, options behind the `?`.
//!
//! An option that is overlooked would be a promise that is not kept, so unknown ones are refused, and the message has
//! those that are known.

use serde::de::DeserializeOwned;
use serde::de::value::{Error as Unreadable, MapDeserializer};

use crate::error::{Error, Result};
use crate::target::{Target, percent_decode};

impl Target {
    /// The path without its first slash, percent-decoded: `the orders` in `postgres://db/the%20orders`. None where there is
    /// none.
    pub fn database(&self) -> Option<String> {
        let path = self.path();
        let name = path.strip_prefix('/').unwrap_or(path);
        (!name.is_empty()).then(|| percent_decode(name))
    }

    /// What stands behind `?`, percent-decoded, as a type of the checker's own: texts, [`Length`](crate::Length)s, and
    /// enums of names. An option that may be left out has a default, and is no `Option`.
    ///
    /// ```
    /// use vitald_sdk::prelude::*;
    ///
    /// #[params]
    /// #[derive(Default)]
    /// #[serde(default)]
    /// struct Options {
    ///     sslmode: SslMode,
    ///     connect_timeout: Length,
    /// }
    ///
    /// #[params]
    /// #[derive(Default, Debug, PartialEq)]
    /// #[serde(rename_all = "kebab-case")]
    /// enum SslMode {
    ///     Disable,
    ///     #[default]
    ///     VerifyFull,
    /// }
    ///
    /// let options: Options = Target::new("postgres://db/orders?sslmode=disable", Vec::new()).options()?;
    /// assert_eq!(options.sslmode, SslMode::Disable);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// An [`Error::invalid_params`] that names an unknown key or value, and those that are known.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T> {
        let options = T::deserialize(MapDeserializer::<_, Unreadable>::new(self.query_pairs()));
        options.map_err(|error| Error::invalid_params(format!("target, behind the ?: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        name: String,
        mode: Mode,
    }

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Prefer,
        VerifyFull,
    }

    fn target(url: &str) -> Target {
        Target::new(url, Vec::new())
    }

    fn refused(url: &str) -> String {
        let error = target(url).options::<Options>().unwrap_err();
        assert!(!error.is_down());
        error.message().to_owned()
    }

    #[test]
    fn options_are_decoded_and_have_defaults() {
        let options: Options = target("db://h/?name=a%26b&mode=verify-full").options().unwrap();
        assert_eq!((options.name.as_str(), options.mode), ("a&b", Mode::VerifyFull));
        for none in ["db://h", "db://h/d?", "db://h?&&", ""] {
            assert_eq!(target(none).options::<Options>().unwrap().mode, Mode::Prefer, "{none}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let key = refused("db://u:secret@h/?sslrootcert=/ca");
        assert_eq!(key, "target, behind the ?: unknown field `sslrootcert`, expected `name` or `mode`");
        let mode = refused("db://h?mode=allow");
        assert!(mode.contains("`allow`") && mode.contains("`prefer`") && mode.contains("`verify-full`"), "{mode}");
        assert!(refused("db://h?name=a&name=b").contains("duplicate"));
    }

    #[test]
    fn a_database_is_the_decoded_path() {
        assert_eq!(target("db://h/the%20orders?x=1").database().as_deref(), Some("the orders"));
        assert_eq!(target("db://h/a/b").database().as_deref(), Some("a/b"));
        assert_eq!((target("db://h/").database(), target("db://h?x").database()), (None, None));
    }
}
