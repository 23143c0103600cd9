//! The public API of the platform, as a pure function: from a request and the data to an answer. It knows neither sockets nor faults.
//!
//! | module | what it has |
//! |---|---|
//! | `routes` | the table of paths and methods, and the check of the token |
//! | `request`, `error`, `page` | a request's parts, the documents of errors, pages of lists |
//! | `account` | the data: Instances, addresses, volumes, groups, tokens |
//! | `servers`, `actions`, `new_server`, `new_volumes` | Instances: lists and changes, actions, creation and its volumes |
//! | `user_data` | user data in both versions of the API |
//! | `addresses` | public addresses, private NICs, IPAM |
//! | `placement_groups`, `block` | placement groups, block volumes |
//! | `catalogue` | products, and local images of the marketplace |
//! | `documents` | the JSON documents of an Instance |

mod account;
mod actions;
mod addresses;
mod block;
mod catalogue;
mod documents;
mod error;
mod new_server;
mod new_volumes;
mod page;
mod placement_groups;
mod request;
mod routes;
mod servers;
mod user_data;

pub(crate) use account::{Account, Server};
pub use account::{OWNER_TOKEN, Rights};
pub(crate) use documents::{conf_of_server, server_of_conf};
pub(crate) use routes::answer;

#[cfg(test)]
mod tests;
