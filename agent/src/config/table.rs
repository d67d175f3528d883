//! Reading one TOML table without stopping at the first mistake: every key is taken by name, and what is left over,
//! of the wrong type or a secret that cannot be had is noted with its file, line and key path.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::notes::Notes;
use super::quoted::{self, PutIn};
use super::secrets::Secrets;

/// Something the configuration got wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    pub problem: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Meaning,
    /// Not even TOML: what else is wrong in that line follows from it.
    Syntax,
    /// A secret that cannot be had: nothing is wrong with the text.
    AbsentSecret,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// A place in the configuration: `/etc/vitald/vitald.toml:12: check.orders-db.timeout`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    /// Dotted; empty for the file as a whole.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        Ok(())
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Field<T> {
    pub value: T,
    pub place: Place,
    /// As written, before secrets were put in; for strings alone.
    pub written: String,
    /// The same for values of every kind; none where it is the value itself.
    pub typed: Option<T>,
    /// The secrets that were put in.
    pub secrets: Vec<String>,
}

impl<T> Field<T> {
    /// The value before secrets were put in.
    pub fn typed(&self) -> &T {
        self.typed.as_ref().unwrap_or(&self.value)
    }
}

/// What all tables of one load share.
pub struct Context<'a> {
    pub secrets: &'a Secrets,
    /// Where relative paths start: the directory of the main file.
    pub base: &'a Path,
    pub mistakes: RefCell<Vec<Mistake>>,
    /// Where each key stands.
    pub notes: RefCell<Notes>,
    /// Where secrets stand.
    pub put_in: RefCell<Vec<PutIn>>,
    pub absent: Absent,
}

/// What becomes of a `[[report]]`, and of the password of `[registry]`, whose secret is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Absent {
    /// It is a mistake.
    #[default]
    Refuse,
    /// The report is left out, the password empty: everything else is worth more.
    LeaveOut,
    /// It is only compared with what runs.
    Ignore,
}

impl Absent {
    /// Parts what is no mistake from what is.
    pub fn part(self, mistakes: Vec<Mistake>) -> (Vec<Mistake>, Vec<Mistake>) {
        mistakes.into_iter().partition(|mistake| {
            let key = &mistake.place.key;
            let may_be = key == "registry.password" || key.starts_with("report.");
            self != Self::Refuse && mistake.kind == Kind::AbsentSecret && may_be
        })
    }
}

/// Keys whose place makes their value a secret.
const SECRET_PLACES: [&str; 3] = ["params", "headers", "password"];

impl<'a> Context<'a> {
    pub fn new(secrets: &'a Secrets, base: &'a Path) -> Self {
        Self {
            secrets,
            base,
            mistakes: RefCell::default(),
            notes: RefCell::default(),
            put_in: RefCell::default(),
            absent: Absent::default(),
        }
    }

    /// Is a secret of that value not there?
    pub fn is_absent(&self, place: &Place) -> bool {
        self.mistakes.borrow().iter().any(|mistake| mistake.kind == Kind::AbsentSecret && mistake.place == *place)
    }

    pub fn mistake(&self, place: &Place, problem: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { place: place.clone(), problem: problem.into(), kind: Kind::Meaning });
    }
}

/// A cursor over one table.
pub struct Table<'a> {
    table: DeTable<'a>,
    lines: Lines,
    place: Place,
    context: &'a Context<'a>,
}

impl<'a> Table<'a> {
    /// Parses a whole file; syntax errors are noted, and what could be read is read.
    pub fn parse(text: &'a str, file: &Path, context: &'a Context<'a>) -> Self {
        let place = Place { file: file.to_owned(), line: 0, key: String::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        for error in errors {
            let line = error.span().map_or(0, |span| lines.at(span.start));
            context.mistakes.borrow_mut().push(Mistake {
                place: Place { line, ..place.clone() },
                problem: format!("not TOML: {}", one_line(error.message())),
                kind: Kind::Syntax,
            });
        }
        Self { table: table.into_inner(), lines, place, context }
    }

    pub fn context(&self) -> &'a Context<'a> {
        self.context
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where a key of this table stands.
    fn place_of(&self, key: &str, offset: usize) -> Place {
        let dot = if self.place.key.is_empty() { "" } else { "." };
        Place {
            file: self.place.file.clone(),
            line: self.lines.at(offset),
            key: format!("{}{dot}{key}", self.place.key),
        }
    }

    fn take(&mut self, key: &str) -> Option<(Place, Spanned<DeValue<'a>>)> {
        let (name, value) = self.table.remove_entry(key)?;
        let place = self.place_of(key, name.span().start);
        self.context.notes.borrow_mut().add(&self.place.key, key, &place, &value, &self.lines);
        Some((place, value))
    }

    /// The value of a key; none where it is absent, or of the wrong type, which is then noted.
    pub fn field<T: DeserializeOwned>(&mut self, key: &str) -> Option<Field<T>> {
        let (place, mut value) = self.take(key)?;
        let written = value.get_ref().as_str().unwrap_or_default().to_owned();
        let before = has_placeholder(value.get_ref()).then(|| value.clone());
        let mut secrets = Vec::new();
        self.put_in_secrets(value.get_mut(), &place, &mut secrets);
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => {
                let typed = before.and_then(|before| T::deserialize(ValueDeserializer::from(before)).ok());
                Some(Field { value, place, written, typed, secrets })
            }
            Err(error) => {
                let message = one_line(error.message());
                let is_secret = before.is_some() || SECRET_PLACES.contains(&key);
                let wanted = quoted::wanted(&message).filter(|_| is_secret);
                self.context.mistake(&place, wanted.unwrap_or(message));
                None
            }
        }
    }

    fn put_in_secrets(&self, value: &mut DeValue<'a>, place: &Place, found: &mut Vec<String>) {
        match value {
            DeValue::String(text) if text.contains("${") => match self.context.secrets.resolve(text) {
                Ok(resolved) => {
                    let (written, secrets) = (text.to_string(), resolved.secrets.clone());
                    let put_in = PutIn { place: place.clone(), written, text: resolved.text.clone(), secrets };
                    self.context.put_in.borrow_mut().push(put_in);
                    found.extend(resolved.secrets);
                    *text = resolved.text.into();
                }
                Err(error) => self.context.mistakes.borrow_mut().push(Mistake {
                    place: place.clone(),
                    problem: error.to_string(),
                    kind: if error.is_absence() { Kind::AbsentSecret } else { Kind::Meaning },
                }),
            },
            DeValue::Array(items) => {
                items.iter_mut().for_each(|item| self.put_in_secrets(item.get_mut(), place, found));
            }
            DeValue::Table(table) => {
                for (key, item) in table.iter_mut() {
                    let place = Place { key: format!("{}.{}", place.key, key.get_ref()), ..place.clone() };
                    self.put_in_secrets(item.get_mut(), &place, found);
                }
            }
            _ => {}
        }
    }

    /// A table within; none where it is absent or something else, which is then noted.
    pub fn table(&mut self, key: &str) -> Option<Table<'a>> {
        let (place, value) = self.take(key)?;
        self.inner(place, value)
    }

