//! What an onlooker sees of the sources.

use std::time::Instant;

use super::{Breaker, Fault, Kind, Ladder, Service};
use crate::ids::SourceId;

/// One source and one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RungView {
    /// The source.
    pub id: SourceId,
    /// What it is.
    pub kind: Kind,
    /// Lower is asked first.
    pub priority: u16,
    /// For what.
    pub service: Service,
    /// Whether it is the one in use.
    pub chosen: bool,
    /// Why it is not used, since when, and when it is looked at again.
    pub open: Option<(Fault, Instant, Instant)>,
    /// How often it was given up since the start.
    pub opened: u64,
    /// Why it was, the last time.
    pub last_fault: Option<Fault>,
}

impl Ladder {
    /// All sources in order, by service.
    pub fn view(&self) -> Vec<RungView> {
        let mut views = Vec::new();
        for service in Service::ALL {
            let best = self.best(service);
            for step in &self.steps {
                let Some(health) = step.health.get(&service) else { continue };
                let open = match &health.breaker {
                    Breaker::Closed => None,
                    Breaker::Open { fault, since, until }
                    | Breaker::Probing { fault, since, until } => {
                        Some((fault.clone(), *since, *until))
                    }
                };
                views.push(RungView {
                    id: step.rung.id.clone(),
                    kind: step.rung.kind,
                    priority: step.rung.priority,
                    service,
                    chosen: best == Some(&step.rung.id),
                    open,
                    opened: health.opened,
                    last_fault: health.last_fault.clone(),
                });
            }
        }
        views
    }
}
