//! Rules between definitions of the estate, checked on what would be published, before it is.
//!
//! A rule that only an administrator kept would be broken one evening, and the next morning cash-ups would wait for
//! tickets that are somewhere else.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use storebox_proto::estate::{EXCERPT, Estate, Excerpt, Finding, MODELS};
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::ids::{FeedId, ModelName, RecordId};

use super::author::{Author, AuthorError};
use super::import::{Fault, Faults, Import, ImportError};
use super::office::OfficeError;

type Records = BTreeMap<RecordId, Map<String, Value>>;

/// Refuses an import after which the definitions would break a rule.
pub(super) fn check(author: &Author, import: &Import) -> Result<(), OfficeError> {
    let mut findings = servers(author, import)?;
    findings.extend(excerpts(author, import)?);
    if findings.is_empty() {
        return Ok(());
    }
    let mut faults = Faults::default();
    for finding in findings {
        let file = "estate".to_owned();
        faults.add(Fault { file, line: None, field: None, what: finding.to_string() });
    }
    Err(OfficeError::Import(ImportError::Refused(faults)))
}

/// Rules between excerpts that would be broken.
fn excerpts(author: &Author, import: &Import) -> Result<Vec<Finding>, AuthorError> {
    let model: ModelName = EXCERPT.parse().expect("the name of a built-in model");
    if !import.batch.models().any(|touched| *touched == model) {
        return Ok(Vec::new());
    }
    let records = after(author, import, &model)?;
    let all: Vec<Excerpt> =
        records.values().filter_map(|record| Excerpt::read(record).ok()).collect();
    Ok(Excerpt::lint(&all, &import.registry))
}

/// Rules between servers, services and organisations that would be broken.
fn servers(author: &Author, import: &Import) -> Result<Vec<Finding>, AuthorError> {
    let models: Vec<ModelName> =
        MODELS.iter().map(|model| model.parse().expect("the name of a built-in model")).collect();
    if !import.batch.models().any(|touched| models.contains(touched)) {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for model in &models {
        all.push((model, after(author, import, model)?));
    }
    let records = all
        .iter()
        .flat_map(|(model, records)| records.values().map(move |record| (model.as_str(), record)));
    let (estate, mut findings) = Estate::read(records);
    findings.extend(estate.lint());
    Ok(findings)
}

/// The records of a model as they would be.
fn after(author: &Author, import: &Import, model: &ModelName) -> Result<Records, AuthorError> {
    let estate: FeedId = ESTATE.parse().expect("the name of a built-in feed");
    let object = |body: &[u8]| serde_json::from_slice::<Map<String, Value>>(body).ok();
    let mut records = Records::new();
    if !import.batch.is_whole(model) {
        let published = author.published(&estate, model)?.into_iter();
        records.extend(published.filter_map(|record| Some((record.id, object(&record.body)?))));
    }
    for row in import.batch.rows(model) {
        let (id, body) = row.map_err(AuthorError::Rows)?;
        match body.and_then(|body| object(&body)) {
            Some(record) => records.insert(id, record),
            None => records.remove(&id),
        };
    }
    Ok(records)
}
