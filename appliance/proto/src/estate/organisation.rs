//! The tree of organisations: what is assigned to one holds for all below it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::lint::{Finding, Rule};
use super::reading::Reading;

/// Steps from a store to the top.
const DEPTH_MAX: usize = 32;

/// Organisations and their parents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organisations {
    parents: BTreeMap<String, Option<String>>,
}

impl Organisations {
    pub(super) fn read(records: &[&Map<String, Value>], findings: &mut Vec<Finding>) -> Self {
        let mut parents = BTreeMap::new();
        for record in records {
            let reading = Reading::new("Organization", record);
            match (reading.text("id"), reading.text_if("parentId")) {
                (Ok(id), Ok(parent)) => {
                    parents.insert(id, parent.filter(|parent| !parent.is_empty()));
                }
                (Err(finding), _) | (_, Err(finding)) => findings.push(finding),
            }
        }
        let tree = Self { parents };
        for id in tree.parents.keys() {
            if tree.is_above_itself(id) {
                let detail = "is its own parent, directly or through others".to_owned();
                let subject = format!("Organization {id}");
                findings.push(Finding { rule: Rule::Tree, subject, detail });
            }
        }
        tree
    }

    /// All organisations.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.parents.keys().map(String::as_str)
    }

    /// An organisation and all above it, itself first; one that is not defined is alone.
    pub fn lineage<'a>(&'a self, organisation: &'a str) -> Vec<&'a str> {
        let mut lineage = vec![organisation];
        let mut at = organisation;
        while let Some(Some(parent)) = self.parents.get(at)
            && lineage.len() < DEPTH_MAX
            && !lineage.contains(&parent.as_str())
        {
            lineage.push(parent);
            at = parent;
        }
        lineage
    }

    fn is_above_itself(&self, organisation: &str) -> bool {
        let mut at = organisation;
        for _ in 0..=self.parents.len() {
            match self.parents.get(at) {
                Some(Some(parent)) if parent == organisation => return true,
                Some(Some(parent)) => at = parent,
                Some(None) | None => return false,
            }
        }
        false
    }
}
