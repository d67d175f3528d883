//! Where a new project in Rust has the SDK from: a directory that was named, the sources that this program was built
//! from, or crates.io.

use std::path::{Component, Path, PathBuf};
use std::{fmt, io};

/// What the template says, which builds where it lies.
const IN_TEMPLATE: &str = "{ path = \"../..\" }";
/// Beside the agent's sources.
const BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");
/// The track of releases that this program's interface is of.
const RELEASE: &str = "0.1";

#[derive(Debug, thiserror::Error)]
pub enum SdkError {
    #[error(
        "--sdk {}: there is no crate vitald-sdk; name the directory sdk/ of vitald's sources, whose Cargo.toml says \
         name = \"vitald-sdk\"", .0.display()
    )]
    NoSdk(PathBuf),
    #[error("--sdk {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("--sdk is for --lang rust: the other languages need no SDK, their projects have the interface in wit/")]
    NotRust,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Sdk {
    /// As it was named.
    Named {
        path: PathBuf,
    },
    /// This program was built beside it.
    Sources {
        path: PathBuf,
    },
    Released,
}

impl Sdk {
    /// For a project in `project`, which is absolute.
    pub fn choose(named: Option<&Path>, project: &Path) -> Result<Self, SdkError> {
        if let Some(named) = named {
            return named_for(named, project).map(|path| Self::Named { path });
        }
        let beside = Path::new(BESIDE).canonicalize().ok().filter(|path| is_sdk(path));
        Ok(beside.map_or(Self::Released, |path| Self::Sources { path }))
    }

    /// The template's manifest with it.
    pub fn fill(&self, manifest: &str) -> String {
        let dependency = match self {
            Self::Named { path } | Self::Sources { path } => {
                format!("{{ path = {} }}", toml::Value::from(path.to_string_lossy().into_owned()))
            }
            Self::Released => format!("\"{RELEASE}\""),
        };
        manifest.replace(IN_TEMPLATE, &dependency)
    }
}

impl fmt::Display for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { path } => write!(f, "{}, as --sdk says", path.display()),
            Self::Sources { path } => {
                write!(f, "{}, the sources of this vitald (--sdk names others)", path.display())
            }
            Self::Released => write!(f, "vitald-sdk {RELEASE} from crates.io (--sdk names a directory instead)"),
        }
    }
}

/// A relative path stays one, so that the two can move together; it begins at the project then.
fn named_for(named: &Path, project: &Path) -> Result<PathBuf, SdkError> {
    let unreadable = |source| SdkError::Unreadable { path: named.to_owned(), source };
    let absolute = named.canonicalize().map_err(unreadable)?;
    let inside = absolute.join("sdk");
    let found = [absolute, inside].into_iter().find(|path| is_sdk(path));
    let found = found.ok_or_else(|| SdkError::NoSdk(named.to_owned()))?;
    Ok(if named.is_absolute() { found } else { relative(&found, project) })
}

fn is_sdk(dir: &Path) -> bool {
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
    let name = manifest.parse::<toml::Table>().ok().and_then(|table| {
        let name = table.get("package")?.get("name")?.as_str()?;
        Some(name == "vitald-sdk")
    });
    name.unwrap_or(false)
}

/// The way from one absolute directory to another.
fn relative(to: &Path, from: &Path) -> PathBuf {
    let (to, from): (Vec<Component>, Vec<Component>) = (to.components().collect(), from.components().collect());
    let common = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = from.iter().skip(common).map(|_| Component::ParentDir);
    up.chain(to.iter().skip(common).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_from_the_project_to_the_sdk() {
        for (to, from, way) in [("/a/sdk", "/a/banner", "../sdk"), ("/a/b", "/c", "../a/b"), ("/a/b/c", "/a", "b/c")] {
            assert_eq!(relative(Path::new(to), Path::new(from)), Path::new(way));
        }
    }

    #[test]
    fn the_manifest_names_it() {
        let manifest = "vitald-sdk = { path = \"../..\" }\n";
        assert_eq!(Sdk::Released.fill(manifest), "vitald-sdk = \"0.1\"\n");
        let named = Sdk::Named { path: "../vitald \"x\"/sdk".into() }.fill(manifest);
        let table: toml::Table = named.parse().expect("TOML");
        assert_eq!(table["vitald-sdk"]["path"].as_str(), Some("../vitald \"x\"/sdk"));
    }

    #[test]
    fn what_is_named_must_be_the_sdk() {
        let project = Path::new("/somewhere/banner");
        let found = Sdk::choose(Some(Path::new(BESIDE)), project).expect("it is there");
        assert!(matches!(found, Sdk::Named { path } if path.ends_with("sdk")));
        let root = Path::new(BESIDE).parent().expect("its directory");
        assert!(Sdk::choose(Some(root), project).is_ok(), "the whole of the sources will do");
        let wrong = Sdk::choose(Some(Path::new(env!("CARGO_MANIFEST_DIR"))), project);
        assert!(matches!(wrong, Err(SdkError::NoSdk(_))), "{wrong:?}");
        assert!(matches!(Sdk::choose(Some(Path::new("/no/such")), project), Err(SdkError::Unreadable { .. })));
    }
}
