//! The look-up of a host: the Instances that it may be, each with what it published.
//!
//! The local list says where to ask first; its answer is confirmed there. Fingerprints are asked for in each run.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::parallel;
use super::private;
use super::resolve;
use super::unknown::{Unknown, label, label_known};
use super::wanted::{Wanted, others_of_that_name};
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

/// The Instances that a host may be.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) found: Vec<Found>,
    /// Why it is not known which of them is meant. A key that none of them published is refused nevertheless.
    pub(crate) doubt: Option<Unknown>,
}

impl Findings {
    fn add(&mut self, more: Findings) {
        let is_new = |one: &Found| self.found.iter().all(|other| other.instance.id != one.instance.id);
        let new: Vec<_> = more.found.into_iter().filter(is_new).collect();
        self.found.extend(new);
        self.doubt = self.doubt.take().or(more.doubt);
    }
}

impl From<Found> for Findings {
    fn from(found: Found) -> Self {
        Self { found: vec![found], doubt: None }
    }
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

    /// The Instances that this host may be; at least one.
    pub(crate) fn find(&self, target: &Target) -> Result<Findings, Unknown> {
        let mut findings = match Wanted::of(target) {
            Wanted::Id(id) => {
                return self.with_id(&id).map(|found| Findings { found: vec![found], doubt: None });
            }
            Wanted::Address(address) => self.with_address(target, address)?,
            Wanted::Name(name) => self.with_name(target, &name)?,
        };
        let mut named = Vec::new();
        for Found { instance, .. } in &findings.found {
            for other in others_of_that_name(target, instance, &self.list) {
                let (other_label, found) = (label_known(other), label(instance));
                findings.doubt.get_or_insert(Unknown::OtherName { named: other_label, found });
                named.push(other);
            }
        }
        // Only the keys of the Instances with this name can be the wanted ones, whatever has the address.
        let named = named.into_iter().map(|known| self.at(&known.zone, &known.id));
        let named: Vec<_> = named.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        if !named.is_empty() {
            findings.found = named;
        }
        Ok(findings)
    }

    fn with_id(&self, id: &Id) -> Result<Found, Unknown> {
        let hinted = match self.list.with_id(id) {
            Some(known) => self.at(&known.zone, id)?,
            None => None,
        };
        if let Some(found) = hinted {
            return Ok(found);
        }
        let (api, wanted) = (self.api.clone(), id.clone());
        let zones =
            parallel::each(self.zones.clone(), self.deadline, move |zone| api.instance(zone, &wanted));
        let instance = parallel::first(zones)?;
        let instance = instance.ok_or_else(|| Unknown::NoInstance(format!("the id {id}")))?;
        Ok(self.with_published(instance)?)
    }

    fn with_name(&self, target: &Target, name: &str) -> Result<Findings, Unknown> {
        let addresses = resolve::addresses(name, self.deadline);
        let (mut all, mut last) = (Findings::default(), Unknown::NotResolved);
        for address in addresses {
            match self.with_address(target, address) {
                Ok(more) => all.add(more),
                Err(error @ Unknown::NoInstance(_)) => last = error,
                // It may be the Instance that is meant. A key that contradicts the others is refused nevertheless.
                Err(error) => {
                    all.doubt.get_or_insert(error);
                }
            }
        }
        match all {
            Findings { doubt: Some(doubt), found } if found.is_empty() => Err(doubt),
            Findings { found, .. } if found.is_empty() => Err(last),
            all => Ok(all),
        }
    }

    fn with_address(&self, target: &Target, address: IpAddr) -> Result<Findings, Unknown> {
        let nothing = || Unknown::NoInstance(format!("the address {address}"));
        if !is_of_an_instance(address) {
            return Err(nothing());
        }
        // A private address is unique only if the list knows one Instance with it.
        let is_hinted = !is_private(address) || self.list.with_address(address).count() == 1;
        let hinted = if is_hinted { self.hinted(address)? } else { None };
        if let Some(found) = hinted {
            return Ok(found.into());
        }
        if is_private(address) {
            return self.with_private_address(target, address, nothing());
        }
        let api = self.api.clone();
        let zones =
            parallel::each(self.zones.clone(), self.deadline, move |zone| api.with_address(zone, address));
        Ok(self.with_published(parallel::first(zones)?.ok_or_else(nothing)?)?.into())
    }

    fn with_private_address(
        &self,
        target: &Target,
        address: IpAddr,
        nothing: Unknown,
    ) -> Result<Findings, Unknown> {
        let mut instances = private::instances_with(self, address)?;
        let is_named = |one: &Instance| one.name.eq_ignore_ascii_case(&target.typed);
        if instances.iter().filter(|one| is_named(one)).count() == 1 {
            instances.retain(is_named);
        }
        let candidates = instances.iter().map(label).collect::<Vec<_>>().join(", ");
        let doubt = (instances.len() > 1).then_some(Unknown::Ambiguous { address, candidates });
        let found = instances.into_iter().map(|instance| self.with_published(instance));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() { Err(nothing) } else { Ok(Findings { found, doubt }) }
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

    /// All Instances of all zones, with their private addresses as far as the key may read them.
    pub(crate) fn everything(&self) -> Everything {
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
        let without_private = private::add_addresses(&self.api, &mut instances);
        Everything { instances, failed, without_private }
    }
}

/// The Instances of an account.
pub(crate) struct Everything {
    pub(crate) instances: Vec<Instance>,
    /// The zones whose Instances could not be listed.
    pub(crate) failed: Vec<(Zone, ApiError)>,
    /// The regions whose private addresses could not be read.
    pub(crate) without_private: BTreeSet<String>,
}

fn published(value: UserData) -> Option<Published> {
    match value {
        UserData::Value(value) => Published::parse(&value),
        UserData::NotSet | UserData::NoInstance => None,
    }
}
