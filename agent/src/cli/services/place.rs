//! Which etcd is asked, and as whom: the main file's `[registry]`, and what the command line puts in its place.

use std::path::Path;

use crate::cli::EXIT_USAGE;
use crate::config::{self, DEFAULT_FILE, EXIT_CONFIG};
use crate::discovery::{Config, Watched};
use crate::etcd::{Credentials, Password};

use super::Arguments;

/// Why nothing is asked: an exit code, and what to say.
pub struct Refusal(pub u8, pub String);

pub fn config_of(arguments: &Arguments) -> Result<Config, Refusal> {
    let mut config = base_of(arguments)?;
    if !arguments.endpoints.is_empty() {
        let given: Vec<String> = arguments.endpoints.iter().map(|text| endpoint(text)).collect();
        // A password of the main file is for the main file's etcd, unless somebody named both.
        let known = |given: &String| config.etcd.endpoints.iter().any(|own| endpoint(own) == *given);
        if arguments.config.is_none() && !given.iter().all(known) {
            config.etcd.credentials = None;
        }
        config.etcd.endpoints = given;
    }
    if let Some(prefix) = &arguments.prefix {
        if !prefix.starts_with('/') {
            return Err(Refusal(
                EXIT_USAGE,
                format!("a prefix starts with /, such as \"/services\"; {prefix:?} does not"),
            ));
        }
        config.prefix.clone_from(prefix);
    }
    if let (Some(username), Some(file)) = (&arguments.username, &arguments.password_file) {
        config.etcd.credentials =
            Some(Credentials { username: username.clone(), password: Password::new(password(file)?) });
    }
    if let Some(name) = &arguments.name {
        config.watched = Watched::These(vec![name.clone()]);
    }
    Ok(config)
}

/// What the main file says. Where endpoints are given it may be absent, or wrong if it was not named.
fn base_of(arguments: &Arguments) -> Result<Config, Refusal> {
    let given = !arguments.endpoints.is_empty();
    let (file, named) = match &arguments.config {
        Some(file) => (file.as_path(), true),
        None => (Path::new(DEFAULT_FILE), false),
    };
    if !named && !file.exists() {
        let problem = format!(
            "there is no {DEFAULT_FILE}; name a main file with --config FILE, or etcd with --endpoints http://HOST:2379"
        );
        return if given { Ok(default()) } else { Err(Refusal(EXIT_USAGE, problem)) };
    }
    match config::load(file).map(|loaded| loaded.config.registry) {
        Ok(Some(registry)) => {
            Ok(Config { etcd: registry.etcd, prefix: registry.prefix, ttl: registry.ttl, watched: Watched::All })
        }
        Ok(None) if given => Ok(default()),
        Ok(None) => {
            let problem = format!("{} has no [registry]; name etcd with --endpoints http://HOST:2379", file.display());
            Err(Refusal(EXIT_CONFIG, problem))
        }
        Err(mistakes) if given && !named => {
            eprintln!("vitald: {} is not used, it has mistakes:\n{mistakes}", file.display());
            Ok(default())
        }
        Err(mistakes) => Err(Refusal(EXIT_CONFIG, format!("the configuration cannot be used:\n{mistakes}"))),
    }
}

fn default() -> Config {
    Config::at(Vec::<String>::new())
}

/// `HOST:PORT` as etcdctl takes it is `http://HOST:PORT`.
fn endpoint(text: &str) -> String {
    let text = text.trim().trim_end_matches('/');
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}

fn password(file: &Path) -> Result<String, Refusal> {
    let read = std::fs::read_to_string(file);
    let text = read.map_err(|error| Refusal(EXIT_USAGE, format!("{} cannot be read: {error}", file.display())))?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use crate::cli::services::tests::arguments;

    use super::*;

    #[test]
    fn where_etcd_is() {
        let config = config_of(&arguments(
            "shop --endpoints 10.0.0.1:2379,https://10.0.0.2:2379/ --prefix /x --config /dev/null",
        ));
        let Err(Refusal(code, _)) = config else { panic!("a device is no configuration") };
        assert_eq!(code, EXIT_CONFIG);
        let dir = tempfile::tempdir().expect("tempdir");
        let secret = dir.path().join("password");
        std::fs::write(&secret, "pass word\n").expect("write");
        let words = format!(
            "shop --endpoints 10.0.0.1:2379,https://10.0.0.2:2379/ --prefix /x --username u \
                             --password-file {}",
            secret.display()
        );
        let config = config_of(&arguments(&words)).map_err(|Refusal(_, problem)| problem).expect("good");
        assert_eq!(config.etcd.endpoints, ["http://10.0.0.1:2379", "https://10.0.0.2:2379"]);
        assert_eq!(
            (config.prefix.as_str(), config.watched),
            ("/x", Watched::These(vec!["shop".parse().expect("a name")]))
        );
        assert!(config.etcd.credentials.is_some_and(|user| user.username == "u" && user.password.get() == "pass word"));
        let Err(Refusal(code, problem)) = config_of(&arguments("--endpoints x:1 --prefix x")) else {
            panic!("no prefix")
        };
        assert_eq!(code, EXIT_USAGE, "{problem}");
    }
}
