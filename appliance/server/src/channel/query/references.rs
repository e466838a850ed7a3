//! References by code: a criterion or a transaction names a customer, a product or a store as people do.
//!
//! Ids that were minted in the shop stay good: a central record that took the place of one says so in `edgeId`.

use std::collections::BTreeSet;

use serde_json::Value;
use storebox_proto::limits::QUERY_CODES_MAX;
use storebox_proto::problem::Problem;
use storebox_proto::query::{Criteria, Entity, Operator, compare};

use super::entity::{Reference, references};
use super::reader::Reader;
use crate::channel::fault;
use crate::db::Probe;
use crate::uplink::Document;

/// Things that may share a code.
const SAME_CODE_MAX: usize = 100;
/// The model whose records have codes and may have been born in a shop, and what they are there.
const BORN_HERE: (&str, &str) = ("BusinessPartner", "ChangedBusinessPartners");

/// The criteria with the fields of ids in the place of those of codes, so that it can be told how they will be
/// answered before anything is looked up; refused if that would be too much.
pub(super) fn outline(entity: Entity, criteria: &Criteria) -> Result<Criteria, Problem> {
    let mut codes = 0;
    let outline = outlined(entity, criteria, &mut codes)?;
    if codes > QUERY_CODES_MAX {
        let what = format!(
            "name {codes} things by code or by a customer's id, at most {QUERY_CODES_MAX} are looked up \
             for one query; ask in parts"
        );
        return Err(fault::field("criteria", what));
    }
    Ok(outline)
}

fn outlined(entity: Entity, criteria: &Criteria, codes: &mut usize) -> Result<Criteria, Problem> {
    let mut each = |list: &[Criteria]| -> Result<Vec<Criteria>, Problem> {
        list.iter().map(|criteria| outlined(entity, criteria, codes)).collect()
    };
    Ok(match criteria {
        Criteria::And(list) => Criteria::And(each(list)?),
        Criteria::Or(list) => Criteria::Or(each(list)?),
        Criteria::Not(list) => Criteria::Not(each(list)?),
        Criteria::Field { name, operator, values } => match reference_of(entity, name) {
            Some(reference) => {
                *codes += values.len();
                let texts = values.iter().filter_map(compare::text).map(Value::String);
                Criteria::Field {
                    name: reference.field.to_owned(),
                    operator: equality(reference, *operator)?,
                    values: texts.collect(),
                }
            }
            None => {
                if names_customers(entity, name, *operator) {
                    *codes += values.len();
                }
                criteria.clone()
            }
        },
    })
}

fn reference_of(entity: Entity, name: &str) -> Option<&'static Reference> {
    references(entity).iter().find(|reference| reference.name == name)
}

/// How ids are compared where codes were.
fn equality(reference: &Reference, operator: Operator) -> Result<Operator, Problem> {
    match operator {
        Operator::Equals | Operator::InSet => Ok(Operator::InSet),
        Operator::NotEqual | Operator::NotInSet => Ok(Operator::NotInSet),
        Operator::IsNull | Operator::NotNull => Ok(operator),
        Operator::IEquals
        | Operator::Contains
        | Operator::IContains
        | Operator::StartsWith
        | Operator::IStartsWith
        | Operator::EndsWith
        | Operator::GreaterThan
        | Operator::GreaterOrEqual
        | Operator::LessThan
        | Operator::LessOrEqual
        | Operator::Between => {
            let what = "is a code and is compared with equals, notEqual, inSet or notInSet";
            Err(fault::field(reference.name, what))
        }
    }
}

/// Whether the other ids of customers are looked up for a criterion.
fn names_customers(entity: Entity, name: &str, operator: Operator) -> bool {
    matches!(operator, Operator::Equals | Operator::InSet)
        && matches!(entity, Entity::CustomerAddress | Entity::Ticket)
        && name == "businessPartnerId"
}

impl Reader {
    /// The criteria with ids in the place of codes.
    pub(super) fn resolve(&self, entity: Entity, criteria: &Criteria) -> Result<Criteria, Problem> {
        let each = |list: &[Criteria]| -> Result<Vec<Criteria>, Problem> {
            list.iter().map(|criteria| self.resolve(entity, criteria)).collect()
        };
        match criteria {
            Criteria::And(list) => Ok(Criteria::And(each(list)?)),
            Criteria::Or(list) => Ok(Criteria::Or(each(list)?)),
            Criteria::Not(list) => Ok(Criteria::Not(each(list)?)),
            Criteria::Field { name, operator, values } => match reference_of(entity, name) {
                Some(reference) => self.resolve_reference(reference, *operator, values),
                None => self.follow_edge(entity, name, *operator, values),
            },
        }
    }

