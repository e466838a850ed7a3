//! The till with the scale: what it sells is weighed by the box, and the box prints the receipt.

use std::time::Duration;

use serde_json::{Map, Value, json};
use storebox_proto::ids::TxKey;
use tokio::time::interval;

use super::{Day, Error, Till, fields, persist, text_of};
use crate::demo::counter::{PRINTER, Plate, SCALE};

/// What a kilogram costs, in cents.
const CENTS_PER_KG: u64 = 399;
/// The lightest and the step of what is put on the plate, in grams.
const GRAMS: (i32, i32) = (185, 95);
/// Seconds that a receipt may take.
const PRINT_MAX_S: u32 = 9;

impl Till {
    /// Sells `count` weighed items, one every `pace`, and hands out a printed receipt for each.
    pub async fn sell_by_weight(
        mut self,
        plate: Plate,
        product: String,
        count: i32,
        pace: Duration,
    ) -> Result<Day, Error> {
        let mut beat = interval(pace);
        for number in 0..count {
            beat.tick().await;
            let grams = GRAMS.0 + number * GRAMS.1;
            plate.put(grams);
            let weight = self.weigh(grams).await?;
            let key = self.sell_weighed(number, &product, &weight).await?;
            self.print_receipt(key, &weight).await?;
            self.day.weighed.push(key);
            plate.put(0);
        }
        self.cash_up().await?;
        Ok(self.day)
    }

    /// The weight as the box tells it; what was put on the plate must come out.
    async fn weigh(&mut self, grams: i32) -> Result<String, Error> {
        let path = format!("/v1/scales/{SCALE}/weight?timeout_ms=5000");
        let wanted = format!("{}.{:03}", grams / 1000, grams % 1000);
        loop {
            let reading = self.get(&path).await?;
            let weight = reading.get("weight").and_then(Value::as_str).unwrap_or_default();
            if weight == wanted {
                return Ok(wanted);
            }
            // The scale may have answered before the item was on it; then it weighs again.
            if reading.get("state").and_then(Value::as_str) != Some("stable") {
                return Err(Error::Answer { what: path, answer: reading.to_string() });
            }
        }
    }

    async fn sell_weighed(
        &mut self,
        number: i32,
        product: &str,
        weight: &str,
    ) -> Result<TxKey, Error> {
        let amount = amount(weight);
        let line =
            json!({"productId": product, "weight": weight, "unit": "kg", "lineAmount": amount});
        let payments = json!([{"method": "cash", "amount": amount}]);
        let content: Map<String, Value> = fields([
            ("documentNo", json!(format!("W-{number}"))),
            ("lines", json!([line])),
            ("gross", json!(amount)),
            ("payments", payments),
        ]);
        let lane = format!("ticket:{}-w{number}", self.name);
        self.hand_over("Order", &lane, vec![], content).await
    }

    async fn print_receipt(&self, key: TxKey, weight: &str) -> Result<(), Error> {
        let url = format!("{}/v1/printers/{PRINTER}/jobs?wait_s={PRINT_MAX_S}", self.shop.base);
        let text = format!(
            "^^^Corner Shop\n---\nweighed goods||{weight} kg\n{}||{}\n---\n{key}\n=\n",
            "3.99 / kg",
            amount(weight)
        );
        let body = json!({"key": key.to_string(), "receiptline": text});
        let request = self.shop.client.post(url).bearer_auth(&self.token).json(&body);
        let what = format!("receipt {key}");
        let answer = persist(request, &what).await?;
        let job: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if job.get("state").and_then(Value::as_str) == Some("printed") {
            return Ok(());
        }
        Err(Error::Answer { what, answer: text_of(&answer) })
    }
}

/// What a weight costs, rounded to the cent.
fn amount(weight: &str) -> String {
    let grams: u64 = weight.replace('.', "").parse().unwrap_or(0);
    let cents = (grams * CENTS_PER_KG + 500) / 1000;
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_rounded_to_the_cent() {
        assert_eq!(amount("1.000"), "3.99");
        assert_eq!(amount("0.185"), "0.74");
        assert_eq!(amount("12.345"), "49.26");
    }
}
