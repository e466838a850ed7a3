//! What was done, how often, and what came of it.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

const HEADING: &str = "| what was done | times | accepted | lost | doubled | back to normal after | remarks |\n\
     |---|---|---|---|---|---|---|";

/// One fault.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) times: usize,
    /// Transactions that somebody was told are safe.
    pub(crate) accepted: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    /// From the end of the fault until everything was settled and masterdata was at its newest, without a person.
    pub(crate) back: Option<Duration>,
    /// What else is worth saying.
    pub(crate) note: String,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
}

impl Row {
    fn holds(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.wrong.is_empty() && self.back.is_some()
    }

    fn text(&self) -> String {
        let Self { what, times, accepted, lost, doubled, back, note, wrong } = self;
        let back = back.map_or("NEVER".to_owned(), |back| format!("{:.1} s", back.as_secs_f64()));
        let wrong: String = wrong.iter().map(|wrong| format!(" WRONG: {wrong};")).collect();
        format!("| {what} | {times} | {accepted} | {lost} | {doubled} | {back} |{wrong} {note} |")
    }
}

/// All of them.
pub(crate) struct Table {
    only: String,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(only: &str) -> Self {
        Self { only: only.to_owned(), rows: Vec::new() }
    }

    /// Whether a round of this name is wanted.
    pub(crate) fn wants(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    pub(crate) fn push(&mut self, row: Row) {
        say(&row.text());
        self.rows.push(row);
    }

    /// A round that could not come to its end is one that did not hold, and the others go on.
    pub(crate) fn push_or_wrong(&mut self, what: &str, row: anyhow::Result<Row>) {
        let broken = |error| Row {
            what: what.to_owned(),
            times: 1,
            wrong: vec![format!("{error:#}")],
            ..Row::default()
        };
        self.push(row.unwrap_or_else(broken));
    }

    pub(crate) fn print(&self) {
        say(&format!("\n{}", self.text()));
    }

    /// Replaces a page by this table.
    pub(crate) fn write(&self, page: &Path, how: &str) -> io::Result<()> {
        fs::write(page, format!("# The campaign of faults\n\n{how}\n\n{}\n", self.text()))
    }

    fn text(&self) -> String {
        let rows: String = self.rows.iter().map(|row| row.text() + "\n").collect();
        let verdict = if self.holds() { "everything held" } else { "NOT everything held" };
        format!("{HEADING}\n{rows}\n{verdict}")
    }

    pub(crate) fn holds(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::holds)
    }
}

/// Prints a line of the report.
#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
