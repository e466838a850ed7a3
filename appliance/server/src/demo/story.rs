//! The course of the demo: load, sell, cut, go on selling, bring back, drain, compare.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Error;
use super::counter::Counter;
use super::dataset::{Dataset, Ticket, Week};
use super::ledger;
use super::options::Options;
use super::report::Report;
use super::show::{Gauges, Show};
use super::stage::Stage;
use super::state::State;
use super::till::{self, Day, Shop, Till};
use crate::env;

/// Between two looks at the boxes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Sales by weight, each with a printed receipt.
const WEIGHED: i32 = 12;
/// The longest that masterdata or transactions may take to arrive before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// The demo while it runs.
pub(super) struct Story {
    stage: Stage,
    counter: Counter,
    show: Show,
    gauges: Gauges,
    shop: Arc<Shop>,
    report: Report,
    /// Records that were imported first; no import removes one.
    catalogue: u64,
}

impl Story {
    /// Sets the stage and reads what is sold.
    pub(super) async fn begin(
        options: &Options,
        data: &Dataset,
        folder: &Path,
    ) -> Result<(Self, Vec<Ticket>), Error> {
        let count = usize::try_from(options.tickets).unwrap_or(usize::MAX);
        let mut tickets = data.tickets(count)?;
        let barcodes = data.barcodes(&tickets)?;
        let known = |line: &serde_json::Map<String, serde_json::Value>| {
            let product = line.get("productId").and_then(serde_json::Value::as_str);
            product.is_some_and(|product| barcodes.contains_key(product))
        };
        tickets.retain(|ticket| ticket.lines.iter().all(known));
        let show = Show::open(tickets.len().try_into().unwrap_or(u64::MAX));
        show.say("starting head office and the shop's box");
        let executable = std::env::current_exe().map_err(Error::Executable)?;
        let counter = Counter::set_up(folder)?;
        let stage = Stage::set(&executable, folder, &Counter::settings(folder)).await?;
        let base = format!("http://{}", stage.store_address);
        let shop = Arc::new(Shop::open(base, stage.store_key, barcodes));
        let gauges = Gauges { line_up: true, ..Gauges::default() };
        let report = Report::default();
        Ok((Self { stage, counter, show, gauges, shop, report, catalogue: 0 }, tickets))
    }

    /// Head office imports the catalogue; the shop's box replicates it.
    pub(super) async fn load(&mut self, data: &Dataset, folder: &Path) -> Result<(), Error> {
        let catalogue = folder.join("catalogue");
        let count = data.lay_out_catalogue(&catalogue)?;
        self.catalogue = u64::try_from(count).unwrap_or(u64::MAX);
        self.gauges.records_total = self.catalogue;
        self.show.say("head office imports the catalogue");
        let begun = env::instant();
        self.import(&catalogue)?;
        self.report.import = begun.elapsed();
        self.show.say("the shop's box replicates it");
        let begun = env::instant();
        self.await_level(begun).await?;
        self.report.replicate = begun.elapsed();
        self.report.records = self.gauges.records;
        let rate = self.report.records_per_second();
        let records = self.gauges.records;
        let said =
            format!("{records} records verified and indexed in the shop, {rate:.0} a second");
        self.show.say(&said);
        Ok(())
    }

    /// Tills sell; in the middle of it the line is cut and comes back.
    pub(super) async fn sell(
        &mut self,
        options: &Options,
        tickets: Vec<Ticket>,
        weeks: &[Week],
    ) -> Result<(), Error> {
        let mut tills = self.open_tills(options, tickets)?;
        let begun = env::instant();
        let quarter = Duration::from_secs(options.seconds) / 4;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut weeks = weeks.iter();
        let mut cut: Option<Instant> = None;
        loop {
            tokio::select! {
                done = tills.join_next() => match done {
                    Some(day) => self.report.end_of_day(day.map_err(Error::Till)??),
                    None => break,
                },
                _ = looks.tick() => self.look().await?,
            }
            let elapsed = begun.elapsed();
            if cut.is_none() && elapsed >= quarter {
                self.cut();
                cut = Some(env::instant());
            }
            if self.gauges.line_up || elapsed < quarter + quarter / 2 {
                continue;
            }
            if let Some(week) = weeks.next() {
                self.import_week(week)?;
            }
            if elapsed >= quarter * 3 {
                self.restore().await?;
            }
        }
        if !self.gauges.line_up {
            self.restore().await?;
        }
        Ok(())
    }

