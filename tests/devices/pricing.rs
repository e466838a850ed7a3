//! Scales that compute prices: the price is the scale's, for the till's unit price, or there is none.

use anyhow::ensure;
use reqwest::Method;
use storebox::demo::device::Simulated;
use storebox_peripherals::scale::Model;
use storebox_peripherals::sim::scale::{Act, Event, ScaleSim};
use storebox_peripherals::sim::script::Script;
use storebox_tests::wait;

use crate::counter::{Counter, PATIENCE};

const DIALOG: &str = "[[device]]\nid = \"deli\"\nkind = \"scale\"\nat = \"@deli\"\n\
    model = \"dialog06\"\napproval_file = \"@approval\"\n";
const PRICE: &str = "/v1/scales/deli/weight?unit_price=1234&timeout_ms=3000";

fn plug(counter: &Counter, model: Model) -> anyhow::Result<Simulated<Act, Event>> {
    let sim = ScaleSim::new(model, Script::default());
    let scale = Simulated::plug_in(sim, ScaleSim::act, &counter.place("deli"))?;
    scale.act(Act::Put(316));
    Ok(scale)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cas_scale_prices_with_the_price_keyed_in_at_it_and_no_other() -> anyhow::Result<()> {
    let device =
        "[[device]]\nid = \"deli\"\nkind = \"scale\"\nat = \"@deli\"\nmodel = \"cas_pos\"\n";
    let counter = Counter::open(device).await?;
    let scale = plug(&counter, Model::CasPos)?;
    counter.await_link("deli", "open").await?;
    let sold = counter.get(PRICE).await?;
    ensure!(sold["weight"] == "0.316" && sold["state"] == "stable", "{sold}");
    ensure!(sold["priced"] == serde_json::json!({"unit_price": 1234, "amount": 390}), "{sold}");
    let other = "/v1/scales/deli/weight?unit_price=1000";
    ensure!(counter.refusal(Method::GET, other, None).await? == "scale_fault");
    scale.act(Act::Move);
    let moving = "/v1/scales/deli/weight?unit_price=1234&timeout_ms=300";
    ensure!(counter.refusal(Method::GET, moving, None).await? == "scale_unsettled");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialog_scale_prices_once_its_approval_is_provisioned_and_nobody_reads_it_anywhere()
-> anyhow::Result<()> {
    let counter = Counter::open(DIALOG).await?;
    let scale = plug(&counter, Model::Dialog06)?;
    // The file is not there: the device is named and left out, until it is.
    wait::until("the definition is refused", PATIENCE, || async {
        let list = counter.get("/v1/devices").await?;
        Ok(list["refused"][0]["why"].as_str().is_some_and(|why| why.contains("approval_file")))
    })
    .await?;
    let (sum, key) = ScaleSim::PROOF;
    std::fs::write(counter.place("approval"), format!("{:04X} {key:04X}\n", sum ^ 1))?;
    counter.await_link("deli", "open").await?;
    wait::until("the wrong approval is refused", PATIENCE, || async {
        scale.act(Act::Challenge);
        let (status, refused) = counter.ask(Method::GET, PRICE, None).await?;
        Ok(status == 502 && refused.to_string().contains("proof"))
    })
    .await?;
    std::fs::write(counter.place("approval"), format!("{sum:04X} {key:04X}\n"))?;
    wait::until("the right approval is taken", PATIENCE, || async {
        let (_, sold) = counter.ask(Method::GET, PRICE, None).await?;
        Ok(sold["priced"] == serde_json::json!({"unit_price": 1234, "amount": 390}))
    })
    .await?;
    // Asked for it again, the scale hears the proof again; what a listener hears of it is its head.
    let mut trace = counter.trace("deli").await?;
    for _ in 0..3 {
        scale.act(Act::Challenge);
        ensure!(counter.get(PRICE).await?["weight"] == "0.316");
    }
    let proof = trace.find(|piece| {
        let bytes = piece["bytes"].as_str()?;
        bytes.starts_with("040231301b").then(|| bytes.to_owned())
    });
    let proof = proof.await?;
    ensure!(proof == "040231301b", "the trace shows {proof}");
    let log = std::fs::read_to_string(counter.place("store-1/log"))?.to_lowercase();
    for secret in [format!("{sum:04x}"), format!("{key:04x}")] {
        ensure!(!log.contains(&secret), "the log shows the approval");
    }
    Ok(())
}
