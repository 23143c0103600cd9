//! The options of a stand-in. They are plain data: this module opens no file and no socket.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::faults::Order;
use crate::platform::Rights;

/// The options of a stand-in.
#[derive(Debug, Clone)]
pub struct Options {
    /// The addresses to listen on. Each must exist. Port 0 means any free port.
    pub listen: Vec<SocketAddr>,
    /// The document of `/conf`.
    pub conf: Value,
    /// The user data at the start: keys and values, both as bytes.
    pub user_data: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The answer to `/vendor_data/cloud-init`; `None` means 404.
    pub vendor_data: Option<Vec<u8>>,
    /// The faults to make.
    pub orders: Vec<Order>,
    /// How long a connection may be idle before the server closes it.
    pub keep_alive: Duration,
    /// The behaviour to choose where sources report two different ones.
    pub dialect: Dialect,
    /// The public API, if it is to be served, too.
    pub public_api: Option<PublicApi>,
    /// A file that gets one line of JSON per request.
    pub record: Option<PathBuf>,
    /// The path of the control socket.
    pub control: Option<PathBuf>,
}

impl Default for Options {
    /// Listens on both real addresses, with the fixture as `/conf`, without user data and faults.
    fn default() -> Self {
        Options {
            listen: vec![
                SocketAddr::from((Ipv4Addr::new(169, 254, 42, 42), 80)),
                SocketAddr::from((Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 80)),
            ],
            conf: fixture(),
            user_data: BTreeMap::new(),
            vendor_data: None,
            orders: Vec::new(),
            keep_alive: Duration::from_secs(5),
            dialect: Dialect::default(),
            public_api: None,
            record: None,
            control: None,
        }
    }
}

/// The options of the public API.
#[derive(Debug, Clone)]
pub struct PublicApi {
    /// The address to listen on, with TLS. Port 0 means any free port.
    pub listen: SocketAddr,
    /// A file that gets the certificate of the authority, as PEM.
    pub authority: Option<PathBuf>,
    /// The secret keys, besides [`OWNER_TOKEN`](crate::OWNER_TOKEN), and what each permits.
    pub tokens: BTreeMap<String, Rights>,
}

/// The `/conf` document of a small Instance in zone nl-ams-1.
pub fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/conf.json")).expect("the fixture is valid JSON")
}

/// The behaviour to choose where sources report two different ones. The default is the documented one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialect {
    /// The answer to a source port of 1024 or more where a lower one is required.
    pub high_port: HighPort,
    /// The answer to a PATCH of user data.
    pub patch: PatchStatus,
    /// The answer to a GET of user data that is set, but empty.
    pub empty: EmptyValue,
}

/// The answer to a source port of 1024 or more where a lower one is required.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HighPort {
    /// 403 with the documented sentence as body.
    #[default]
    Forbidden,
    /// 400 `invalid argument(s)`, according to a newer report.
    InvalidArgument,
}

/// The answer to a PATCH of user data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PatchStatus {
    /// 204.
    #[default]
    NoContent,
    /// 200, as older servers answer.
    Ok,
}

/// The answer to a GET of user data that is set, but empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmptyValue {
    /// 200 with an empty body.
    #[default]
    Ok,
    /// 204.
    NoContent,
}
