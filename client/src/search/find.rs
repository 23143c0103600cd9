//! The look-up of a host: the Instances that it may be, each with what it published.
//!
//! The local list says where to ask first; its answer is confirmed there. Fingerprints are asked for in each run.

use std::net::IpAddr;

use super::parallel;
use super::private;
use super::resolve;
use super::unknown::{Unknown, label, label_known};
use super::wanted::{Wanted, other_of_that_name};
use crate::api::answers::Instance;
use crate::api::calls::UserData;
use crate::api::client::Api;
use crate::api::error::ApiError;
use crate::api::ids::{Id, Zone};
use crate::credentials::load::Credentials;
use crate::instances::list::{InstanceList, is_of_an_instance, is_private};
use crate::published::Published;
use crate::ssh::call::Target;
use crate::util::deadline::Deadline;

/// A run's means to look something up.
pub(crate) struct Search {
    pub(crate) api: Api,
    pub(crate) zones: Vec<Zone>,
    pub(crate) list: InstanceList,
    pub(crate) deadline: Deadline,
}

/// An Instance, and what it published.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) instance: Instance,
    pub(crate) published: Option<Published>,
}

impl Search {
    /// With these credentials. All known zones are asked, and those that the credentials and the list name.
    pub(crate) fn new(credentials: &Credentials, list: InstanceList, deadline: Deadline) -> Self {
        let named = credentials.default_zone.as_deref().and_then(Zone::parse);
        let mut zones: Vec<_> = Zone::known().into_iter().chain(named).chain(list.zones().cloned()).collect();
        zones.sort_unstable();
        zones.dedup();
        Self { api: Api::new(credentials, deadline), zones, list, deadline }
    }

    /// The Instances that this host may be; at least one. Several only if a name has several addresses.
    pub(crate) fn find(&self, target: &Target) -> Result<Vec<Found>, Unknown> {
        let found = match Wanted::of(target) {
            Wanted::Id(id) => return self.with_id(&id).map(|found| vec![found]),
            Wanted::Address(address) => vec![self.with_address(target, address)?],
            Wanted::Name(name) => self.with_name(target, &name)?,
        };
        for Found { instance, .. } in &found {
            if let Some(named) = other_of_that_name(target, instance, &self.list) {
                return Err(Unknown::OtherName { named: label_known(named), found: label(instance) });
            }
        }
        Ok(found)
    }

    fn with_id(&self, id: &Id) -> Result<Found, Unknown> {
        if let Some(known) = self.list.with_id(id)
            && let Some(found) = self.at(&known.zone, id)?
        {
            return Ok(found);
        }
        let (api, wanted) = (self.api.clone(), id.clone());
        let zones =
            parallel::each(self.zones.clone(), self.deadline, move |zone| api.instance(zone, &wanted));
        let instance = parallel::first(zones)?;
        let instance = instance.ok_or_else(|| Unknown::NoInstance(format!("the id {id}")))?;
        Ok(self.with_published(instance)?)
    }

    fn with_name(&self, target: &Target, name: &str) -> Result<Vec<Found>, Unknown> {
        let addresses = resolve::addresses(name, self.deadline);
        if addresses.is_empty() {
            return Err(Unknown::NotResolved);
        }
        let (mut all, mut last): (Vec<Found>, _) = (Vec::new(), None);
        for address in addresses {
            match self.with_address(target, address) {
                Ok(found) if all.iter().any(|other| other.instance.id == found.instance.id) => {}
                Ok(found) => all.push(found),
                Err(error @ Unknown::NoInstance(_)) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        if all.is_empty() { Err(last.unwrap_or(Unknown::NotResolved)) } else { Ok(all) }
    }

    fn with_address(&self, target: &Target, address: IpAddr) -> Result<Found, Unknown> {
        let nothing = || Unknown::NoInstance(format!("the address {address}"));
        if !is_of_an_instance(address) {
            return Err(nothing());
        }
        if !is_private(address) {
            if let Some(found) = self.hinted(address)? {
                return Ok(found);
            }
            let api = self.api.clone();
            let zones = parallel::each(self.zones.clone(), self.deadline, move |zone| {
                api.with_address(zone, address)
            });
            return Ok(self.with_published(parallel::first(zones)?.ok_or_else(nothing)?)?);
        }
        // A private address is unique only if the list knows one Instance with it, and the API confirms that.
        if self.list.with_address(address).count() == 1
            && let Some(found) = self.hinted(address)?
        {
            return Ok(found);
        }
        let mut instances = private::instances_with(self, address)?;
        if instances.len() > 1 {
            let is_named = |one: &Instance| one.name.eq_ignore_ascii_case(&target.typed);
            if instances.iter().filter(|one| is_named(one)).count() != 1 {
                let candidates = instances.iter().map(label).collect::<Vec<_>>().join(", ");
                return Err(Unknown::Ambiguous { address, candidates });
            }
            instances.retain(is_named);
        }
        Ok(self.with_published(instances.pop().ok_or_else(nothing)?)?)
    }

    /// The Instance to which the list gives this address, if it still has it.
    fn hinted(&self, address: IpAddr) -> Result<Option<Found>, ApiError> {
        let Some(known) = self.list.with_address(address).next() else { return Ok(None) };
        let Some(mut found) = self.at(&known.zone, &known.id)? else { return Ok(None) };
        if found.instance.addresses.contains(&address) {
            return Ok(Some(found));
        }
        if is_private(address) && private::has_address(&self.api, &found.instance, address)? {
            found.instance.addresses.push(address);
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// The Instance and its fingerprints, asked for at the same time.
    fn at(&self, zone: &Zone, id: &Id) -> Result<Option<Found>, ApiError> {
        let (api, asked) = (self.api.clone(), (zone.clone(), id.clone()));
        let mut value = parallel::each(vec![asked], self.deadline, move |(zone, id)| api.published(zone, id));
        let instance = self.api.instance(zone, id)?;
        let value = value.next().unwrap_or(Err(ApiError::Timeout))?;
        Ok(instance.map(|instance| Found { instance, published: published(value) }))
    }

    fn with_published(&self, instance: Instance) -> Result<Found, ApiError> {
        let value = self.api.published(&instance.zone, &instance.id)?;
        Ok(Found { published: published(value), instance })
    }

    /// All Instances of all zones, with their private addresses as far as the key may read them; and the zones whose
    /// Instances could not be listed.
    pub(crate) fn everything(&self) -> (Vec<Instance>, Vec<(Zone, ApiError)>) {
        let api = self.api.clone();
        let zones = parallel::each(self.zones.clone(), self.deadline, move |zone| {
            Ok((zone.clone(), api.list(zone, None)))
        });
        let (mut instances, mut failed) = (Vec::new(), Vec::new());
        let mut missing = self.zones.clone();
        for (zone, listed) in zones.flatten() {
            missing.retain(|other| *other != zone);
            match listed {
                Ok(listed) => instances.extend(listed),
                Err(error) => failed.push((zone, error)),
            }
        }
        failed.extend(missing.into_iter().map(|zone| (zone, ApiError::Timeout)));
        let with_nics: Vec<_> =
            instances.iter().filter(|one| !one.nics.is_empty()).map(|one| one.zone.clone()).collect();
        // Without permission for them, private addresses are not in the list. `doctor` says so.
        drop(private::add_addresses(&self.api, &with_nics, &mut instances));
        (instances, failed)
    }
}

fn published(value: UserData) -> Option<Published> {
    match value {
        UserData::Value(value) => Published::parse(&value),
        UserData::NotSet | UserData::NoInstance => None,
    }
}
