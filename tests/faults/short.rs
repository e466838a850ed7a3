//! The campaign of faults in its short form: each fault for a moment, on real processes.
//!
//! `tests/campaign` is the long one.

use std::process::Command;

use anyhow::ensure;
use storebox_tests::skip;

#[test]
fn whatever_goes_wrong_nothing_accepted_is_lost_or_doubled_and_the_shop_is_back_by_itself()
-> anyhow::Result<()> {
    let id = Command::new("id").arg("-u").output()?;
    if id.stdout != b"0\n" {
        skip::<()>("the campaign makes networks and disks of its own, which needs root");
        return Ok(());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_storebox-campaign")).arg("--short").output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    eprintln!("{told}{complaint}");
    ensure!(output.status.success(), "the campaign: {}", output.status);
    ensure!(told.contains("everything held"), "it came to its end");
    Ok(())
}
