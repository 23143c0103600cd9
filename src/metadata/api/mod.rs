//! The requests of the Metadata API, and what their responses mean. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `request` | each request, and its HTTP form |
//! | `response` | from a status and a body to a typed answer |
//! | `conf_text` | the text form of `/conf`, searched for a key |
//! | `instance` | the Instance as `/conf` describes it |
//! | `owner_data` | the tags and account keys in `/conf` |
//! | `state_detail` | the state that the Instance tells the platform |
//! | `instance_details` | the complete description of the Instance, for the commands that show it |
//! | `user_data_key` | the validated name of a user data key |
//! | `refusal` | responses that refuse the request or cannot be used |

pub(crate) mod conf_text;
pub(crate) mod instance;
pub(crate) mod instance_details;
pub(crate) mod owner_data;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod state_detail;
pub(crate) mod user_data_key;
