//! The public API of the platform, as a pure function: from a request and the data to an answer. It knows neither sockets nor faults.
//!
//! | module | what it has |
//! |---|---|
//! | `routes` | the table of paths and methods, and the check of the token |
//! | `request`, `error`, `page`, `find` | a request's parts, the documents of errors, pages of lists, resources by their ids |
//! | `servers`, `actions`, `new_server`, `new_volumes` | Instances: lists and changes, actions, creation and its volumes |
//! | `attachment` | volumes that are attached to an Instance and detached from it |
//! | `user_data` | user data in both versions of the API |
//! | `addresses` | public addresses, private NICs, IPAM |
//! | `placement_groups`, `block` | placement groups, block volumes |
//! | `catalogue` | products, and local images of the marketplace |

mod actions;
mod addresses;
mod attachment;
mod block;
mod catalogue;
mod error;
mod find;
mod new_server;
mod new_volumes;
mod page;
mod placement_groups;
mod request;
mod routes;
mod servers;
mod user_data;

pub(crate) use routes::answer;

#[cfg(test)]
mod tests;
