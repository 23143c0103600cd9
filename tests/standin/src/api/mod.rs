//! The Metadata API itself, pure: a request and the data go in, an answer comes out. No sockets, no faults.

mod routes;
mod text_form;

pub(crate) use routes::{Call, World, answer};
