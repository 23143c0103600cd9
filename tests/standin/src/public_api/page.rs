//! Pages of lists. The Instance API v1 has the total in a header; all newer APIs have it in the document.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::request::Request;
use crate::http::Answer;

/// One page of a list.
struct Page {
    number: usize,
    size: usize,
}

impl Page {
    fn of(request: &Request<'_>, size_name: &str) -> Result<Page, ApiError> {
        let number = |name: &str, default: usize, permitted: std::ops::RangeInclusive<usize>| {
            let Some(text) = request.parameter(name) else { return Ok(default) };
            let parsed = text.parse().ok().filter(|number| permitted.contains(number));
            parsed.ok_or_else(|| ApiError::constraint(name, format!("from {} on", permitted.start())))
        };
        Ok(Page { number: number("page", 1, 1..=1_000_000)?, size: number(size_name, 50, 1..=100)? })
    }

    fn cut<T>(&self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip((self.number - 1) * self.size).take(self.size).collect()
    }
}

/// A list of the Instance API v1: `{"NAME": [item, …]}`, with `X-Total-Count` and `Link`.
pub(super) fn v1_list(request: &Request<'_>, name: &str, items: Vec<Value>) -> Result<Answer, ApiError> {
    v1(request, name, items, Value::Array)
}

/// The same for an object whose keys are names.
pub(super) fn v1_object(
    request: &Request<'_>,
    name: &str,
    items: Vec<(String, Value)>,
) -> Result<Answer, ApiError> {
    v1(request, name, items, |items| Value::Object(Map::from_iter(items)))
}

fn v1<T>(
    request: &Request<'_>,
    name: &str,
    items: Vec<T>,
    document: impl Fn(Vec<T>) -> Value,
) -> Result<Answer, ApiError> {
    let page = Page::of(request, "per_page")?;
    let total = items.len();
    let last = total.div_ceil(page.size).max(1);
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let others = request.query.iter().filter(|(name, _)| name != "page" && name != "per_page");
    let filters: String = others.map(|(name, value)| format!("{name}={}&", encoded(value))).collect();
    let link = |number: usize, relation: &str| {
        format!("<{}?{filters}page={number}&per_page={}>; rel=\"{relation}\"", request.path, page.size)
    };
    let mut links = vec![link(last, "last")];
    if page.number < last {
        links.insert(0, link(page.number + 1, "next"));
    }
    let answer = Answer::json(&json!({ name: document(page.cut(items)) }));
    Ok(answer.with("X-Total-Count", total.to_string()).with("Link", links.join(", ")))
}

/// A list of a newer API: `{"NAME": [item, …], "total_count": n}`.
pub(super) fn list(request: &Request<'_>, name: &str, items: Vec<Value>) -> Result<Answer, ApiError> {
    let page = Page::of(request, "page_size")?;
    let total = items.len();
    Ok(Answer::json(&json!({ name: page.cut(items), "total_count": total })))
}
