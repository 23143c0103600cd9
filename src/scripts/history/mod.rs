//! What the agent stores about the runs of scripts.
//!
//! | module | what it does |
//! |---|---|
//! | `record`, `record_name` | the runs of a script, one file per script (invariants S1, S2, D1) |
//! | `value_rules` | how the values of the key `cloud-init` were read, so that an upgrade runs no part of them (invariant S4) |
//! | `summary` | the scripts of this boot and their outcomes; everybody may read it |
//! | `running` | the script that runs now |

pub(crate) mod record;
pub(crate) mod record_name;
pub(crate) mod running;
pub(crate) mod summary;
pub(crate) mod value_rules;
