//! Tables as the CLI prints them: columns two spaces apart, no borders, no colours.
//!
//! Every cell is escaped on its way in, so that no name can break a terminal or fake a row.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use crate::terminal::printable;

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    alignment: CellAlignment,
    wraps: bool,
}

/// For words that are read as one: names, states.
pub(crate) fn left(title: &'static str) -> Column {
    Column {
        title,
        alignment: CellAlignment::Left,
        wraps: false,
    }
}

/// For lists and long values, which are wrapped first.
pub(crate) fn wrapping(title: &'static str) -> Column {
    Column {
        wraps: true,
        ..left(title)
    }
}

/// For numbers.
pub(crate) fn right(title: &'static str) -> Column {
    Column {
        alignment: CellAlignment::Right,
        ..left(title)
    }
}

/// The lines of one cell, safe to print.
#[derive(Debug)]
pub(crate) struct Cell(Vec<String>);

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self(vec![printable(text)])
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self(vec![number.to_string()])
    }
}

/// One line each.
impl From<Vec<String>> for Cell {
    fn from(lines: Vec<String>) -> Self {
        Self(lines.iter().map(|line| printable(line)).collect())
    }
}

/// `-` for nothing.
impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(content: Option<T>) -> Self {
        content.map_or_else(|| "-".into(), Into::into)
    }
}

impl Grid {
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The columns that the widest line takes where nothing is wrapped.
    pub(crate) fn natural_width(&self) -> usize {
        let contents = self.table().column_max_content_widths();
        let gaps = GAP * contents.len().saturating_sub(1);
        contents.into_iter().map(usize::from).sum::<usize>() + gaps
    }

    /// Header and rows; cells are wrapped where the table is wider than `width`.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let mut table = self.table();
        if let Some(width) = width
            && self.natural_width() > width
        {
            self.wrap(&mut table, width);
        }
        table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// As [`Grid::lines`], to be printed.
    pub(crate) fn text(&self, width: Option<usize>) -> String {
        self.lines(width)
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect()
    }

    /// The wrapping columns share what the others leave, where that is enough to be read; else
    /// every column gives.
    fn wrap(&self, table: &mut Table, width: usize) {
        let contents = table.column_max_content_widths();
        let least: usize = self
            .columns
            .iter()
            .zip(contents)
            .map(|(column, content)| {
                if column.wraps {
                    READABLE.min(content)
                } else {
                    content
                }
            })
            .map(|content| usize::from(content) + GAP)
            .sum();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width.try_into().unwrap_or(u16::MAX));
        if least > width + GAP {
            return;
        }
        for (position, _) in self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.wraps)
        {
            if let Some(fixed) = table.column_mut(position) {
                fixed.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|column| column.title));
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| cell.0.join("\n")));
        }
        let last = self.columns.len().saturating_sub(1);
        for (position, column) in self.columns.iter().enumerate() {
            if let Some(styled) = table.column_mut(position) {
                let gap = if position == last { 0 } else { GAP as u16 };
                styled.set_padding((0, gap));
                styled.set_cell_alignment(column.alignment);
            }
        }
        table
    }
}

/// Spaces between columns.
const GAP: usize = 2;
/// Less than this a column of lists or addresses can't be read any more.
const READABLE: u16 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_two_spaces_apart_and_lines_have_no_tail() {
        let mut grid = Grid::new([left("NAME"), right("HITS"), left("TO")]);
        grid.row(["web-out".into(), 5.into(), "untrust".into()]);
        grid.row(["a".into(), 12_345.into(), None::<String>.into()]);
        let expected = [
            "NAME      HITS  TO",
            "web-out      5  untrust",
            "a        12345  -",
        ];
        assert_eq!(grid.lines(None), expected);
        assert_eq!(grid.natural_width(), 23);
    }

    #[test]
    fn a_cell_cannot_leave_its_row() {
        let mut grid = Grid::new([left("NAME")]);
        grid.row(["a\nroot  0\x1b[1A".into()]);
        assert_eq!(grid.lines(None), ["NAME", "a\\nroot  0\\u{1b}[1A"]);
    }

    #[test]
    fn a_name_is_not_broken_while_a_list_can_be() {
        let mut grid = Grid::new([left("NAME"), wrapping("SOURCE")]);
        grid.row(["publish-the-shop".into(), "lan, dmz, office, guests".into()]);
        let expected = [
            "NAME              SOURCE",
            "publish-the-shop  lan, dmz,",
            "                  office,",
            "                  guests",
        ];
        assert_eq!(grid.lines(Some(28)), expected);
    }

    #[test]
    fn a_narrow_grid_wraps_inside_its_width() {
        let mut grid = Grid::new([left("SOURCE"), left("DESTINATION"), right("HITS")]);
        grid.row([
            "one two three four five six".into(),
            "2001:db8:aaaa:bbbb:cccc::/80".into(),
            7.into(),
        ]);
        assert!(
            grid.lines(Some(40))
                .iter()
                .all(|line| line.chars().count() <= 40)
        );
    }
}
