//! What can be asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of thing as a channel sees it; most are put together from several models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entity {
    /// A product of the terminal's assortment, with price, stock and categories.
    Product,
    /// A price of a product.
    ProductPrice,
    /// A category of products that the terminal sells.
    ProductCategory,
    /// A tax rate.
    ProductTax,
    /// A discount that is valid today.
    Discount,
    /// A customer with addresses.
    Customer,
    /// An address of a customer.
    CustomerAddress,
    /// A ticket with lines, taxes, shipments, payments and invoices.
    Ticket,
    /// A store: an organisation.
    Store,
    /// The channel of the caller.
    Channel,
    /// A terminal of the caller's channel.
    Terminal,
    /// A person, without anything secret.
    User,
}

impl Entity {
    /// All of them, by the names on the wire.
    pub const ALL: [(&'static str, Self); 12] = [
        ("Product", Self::Product),
        ("ProductPrice", Self::ProductPrice),
        ("ProductCategory", Self::ProductCategory),
        ("ProductTax", Self::ProductTax),
        ("Discount", Self::Discount),
        ("Customer", Self::Customer),
        ("CustomerAddress", Self::CustomerAddress),
        ("Ticket", Self::Ticket),
        ("Store", Self::Store),
        ("Channel", Self::Channel),
        ("Terminal", Self::Terminal),
        ("User", Self::User),
    ];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, entity)| *entity == self);
        found.map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Nothing of this name can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no entity is called {0:?}; there are {names}", names = names())]
pub struct UnknownEntity(pub String);

fn names() -> String {
    Entity::ALL.map(|(name, _)| name).join(", ")
}

impl FromStr for Entity {
    type Err = UnknownEntity;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, entity)| *entity)
            .ok_or_else(|| UnknownEntity(name.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_survives_its_name() {
        for (name, entity) in Entity::ALL {
            assert_eq!(name.parse::<Entity>().unwrap(), entity);
            assert_eq!(serde_json::to_value(entity).unwrap(), name);
        }
        let error = "Produkt".parse::<Entity>().unwrap_err().to_string();
        assert!(
            error.starts_with("no entity is called \"Produkt\"; there are Product, "),
            "{error}"
        );
    }
}
