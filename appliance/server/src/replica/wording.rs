//! The two lines of the log that shops have searched for since years, to the letter.
//!
//! The prefix is misspelt in the original and stays so: people's filters depend on it.
//! What is said when there were several pages is our own wording; the original's is not known.

use storebox_proto::ids::ModelName;
use storebox_proto::sync::fetch::Mode;

fn prefix(mode: Mode) -> &'static str {
    match mode {
        Mode::Incremental => "sdreresh-inc",
        Mode::Full | Mode::Rebuild => "sdreresh-full",
    }
}

/// A model's load begins.
pub fn started(mode: Mode, model: &ModelName) -> String {
    format!("[{}] The model {model} has started masterdata load", prefix(mode))
}

/// A model's load has ended.
pub fn finished(mode: Mode, model: &ModelName, records: u64, pages: u32) -> String {
    let pagination = match pages {
        0 | 1 => "There was no pagination.".to_owned(),
        pages => format!("There was pagination, with {pages} pages."),
    };
    let prefix = prefix(mode);
    format!(
        "[{prefix}] The model {model} has finished loading with a total of {records} records. {pagination}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_those_of_the_original() {
        let discount = "Discount".parse().unwrap();
        assert_eq!(
            started(Mode::Incremental, &discount),
            "[sdreresh-inc] The model Discount has started masterdata load"
        );
        assert_eq!(
            finished(Mode::Incremental, &discount, 1, 1),
            "[sdreresh-inc] The model Discount has finished loading with a total of 1 records. There was no pagination."
        );
        assert_eq!(
            finished(Mode::Full, &discount, 5000, 5),
            "[sdreresh-full] The model Discount has finished loading with a total of 5000 records. There was pagination, with 5 pages."
        );
    }
}
