//! What the runner waits for before the first script of a boot, each with a timeout.
//!
//! | module | what it does |
//! |---|---|
//! | `preparation` | waits once per boot, when the first script is due |
//! | `network`, `resolver` | wait for the network: network-online.target, or a default route and a resolver that answers |
//! | `apt` | keeps apt's daily job from running at the same time as scripts |

pub(crate) mod apt;
pub(crate) mod network;
pub(crate) mod preparation;
pub(crate) mod resolver;
