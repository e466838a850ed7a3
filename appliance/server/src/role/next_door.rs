//! This box as the others of its store know it: it tells each where it is found and whom it has let in.
//!
//! Dropped at an await, it has told some and not the others; all are told again after the restart.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use storebox_proto::ids::{Hash32, SourceId};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::{Basics, RoleError};
use crate::env;
use crate::http::next_door;
use crate::pass::SiteSecret;
use crate::terminal::access::{Access, Entry};
use crate::terminal::next_door::{Card, Hello, Reply};
use crate::uplink::{Route, Routes, mirror};

/// How often it is looked whether somebody is to be told something.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often each is told, though nothing is new.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// How soon one that did not answer is told again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How often a hello is said at once: without the list, with it, and once more where another way to the same box was
/// quicker.
const TRIES: usize = 3;

/// Starts it, if the box has the secret of the store.
pub(super) fn start(
    basics: &Basics<'_>,
    routes: &Routes,
    has_secret: bool,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    if !has_secret {
        return Ok(Vec::new());
    }
    let client = mirror::client().map_err(RoleError::Client)?;
    let access = basics.access.clone();
    let task = Task {
        access,
        routes: routes.clone(),
        client,
        due: BTreeMap::new(),
        asked: BTreeMap::new(),
    };
    basics.supervisor.spawn_owner("next door", |stop| task.run(stop));
    Ok(vec![next_door::routes(basics.access.clone())])
}

struct Task {
    access: Access,
    routes: Routes,
    client: reqwest::Client,
    /// When each is told again.
    due: BTreeMap<SourceId, Instant>,
    /// What each has asked the next hello to carry.
    asked: BTreeMap<SourceId, String>,
}

/// What is said to all.
struct Said {
    card: Card,
    terminals: Vec<Entry>,
    digest: Hash32,
}

enum Event {
    Stop,
    Changed,
    Look,
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.access.changes();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => Event::Stop,
                Ok(()) = changes.changed() => Event::Changed,
                _ = look.tick() => Event::Look,
            };
            match event {
                Event::Stop => return,
                Event::Changed => self.due.clear(),
                Event::Look => {}
            }
            if stop.run_until_cancelled(self.tell()).await.is_none() {
                return;
            }
        }
    }

    /// Tells all whose time has come, at once, so that nobody waits for one that is gone.
    async fn tell(&mut self) {
        let now = env::instant();
        let all = self.routes.next_door();
        self.due.retain(|id, _| all.iter().any(|(known, ..)| known == id));
        self.asked.retain(|id, _| all.iter().any(|(known, ..)| known == id));
        let is_due = |id: &SourceId| self.due.get(id).is_none_or(|due| *due <= now);
        let told: Vec<_> = all.into_iter().filter(|(id, ..)| is_due(id)).collect();
        if told.is_empty() {
            return;
        }
        let Some(card) = self.access.next_door().own() else { return };
        let terminals = self.access.terminals();
        let text = serde_json::to_vec(&terminals).expect("names, numbers and hashes are JSON");
        let said = Said { card, terminals, digest: Hash32::of(&text) };
        let tells = told.iter().map(|(id, route, secret)| async {
            let asked = self.asked.get(id).cloned().unwrap_or_default();
            (id.clone(), self.tell_one(route, secret, &said, asked).await)
        });
        for (id, (card, asked)) in join_all(tells).await {
            let again = if card.is_some() { TELL_EVERY } else { AGAIN_AFTER };
            self.asked.insert(id.clone(), asked);
            self.due.insert(id, env::instant() + again);
            if let Some(card) = card {
                self.access.next_door().meet(card, env::instant());
            }
        }
    }

    /// The card of a box that knows the terminals of this one now, and what the next hello carries.
    async fn tell_one(
        &self,
        route: &Route,
        secret: &SiteSecret,
        said: &Said,
        mut asked: String,
    ) -> (Option<Card>, String) {
        let mut terminals = None;
        for _ in 0..TRIES {
            let Some((card, reply)) = self.say(route, secret, said, &asked, terminals).await else {
                break;
            };
            asked = reply.asks;
            if !reply.wants_terminals {
                return (Some(card), asked);
            }
            terminals = Some(said.terminals.clone());
        }
        (None, asked)
    }

    async fn say(
        &self,
        route: &Route,
        secret: &SiteSecret,
        said: &Said,
        asked: &str,
        terminals: Option<Vec<Entry>>,
    ) -> Option<(Card, Reply)> {
        let challenge = hex::encode(env::random::<16>());
        let (card, digest, asked) = (said.card.clone(), said.digest, asked.to_owned());
        let hello = Hello { card, challenge: challenge.clone(), asked, digest, terminals };
        let path = format!("/sync/v1/next-door/{}", said.card.node);
        let body = Bytes::from(serde_json::to_vec(&hello).expect("names and hashes are JSON"));
        let reply: Reply = mirror::call(&self.client, route, "PUT", &path, body).await?;
        let card = reply.read(secret, &challenge)?;
        (card.node != said.card.node).then_some((card, reply))
    }
}
