//! The plug is pulled at random moments, again and again, while tills sell and masterdata changes.

use std::path::Path;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storebox_tests::shop::TestShop;
use storebox_tests::wait;

/// How often a process is killed when nobody says otherwise.
const KILLS: u64 = 100;
/// The longest time between a start and the next kill.
const LIFE_MAX_MS: u64 = 250;
/// The models whose records are compared one by one.
const COMPARED: [&str; 4] = ["Product", "ProductPrice", "BusinessPartner", "DiscountFilterProduct"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_a_hundred_times_nothing_is_lost_and_the_replica_is_the_authors() {
    let seed = number("SEED").unwrap_or(20_261_122);
    let kills = number("KILLS").unwrap_or(KILLS);
    let folder = tempfile::tempdir().unwrap();
    match campaign(folder.path(), seed, kills).await {
        Ok(told) => eprintln!("seed={seed}: {told}"),
        Err(error) => {
            let kept = folder.keep();
            panic!("seed={seed} kills={kills}, files kept in {}: {error:?}", kept.display());
        }
    }
}

async fn campaign(folder: &Path, seed: u64, kills: u64) -> anyhow::Result<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
    let mut shop = TestShop::open(executable, folder).await?;
    for _ in 0..3 {
        shop.open_till(Duration::from_millis(20))?;
    }
    let weeks = shop.data.lay_out_weeks(folder, 13)?;
    let mut weeks = weeks.iter().cycle();
    let mut of_main = 0;
    for kill in 0..kills {
        wait::moment(Duration::from_millis(rng.random_range(0..LIFE_MAX_MS))).await;
        if kill % 8 == 0 {
            let week = weeks.next().expect("weeks go round");
            shop.stage.main.ask(&["import", "--changes", &week.folder.to_string_lossy()])?;
        }
        if kill % 20 == 10 {
            shop.stage.store.ask(&["refresh", "--full"])?;
        }
        if rng.random_ratio(1, 3) {
            of_main += 1;
            shop.restart_main().await?;
        } else {
            shop.restart_store().await?;
        }
        shop.check_tills()?;
    }
    let days = shop.close().await?;
    let transactions = shop.compare(&days).await?;
    shop.await_level().await?;
    let mut records = 0;
    for model in COMPARED {
        records += shop.compare_model(model).await?;
    }
    let of_store = kills - of_main;
    Ok(format!(
        "main killed {of_main} times, store {of_store} times; \
         {transactions} transactions and {records} records are the same on both sides"
    ))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}
