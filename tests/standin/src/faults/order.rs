//! Orders, and the file format for a list of orders. The file, the control socket and the library use the same type.

use std::fmt;

use serde::Deserialize;

use super::fault::Fault;
use super::pattern::{Family, Nth, PathPattern};

/// An order to make a fault, with its conditions. The first matching order applies. After a `delay`, a later matching order applies,
/// too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    #[serde(default)]
    pub(super) path: PathPattern,
    pub(super) method: Option<String>,
    pub(super) family: Option<Family>,
    #[serde(default)]
    pub(super) nth: Nth,
    pub(super) fault: Fault,
}

impl Order {
    /// An order for every request (or connection).
    pub fn new(fault: Fault) -> Order {
        Order { path: PathPattern::default(), method: None, family: None, nth: Nth::default(), fault }
    }

    /// Only for this path: exact, or with a trailing `*`. Panics on a pattern that is neither.
    pub fn path(mut self, pattern: &str) -> Order {
        self.path = PathPattern::try_from(pattern.to_owned()).expect("a valid path pattern");
        self
    }

    /// Only for this method.
    pub fn method(mut self, method: &str) -> Order {
        self.method = Some(method.to_owned());
        self
    }

    /// Only for connections of this address family.
    pub fn family(mut self, family: Family) -> Order {
        self.family = Some(family);
        self
    }

    /// Only for these of the matching requests: `"2"`, `"1-3"` or `"4-"`. Panics on anything else.
    pub fn nth(mut self, nth: &str) -> Order {
        self.nth = Nth::try_from(nth.to_owned()).expect("a valid nth");
        self
    }

    /// Reads an order file: TOML with one `[[order]]` table per order.
    pub fn parse_all(text: &str) -> Result<Vec<Order>, OrderError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            order: Vec<Order>,
        }
        let file: File = toml::from_str(text).map_err(OrderError::Syntax)?;
        check_all(&file.order)?;
        Ok(file.order)
    }

    /// Checks that the parts of the order do not contradict each other.
    fn check(&self) -> Result<(), &'static str> {
        let has_request_conditions = self.path != PathPattern::default() || self.method.is_some();
        if self.fault.is_on_connect() && has_request_conditions {
            return Err("a fault on connect happens before any request: it takes no path and no method");
        }
        if self.fault == Fault::Refuse && self.nth != Nth::default() {
            return Err("refused connections cannot be counted: `refuse` takes no nth");
        }
        let is_upper = |method: &String| method.bytes().all(|b| b.is_ascii_uppercase());
        if !self.method.as_ref().is_none_or(is_upper) {
            return Err("a method is written in upper case");
        }
        match &self.fault {
            Fault::Status { code, .. } if !(200..600).contains(code) => {
                Err("a status code is between 200 and 599")
            }
            Fault::Slow { bytes: 0, .. } => Err("`slow` needs at least one byte at a time"),
            _ => Ok(()),
        }
    }
}

/// Checks orders from the file, the control socket or the library.
pub(crate) fn check_all(orders: &[Order]) -> Result<(), OrderError> {
    for (index, order) in orders.iter().enumerate() {
        order.check().map_err(|reason| OrderError::Contradiction { number: index + 1, reason })?;
    }
    Ok(())
}

/// The reason why orders were refused.
#[derive(Debug)]
pub enum OrderError {
    /// The file is not valid TOML, or has an unknown field or value.
    Syntax(toml::de::Error),
    /// An order whose parts contradict each other.
    Contradiction {
        /// The number of the order, from 1.
        number: usize,
        /// The contradiction.
        reason: &'static str,
    },
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrderError::Syntax(error) => write!(f, "{error}"),
            OrderError::Contradiction { number, reason } => write!(f, "order {number}: {reason}"),
        }
    }
}

impl std::error::Error for OrderError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::RetryAfter;
    use std::collections::BTreeSet;

    const README: &str = include_str!("../../README.md");

    #[test]
    fn readme_example_is_a_valid_order_file() {
        let example = README.split("```").nth(1).and_then(|block| block.strip_prefix("toml")).unwrap();
        let orders = Order::parse_all(example).unwrap();
        let fault = Fault::Status {
            code: 503,
            body: "busy".to_owned(),
            retry_after: Some(RetryAfter::Seconds(2)),
            location: None,
        };
        let first = Order::new(fault).path("/user_data/*").method("PATCH").nth("1-2");
        assert_eq!(orders, [first, Order::new(Fault::Refuse).family(Family::Ipv6)]);
    }

    #[test]
    fn readme_names_every_fault_correctly() {
        let cells = README.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
        let mut names = BTreeSet::new();
        for written in cells.flat_map(|cell| cell.split('`').step_by(2)).filter(|part| part.contains("fault"))
        {
            let orders = Order::parse_all(&format!("[[order]]\n{written}\n")).expect(written);
            let name = orders[0].fault.name();
            assert!(written.contains(name), "{name} for {written}");
            names.insert(name);
        }
        assert_eq!(names.len(), 24, "{names:?}");
    }

    #[test]
    fn retry_after_can_be_a_date() {
        let text =
            "[[order]]\nfault.status = { code = 429, retry_after = \"Fri, 31 Dec 1999 23:59:59 GMT\" }";
        let Fault::Status { retry_after, .. } = &Order::parse_all(text).unwrap()[0].fault else {
            panic!("another fault");
        };
        assert_eq!(retry_after.as_ref().unwrap().to_string(), "Fri, 31 Dec 1999 23:59:59 GMT");
    }

    #[test]
    fn invalid_order_file_is_refused_with_its_line() {
        for (order, line) in [
            ("fault = \"dorp\"", "line 2"),
            ("fault.delay = { seconds = 1 }", "line 2"),
            ("fault = \"delay\"", "line 2"),
            ("path = \"/conf\"", "line 1"),
            ("fault = \"drop\"\nnth = \"0\"", "line 3"),
            ("fault = \"drop\"\npath = \"conf\"", "line 3"),
            ("fault = \"drop\"\nfamily = \"ipv5\"", "line 3"),
            ("fault = \"drop\"\nport = 80", "line 3"),
        ] {
            let error = Order::parse_all(&format!("[[order]]\n{order}\n")).unwrap_err().to_string();
            assert!(error.contains(line), "{order}: {error}");
        }
        assert_eq!(Order::parse_all("").unwrap(), []);
    }
}
