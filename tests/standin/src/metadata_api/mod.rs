//! The Metadata API itself, as a pure function: from a request and the data to an answer. It knows neither sockets nor faults.

mod routes;
mod text_form;

pub(crate) use routes::{Call, answer};
