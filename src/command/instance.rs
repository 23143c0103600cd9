//! `scw-agent instance` and `scw-agent volumes`: ask for the description of the Instance, add what this machine knows about it, and print it.
//!
//! Any user may ask: the service answers this request from any source port. Only root is shown the tags, because they can be secrets.

use std::path::Path;

use nix::unistd::geteuid;
use serde::Serialize;
use serde_json::Value;

use crate::command::exit::Exit;
use crate::command::help::AGENT;
use crate::command::process::{block_on, print_json, print_rows};
use crate::command::rows::colours_wanted;
use crate::command::{instance_view, volumes_view};
use crate::local_api;
use crate::local_api::metadata_access::MetadataAccess;
use crate::metadata::api::instance_details::{InstanceDetails, Volume};
use crate::metadata::api::response::Ask;
use crate::metadata::error::MetadataError;
use crate::metadata::retry::backoff::Budget;
use crate::metadata::retry::retrying::Retrying;
use crate::settings::sources::Sources;
use crate::settings::{self, Settings};
use crate::system::interfaces;
use crate::volumes::read_disks;
use crate::volumes::report::report;

/// The folder with /sys, /dev, /run and /proc.
const ROOT: &str = "/";

/// The document of `scw-agent instance --json`.
#[derive(Serialize)]
struct InstanceReport {
    version: u32,
    #[serde(flatten)]
    details: InstanceDetails,
}

/// Prints the description of the Instance.
pub(crate) fn instance(json: bool) -> Exit {
    with_conf(&|conf| {
        let mut details = match conf {
            Ok(conf) => InstanceDetails::of_document(&conf),
            Err(why) => return AGENT.fail(&why, why.kind().into()),
        };
        for nic in &mut details.private_nics {
            let address = nic.mac_address.as_deref().unwrap_or_default();
            nic.interfaces = interfaces::with_mac_address(Path::new(ROOT), address);
        }
        if !geteuid().is_root() {
            details.tags = None;
        }
        if json {
            print_document(&InstanceReport { version: 1, details })
        } else {
            print_rows(&instance_view::rows(&details))
        }
    })
}

/// Prints the volumes and their disks. Without the metadata service it prints the disks, and still fails.
pub(crate) fn volumes(json: bool) -> Exit {
    with_conf(&|conf| {
        let failure = conf.as_ref().err().map(|why| AGENT.fail(why, why.kind().into()));
        let volumes = conf.map(|conf| Volume::of_document(&conf)).map_err(|why| why.to_string());
        let disks = read_disks::disks(Path::new(ROOT));
        let report = report(volumes, &disks);
        let printed = if json {
            print_document(&report)
        } else {
            print_rows(&volumes_view::rows(&report, colours_wanted()))
        };
        printed.or(failure.unwrap_or(Exit::Success))
    })
}

/// Gets the document about the Instance and calls `then` with it.
fn with_conf(then: &dyn Fn(Result<Value, MetadataError>) -> Exit) -> Exit {
    let Settings { limits, vendor, .. } = settings::load(&Sources::default()).settings;
    block_on(async {
        let access = MetadataAccess::open_as_any_user(Path::new(local_api::SOCKET), &limits, &vendor).await;
        let access = match access {
            Ok(access) => access,
            Err(why) => return then(Err(why.into())),
        };
        let mut api = Retrying::new(access, Budget::COMMAND);
        let conf = api.conf().await;
        api.into_inner().finish().await;
        then(conf)
    })
}

fn print_document(document: &impl Serialize) -> Exit {
    print_json(&serde_json::to_string_pretty(document).unwrap_or_default())
}