    fn resolve_reference(
        &self,
        reference: &Reference,
        operator: Operator,
        values: &[Value],
    ) -> Result<Criteria, Problem> {
        let operator = equality(reference, operator)?;
        let mut ids = BTreeSet::new();
        for code in values.iter().filter_map(compare::text) {
            ids.extend(self.ids_of(reference.model, reference.codes, &code)?);
        }
        let values = ids.into_iter().map(Value::String).collect();
        Ok(Criteria::Field { name: reference.field.to_owned(), operator, values })
    }

    /// Lets an id that was minted in the shop find the central record that took its place.
    fn follow_edge(
        &self,
        entity: Entity,
        name: &str,
        operator: Operator,
        values: &[Value],
    ) -> Result<Criteria, Problem> {
        let field = |name: &str, values: Vec<Value>| Criteria::Field {
            name: name.to_owned(),
            operator,
            values,
        };
        let own = field(name, values.to_vec());
        let is_equality = matches!(operator, Operator::Equals | Operator::InSet);
        if is_equality
            && name == "id"
            && matches!(entity, Entity::Customer | Entity::CustomerAddress)
        {
            return Ok(Criteria::Or(vec![own, field("edgeId", values.to_vec())]));
        }
        if !names_customers(entity, name, operator) {
            return Ok(own);
        }
        let mut all = values.to_vec();
        for id in values.iter().filter_map(Value::as_str) {
            all.extend(self.other_names(id)?.into_iter().map(Value::String));
        }
        Ok(Criteria::Field { name: name.to_owned(), operator: Operator::InSet, values: all })
    }

    /// The other id of a customer: the central one of what was born here, or the other way round.
    fn other_names(&self, id: &str) -> Result<Vec<String>, Problem> {
        let born_here = self.central("BusinessPartner", id)?;
        let edge = born_here.as_ref().and_then(|record| text(record, "edgeId"));
        let central = self.central_id("BusinessPartner", id)?.filter(|central| central != id);
        Ok(edge.into_iter().chain(central).collect())
    }

    /// The ids of what has a code; if nothing has, the code may be an id itself.
    pub(in crate::channel) fn ids_of(
        &self,
        model: &str,
        codes: &[&str],
        code: &str,
    ) -> Result<BTreeSet<String>, Problem> {
        let mut ids = BTreeSet::new();
        for field in codes {
            let found = self.by_field(model, field, code, SAME_CODE_MAX)?;
            ids.extend(found.iter().filter_map(|record| text(record, "id")));
        }
        let (born, kind) = BORN_HERE;
        let is_born_here = model == born;
        for field in codes.iter().filter(|_| is_born_here) {
            let found = self.customers.ids(field, &Probe::Exact(code.to_owned()), SAME_CODE_MAX);
            let documents = found.into_iter().filter_map(|id| self.local(kind, &id));
            // An entry may be out of date.
            let has_it = |document: &Document| {
                document.payload.get(*field).and_then(Value::as_str) == Some(code)
            };
            ids.extend(documents.filter(has_it).map(|document| document.id));
        }
        if ids.is_empty() {
            let is_local = is_born_here && self.local(kind, code).is_some();
            if is_local || self.central(model, code)?.is_some() {
                ids.insert(code.to_owned());
            }
        }
        Ok(ids)
    }

    /// The id of the central record that this id stands for, if there is one.
    pub(in crate::channel) fn central_id(
        &self,
        model: &str,
        id: &str,
    ) -> Result<Option<String>, Problem> {
        let found = self.by_field(model, "edgeId", id, 1)?;
        match found.first().and_then(|record| text(record, "id")) {
            Some(central) => Ok(Some(central)),
            None => Ok(self.central(model, id)?.map(|_| id.to_owned())),
        }
    }
}

fn text(record: &serde_json::Map<String, Value>, name: &str) -> Option<String> {
    record.get(name).and_then(Value::as_str).map(str::to_owned)
}
