//! References by code: a criterion or a transaction names a customer, a product or a store as people do.
//!
//! Ids that were minted in the shop stay good: a central record that took the place of one says so in `edgeId`.

use std::collections::BTreeSet;

use serde_json::Value;
use storebox_proto::problem::Problem;
use storebox_proto::query::{Criteria, Entity, Operator, compare};

use super::entity::{Reference, references};
use super::reader::Reader;
use crate::channel::fault;

/// Things that may share a code.
const SAME_CODE_MAX: usize = 100;
/// The models whose records may have been born in a shop.
const BORN_HERE: [(&str, &str); 2] =
    [("BusinessPartner", "ChangedBusinessPartners"), ("BPLocation", "ChangedBPlocation")];

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
            Criteria::Field { name, operator, values } => {
                match references(entity).iter().find(|reference| reference.name == name) {
                    Some(reference) => self.resolve_reference(reference, *operator, values),
                    None => self.follow_edge(entity, name, *operator, values),
                }
            }
        }
    }

    fn resolve_reference(
        &self,
        reference: &Reference,
        operator: Operator,
        values: &[Value],
    ) -> Result<Criteria, Problem> {
        let equality = match operator {
            Operator::Equals | Operator::InSet => Operator::InSet,
            Operator::NotEqual | Operator::NotInSet => Operator::NotInSet,
            Operator::IsNull | Operator::NotNull => operator,
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
                return Err(fault::field(reference.name, what));
            }
        };
        let mut ids = BTreeSet::new();
        for code in values.iter().filter_map(compare::text) {
            ids.extend(self.ids_of(reference.model, reference.codes, &code)?);
        }
        let values = ids.into_iter().map(Value::String).collect();
        Ok(Criteria::Field { name: reference.field.to_owned(), operator: equality, values })
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
        if !matches!(operator, Operator::Equals | Operator::InSet) {
            return Ok(own);
        }
        match (entity, name) {
            (Entity::Customer | Entity::CustomerAddress, "id") => {
                Ok(Criteria::Or(vec![own, field("edgeId", values.to_vec())]))
            }
            (Entity::CustomerAddress | Entity::Ticket, "businessPartnerId") => {
                let mut all = values.to_vec();
                for id in values.iter().filter_map(Value::as_str) {
                    all.extend(self.other_names(id)?.into_iter().map(Value::String));
                }
                let name = name.to_owned();
                Ok(Criteria::Field { name, operator: Operator::InSet, values: all })
            }
            (_, _) => Ok(own),
        }
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
        let local = BORN_HERE.iter().find(|(central, _)| *central == model).map(|(_, kind)| *kind);
        if let Some(kind) = local {
            self.each_local(kind, "", &mut |document| {
                let value = |field: &&&str| document.payload.get(**field).and_then(Value::as_str);
                if codes.iter().any(|field| value(&field) == Some(code)) {
                    ids.insert(document.id.clone());
                }
                true
            })?;
        }
        if ids.is_empty() {
            let is_local = local.is_some_and(|kind| self.local(kind, code).is_some());
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
