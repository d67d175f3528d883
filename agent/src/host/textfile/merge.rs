//! Puts text files together: what one file says must not contradict another, nor the other collectors.
//!
//! What comes out is a plan that says which parts of which files make up each family. It holds no series, so that those
//! are in memory once, and it is good until a file changes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::parse::{TextFamily, brief, claims};
use crate::model::host::{HostFamily, HostKind, HostSeries, Labels};

/// What all files together may hold: they are encoded at every sample.
pub const MAX_SERIES: usize = 50_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {contradiction}")]
pub struct Clash {
    line: usize,
    contradiction: Contradiction,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Contradiction {
    #[error("the name {0} is that of another collector")]
    Collector(String),
    #[error("the name {name} is taken by {by} of {file:?}")]
    Name { name: String, by: String, file: PathBuf },
    #[error("{name} is a {kind} in {file:?}")]
    Kind { name: String, kind: &'static str, file: PathBuf },
    #[error("{name} has another HELP in {file:?}")]
    Help { name: String, file: PathBuf },
    #[error("{file:?} has the series {series} too")]
    Series { series: String, file: PathBuf },
    #[error("the text files together have more than {MAX_SERIES} series")]
    TooMany,
}

/// Where the files are, and what those that were added so far say together.
pub struct Merge {
    dir: PathBuf,
    families: Vec<Merged>,
    /// Whose a name on the page is; None: another collector's.
    owners: HashMap<String, Option<usize>>,
    series: usize,
}

struct Merged {
    plan: Plan,
    help: Option<String>,
    /// In which file a series is, by suffix and labels.
    seen: HashMap<&'static str, HashMap<Labels, Rc<str>>>,
}

/// What a family is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    name: String,
    kind: HostKind,
    help: String,
    /// Names of files, and which of their families.
    parts: Vec<(String, usize)>,
}

impl Merge {
    pub fn new(dir: PathBuf, taken: &[(Cow<'static, str>, HostKind)]) -> Self {
        let own = [super::MTIME, super::SCRAPE_ERROR].map(str::to_owned);
        let taken = taken.iter().flat_map(|(name, kind)| claims(name, *kind));
        let owners = taken.chain(own).map(|name| (name, None)).collect();
        Self { dir, families: Vec::new(), owners, series: 0 }
    }

    /// Whether nothing more can be added.
    pub fn is_full(&self) -> bool {
        self.series >= MAX_SERIES
    }

    /// The whole file, or nothing of it.
    pub fn add(&mut self, file: &str, families: &[TextFamily]) -> Result<(), Clash> {
        let series = families.iter().map(|family| family.series.len()).sum::<usize>() + self.series;
        for family in families {
            let too_many = if series > MAX_SERIES { Err(Contradiction::TooMany) } else { Ok(()) };
            too_many
                .and_then(|()| self.check(family))
                .map_err(|contradiction| Clash { line: family.line, contradiction })?;
        }
        self.series = series;
        let file: Rc<str> = file.into();
        for (index, family) in families.iter().enumerate() {
            self.take(family, &file, index);
        }
        Ok(())
    }

    fn check(&self, family: &TextFamily) -> Result<(), Contradiction> {
        for name in claims(&family.name, family.kind) {
            match self.owners.get(&name) {
                None => {}
                Some(None) => return Err(Contradiction::Collector(brief(&name))),
                Some(Some(at)) => match self.families.get(*at) {
                    Some(owner) if owner.plan.name == family.name => {}
                    Some(owner) => {
                        let (name, by) = (brief(&name), brief(&owner.plan.name));
                        return Err(Contradiction::Name { name, by, file: self.first(owner) });
                    }
                    None => {}
                },
            }
        }
        let owner = self.owners.get(&family.name).copied().flatten().and_then(|at| self.families.get(at));
        owner.map_or(Ok(()), |owner| self.check_against(owner, family))
    }

    fn check_against(&self, owner: &Merged, family: &TextFamily) -> Result<(), Contradiction> {
        let name = || brief(&family.name);
        let kind = owner.plan.kind;
        if kind != family.kind {
            return Err(Contradiction::Kind { name: name(), kind: kind.word(), file: self.first(owner) });
        }
        // A file that says nothing contradicts nothing.
        if let (Some(help), Some(other)) = (&owner.help, &family.help)
            && help != other
        {
            return Err(Contradiction::Help { name: name(), file: self.first(owner) });
        }
        match family.series.iter().find_map(|one| Some((one, owner.file_of(one)?))) {
            None => Ok(()),
            Some((twice, file)) => {
                let series = format!("{}{}{{{}}}", family.name, twice.suffix, twice.labels.rendered());
                Err(Contradiction::Series { series: brief(&series), file: self.dir.join(file) })
            }
        }
    }

    fn first(&self, owner: &Merged) -> PathBuf {
        owner.plan.parts.first().map(|(file, _)| self.dir.join(file)).unwrap_or_default()
    }

    fn take(&mut self, family: &TextFamily, file: &Rc<str>, index: usize) {
        let next = self.families.len();
        let at = self.owners.get(&family.name).copied().flatten().unwrap_or(next);
        if at == next {
            self.owners.extend(claims(&family.name, family.kind).map(|name| (name, Some(next))));
            self.families.push(Merged::new(family));
        }
        if let Some(merged) = self.families.get_mut(at) {
            merged.take(family, file, index);
        }
    }

    pub fn finish(self) -> Vec<Plan> {
        let dir = self.dir;
        let finish = |merged: Merged| {
            let origin = || {
                let files: Vec<_> = merged.plan.parts.iter().map(|(file, _)| dir.join(file)).collect();
                let files: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
                format!("Left without a description in {}.", files.join(", "))
            };
            let help = merged.help.unwrap_or_else(origin);
            Plan { help, ..merged.plan }
        };
        self.families.into_iter().map(finish).collect()
    }
}

impl Merged {
    fn new(family: &TextFamily) -> Self {
        let plan = Plan { name: family.name.clone(), kind: family.kind, help: String::new(), parts: Vec::new() };
        Self { plan, help: None, seen: HashMap::new() }
    }

    fn file_of(&self, series: &HostSeries) -> Option<&str> {
        self.seen.get(series.suffix)?.get(&series.labels).map(|file| &**file)
    }

    fn take(&mut self, family: &TextFamily, file: &Rc<str>, index: usize) {
        if self.help.is_none() {
            self.help.clone_from(&family.help);
        }
        for one in &family.series {
            self.seen.entry(one.suffix).or_default().insert(one.labels.clone(), Rc::clone(file));
        }
        self.plan.parts.push((file.as_ref().to_owned(), index));
    }
}

impl Plan {
    /// The family, from what the files say.
    pub fn carry_out<'a>(&self, families_of: impl Fn(&str) -> Option<&'a [TextFamily]>) -> HostFamily {
        let part = |(file, index): &(String, usize)| families_of(file)?.get(*index);
        let series = self.parts.iter().filter_map(part).flat_map(|family| &family.series).cloned().collect();
        let (name, help) = (Cow::Owned(self.name.clone()), Cow::Owned(self.help.clone()));
        HostFamily { name, help, kind: self.kind, series }
    }
}
