//! The reasons of contradictions, and who records them; the statuses, as arguments.

use admin_api::contradiction::Wants;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use events::ContradictionReason;
use order_service::store::contradictions::Reason as OrderReason;

use crate::admin::AdminClient;

/// A reason of either service.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    Ingress(ContradictionReason),
    OrderService(OrderReason),
}

impl Reason {
    /// The name in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingress(reason) => reason.as_str(),
            Self::OrderService(reason) => reason.as_str(),
        }
    }

    /// Whether this service records contradictions of this reason.
    pub(super) fn is_known_to(self, service: &AdminClient) -> bool {
        service.service()
            == match self {
                Self::Ingress(_) => "ingress",
                Self::OrderService(_) => "order-service",
            }
    }

    fn all() -> impl Iterator<Item = Self> {
        let at_the_ingress = ContradictionReason::ALL.into_iter().map(Self::Ingress);
        at_the_ingress.chain(OrderReason::ALL.into_iter().map(Self::OrderService))
    }
}

/// Reads a reason.
pub(super) fn parser() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::all().map(Reason::name)).try_map(|given: String| {
        Reason::all().find(|reason| reason.name() == given).ok_or("expected a reason")
    })
}

const STATUSES: [Wants; 3] = [Wants::Open, Wants::Resolved, Wants::All];

/// The name of a status.
pub(super) const fn status_name(status: Wants) -> &'static str {
    match status {
        Wants::Open => "open",
        Wants::Resolved => "resolved",
        Wants::All => "all",
    }
}

/// Reads a status.
pub(super) fn status() -> impl TypedValueParser<Value = Wants> {
    PossibleValuesParser::new(STATUSES.map(status_name)).try_map(|given: String| {
        STATUSES.into_iter().find(|status| status_name(*status) == given).ok_or("expected a status")
    })
}
