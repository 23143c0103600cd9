//! What the first script of a boot waits for, within bounds.
//!
//! | module | what it does |
//! |---|---|
//! | `preparation` | waits once, when the first script is due |
//! | `network`, `resolver` | the network: network-online.target, or a default route and a resolver that answers |
//! | `apt` | keeps apt's daily job away from scripts |

pub(crate) mod apt;
pub(crate) mod network;
pub(crate) mod preparation;
pub(crate) mod resolver;
