//! Ruled lines between cells: when they begin, join and end.
//!
//! ```text
//! Waiting --start--> Ready --text--> Running --rule--> Joining --text--> Running
//!    ^                 │ stop           │ stop, cut        │ stop, cut
//!    └─────────────────┴────────────────┴──────────────────┘   (a cut waits as Ready)
//! ```

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Ready,
    Running,
    Joining,
}

/// The columns of one line of ruled cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ruled {
    pub(super) left: u16,
    pub(super) widths: Vec<u16>,
}

impl Ruled {
    /// Where its vertical rules stand.
    fn verticals(&self) -> Vec<u16> {
        let mut at = self.left;
        let mut columns = vec![at];
        for width in &self.widths {
            at += width + 1;
            columns.push(at);
        }
        columns
    }
}

/// The rules of the page so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    state: State,
    last: Ruled,
}

impl Rules {
    /// Rules begin with the next line of text.
    pub(super) fn start(&mut self) {
        self.state = State::Ready;
    }

    /// Rules end; says whether a closing rule is due.
    pub(super) fn stop(&mut self) -> bool {
        let due = matches!(self.state, State::Running | State::Joining);
        self.state = State::Waiting;
        due
    }

    /// The paper is cut; says whether a closing rule is due before.
    pub(super) fn cut(&mut self) -> bool {
        let due = matches!(self.state, State::Running | State::Joining);
        if due {
            self.state = State::Ready;
        }
        due
    }

    /// A horizontal rule stands in the document; says whether it stands alone.
    pub(super) fn rule(&mut self) -> bool {
        if self.state == State::Running {
            self.state = State::Joining;
        }
        self.state == State::Waiting
    }

    /// A line of text follows; says whether a rule is due before it.
    pub(super) fn line(&mut self) -> bool {
        let due = matches!(self.state, State::Ready | State::Joining);
        if self.state == State::Ready {
            self.last = Ruled::default();
        }
        if due {
            self.state = State::Running;
        }
        due
    }

    /// Whether vertical rules stand in the line.
    pub(super) fn running(&self) -> bool {
        self.state == State::Running
    }

    /// Remembers the line, for the rule below it.
    pub(super) fn keep(&mut self, ruled: Ruled) {
        self.last = ruled;
    }

    /// The rule between the last line and the next: its first column and its characters.
    pub(super) fn draw(&self, next: Option<&Ruled>) -> (u16, String) {
        let above = if self.last.widths.is_empty() { Vec::new() } else { self.last.verticals() };
        let below = next.map(Ruled::verticals).unwrap_or_default();
        let left = above.iter().chain(&below).copied().min().unwrap_or(0);
        let right = above.iter().chain(&below).copied().max().unwrap_or(0);
        let within = |edges: &[u16], from: u16, to: u16| {
            edges.first().is_some_and(|first| *first <= from)
                && edges.last().is_some_and(|last| to <= *last)
        };
        let text = (left..=right)
            .map(|column| {
                let before = column > left
                    && (within(&above, column - 1, column) || within(&below, column - 1, column));
                let after =
                    within(&above, column, column + 1) || within(&below, column, column + 1);
                joint(above.contains(&column), below.contains(&column), before, after)
            })
            .collect();
        (left, text)
    }
}

fn joint(up: bool, down: bool, left: bool, right: bool) -> char {
    match (up, down, left, right) {
        (false, false, false, false) => ' ',
        (false, false, _, _) => '─',
        (true, true, true, true) => '┼',
        (true, true, false, _) => '├',
        (true, true, true, false) => '┤',
        (true, false, true, true) => '┴',
        (true, false, false, _) => '└',
        (true, false, true, false) => '┘',
        (false, true, true, true) => '┬',
        (false, true, false, _) => '┌',
        (false, true, true, false) => '┐',
    }
}
