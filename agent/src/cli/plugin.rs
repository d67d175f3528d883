//! `vitald plugin list|approve|inspect`, and for who writes one: `new|build|test|dev`

mod build;
mod dev;
mod fault;
pub mod inspect;
mod new;
mod packages;
pub mod params;
mod project;
mod test;
mod tools;
mod words;

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use clap::Subcommand;
use serde_json::json;
use tokio::runtime::Builder;

use crate::control::deploying::{PendingReport, PluginReport};
use crate::control::protocol::{Answer, Ask};
use crate::model::name::Name;

use self::fault::Fault;
use self::tools::Signals;
use super::ask::{Where, print, unexpected};
use super::table::{Table, one_line, terminal_width};

/// Enough of a digest to tell versions apart.
const SHORT_DIGEST: usize = 12;

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Print the plugins of the agent: version, state, what they ask for, and which checks use them.
    List {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Let the version of a plugin in that waits for approval (`reload` in [plugins]).
    Approve {
        /// The plugin.
        name: Name,
        /// What the version's digest begins with, as `plugin list` shows it; another one is not let in.
        #[arg(long, value_name = "PREFIX")]
        digest: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Say what a plugin is and what it asks for, without an agent. Exits with 1 if an agent would not load it.
    Inspect(inspect::Arguments),
    /// Begin a plugin of your own: a project that builds, with a test. Exits with 1 if there is none then.
    New(new::Arguments),
    /// Build a plugin's project: NAME.wasm in its directory. Exits with 1 if an agent would not load what came out.
    Build(build::Arguments),
    /// Run the tests of a plugin's project. Exits with 1 if one fails.
    Test(test::Arguments),
    /// Build a plugin's project and run its check again and again; anew whenever you save. Ctrl-C ends it.
    Dev(dev::Arguments),
}

/// The exit code of what failed.
const EXIT_FAILED: u8 = 1;

pub fn plugin(command: &PluginCommand) -> u8 {
    match command {
        PluginCommand::List { json, place } => list(*json, place),
        PluginCommand::Approve { name, digest, place } => approve(name, digest.as_deref(), place),
        PluginCommand::Inspect(arguments) => inspect::inspect(arguments),
        PluginCommand::New(arguments) => new::new(arguments),
        PluginCommand::Build(arguments) => build::build(arguments),
        PluginCommand::Test(arguments) => test::test(arguments),
        PluginCommand::Dev(arguments) => dev::dev(arguments),
    }
}

/// Works on a project, until it is done or somebody ends it.
fn work<T>(job: impl AsyncFnOnce(&mut Signals) -> Result<T, Fault>) -> Result<T, Fault> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { job(&mut Signals::listen()?).await })
}

fn list(as_json: bool, place: &Where) -> u8 {
    let plugins = match place.ask(Ask::Plugins {}) {
        Ok((_, Answer::Plugins(plugins))) => plugins,
        Ok(_) => return unexpected().report(),
        Err(failure) => return failure.report(),
    };
    if as_json {
        let body = json!({ "plugins": plugins });
        print(&format!("{}\n", serde_json::to_string_pretty(&body).unwrap_or_default()));
    } else {
        let terminal = std::io::stdout().is_terminal();
        print(&shown(&plugins, terminal_width(terminal)));
    }
    0
}

/// A table, and below it why a plugin is not as it should be.
fn shown(plugins: &[PluginReport], width: Option<usize>) -> String {
    let mut table = Table::new(["NAME", "VERSION", "STATE", "DIGEST", "POWERS", "CHECKS"]);
    for plugin in plugins {
        let checks = plugin.checks.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
        table.row([
            plugin.name.to_string(),
            plugin.version.as_deref().map(one_line).unwrap_or_default(),
            plugin.state.clone(),
            plugin.digest.as_deref().map(short).unwrap_or_default(),
            // Of what was never loaded nothing is known.
            if plugin.version.is_some() { powers(&plugin.powers) } else { "-".to_owned() },
            checks,
        ]);
    }
    let mut text = table.render(width, false);
    let said: String = plugins.iter().map(said).collect();
    if !said.is_empty() {
        let _ = write!(text, "\n{said}");
    }
    text
}

/// What is to be said of it, a line each.
fn said(plugin: &PluginReport) -> String {
    let loading = plugin
        .loading
        .as_deref()
        .map(|digest| format!("{} ({}): a version is being compiled: {}\n", plugin.name, plugin.source, short(digest)));
    loading.into_iter().chain(trouble(plugin)).collect()
}

fn trouble(plugin: &PluginReport) -> Option<String> {
    let name = &plugin.name;
    if let Some(PendingReport { digest, version, powers: wants, why }) = &plugin.pending {
        let (version, digest, wants) = (one_line(version), short(digest), powers(wants));
        let why = one_line(why);
        return Some(format!(
            "{name}: version {version} (powers: {wants}) waits: {why}; `vitald plugin approve {name} --digest {digest}` \
             lets it in\n"
        ));
    }
    Some(format!("{name} ({}): {}\n", plugin.source, one_line(plugin.error.as_deref()?)))
}

fn powers(powers: &[String]) -> String {
    if powers.is_empty() { "none".to_owned() } else { powers.join(" ") }
}

fn short(digest: &str) -> String {
    digest.chars().take(SHORT_DIGEST).collect()
}

fn approve(name: &Name, digest: Option<&str>, place: &Where) -> u8 {
    let digest = digest.map(|digest| digest.trim_start_matches("sha256:").to_ascii_lowercase());
    match place.ask(Ask::Approve { plugin: name.clone(), digest }) {
        Ok((_, Answer::Approved { name, version, digest, notes, unwritten })) => {
            print(&format!("plugin {name} {} (sha256:{digest}) is let in\n", one_line(&version)));
            notes.iter().for_each(|note| eprintln!("{}", one_line(note)));
            if let Some(problem) = unwritten {
                eprintln!(
                    "this could not be written down, so a next start does not know of it: {}",
                    one_line(&problem)
                );
            }
            0
        }
        Ok(_) => unexpected().report(),
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str) -> PluginReport {
        PluginReport {
            name: name.parse().expect("a name"),
            source: format!("/p/{name}.wasm"),
            state: "ready".into(),
            digest: Some("0123456789abcdef".into()),
            version: Some("1.2".into()),
            summary: None,
            powers: vec!["network".into()],
            pending: None,
            loading: None,
            checks: vec!["a".parse().expect("a name"), "b".parse().expect("a name")],
            error: None,
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_stands_below_the_table() {
        let pending = PendingReport {
            digest: "fedcba9876543210".into(),
            version: "1.3".into(),
            powers: vec!["network".into(), "files".into()],
            why: "it wants more than the version before: files".into(),
        };
        let waits = PluginReport { state: "pending".into(), pending: Some(pending), ..report("orders") };
        let broken = PluginReport {
            state: "broken".into(),
            version: None,
            digest: None,
            powers: vec![],
            checks: vec![],
            error: Some("not a\ncomponent".into()),
            ..report("bad")
        };
        let text = shown(&[report("app"), waits, broken], None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NAME    VERSION  STATE    DIGEST        POWERS   CHECKS");
        assert_eq!(lines[1], "app     1.2      ready    0123456789ab  network  a, b");
        assert_eq!(lines[3], "bad              broken                 -");
        assert_eq!(lines[4], "");
        assert!(
            lines[5].contains("powers: network files") && lines[5].contains("vitald plugin approve orders"),
            "{text}"
        );
        assert_eq!(lines[6], "bad (/p/bad.wasm): not a component");
    }
}
