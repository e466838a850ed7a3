//! The box's place in the chain of trust: its papers, its listeners over TLS, its door.
//!
//! A box that was not adopted runs as before and says so; what needs a certificate is not served until it has one.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::Premises;
use crate::blocking::beside;
use crate::config::{Config, Role};
use crate::http::enrol::{self, Entrance};
use crate::http::enrolment::{self, Desk};
use crate::http::gate::Gate;
use crate::http::rings::{self, Rings};
use crate::http::server::Secure;
use crate::logging;
use crate::role;
use crate::seal::Seals;
use crate::secrets::Vault;
use crate::status::{ListenerStatus, PanelBuilder, Status, TrustStatus};
use crate::supervise::{Policy, Supervisor};
use crate::terminal::access::Access;
use crate::trust::customer::Customer;
use crate::trust::house::{self, House, HouseError};
use crate::trust::line::Lines;
use crate::trust::paper::PaperError;
use crate::trust::porch::{Porch, PorchError};
use crate::trust::proxy::Proxy;
use crate::trust::tls::{Tls, TlsError};

/// How often the files of the customer's certificate are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why the papers of a box cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// They are not good.
    #[error(transparent)]
    House(#[from] HouseError),
    /// The disk.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// The slips that are open.
    #[error(transparent)]
    Porch(#[from] PorchError),
    /// TLS does not work with them.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// They are for another box.
    #[error(
        "the papers are for box {certified}, but the configuration calls this box {configured}"
    )]
    OtherName {
        /// What head office has certified.
        certified: String,
        /// The key `node`.
        configured: String,
    },
}

/// What a box has if it was adopted.
#[derive(Clone)]
pub(super) struct Trust {
    house: Option<Arc<House>>,
    porch: Option<Porch>,
}

impl Trust {
    pub(super) fn open(config: &Config, vault: &Vault) -> Result<Self, TrustError> {
        let house = House::open(&config.data_dir, config.role == Role::Main)?.map(Arc::new);
        let Some(house) = house else { return Ok(Self { house: None, porch: None }) };
        let (certified, configured) = (house.member.name.as_str(), config.node.as_str());
        if certified != configured {
            let (certified, configured) = (certified.to_owned(), configured.to_owned());
            return Err(TrustError::OtherName { certified, configured });
        }
        let folder = house::folder(&config.data_dir);
        let porch = Porch::open(Arc::clone(&house), &folder, vault.clone())?;
        Ok(Self { house: Some(house), porch: Some(porch) })
    }

    pub(super) fn house(&self) -> Option<&Arc<House>> {
        self.house.as_ref()
    }

    /// Who opens lines to others.
    pub(super) fn lines(&self, config: &Config) -> Lines {
        Lines::through(Proxy::of(&config.proxy), &config.data_dir, self.house().cloned())
    }

    pub(super) fn porch(&self) -> Option<&Porch> {
        self.porch.as_ref()
    }

    /// The routes of the door.
    pub(super) fn routes(
        &self,
        access: &Access,
        seals: &Seals,
        config: &Config,
    ) -> Vec<OpenApiRouter> {
        let Some(porch) = &self.porch else { return Vec::new() };
        let listen = config.tls.listen.clone();
        let rings = Rings { seals: seals.clone(), site: porch.site().clone() };
        let (porch, access) = (porch.clone(), access.clone());
        let entrance = Entrance { porch: porch.clone(), access, rings: rings.clone() };
        let desk = Desk { porch, listen };
        vec![enrol::routes(entrance), enrolment::routes(desk), rings::routes(rings)]
    }

    /// Opens the listeners over TLS; without papers there are none, and the box is not ready.
    pub(super) async fn secure(
        &self,
        config: &Config,
        premises: &Premises,
        customer: Option<Customer>,
    ) -> Result<Option<Secure>, super::NodeError> {
        let (Some(house), false) = (&self.house, config.tls.listen.is_empty()) else {
            return Ok(None);
        };
        let tls = Tls::new(house, customer).map_err(TrustError::from)?;
        let listeners = premises.listen(&config.tls.listen).await?;
        premises.announce_tls(&listeners)?;
        Ok(Some(Secure { tls, listeners }))
    }

