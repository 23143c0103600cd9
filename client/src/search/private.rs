//! The look-up of an address in a Private Network. The API has no filter for it, so all private addresses of a region
//! are read. Two Private Networks can have the same address, so several Instances can be found.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::find::Search;
use super::parallel;
use crate::api::answers::{Instance, NicAddress};
use crate::api::client::Api;
use crate::api::error::ApiError;
use crate::api::ids::Zone;

/// The Instances with this address in any region.
pub(super) fn instances_with(search: &Search, address: IpAddr) -> Result<Vec<Instance>, ApiError> {
    let regions: BTreeSet<_> = search.zones.iter().map(|zone| zone.region().to_owned()).collect();
    let api = search.api.clone();
    let found = parallel::each(regions.into_iter().collect(), search.deadline, move |region: &String| {
        let all = api.private_addresses(region, None)?;
        all.into_iter()
            .filter(|nic| nic.address == address)
            .map(|nic| instance_of(&api, nic))
            .collect::<Result<Vec<_>, _>>()
    });
    Ok(parallel::all(found)?.into_iter().flatten().collect())
}

/// The Instance of a NIC.
fn instance_of(api: &Api, nic: NicAddress) -> Result<Option<Instance>, ApiError> {
    let (Some(zone), Some(mac)) = (nic.zone, nic.mac) else { return Ok(None) };
    let listed = api.list(&zone, Some(("private_nic_mac_address", &mac)))?;
    let with_nic = listed.into_iter().find(|instance| instance.nics.contains(&nic.nic));
    Ok(with_nic.map(|mut instance| {
        instance.addresses.push(nic.address);
        instance
    }))
}

/// Whether an Instance has this private address.
pub(super) fn has_address(api: &Api, instance: &Instance, address: IpAddr) -> Result<bool, ApiError> {
    for nic in &instance.nics {
        let addresses = api.private_addresses(instance.zone.region(), Some(nic))?;
        if addresses.iter().any(|found| found.address == address && found.nic == *nic) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts the private addresses of these zones into the Instances.
pub(crate) fn add_addresses(api: &Api, zones: &[Zone], instances: &mut [Instance]) -> Result<(), ApiError> {
    let regions: BTreeSet<_> = zones.iter().map(Zone::region).collect();
    for region in regions {
        for found in api.private_addresses(region, None)? {
            let with_nic = instances.iter_mut().find(|instance| instance.nics.contains(&found.nic));
            with_nic.into_iter().for_each(|instance| instance.addresses.push(found.address));
        }
    }
    Ok(())
}
