mod locals;
mod planner;
mod turns;

use serde_json::{Value, json};
use storebox_proto::problem::Code;

use crate::channel::world::{World, estate};

fn equals(field: &str, value: &str) -> Value {
    json!([{"fieldName": field, "operator": "equals", "value": value}])
}

fn shop(more: Vec<(&'static str, Value)>) -> World {
    let mut records = estate();
    records.extend([
        ("ProductCategory", json!({"id": "D1", "searchKey": "food", "name": "Food"})),
        ("ProductCategory", json!({"id": "C1", "searchKey": "fruit", "name": "Fruit"})),
        ("ProductCategory", json!({"id": "C2", "searchKey": "tools", "name": "Tools"})),
        ("ProductCategoryTree", json!({"id": "C1", "categoryId": "C1", "parentId": "D1"})),
        ("ProductCategoryTree", json!({"id": "D1", "categoryId": "D1", "parentId": "C1"})),
        ("Product", json!({"id": "P1", "barcode": "4001", "name": "Apple", "categoryId": "C1"})),
        ("Product", json!({"id": "P2", "barcode": "4002", "name": "Hammer", "categoryId": "C2"})),
        ("ProductPrice", json!({"id": "1", "productId": "P1", "priceListId": "PL1", "listPrice": "3.50"})),
        ("ProductPrice", json!({"id": "2", "productId": "P1", "priceListId": "PL2", "listPrice": "9"})),
        ("TaxRate", json!({"id": "T1", "taxCategoryId": "FOOD", "rate": "7"})),
        ("Discount", json!({"id": "K1", "name": "Old", "startingDate": "2017-03-03", "endingDate": "2017-04-09"})),
        ("Discount", json!({"id": "K2", "name": "Now", "startingDate": "2017-03-03"})),
        ("Discount", json!({"id": "K3", "name": "Later", "startingDate": "9000-01-01"})),
    ]);
    records.extend(more);
    World::open(&records)
}

#[tokio::test]
async fn a_product_comes_with_price_stock_and_categories_in_one_call() {
    let shop = shop(vec![]);
    let request = json!({"entity": "Product", "startRow": 0, "endRow": 1,
                         "criteria": equals("barcode", "4001")});
    let answer = shop.done("query", request).await;
    assert_eq!(answer["metadata"]["plan"], json!(["index barcode"]));
    assert_eq!((&answer["totalRows"], &answer["more"]), (&json!(1), &json!(false)));
    let product = &answer["data"][0];
    assert_eq!(product["price"]["listPrice"], "3.50");
    assert_eq!(product["stock"], Value::Null);
    let names: Vec<_> =
        product["categories"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["Fruit", "Food"]);
    let cheap = json!([{"fieldName": "price.listPrice", "operator": "lessThan", "value": 4}]);
    assert_eq!(shop.rows("Product", cheap).await.len(), 1);
    assert_eq!(shop.rows("Product", equals("category", "tools")).await[0]["id"], "P2");
    let prices = shop.rows("ProductPrice", equals("product", "4001")).await;
    assert_eq!((prices.len(), &prices[0]["id"]), (1, &json!("1")));
}

#[tokio::test]
async fn only_what_the_terminal_may_see_is_found() {
    let shop = shop(vec![]);
    let ids = async |entity: &str| {
        let rows = shop.rows(entity, json!([])).await;
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("Discount").await, ["K2"]);
    assert_eq!(ids("ProductTax").await, ["T1"]);
    assert_eq!(ids("Channel").await, ["web"]);
    assert_eq!(ids("Terminal").await, ["web-1", "web-2", "web-3"]);
    // The region is below its own store: a circle, which ends.
    assert_eq!(ids("Store").await, ["R", "S1", "S1a", "S2"]);
}

#[tokio::test]
async fn a_terminal_sees_the_products_and_categories_of_its_assortment() {
    let shop = shop(vec![
        (
            "Terminal",
            json!({"id": "small-1", "channelId": "web", "roleId": "shop", "assortmentId": "A1"}),
        ),
        ("AssortmentProduct", json!({"id": "1", "assortmentId": "A1", "productId": "P2"})),
    ]);
    for (entity, expected) in [("Product", "P2"), ("ProductCategory", "C2")] {
        let asked = shop.call("small-1", "query", json!({"entity": entity})).await.unwrap().json;
        let rows = asked["data"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!(expected)), "{entity}");
    }
}

#[tokio::test]
async fn a_definition_bounds_what_is_asked_for_and_how_long_it_may_be_kept() {
    let mut records = estate();
    records.retain(|(_, record)| record["id"] != "web-query");
    records.push(("ChannelService", json!({"id": "q", "channelId": "web", "type": "query",
        "parameters": {"entities": ["Store", "Terminal"], "cacheSeconds": {"Store": 60}, "rowsMax": 2}})));
    let world = World::open(&records);
    let reply = world.call("web-1", "query", json!({"entity": "Store"})).await.unwrap();
    assert_eq!(reply.max_age, Some(60));
    assert_eq!((&reply.json["endRow"], &reply.json["more"]), (&json!(2), &json!(true)));
    assert_eq!(reply.json["totalRows"], Value::Null);
    let next = json!({"entity": "Store", "startRow": 2, "endRow": -1});
    let reply = world.call("web-1", "query", next).await.unwrap();
    assert_eq!((&reply.json["totalRows"], &reply.json["more"]), (&json!(4), &json!(false)));
    assert_eq!(
        world.call("web-1", "query", json!({"entity": "Terminal"})).await.unwrap().max_age,
        None
    );
    let refused = world.call("web-1", "query", json!({"entity": "User"})).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    let other = json!({"entity": "Store", "terminal": "web-2"});
    assert_eq!(world.call("web-1", "query", other).await.unwrap_err().code, Code::Forbidden);
    let like = json!({"entity": "Terminal", "criteria": [
        {"fieldName": "store", "operator": "contains", "value": "S"}]});
    let refused = world.call("web-1", "query", like).await.unwrap_err();
    assert!(refused.detail.starts_with("field store: is a code"), "{refused}");
}
