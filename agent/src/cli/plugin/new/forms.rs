//! A name in the ways in which languages write it, and a template's text with it. Templates are written for a plugin
//! `banner` and use that word for nothing else, so that the word can simply be replaced.

use crate::model::name::Name;

/// What the templates are called.
const LOWER: &str = "banner";
const CAMEL: &str = "Banner";
const UPPER: &str = "BANNER";

/// Files in which a name stands between identifiers.
const CODE: [&str; 9] = ["rs", "py", "pyi", "js", "mjs", "ts", "c", "h", "wit"];

/// Words of the languages, of what crates are called already, and of what a checker has in scope.
const TAKEN: &str = "\
    abstract alloc and arguments as assert async auto await become bool box break bytes case catch char checker \
    class const continue core crate debugger def default degraded del delete do double down dyn elif else enum eval \
    except export extends extern false final finally float fn for from function gen global goto if impl implements \
    import in inline instanceof int interface is lambda let long loop macro main match mod move mut new none \
    nonlocal not null or override package params pass peer priv private proc_macro protected pub public raise ratio \
    ref register restrict return run seconds self short signed sizeof static std struct super switch target test \
    this throw trait true try type typedef typeof union unsafe unsigned unsized up use var virtual vitald_sdk \
    vitald_sdk_macros void volatile wasi where while wit with yield";

/// Why a plugin's name is none for a project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "{0}: functions and files of the project are called so too; begin with a letter, and use a-z, 0-9, '-', '_'"
    )]
    NoIdentifier(Name),
    #[error("{0}: that word is taken where the checker's source uses its name; another, such as {0}-check, will do")]
    Taken(Name),
}

/// One name, written in different ways.
#[derive(Debug)]
pub struct Forms {
    /// `mail-queue`: the plugin, its file, its package.
    name: String,
    /// `mail_queue`
    snake: String,
    /// `MailQueue`
    camel: String,
}

impl Forms {
    pub fn of(name: &Name) -> Result<Self, Unfit> {
        let snake = name.replace('-', "_");
        if name.contains('.') || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(Unfit::NoIdentifier(name.clone()));
        }
        if TAKEN.split(' ').any(|word| word == snake) {
            return Err(Unfit::Taken(name.clone()));
        }
        let camel = snake.split('_').map(capitalised).collect();
        Ok(Self { name: name.to_string(), snake, camel })
    }

    /// A path of the template.
    pub fn path(&self, path: &str) -> String {
        self.fill(path, is_code(path))
    }

    /// What stands in the file of that path.
    pub fn text(&self, path: &str, text: &str) -> String {
        self.fill(text, is_code(path))
    }

    fn fill(&self, text: &str, code: bool) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut pieces = text.split(LOWER);
        filled.extend(pieces.next());
        for after in pieces {
            filled.push_str(self.lower(after, code));
            filled.push_str(after);
        }
        filled.replace(CAMEL, &self.camel).replace(UPPER, &self.snake.to_ascii_uppercase())
    }

    /// As it is written before this text. A plugin's file has its name wherever it is named, a source file an
    /// identifier's.
    fn lower(&self, after: &str, code: bool) -> &str {
        let extension = after.strip_prefix('.').map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next());
        let identifier = match extension.flatten() {
            Some("wasm") => false,
            Some(extension) if CODE.contains(&extension) => true,
            _ => code,
        };
        if identifier { &self.snake } else { &self.name }
    }
}

fn is_code(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| CODE.contains(&extension))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(name: &str) -> Result<Forms, Unfit> {
        Forms::of(&name.parse().expect("a plugin's name"))
    }

    #[test]
    fn a_name_is_written_as_its_place_wants_it() {
        let forms = forms("mail-queue").expect("a name");
        for (path, text, filled) in [
            ("src/lib.rs", "fn banner(p: Banner) {}", "fn mail_queue(p: MailQueue) {}"),
            ("src/lib.rs", "// cp banner.wasm", "// cp mail-queue.wasm"),
            ("Cargo.toml", "name = \"banner\"", "name = \"mail-queue\""),
            ("README.md", "# banner\n`test_banner.py`, banner.", "# mail-queue\n`test_mail_queue.py`, mail-queue."),
            ("Makefile", "banner.wasm: banner.c # BANNER", "mail-queue.wasm: mail_queue.c # MAIL_QUEUE"),
            ("wit/world.wit", "no name", "no name"),
        ] {
            assert_eq!(forms.text(path, text), filled, "{path}");
        }
        assert_eq!(forms.path("tests/test_banner.py"), "tests/test_mail_queue.py");
        assert_eq!(forms.path("banner.toml"), "mail-queue.toml");
    }

    #[test]
    fn a_template_of_its_own_name_stays_as_it_is() {
        let text = "fn banner(params: Banner) // banner.wasm BANNER";
        assert_eq!(forms("banner").expect("a name").text("src/lib.rs", text), text);
    }

    #[test]
    fn names_that_no_source_can_use_are_refused() {
        for name in ["9lives", "a.b"] {
            assert!(matches!(forms(name), Err(Unfit::NoIdentifier(_))), "{name}");
        }
        for name in ["match", "class", "test", "up", "vitald-sdk", "proc-macro", "int"] {
            assert!(matches!(forms(name), Err(Unfit::Taken(_))), "{name}");
        }
        for name in ["a", "mail", "x9", "class-2", "my_check"] {
            assert!(forms(name).is_ok(), "{name}");
        }
    }
}
