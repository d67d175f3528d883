//! `vitald plugin new`: a project that builds, with a test and all that it needs. It is one of the SDK's examples
//! (sdk/examples), which the tests build, under another name. Nothing that is there is written over.

mod forms;
mod made;
mod sdk;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::ask::print;
use crate::cli::table::one_line;
use crate::model::name::{InvalidName, Name};
use crate::plugins::is_bundled;

use self::forms::{Forms, Unfit};
use self::made::Made;
use self::sdk::{Sdk, SdkError};
use super::EXIT_FAILED;
use super::project::{called, quoted};

/// An example of the SDK.
pub struct Template {
    name: &'static str,
    files: &'static [File],
}

struct File {
    path: &'static str,
    executable: bool,
    text: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What a checker is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Lang {
    #[default]
    Rust,
    Python,
    #[value(alias = "javascript")]
    Js,
    C,
}

impl Lang {
    fn called(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Js => "JavaScript",
            Self::C => "C",
        }
    }

    /// The example in it.
    fn template(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "javascript",
            Self::C => "c",
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What the plugin is called: its file is NAME.wasm, and checks say `checker = "NAME"`.
    name: String,
    /// The language.
    #[arg(long, value_enum, default_value_t)]
    lang: Lang,
    /// The directory sdk/ of vitald's sources, instead of those that this program was built from, or a release.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
    /// Where the project goes, instead of ./NAME.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Sdk(#[from] SdkError),
    #[error("this vitald was built without the template for {0}")]
    NoTemplate(&'static str),
    #[error("{} is there already and not empty; remove it, or name another directory by --into", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is a file; name another directory by --into", .0.display())]
    File(PathBuf),
    #[error("{}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub fn new(arguments: &Arguments) -> u8 {
    match make(arguments) {
        Ok(text) => {
            print(&text);
            0
        }
        Err(failure) => {
            eprintln!("vitald: {}", one_line(&failure.to_string()));
            EXIT_FAILED
        }
    }
}

fn make(arguments: &Arguments) -> Result<String, Failure> {
    let name: Name = arguments.name.parse()?;
    let forms = Forms::of(&name)?;
    let template = template(arguments.lang)?;
    let dir = arguments.into.clone().unwrap_or_else(|| PathBuf::from(&*name));
    let sdk = if arguments.lang == Lang::Rust {
        Some(Sdk::choose(arguments.sdk.as_deref(), &absolute(&dir)?)?)
    } else if arguments.sdk.is_some() {
        return Err(SdkError::NotRust.into());
    } else {
        None
    };
    must_be_free(&dir)?;
    let mut made = Made::default();
    for file in template.files {
        let text = forms.text(file.path, file.text);
        let text = match &sdk {
            Some(sdk) if file.path == "Cargo.toml" => sdk.fill(&text),
            _ => text,
        };
        made.write(&dir.join(forms.path(file.path)), &text, file.executable)?;
    }
    made.keep();
    Ok(farewell(&name, &dir, arguments.lang, sdk.as_ref()))
}

fn template(lang: Lang) -> Result<&'static Template, Failure> {
    let name = lang.template();
    TEMPLATES.iter().find(|template| template.name == name).ok_or(Failure::NoTemplate(name))
}

/// Of a directory that need not be there yet; without links, so that the way from it is the kernel's.
fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    let failed = |source| Failure::Write { path: dir.to_owned(), source };
    let absolute = std::path::absolute(dir).map_err(failed)?;
    let there = absolute.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    Ok(match there {
        Some((above, real)) => real.join(absolute.strip_prefix(above).unwrap_or(Path::new(""))),
        None => absolute,
    })
}

fn must_be_free(dir: &Path) -> Result<(), Failure> {
    match fs::read_dir(dir).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Failure::NotEmpty(dir.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Failure::File(file_in(dir).to_owned())),
        Err(source) => Err(Failure::Write { path: dir.to_owned(), source }),
    }
}

/// What on the way to a directory is none.
fn file_in(dir: &Path) -> &Path {
    dir.ancestors().find(|above| above.is_file()).unwrap_or(dir)
}

/// What there is now, and what comes next.
fn farewell(name: &Name, dir: &Path, lang: Lang, sdk: Option<&Sdk>) -> String {
    let vitald = called();
    let mut lines = vec![format!("{}: a checker in {}; README.md says what is where", dir.display(), lang.called())];
    let dir = quoted(&dir.to_string_lossy());
    lines.extend(sdk.map(|sdk| format!("SDK: {sdk}")));
    if is_bundled(name) {
        lines.push(format!(
            "note: a bundled checker is called {name} too; to take yours, an agent needs override = [\"{name}\"] in \
             [plugins]"
        ));
    }
    lines.push(String::new());
    lines.push("Next:".to_owned());
    let target = "--target tcp://HOST:PORT";
    let commands = [
        (format!("{vitald} plugin test {dir}"), "runs its tests"),
        (format!("{vitald} plugin dev {dir} {target}"), "builds it, runs it, and again when you save"),
        (format!("{vitald} plugin build {dir}"), "makes the file for a plugin directory"),
    ];
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    lines.extend(commands.iter().map(|(command, what)| format!("  {command:width$}  # {what}")));
    format!("{}\n", lines.join("\n"))
}
