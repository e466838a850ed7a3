//! Masterdata from the company's databases at head office.

use super::replica::path;
use super::{Basics, RoleError, token};
use crate::database::Database;
use crate::intake::{Figures, Runner, RunnerOptions};
use crate::replica::office::Office;
use crate::status::{LineStatus, PanelBuilder};

/// Starts a task for each `[[intake]]`.
pub(super) fn start(
    basics: &Basics<'_>,
    office: &Office,
    panel: &mut PanelBuilder,
) -> Result<(), RoleError> {
    for intake in &basics.config.intakes {
        let id = intake.id.clone();
        let secret = match intake.secret_file.as_os_str().is_empty() {
            true => None,
            false => Some(token(&intake.secret_file)?.reveal().to_owned()),
        };
        let database = Database::at(&intake.url, secret, &intake.ca_file)
            .map_err(|reason| RoleError::Intake { id: id.to_string(), reason })?;
        let dir = path(basics, "intake").join(id.as_str());
        let options = RunnerOptions { intake: intake.clone(), database, dir: dir.clone() };
        let runner = Runner::new(options, office.clone())
            .map_err(|source| RoleError::File { path: dir, source })?;
        let (figures, service) = (runner.figures(), format!("intake {id}"));
        let to = intake.url.clone();
        panel.add(move |status| {
            let Figures { brought, compared, failing } = figures();
            let up = failing.is_none();
            let compared = compared.map_or("never".to_owned(), |at| at.to_string());
            let detail = failing
                .unwrap_or_else(|| format!("{brought} rows brought, compared whole {compared}"));
            let (to, service) = (to.clone(), service.clone());
            let (is_refused, since) = (false, None);
            status.lines.push(LineStatus { to, service, up, detail, is_refused, since });
        });
        basics.supervisor.spawn_owner(format!("intake {id}"), |stop| runner.run(stop));
    }
    Ok(())
}
