//! What can be asked of the service, and what an answer means. Pure.
//!
//! | module | what it does |
//! |---|---|
//! | `request` | each question, and how it is written in HTTP |
//! | `response` | from a status and a body to a typed answer |
//! | `instance` | the Instance as `/conf` describes it |
//! | `user_data_key` | the checked name of a user data key |
//! | `refusal` | the statuses that refuse |

pub(crate) mod instance;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod user_data_key;
