//! What to do about the state of a key. Pure.

use super::inspect::KeyState;

/// The one thing to do for one type of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the key is good.
    Keep,
    /// Make a key: there is none, or what is there can be none (law H1).
    Make,
    /// Derive the public key from the private one again, which stays (law H2).
    DerivePublicKey,
    /// Nothing, and say so: what is there cannot be judged (law H1: unknown is not new).
    LeaveAlone,
}

/// Decides.
pub fn action(state: &KeyState) -> Action {
    match state {
        KeyState::Good => Action::Keep,
        KeyState::Missing | KeyState::Empty => Action::Make,
        KeyState::NoPublicKey => Action::DerivePublicKey,
        KeyState::Unreadable(_) => Action::LeaveAlone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_a_key_is_made_only_where_there_is_none() {
        let unreadable = KeyState::Unreadable(std::io::ErrorKind::PermissionDenied.into());
        for (state, expected) in [
            (KeyState::Missing, Action::Make),
            (KeyState::Empty, Action::Make),
            (KeyState::Good, Action::Keep),
            (KeyState::NoPublicKey, Action::DerivePublicKey),
            (unreadable, Action::LeaveAlone),
        ] {
            assert_eq!(action(&state), expected, "{state:?}");
        }
    }
}