    /// Everything arrives, then both sides are compared.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        self.show.say("the tills are done; waiting for the last transactions");
        let begun = env::instant();
        // What was seen last is older than the last transactions.
        self.look().await?;
        while self.gauges.waiting > 0 {
            self.look_patiently(begun, "transactions").await?;
        }
        self.await_level(begun).await?;
        let ledger = ledger::read(&self.stage.main).await?;
        self.report.compare(&ledger);
        self.report.receipts = self.counter.receipts(self.report.weighed());
        Ok(())
    }

    /// Takes the bars away and hands over what is needed to go on serving.
    pub(super) fn end(self) -> (Stage, Report) {
        self.show.close();
        (self.stage, self.report)
    }

    fn open_tills(
        &self,
        options: &Options,
        tickets: Vec<Ticket>,
    ) -> Result<JoinSet<Result<Day, till::Error>>, Error> {
        let count = usize::from(options.tills).min(tickets.len()).max(1);
        let share = tickets.len().div_ceil(count);
        let pace = Duration::from_secs(options.seconds) / u32::try_from(share).unwrap_or(u32::MAX);
        let mut shares: Vec<Vec<Ticket>> = vec![Vec::new(); count];
        for (number, ticket) in tickets.into_iter().enumerate() {
            shares[number % count].push(ticket);
        }
        let product = shares.iter().flatten().flat_map(|ticket| &ticket.lines).next();
        let product = product.and_then(|line| line.get("productId")?.as_str().map(str::to_owned));
        let said = format!("{count} tills open and sell real tickets, every line looked up first");
        self.show.say(&said);
        let mut tills = JoinSet::new();
        for (number, share) in shares.into_iter().enumerate() {
            let name = format!("till-{}", number + 1).parse().map_err(Error::Name)?;
            let token = self.stage.add_till(&name)?;
            tills.spawn(Till::new(name, token, self.shop.clone()).work(share, pace));
        }
        let name = "till-scale".parse().map_err(Error::Name)?;
        let token = self.stage.add_till(&name)?;
        let till = Till::new(name, token, self.shop.clone());
        let pace = Duration::from_secs(options.seconds) / WEIGHED.unsigned_abs();
        let product = product.unwrap_or_default();
        tills.spawn(till.sell_by_weight(self.counter.plate(), product, WEIGHED, pace));
        self.show.say("one more till sells by weight: the box weighs, and prints each receipt");
        Ok(tills)
    }

    fn cut(&mut self) {
        self.stage.line.set_up(false);
        self.gauges.line_up = false;
        self.show.say("THE LINE IS CUT; the tills go on selling");
    }

    /// Brings the line back and notes how long the first upload and the whole drain take.
    async fn restore(&mut self) -> Result<(), Error> {
        self.look().await?;
        let waiting = self.gauges.waiting;
        let before = State::of(&self.stage.store).await?.outbox;
        let said = format!("the line is back; {waiting} transactions wait in the shop");
        self.show.say(&said);
        self.stage.line.set_up(true);
        self.gauges.line_up = true;
        let begun = env::instant();
        self.report.waiting_at_return = waiting;
        loop {
            let settled = State::of(&self.stage.store).await?.outbox.settled;
            if self.report.first_upload.is_none() && settled > before.settled {
                self.report.first_upload = Some(begun.elapsed());
            }
            if settled >= before.accepted {
                self.report.drain = Some(begun.elapsed());
                break;
            }
            self.look_patiently(begun, "transactions").await?;
        }
        self.await_level(begun).await?;
        self.report.catch_up = Some(begun.elapsed());
        self.show.say("the outbox is drained and the replica has caught up");
        Ok(())
    }

    fn import(&self, folder: &Path) -> Result<(), Error> {
        self.stage.main.ask(&["import", &folder.to_string_lossy()]).map(drop).map_err(Error::from)
    }

    fn import_week(&mut self, week: &Week) -> Result<(), Error> {
        self.stage.main.ask(&["import", "--changes", &week.folder.to_string_lossy()])?;
        self.report.changes += week.records;
        let said = format!("head office changes {} prices meanwhile", week.records);
        self.show.say(&said);
        Ok(())
    }

    async fn await_level(&mut self, begun: Instant) -> Result<(), Error> {
        loop {
            let author = State::of(&self.stage.main).await?;
            let here = State::of(&self.stage.store).await?;
            self.gauges.records_total = author.records().max(self.catalogue);
            if author.records() >= self.catalogue && here.is_level_with(&author) {
                return self.look().await;
            }
            self.look_patiently(begun, "masterdata").await?;
        }
    }

    async fn look_patiently(&mut self, begun: Instant, what: &'static str) -> Result<(), Error> {
        if begun.elapsed() > PATIENCE {
            let log = self.stage.store.log_tail();
            return Err(Error::Stuck { what, log });
        }
        tokio::time::sleep(LOOK_EVERY).await;
        self.look().await
    }

    async fn look(&mut self) -> Result<(), Error> {
        self.stage.check_alive()?;
        let state = State::of(&self.stage.store).await?;
        self.gauges.sold = self.shop.sold.load(Ordering::Relaxed);
        self.gauges.held = self.shop.held.load(Ordering::Relaxed);
        self.gauges.waiting = state.outbox.waiting;
        self.gauges.records = state.records();
        let feeds = state.feeds.iter().filter(|feed| feed.revision > 0);
        let words = feeds.map(|feed| format!("{} {} {}", feed.feed, feed.revision, feed.state));
        self.gauges.replica = words.collect::<Vec<_>>().join(", ");
        self.show.update(&self.gauges);
        Ok(())
    }
}
