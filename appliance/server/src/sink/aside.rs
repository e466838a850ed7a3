//! What targets would not take, and what the ledger could not give them, as a person reads it who is to put it right there.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use storebox_proto::ids::SinkId;

/// Where a sink writes down what its target refused, a line each.
pub(super) fn path(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.aside.ndjson"))
}

/// How many transactions a line of it speaks of.
pub(super) fn count(line: &[u8]) -> u64 {
    let line = serde_json::from_slice::<Value>(line).unwrap_or_default();
    match (line["position"].as_u64(), line["to"].as_u64()) {
        (Some(from), Some(to)) => to.saturating_sub(from).saturating_add(1),
        (Some(_) | None, _) => 1,
    }
}

/// What all sinks have set aside; cheap to clone.
#[derive(Debug, Clone)]
pub struct Aside {
    dir: PathBuf,
    sinks: Vec<SinkId>,
}

impl Aside {
    /// Of these sinks, in their folder.
    pub fn new(dir: PathBuf, sinks: Vec<SinkId>) -> Self {
        Self { dir, sinks }
    }

    /// The sinks that there are.
    pub fn sinks(&self) -> &[SinkId] {
        &self.sinks
    }

    /// What a sink has set aside behind this number, oldest first, each with its number; reads the disk.
    pub fn list(&self, sink: &SinkId, after: usize, limit: usize) -> io::Result<Vec<Value>> {
        let file = match File::open(path(&self.dir, sink.as_str())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let lines = BufReader::new(file).split(b'\n').enumerate().skip(after).take(limit);
        lines.map(|(index, line)| Ok(numbered(index + 1, &line?))).collect()
    }
}

/// A line that a lost power has left behind is told as what it is.
fn numbered(number: usize, line: &[u8]) -> Value {
    let mut entry = match serde_json::from_slice::<Value>(line) {
        Ok(entry @ Value::Object(_)) => entry,
        Ok(_) | Err(_) => json!({"why": "this line of the file cannot be read"}),
    };
    entry["number"] = json!(number);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_aside_is_listed_page_by_page_and_a_torn_line_hides_none() {
        let dir = tempfile::tempdir().unwrap();
        let erp: SinkId = "erp".parse().unwrap();
        let aside = Aside::new(dir.path().to_owned(), vec![erp.clone()]);
        assert_eq!(aside.list(&erp, 0, 9).unwrap(), Vec::<Value>::new(), "it took everything");
        let text = "{\"key\":\"a\",\"why\":\"no\"}\n{\"key\":\"b\n7\n{\"key\":\"d\"}\n";
        std::fs::write(path(dir.path(), "erp"), text).unwrap();
        let all = aside.list(&erp, 0, 9).unwrap();
        assert_eq!(all[0], json!({"key": "a", "why": "no", "number": 1}));
        assert_eq!((all.len(), &all[3]["key"], &all[3]["number"]), (4, &json!("d"), &json!(4)));
        for torn in [&all[1], &all[2]] {
            assert_eq!(torn["why"], "this line of the file cannot be read");
        }
        assert_eq!(aside.list(&erp, 1, 2).unwrap(), all[1..3]);
        let counts =
            [&b"{\"position\":4,\"to\":9}"[..], b"{\"position\":4}", b"7", b"{\"key\":\"b"];
        assert_eq!(counts.map(count), [6, 1, 1, 1]);
    }
}
