//! Weights: exact, fresh, at rest, or a refusal that says why.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;
use storebox_peripherals::sim::scale::Act;
use storebox_tests::wait;

use crate::counter::{Counter, PATIENCE};

const WEIGHT: &str = "/v1/scales/scale/weight";

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_is_what_lies_on_the_plate_at_rest() -> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("scale", "open").await?;
    let scale = counter.scale.as_ref().expect("it is plugged in");
    for (grams, weight) in [(1250, "1.250"), (75, "0.075"), (14_995, "14.995")] {
        scale.act(Act::Put(grams));
        wait::until(weight, PATIENCE, || async {
            let (status, answer) = counter.ask(Method::GET, WEIGHT, None).await?;
            ensure!(status == 200 || answer["code"] == "scale_range", "{status} {answer}");
            ensure!(answer.get("weight").is_none() || answer["unit"] == "kg", "{answer}");
            Ok(answer["weight"] == weight && answer["state"] == "stable")
        })
        .await?;
        // The same plate may be asked again: nothing has changed.
        ensure!(counter.get(WEIGHT).await?["weight"] == weight);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_at_rest_or_out_of_range_has_no_number() -> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("scale", "open").await?;
    let scale = counter.scale.as_ref().expect("it is plugged in");
    let quick = format!("{WEIGHT}?timeout_ms=400");
    let refused = async |act: Act, code: &str| {
        scale.act(act);
        wait::until(code, PATIENCE, || async {
            let (status, answer) = counter.ask(Method::GET, &quick, None).await?;
            ensure!(status >= 400 || answer["state"] == "stable", "{answer}");
            ensure!(status < 400 || answer.get("weight").is_none(), "{answer}");
            Ok(answer["code"] == code)
        })
        .await
    };
    refused(Act::Put(0), "scale_range").await?;
    scale.act(Act::Put(500));
    refused(Act::Move, "scale_unsettled").await?;
    scale.act(Act::Settle);
    refused(Act::Put(20_000), "scale_range").await?;
    refused(Act::Put(-10), "scale_range").await?;
    refused(Act::Mute, "scale_fault").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leased_scale_is_its_tills_alone() -> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("scale", "open").await?;
    let lease = "/v1/scales/scale/lease";
    let body = json!({"seconds": 100});
    counter.store.control("POST", lease, Some(&body)).await?;
    ensure!(counter.refusal(Method::GET, WEIGHT, None).await? == "device_leased");
    ensure!(counter.refusal(Method::POST, lease, Some(body)).await? == "device_leased");
    counter.store.control("DELETE", lease, None).await?;
    let code = counter.refusal(Method::GET, WEIGHT, None).await?;
    ensure!(code == "scale_range" || code == "scale_unsettled", "{code}");
    Ok(())
}
