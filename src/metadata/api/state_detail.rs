//! The state that an Instance tells the platform about itself (`PATCH /state`).

use std::fmt;

use hyper::body::Bytes;
use serde::Deserialize;
use thiserror::Error;

/// A state: `booted`, or another word.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StateDetail(String);

/// The text is no state.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("a state is a word of at most 64 letters, digits, spaces, `_`, `-` and `.`, such as `booted`")]
pub struct NotAState;

/// The body of the request.
#[derive(Deserialize)]
struct Body {
    state_detail: StateDetail,
}

impl StateDetail {
    /// A state with this text.
    pub fn new(text: &str) -> Result<Self, NotAState> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
        let is_state = !text.trim().is_empty() && text.len() <= 64 && text.chars().all(is_allowed);
        if is_state { Ok(Self(text.to_owned())) } else { Err(NotAState) }
    }

    /// The body of the request that sets the state.
    pub(crate) fn to_body(&self) -> Bytes {
        // Its characters need no escape in JSON.
        format!("{{\"state_detail\":\"{}\"}}", self.0).into()
    }

    /// The state in the body of a request.
    pub(crate) fn from_body(body: &[u8]) -> Result<Self, NotAState> {
        serde_json::from_slice::<Body>(body).map(|body| body.state_detail).map_err(|_| NotAState)
    }
}

impl TryFrom<String> for StateDetail {
    type Error = NotAState;

    fn try_from(text: String) -> Result<Self, NotAState> {
        Self::new(&text)
    }
}

impl fmt::Display for StateDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_a_short_plain_word() {
        for good in ["booted", "booting kernel", "a-b_c.d 1"] {
            let state = StateDetail::new(good).expect(good);
            assert_eq!(StateDetail::from_body(&state.to_body()), Ok(state));
        }
        for bad in ["", " ", "a\"b", "a\nb", "é", &"x".repeat(65)] {
            assert_eq!(StateDetail::new(bad), Err(NotAState), "{bad}");
        }
        for bad in [&b"{}"[..], b"", b"booted", br#"{"state_detail":""}"#, br#"{"state_detail":1}"#] {
            assert_eq!(StateDetail::from_body(bad), Err(NotAState));
        }
    }
}
