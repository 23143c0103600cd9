//! The requests of the Metadata API, and what their responses mean. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `request` | each request, and its HTTP form |
//! | `response` | from a status and a body to a typed answer |
//! | `instance` | the Instance as `/conf` describes it |
//! | `user_data_key` | the validated name of a user data key |
//! | `refusal` | responses that refuse the request or cannot be used |

pub(crate) mod instance;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod user_data_key;
