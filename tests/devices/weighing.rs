//! Weights: exact, fresh, at rest, or a refusal that says why.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;
use storebox::demo::device::Simulated;
use storebox_peripherals::scale::Model;
use storebox_peripherals::sim::scale::{Act, ScaleSim};
use storebox_peripherals::sim::script::Script;
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
        // This scale tells each weight once, so the article cannot be sold twice by one weighing.
        let again = format!("{WEIGHT}?timeout_ms=300");
        ensure!(counter.refusal(Method::GET, &again, None).await? == "scale_unsettled");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_a_weight_only_where_the_shop_says_so_and_never_on_an_empty_plate()
-> anyhow::Result<()> {
    let twin = "[[device]]\nid = \"twin\"\nkind = \"scale\"\nat = \"@twin\"\nmodel = \"toledo8217\"\n\
        nothing_new = \"confirms\"\n";
    let counter = Counter::open(twin).await?;
    let sim = ScaleSim::new(Model::Toledo8217, Script::default());
    let twin = Simulated::plug_in(sim, ScaleSim::act, &counter.place("twin"))?;
    counter.await_link("twin", "open").await?;
    twin.act(Act::Put(1250));
    let path = "/v1/scales/twin/weight?timeout_ms=500";
    wait::until("it weighs", PATIENCE, || async {
        Ok(counter.ask(Method::GET, path, None).await?.1["weight"] == "1.250")
    })
    .await?;
    ensure!(counter.get(path).await?["weight"] == "1.250");
    twin.act(Act::Put(0));
    wait::until("the plate is empty", PATIENCE, || async {
        let (_, answer) = counter.ask(Method::GET, path, None).await?;
        Ok(answer["code"] == "scale_range")
    })
    .await?;
    twin.act(Act::Mute);
    wait::until("it does not answer", PATIENCE, || async {
        let (_, answer) = counter.ask(Method::GET, path, None).await?;
        Ok(answer["code"] == "scale_fault")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_that_speaks_by_itself_weighs_for_a_till() -> anyhow::Result<()> {
    let twin =
        "[[device]]\nid = \"twin\"\nkind = \"scale\"\nat = \"@twin\"\nmodel = \"cas_stream\"\n";
    let counter = Counter::open(twin).await?;
    let sim = ScaleSim::new(Model::CasStream, Script::default());
    let twin = Simulated::plug_in(sim, ScaleSim::act, &counter.place("twin"))?;
    counter.await_link("twin", "open").await?;
    twin.act(Act::Put(1250));
    wait::until("it weighs", PATIENCE, || async {
        let (status, answer) = counter.ask(Method::GET, "/v1/scales/twin/weight", None).await?;
        ensure!(status == 200 || answer["code"] == "scale_range", "{status} {answer}");
        Ok(answer["weight"] == "1.250" && answer["unit"] == "kg")
    })
    .await
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
