//! A host that a person named: its effective configuration, and the Instance that it is. A name that does not resolve may be
//! that of an Instance, if only one has it; nothing is trusted by it.

use std::net::IpAddr;
use std::time::Duration;

use super::exit::Exit;
use super::say;
use crate::api::error::ApiError;
use crate::api::ids::{Id, Zone};
use crate::credentials::load::{Credentials, credentials};
use crate::instances::list::{InstanceList, is_private};
use crate::instances::store;
use crate::search::find::{Everything, Findings, Found, Search};
use crate::search::unknown::{Unknown, label, label_known};
use crate::ssh::call::Target;
use crate::ssh::programs::{self, Effective, ProgramError};
use crate::util::deadline::Deadline;

/// For all requests of a look-up.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A host, and the Instance that it is.
pub(super) struct LookedUp {
    pub(super) target: Target,
    pub(super) found: Found,
    /// Where its SSH server is.
    pub(super) server: (String, u16),
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookUpError {
    #[error("{0}")]
    Program(#[from] ProgramError),
    #[error("{0}")]
    Unknown(#[from] Unknown),
    #[error("several Instances have this name: {0}; give the id of one")]
    Namesakes(String),
}

impl From<&LookUpError> for Exit {
    fn from(error: &LookUpError) -> Self {
        match error {
            LookUpError::Program(ProgramError::NoKey { .. }) => Exit::Unreachable,
            LookUpError::Program(_) | LookUpError::Namesakes(_) => Exit::Failure,
            LookUpError::Unknown(unknown) => unknown.into(),
        }
    }
}

/// Looks the host up, after it brought the local list up to date.
pub(super) fn look_up(host: &str) -> Result<LookedUp, LookUpError> {
    let credentials = credentials().map_err(Unknown::from)?;
    let (list, failed) = refresh(&credentials);
    let effective = match programs::effective(host) {
        // A name with a space is one of an Instance, but none of a host.
        Err(ProgramError::Configuration) => {
            Effective { host: host.to_owned(), port: 22, ..Effective::default() }
        }
        effective => effective?,
    };
    let target = effective.target(host);
    let search = Search::new(&credentials, list, Deadline::after(LIMIT));
    let found = match Id::parse(host) {
        Some(id) => search.find(&Target { alias: Some(id.to_string()), ..target.clone() }),
        None => search.find(&target),
    };
    let found = match found {
        Ok(Findings { doubt: Some(doubt), .. }) => return Err(doubt.into()),
        Ok(Findings { found, .. }) => found.into_iter().next().ok_or(Unknown::NotResolved)?,
        Err(error @ (Unknown::NotResolved | Unknown::NoInstance(_))) => {
            by_name(&search, host, error, failed)?
        }
        Err(error) => return Err(error.into()),
    };
    let is_reachable =
        |host: &str| host.parse::<IpAddr>().is_ok() || effective.host != host || host.contains('.');
    let server = if is_reachable(host) && Id::parse(host).is_none() {
        effective.host.clone()
    } else {
        let public = found.instance.addresses.iter().find(|address| !is_private(**address));
        public.map_or(effective.host.clone(), IpAddr::to_string)
    };
    Ok(LookedUp { target, found, server: (server, effective.port) })
}

/// The Instance with exactly this name.
fn by_name(
    search: &Search,
    name: &str,
    otherwise: Unknown,
    failed: Vec<(Zone, ApiError)>,
) -> Result<Found, LookUpError> {
    let named: Vec<_> = search.list.named(name).collect();
    match named.as_slice() {
        [] => Err(failed.into_iter().next().map_or(otherwise, |(_, error)| error.into()).into()),
        [known] => {
            let target =
                Target { host: String::new(), typed: name.to_owned(), alias: Some(known.id.to_string()) };
            let found = search.find(&target)?.found.into_iter().next();
            Ok(found.ok_or(otherwise)?)
        }
        several => {
            let labels = several.iter().map(|known| label_known(known));
            Err(LookUpError::Namesakes(labels.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Brings the local list up to date. Returns it, and the zones that could not be asked.
pub(super) fn refresh(credentials: &Credentials) -> (InstanceList, Vec<(Zone, ApiError)>) {
    let search = Search::new(credentials, store::read(), Deadline::after(LIMIT));
    let Everything { instances, failed, without_private } = search.everything();
    let has_failed = |zone: &&Zone| failed.iter().any(|(other, _)| other == *zone);
    let asked: Vec<_> = search.zones.iter().filter(|zone| !has_failed(zone)).cloned().collect();
    let replace = |list: &mut InstanceList| {
        let is_read = |zone: &Zone| !without_private.contains(zone.region());
        list.replace(&credentials.account, &asked, &instances, is_read);
    };
    let mut list = search.list;
    replace(&mut list);
    if let Err(error) = store::change(replace) {
        say(&format!("cannot write the list of Instances: {error}"));
    }
    (list, failed)
}

/// The heading of an Instance: its name, id and zone.
pub(super) fn heading(found: &Found) -> String {
    let addresses: Vec<_> = found.instance.addresses.iter().map(IpAddr::to_string).collect();
    let addresses = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") };
    format!("{}, {addresses}\n", label(&found.instance))
}
