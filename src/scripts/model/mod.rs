//! What a script is. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `script` | which keys are scripts, and what a value must be to run |
//! | `header` | the settings in a script's first comment lines |
//! | `policy` | the settings that are in force: the header's, else the configuration's |
//! | `wrong_form` | values that are no script: base64, UTF-16, gzip, … |
//! | `warnings`, `likely_key` | likely mistakes in a script, or in the name of its key |

pub(crate) mod header;
pub(crate) mod likely_key;
pub(crate) mod policy;
pub(crate) mod script;
pub(crate) mod warnings;
pub(crate) mod wrong_form;