    /// Lets the panel say how the box is served and what waits at its door.
    pub(super) fn report(&self, config: &Config, lines: &Lines, panel: &mut PanelBuilder) {
        role::report_proxy(lines, panel);
        let (porch, wanted) = (self.porch.clone(), wants_papers(config));
        let listeners = listeners(config, porch.is_some());
        panel.add(move |status| {
            status.listeners.clone_from(&listeners);
            match &porch {
                Some(porch) => status.trust = Some(told(porch)),
                None => missing(wanted, status),
            }
        });
    }
}

/// What of the configuration does not work without papers.
fn wants_papers(config: &Config) -> Option<&'static str> {
    if !config.tls.listen.is_empty() {
        return Some("TLS is configured, but this box was not adopted by head office");
    }
    let is_tls = config.main.url.starts_with("https://");
    is_tls.then_some("main.url is https, but this box was not adopted by head office")
}

fn missing(wanted: Option<&'static str>, status: &mut Status) {
    status.trust = Some(TrustStatus::default());
    if let Some(reason) = wanted {
        status.not_ready(reason);
    }
}

fn told(porch: &Porch) -> TrustStatus {
    let (strike_list, struck) = porch.struck();
    let counts = porch.counts();
    let [(_, enrolled), (_, refused), _] = porch.outcomes();
    TrustStatus {
        member: porch.member().to_string(),
        expires: porch.expires().map(|at| at.to_string()),
        strike_list,
        struck,
        slips_open: counts.slips,
        code_until: counts.code_until.map(|at| at.to_string()),
        requests_waiting: counts.requests,
        enrolled,
        refused,
    }
}

/// As configured; what port 0 has become is in the files of addresses.
fn listeners(config: &Config, has_papers: bool) -> Vec<ListenerStatus> {
    let status = |address: &std::net::SocketAddr, tls: bool| ListenerStatus {
        address: address.to_string(),
        tls,
        exposed: !tls && !address.ip().is_loopback(),
    };
    let plain = config.http.listen.iter().map(|address| status(address, false));
    let secure = config.tls.listen.iter().filter(|_| has_papers);
    plain.chain(secure.map(|address| status(address, true))).collect()
}

/// What browsers may, as configured.
pub(super) fn gate(config: &Config, access: &Access) -> Gate {
    let domain = Some(config.tls.domain.clone()).filter(|domain| !domain.is_empty());
    Gate::new(&config.browser.origins, config.browser.hosts.iter().cloned().chain(domain))
        .beside(access.next_door())
}

/// The customer's certificate: files are looked at again and again; what head office sends comes by the role.
pub(super) fn customer(config: &Config, supervisor: &Supervisor) -> Option<Customer> {
    let tls = &config.tls;
    if tls.domain.is_empty() {
        return None;
    }
    if tls.certificate_file.as_os_str().is_empty() {
        return Some(Customer::new(tls.domain.clone(), None));
    }
    let files = (tls.certificate_file.clone(), tls.key_file.clone());
    let customer = Customer::new(tls.domain.clone(), Some(files));
    refresh(&customer);
    let looked_at = customer.clone();
    supervisor
        .spawn("customer certificate", Policy::Restart, move |stop| look(looked_at.clone(), stop));
    Some(customer)
}

async fn look(
    customer: Customer,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let customer = customer.clone();
        beside(move || refresh(&customer)).await;
    }
    Ok(())
}

fn refresh(customer: &Customer) {
    match customer.refresh() {
        Ok(true) => tracing::info!(domain = customer.domain(), "the certificate is in force"),
        Ok(false) => {}
        Err(error) => {
            let error = logging::chain(&error);
            tracing::warn!(error, domain = customer.domain(), "the certificate is not in force");
        }
    }
}
