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
    let (api, zones) = (search.api.clone(), search.zones.clone());
    let found = parallel::each(regions.into_iter().collect(), search.deadline, move |region: &String| {
        let all = api.private_addresses(region, None)?;
        all.into_iter()
            .filter(|nic| nic.address == address)
            .map(|nic| instance_of(&api, &zones, region, nic))
            .collect::<Result<Vec<_>, _>>()
    });
    parallel::all(found)
}

/// The Instance of a NIC, which is in any zone of the region if none is named.
fn instance_of(api: &Api, zones: &[Zone], region: &str, nic: NicAddress) -> Result<Instance, ApiError> {
    let unknown = ApiError::Unusable("the Instance of a private address cannot be read");
    let Some(mac) = nic.mac else { return Err(unknown) };
    let in_region = zones.iter().filter(|zone| zone.region() == region);
    let zones: Vec<_> = nic.zone.as_ref().map_or_else(|| in_region.collect(), |zone| vec![zone]);
    for zone in zones {
        let listed = api.list(zone, Some(("private_nic_mac_address", &mac)))?;
        if let Some(mut instance) = listed.into_iter().find(|instance| instance.nics.contains(&nic.nic)) {
            instance.addresses.push(nic.address);
            return Ok(instance);
        }
    }
    Err(unknown)
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

/// Puts the private addresses into the Instances. Returns the regions whose addresses could not be read.
pub(crate) fn add_addresses(api: &Api, instances: &mut [Instance]) -> BTreeSet<String> {
    let with_nics = instances.iter().filter(|instance| !instance.nics.is_empty());
    let regions: BTreeSet<_> = with_nics.map(|instance| instance.zone.region().to_owned()).collect();
    let mut failed = BTreeSet::new();
    for region in regions {
        let Ok(addresses) = api.private_addresses(&region, None) else {
            failed.insert(region);
            continue;
        };
        for found in addresses {
            let with_nic = instances.iter_mut().find(|instance| instance.nics.contains(&found.nic));
            with_nic.into_iter().for_each(|instance| instance.addresses.push(found.address));
        }
    }
    failed
}