    /// The tables of `[[key]]`.
    pub fn tables(&mut self, key: &str) -> Vec<Table<'a>> {
        let Some((place, value)) = self.take(key) else { return Vec::new() };
        let single = value.get_ref().is_table();
        match value.into_inner() {
            DeValue::Array(items) => self.items(key, items),
            _ => {
                let hint = if single { format!("write [[{key}]], with two brackets") } else { form(key) };
                self.context.mistake(&place, hint);
                Vec::new()
            }
        }
    }

    fn items(&self, key: &str, items: DeArray<'a>) -> Vec<Table<'a>> {
        let named = |(index, item): (usize, Spanned<DeValue<'a>>)| {
            let name = item.get_ref().as_table().and_then(|table| table.get("name"));
            let name = name.and_then(|name| name.get_ref().as_str()).map(ToOwned::to_owned);
            let label = format!("{key}.{}", name.unwrap_or_else(|| index.to_string()));
            self.inner(self.place_of(&label, item.span().start), item)
        };
        items.into_iter().enumerate().filter_map(named).collect()
    }

    fn inner(&self, place: Place, value: Spanned<DeValue<'a>>) -> Option<Table<'a>> {
        match value.into_inner() {
            DeValue::Table(table) => Some(Table { table, lines: self.lines.clone(), place, context: self.context }),
            other => {
                self.context.mistake(&place, format!("a table is wanted, not a {}", other.type_str()));
                None
            }
        }
    }

    /// Notes every key that nobody took. `known` are the keys that would have been taken, `later` those of the design
    /// that this version does not have.
    pub fn finish(self, known: &[&str], later: &[&str]) {
        for (key, _) in &self.table {
            let name: &str = key.get_ref();
            let problem = if later.contains(&name) {
                "this version does not have it yet: remove it".to_owned()
            } else {
                unknown(name, known)
            };
            self.context.mistake(&self.place_of(name, key.span().start), problem);
        }
    }
}

fn form(key: &str) -> String {
    format!("a list of tables is wanted: write [[{key}]]")
}

fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown key; did you mean {near:?}?"),
        None => format!("unknown key; here stand {}", known.join(", ")),
    }
}

/// The known word that was meant, if it is a typing error: that touches a third of the letters at most.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = |key: &&str| distance(name, key) <= (name.len() / 3).max(1) && name.len() > 1;
    known.iter().copied().min_by_key(|key| distance(name, key)).filter(near)
}

/// How many single-letter edits lie between two words; two neighbours that changed places are one (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = at(&row, j) + usize::from(x != y);
            let edited = replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swaps = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            next.push(if swaps { edited.min(at(&before, j - 1) + 1) } else { edited });
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

fn has_placeholder(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => text.contains("${"),
        DeValue::Array(items) => items.iter().any(|item| has_placeholder(item.get_ref())),
        DeValue::Table(table) => table.iter().any(|(_, item)| has_placeholder(item.get_ref())),
        _ => false,
    }
}

/// Where the lines of a text end.
#[derive(Debug, Clone)]
pub struct Lines(Rc<[usize]>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line of an offset, from 1.
    pub fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let lines = Lines::of("a\nbc\n\nd");
        assert_eq!([0, 1, 2, 4, 5, 6, 9].map(|offset| lines.at(offset)), [1, 1, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("timeot", "timeout"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("flaw", "lawn"), 2);
        assert_eq!(distance("tiemout", "timeout"), 1);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
