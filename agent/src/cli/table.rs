//! Tables for people: columns as wide as they must be, the last one as wide as there is room.

pub use crate::model::text::one_line;

/// The last column is never narrower.
const LEAST: usize = 20;
const GAP: &str = "  ";
/// Terminals that are narrower show lines that are broken; wider ones are used.
const NARROWEST: u16 = 80;

/// As <https://no-color.org> has it.
pub fn wants_colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Of standard output, if that is a terminal; none where whoever reads it has room for everything.
pub fn terminal_width(terminal: bool) -> Option<usize> {
    let size = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten()?;
    Some(usize::from(size.ws_col.max(NARROWEST)))
}

pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// Shorter rows end early; what stands in a cell is one line.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// `width` none: nothing is cut off.
    pub fn render(&self, width: Option<usize>, colour: bool) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).map(|column| self.width_of(column)).collect();
        let fixed: usize = widths.iter().take(columns.saturating_sub(1)).map(|width| width + GAP.len()).sum();
        let room = width.map(|width| width.saturating_sub(fixed).max(LEAST));
        let line = |cells: &Vec<String>| {
            let last = cells.len().saturating_sub(1);
            let mut line = String::new();
            for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let text = if at + 1 == columns { cut(cell, room) } else { cell.clone() };
                let padding = if at == last { 0 } else { width.saturating_sub(text.chars().count()) + GAP.len() };
                line.push_str(&if colour { coloured(&text) } else { text });
                line.push_str(&" ".repeat(padding));
            }
            format!("{}\n", line.trim_end())
        };
        self.rows.iter().map(line).collect()
    }

    fn width_of(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

fn cut(text: &str, room: Option<usize>) -> String {
    match room {
        Some(room) if text.chars().count() > room => {
            text.chars().take(room.saturating_sub(1)).chain(std::iter::once('…')).collect()
        }
        _ => text.to_owned(),
    }
}

/// The words for statuses stand out.
pub fn coloured(text: &str) -> String {
    let code = match text {
        "UP" => 32,
        "DEGRADED" | "UNKNOWN" | "PENDING" => 33,
        "DOWN" | "AWAY" => 31,
        "MAINTENANCE" => 36,
        _ => return text.to_owned(),
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["NAME", "STATUS", "MESSAGE"]);
        table.row(["a".into(), "UP".into(), "x".repeat(50)]);
        table.row(["longer".into(), "DOWN".into(), String::new()]);
        table
    }

    #[test]
    fn columns_stand_under_each_other() {
        let text = table().render(Some(40), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NAME    STATUS  MESSAGE");
        assert_eq!(lines[1], format!("a       UP      {}…", "x".repeat(23)));
        assert_eq!(lines[2], "longer  DOWN");
        assert!(table().render(None, false).contains(&"x".repeat(50)), "nothing is cut off where there is no width");
    }

    #[test]
    fn colour_changes_nothing_else() {
        let text = table().render(Some(40), true);
        assert!(text.contains("\x1b[32mUP\x1b[0m      x") && text.contains("\x1b[31mDOWN\x1b[0m"), "{text:?}");
        let plain = text.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert_eq!(plain, table().render(Some(40), false));
    }
}
