//! Rules between definitions, each checked when they are imported and again wherever they are used.

use std::fmt;

use super::roster::Estate;
use super::server::Server;
use super::service::{Concern, TRANSACTIONS};

/// Findings that are listed.
const FINDINGS_MAX: usize = 20;

/// A rule of the estate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A record is what its model says.
    Malformed,
    /// The preference for several servers holds for the whole system (SRC-02).
    Enablement,
    /// Each service of transactions has exactly one authoritative main server (SRC-07).
    SingleMain,
    /// Organisations form a tree (SRC-23).
    Tree,
    /// New customers and tickets go to the same servers (SRC-32).
    CustomersWithTickets,
    /// A cash-up goes only where all of its tickets go (SRC-33).
    CashUpsWithTickets,
    /// Two servers can be told apart.
    Names,
    /// A store has one excerpt of masterdata at most (MDR-47).
    Excerpts,
}

impl Rule {
    /// The name that a person finds it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "definition",
            Self::Enablement => "SRC-02 enablement at system level",
            Self::SingleMain => "SRC-07 one authoritative main server",
            Self::Tree => "SRC-23 organisation tree",
            Self::CustomersWithTickets => "SRC-32 customers and tickets to the same servers",
            Self::CashUpsWithTickets => "SRC-33 cash-ups only where their tickets are",
            Self::Names => "names of servers",
            Self::Excerpts => "MDR-47 one excerpt for each store",
        }
    }
}

/// A rule that definitions break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// Where.
    pub subject: String,
    /// How.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {:?}: {}: {}", self.rule.as_str(), self.subject, self.detail)
    }
}

impl Estate {
    /// The rules that the definitions break, for every organisation.
    pub fn lint(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.is_multi_server() {
            return findings;
        }
        for pair in self.servers.windows(2).filter(|pair| pair[0].name == pair[1].name) {
            let detail = format!("two servers are called {:?}", pair[0].name);
            let subject = format!("Server {}", pair[1].id);
            findings.push(Finding { rule: Rule::Names, subject, detail });
        }
        let mut organisations: Vec<Option<&str>> = self.organisations.all().map(Some).collect();
        if organisations.is_empty() {
            organisations.push(None);
        }
        for organisation in organisations {
            self.check(organisation, &mut findings);
            if findings.len() >= FINDINGS_MAX {
                findings.truncate(FINDINGS_MAX);
                break;
            }
        }
        findings
    }

    /// The rules for one organisation; one that has no server has nothing that could break them.
    fn check(&self, organisation: Option<&str>, findings: &mut Vec<Finding>) {
        let servers: Vec<&Server> =
            self.servers.iter().filter(|server| self.serves(server, organisation)).collect();
        if servers.is_empty() {
            return;
        }
        let subject = organisation.map_or("all organisations".to_owned(), |organisation| {
            format!("Organization {organisation}")
        });
        let mut find = |rule: Rule, detail: String| {
            findings.push(Finding { rule, subject: subject.clone(), detail });
        };
        for (service, _) in TRANSACTIONS.iter().chain([&("v1/transactions", Concern::Tickets)]) {
            let taking = servers.iter().filter(|server| self.offers(server, service));
            let (mains, others): (Vec<&&Server>, Vec<&&Server>) =
                taking.partition(|server| server.is_main());
            if mains.len() != 1 && !(mains.is_empty() && others.is_empty()) {
                let names: Vec<_> = mains.iter().map(|server| server.name.as_str()).collect();
                let count = names.len();
                find(Rule::SingleMain, format!("{service} has {count} main servers {names:?}"));
            }
        }
        let of = |concern: Concern| {
            let names = TRANSACTIONS.iter().filter(move |(_, of)| *of == concern);
            names.map(|(service, _)| {
                let taking = servers.iter().filter(|server| self.offers(server, service));
                (*service, taking.map(|server| server.name.as_str()).collect::<Vec<_>>())
            })
        };
        let Some((_, tickets)) = of(Concern::Tickets).next() else { return };
        for (service, customers) in of(Concern::Customers) {
            if customers != tickets {
                let detail = format!("{service} goes to {customers:?}, tickets to {tickets:?}");
                find(Rule::CustomersWithTickets, detail);
            }
        }
        for (service, cash_ups) in of(Concern::CashUps) {
            if let Some(server) = cash_ups.iter().find(|server| !tickets.contains(server)) {
                let detail = format!("{service} goes to {server:?}, which does not get tickets");
                find(Rule::CashUpsWithTickets, detail);
            }
        }
    }
}
