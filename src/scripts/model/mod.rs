//! What a script is: its key, its settings, and the checks of its value. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `script` | the script kinds and their keys; checks a value before it can run |
//! | `header` | the settings in a script's first comment lines |
//! | `settings` | the settings in force: from the script header, else from the configuration |
//! | `wrong_form` | values that are not a script: base64, UTF-16, gzip, and others |
//! | `warnings` | likely mistakes in a script that can run |
//! | `likely_key` | user data keys that look like the key of a script |

pub(crate) mod header;
pub(crate) mod likely_key;
pub(crate) mod script;
pub(crate) mod settings;
pub(crate) mod warnings;
pub(crate) mod wrong_form;
