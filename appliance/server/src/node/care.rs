//! What others do with a box in a shop: head office sets and looks, a person cuts its line on purpose.

use storebox_proto::settings::Book;
use utoipa_axum::router::OpenApiRouter;

use super::Built;
use crate::config::{Config, Origin, Role};
use crate::drill::Drills;
use crate::http::traffic::Traffic;
use crate::http::{drill, settings, visit as visits};
use crate::settings::Desk;
use crate::status::{Panel, PanelBuilder};
use crate::supervise::Supervisor;
use crate::valve::Valve;
use crate::visit::{self, Hall};

/// Head office sets itself nothing.
pub(super) fn settings_of(
    config: &Config,
    book: Book,
    origin: &Origin,
    supervisor: &Supervisor,
) -> Option<Desk> {
    (config.role == Role::Store).then(|| Desk::open(config, book, origin, supervisor.root()))
}

pub(super) fn start_settings(desk: &Desk, panel: &Panel, supervisor: &Supervisor) -> OpenApiRouter {
    let panel = panel.clone();
    supervisor.spawn_owner("settings", |stop| desk.clone().run(panel, stop));
    settings::routes(desk.clone())
}

/// A box with a line to head office can do without it on purpose.
pub(super) fn drills(config: &Config, valve: &Valve, panel: &mut PanelBuilder) -> Option<Drills> {
    if config.role == Role::Main {
        return None;
    }
    let drills = Drills::open(&config.data_dir, valve.clone());
    panel.add(drills.report());
    Some(drills)
}

pub(super) fn start_drills(
    drills: Drills,
    panel: &Panel,
    traffic: &Traffic,
    supervisor: &Supervisor,
) -> OpenApiRouter {
    let counted = traffic.clone();
    drills.look_at(panel.clone(), move || (counted.failures(), counted.waits().waits()));
    supervisor.spawn_owner("drill", |stop| drills.clone().run(stop));
    drill::routes(drills)
}

/// A shop's box is visited, head office visits.
pub(super) fn visits(config: &Config, panel: &mut PanelBuilder) -> Option<visit::Desk> {
    if config.role == Role::Main {
        return None;
    }
    let desk = visit::Desk::open(&config.data_dir);
    panel.add(desk.report());
    Some(desk)
}

pub(super) fn visit_routes(desk: Option<&visit::Desk>) -> OpenApiRouter {
    match desk {
        Some(desk) => visits::box_routes(desk.clone()),
        None => visits::office_routes(Hall::default()),
    }
}

/// A box without a head office has nobody to show itself to.
pub(super) fn start_visits(
    built: &Built,
    config: &Config,
    origin: &Origin,
    supervisor: &Supervisor,
) {
    let Some((desk, source)) = built.visited.clone() else { return };
    let (router, origin) = (built.router.clone(), origin.clone());
    let ground = visit::Ground { router, source, origin, on_request: config.visits.on_request };
    supervisor.spawn_owner("visits", |stop| desk.run(ground, stop));
}
