//! A shop of real processes for tests: the stage and the tills of the demo, with restarts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use storebox::demo::dataset::{Dataset, Ticket};
use storebox::demo::line::Line;
use storebox::demo::stage::Stage;
use storebox::demo::state::State;
use storebox::demo::till::{self, Day, Shop, Till};
use storebox::demo::{ledger, verdict};
use tokio::task::JoinSet;

use crate::wait;

/// How long masterdata and transactions may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a till may sell all its tickets before the shop closes.
const ROUNDS: usize = 20;

/// Two boxes, the sample, and tills that reach their box by one address whatever its port is.
pub struct TestShop {
    pub stage: Stage,
    pub data: Dataset,
    pub counter: Line,
    pub shop: Arc<Shop>,
    tickets: Vec<Ticket>,
    tills: JoinSet<Result<Day, till::Error>>,
    opened: usize,
    /// Records that were imported first.
    catalogue: u64,
}

impl TestShop {
    /// Starts both boxes and loads the catalogue into both.
    pub async fn open(executable: &Path, folder: &Path) -> anyhow::Result<Self> {
        let data = Dataset::find(None)?;
        let tickets = data.tickets(usize::MAX)?;
        let barcodes = data.barcodes(&tickets)?;
        let stage = Stage::set(executable, folder, "").await?;
        let counter = Line::open(stage.store_address).await?;
        let base = format!("http://{}", counter.address());
        let shop = Arc::new(Shop::open(base, stage.store_key, barcodes));
        let catalogue = folder.join("catalogue");
        let count = data.lay_out_catalogue(&catalogue)?.try_into()?;
        stage.main.ask(&["import", &catalogue.to_string_lossy()])?;
        let tills = JoinSet::new();
        let shop = Self { stage, data, counter, shop, tickets, tills, opened: 0, catalogue: count };
        shop.await_level().await?;
        Ok(shop)
    }

    /// Opens a till that sells until the shop closes, one ticket every `pace`.
    pub fn open_till(&mut self, pace: Duration) -> anyhow::Result<()> {
        self.opened += 1;
        let name = format!("till-{}", self.opened).parse()?;
        let token = self.stage.add_till(&name)?;
        let offset = self.opened * 97 % self.tickets.len();
        let mut tickets = self.tickets.clone();
        tickets.rotate_left(offset);
        tickets.retain(|ticket| ticket.lines.len() <= 4);
        let many = vec![tickets; ROUNDS].concat();
        self.tills.spawn(Till::new(name, token, self.shop.clone()).work(many, pace));
        Ok(())
    }

    /// Fails if a till has given up.
    pub fn check_tills(&mut self) -> anyhow::Result<()> {
        if let Some(day) = self.tills.try_join_next() {
            day?.context("a till gave up")?;
            anyhow::bail!("a till has sold everything before the shop closed");
        }
        Ok(())
    }

    /// Kills the store without warning and starts it again.
    pub async fn restart_store(&mut self) -> anyhow::Result<()> {
        self.stage.store.kill();
        let address = self.stage.store.start().await?;
        self.stage.store_address = address;
        self.counter.set_target(address);
        Ok(())
    }

    /// Kills the main server without warning and starts it again.
    pub async fn restart_main(&mut self) -> anyhow::Result<()> {
        self.stage.main.kill();
        let address = self.stage.main.start().await?;
        self.stage.main_address = address;
        self.stage.line.set_target(address);
        Ok(())
    }

    /// Lets the tills finish what they began and close their sessions.
    pub async fn close(&mut self) -> anyhow::Result<Vec<Day>> {
        self.shop.closing.store(true, Ordering::Relaxed);
        let mut days = Vec::new();
        while let Some(day) = self.tills.join_next().await {
            days.push(day??);
        }
        Ok(days)
    }

    /// Waits until the replica stands where the author stands.
    pub async fn await_level(&self) -> anyhow::Result<()> {
        wait::until("replica = author", PATIENCE, || async {
            let author = State::of(&self.stage.main).await?;
            let here = State::of(&self.stage.store).await?;
            Ok(author.records() >= self.catalogue && here.is_level_with(&author))
        })
        .await
    }

    /// Waits until everything is settled and compares what was sold with the ledger.
    pub async fn compare(&self, days: &[Day]) -> anyhow::Result<usize> {
        wait::until("outbox empty", PATIENCE, || async {
            Ok(State::of(&self.stage.store).await?.outbox.waiting == 0)
        })
        .await?;
        let sold: Vec<_> = days.iter().flat_map(|day| day.sold.clone()).collect();
        let verdict = verdict::compare(&sold, &ledger::read(&self.stage.main).await?);
        ensure!(verdict.holds(), "{verdict}");
        ensure!(days.iter().all(|day| day.wrong == 0), "a till was given wrong masterdata");
        Ok(verdict.transactions)
    }

    /// Compares every record of a model on both boxes.
    pub async fn compare_model(&self, model: &str) -> anyhow::Result<usize> {
        let mut cursor = String::new();
        let mut records = 0;
        loop {
            let path = format!("/v1/models/{model}/records?limit=1000{cursor}");
            let author = self.stage.main.control("GET", &path, None).await?;
            let here = self.stage.store.control("GET", &path, None).await?;
            ensure!(author["records"] == here["records"], "{model} differs at {path}");
            records += here["records"].as_array().map_or(0, Vec::len);
            match here["next"].as_str() {
                Some(next) => cursor = format!("&after={next}"),
                None => return Ok(records),
            }
        }
    }
}
