//! Where the agent of a main file is to be found, as far as the file can be read: commands that ask a running agent must
//! work while somebody's edit is wrong.

use std::path::{Path, PathBuf};

use crate::model::name::Name;

use super::raw::RawAgent;
use super::reading::read_file;
use super::secrets::Secrets;
use super::table::{Context, Place, Table};
use super::{SourceFile, validate};

/// What tells an agent from others on the same host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// None: the file names no valid one.
    pub agent_id: Option<Name>,
    pub state_dir: PathBuf,
    /// The file says so; else it is what the agent's environment may have changed.
    pub state_dir_is_given: bool,
    /// Why the file could not be read at all.
    pub unreadable: Option<String>,
}

/// Looks at `[agent]` alone; mistakes there and elsewhere are left to `vitald config check`.
pub fn whereabouts_of(path: &Path) -> Whereabouts {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (text, unreadable) = match read_file(&path) {
        Ok(text) => (text, None),
        Err(error) => (String::new(), Some(error.to_string())),
    };
    let main = SourceFile { path, text };
    let secrets = Secrets::default();
    let base = main.path.parent().unwrap_or(Path::new("/"));
    let context = Context::new(&secrets, base);
    let raw = Table::parse(&main.text, &main.path, &context).table("agent").map(RawAgent::read);
    let file = Place { file: main.path.clone(), ..Place::default() };
    let agent = validate::agent(raw.as_ref(), &file, Vec::new(), &context);
    let given = raw.as_ref().and_then(|raw| raw.state_dir.as_ref()).map(|field| base.join(&field.value));
    Whereabouts {
        agent_id: agent.map(|agent| agent.id),
        state_dir_is_given: given.is_some(),
        state_dir: given.unwrap_or_else(validate::default_state_dir),
        unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (tempfile::TempDir, Whereabouts) {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = dir.path().join("vitald.toml");
        std::fs::write(&file, text).expect("write");
        let found = whereabouts_of(&file);
        (dir, found)
    }

    #[test]
    fn a_broken_file_is_read_as_far_as_it_can_be() {
        let (dir, found) = of("[agent]\nid = \"web-1\"\nstate_dir = \"state\"\nlisten = 7\nno such = key\n[[check]]\n");
        assert_eq!(found.agent_id.as_deref(), Some("web-1"));
        assert_eq!((found.state_dir, found.state_dir_is_given), (dir.path().join("state"), true));
    }

    #[test]
    fn an_id_that_is_none_is_none() {
        let (_dir, found) = of("[agent]\nid = \"localhost\"\n");
        assert_eq!((found.agent_id, found.state_dir_is_given), (None, false));
    }

    #[test]
    fn a_file_that_is_not_there_is_said_to_be_so() {
        let found = whereabouts_of(Path::new("/no/such/file.toml"));
        assert!(found.unreadable.is_some_and(|problem| problem.contains("/no/such/file.toml")));
    }
}
