//! The orders in force, and how often each has matched. This module only decides; other modules make the faults.

use std::net::SocketAddr;
use std::time::Duration;

use super::fault::Fault;
use super::order::Order;
use super::pattern::Family;

/// The orders in force. Each order counts every request that meets its conditions, even if an earlier order applies to that request.
/// So `nth` does not depend on an order's position.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: Vec<(Order, u64)>,
}

/// The decision about a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How long to wait before the answer.
    pub(crate) delay: Duration,
    /// The fault to make, never a `delay`.
    pub(crate) fault: Option<Fault>,
    /// The names of delay and fault, joined by `+`.
    pub(crate) name: Option<String>,
}

/// The parts of a request that conditions use. Without method and target it is a new connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) local: SocketAddr,
    pub(crate) request: Option<(&'a str, &'a str)>,
}

impl Book {
    /// A book with these orders, whose counters are 0.
    pub(crate) fn new(orders: Vec<Order>) -> Book {
        Book { entries: orders.into_iter().map(|order| (order, 0)).collect() }
    }

    /// Whether connections to this address must be refused.
    pub(crate) fn refuses(&self, local: SocketAddr) -> bool {
        let family = Family::of(local);
        let refuses =
            |order: &Order| order.fault == Fault::Refuse && order.family.is_none_or(|f| f == family);
        self.entries.iter().any(|(order, _)| refuses(order))
    }

    /// Counts a request (or connection), and decides what happens to it.
    pub(crate) fn judge(&mut self, seen: Seen<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut names = Vec::new();
        for (order, count) in &mut self.entries {
            if !is_met(order, seen) {
                continue;
            }
            *count += 1;
            if verdict.fault.is_some() || !order.nth.contains(*count) {
                continue;
            }
            names.push(order.fault.name());
            match &order.fault {
                Fault::Delay { ms } => verdict.delay += Duration::from_millis(*ms),
                fault => verdict.fault = Some(fault.clone()),
            }
        }
        verdict.name = (!names.is_empty()).then(|| names.join("+"));
        verdict
    }
}

fn is_met(order: &Order, seen: Seen<'_>) -> bool {
    order.family.is_none_or(|family| family == Family::of(seen.local))
        && match seen.request {
            None => order.fault.is_on_connect(),
            Some((method, target)) => {
                !order.fault.is_on_connect()
                    && order.method.as_deref().is_none_or(|m| m == method)
                    && order.path.matches(target)
            }
        }
}
