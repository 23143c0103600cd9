//! The calls that this program makes. Each is for one zone or region; `search` makes them side by side.

use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::answers::{Instance, NicAddress, OneIp, OneServer, PrivateIps, Servers};
use super::client::{Answer, Api};
use super::error::ApiError;
use super::ids::{Id, Zone};
use crate::published::KEY;

/// Items a page; the API allows no more.
const PAGE: usize = 100;

/// A list with more pages is an error: 10,000 items.
const MAX_PAGES: usize = 100;

const INCOMPLETE: ApiError = ApiError::Unusable("the list is not complete");
const NOT_THE_API: ApiError = ApiError::Unusable("this 404 is not one of the API; is api_url right?");

/// The value of the user data key with the fingerprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserData {
    /// The value.
    Value(Vec<u8>),
    /// The Instance exists, and the key is not set.
    NotSet,
    /// The Instance does not exist in this zone.
    NoInstance,
}

impl Api {
    /// The Instance with this id in this zone.
    pub(crate) fn instance(&self, zone: &Zone, id: &Id) -> Result<Option<Instance>, ApiError> {
        let answer = self.get(&format!("{}/servers/{id}", instances(zone)))?;
        let instance = document::<OneServer>(&answer)?.map(|one| one.instance(zone));
        let is_asked = |found: &Instance| found.id == *id;
        if !instance.as_ref().is_none_or(is_asked) {
            return Err(ApiError::Unusable("it is about another Instance"));
        }
        Ok(instance)
    }

    /// All Instances of a zone, or those that a filter such as `name=web` leaves. A part of them is an error.
    pub(crate) fn list(&self, zone: &Zone, filter: Option<(&str, &str)>) -> Result<Vec<Instance>, ApiError> {
        let filter = filter.map(|(name, value)| format!("&{name}={}", encoded(value))).unwrap_or_default();
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = format!("{}/servers?page={page}&per_page={PAGE}{filter}", instances(zone));
            let answer = self.get(&path)?;
            let Some(servers) = list_document::<Servers>(&answer)? else { return Ok(all) };
            let instances = servers.instances(zone);
            let is_last = instances.len() < PAGE;
            all.extend(instances);
            match (is_last, answer.total) {
                (true, Some(total)) if all.len() < total => return Err(INCOMPLETE),
                (true, _) => return Ok(all),
                (false, _) => {}
            }
        }
        Err(INCOMPLETE)
    }

    /// The Instance with this public address in this zone.
    pub(crate) fn with_address(&self, zone: &Zone, address: IpAddr) -> Result<Option<Instance>, ApiError> {
        let answer = self.get(&format!("{}/ips/{address}", instances(zone)))?;
        if let Some(ip) = document::<OneIp>(&answer)? {
            return ip.server().map_or(Ok(None), |id| self.instance(zone, &id));
        }
        // An address that belongs to the Instance's time of life is not among the flexible ones. What the filter
        // matches exactly is not documented.
        let listed = self.list(zone, Some(("with_ip", &address.to_string())))?;
        Ok(listed.into_iter().find(|instance| instance.addresses.contains(&address)))
    }

    /// The fingerprints that the Instance published.
    pub(crate) fn published(&self, zone: &Zone, id: &Id) -> Result<UserData, ApiError> {
        let answer = self.get(&format!("{}/servers/{id}/user_data/{KEY}", instances(zone)))?;
        match answer {
            Answer { status: 200, body, .. } => Ok(UserData::Value(body)),
            Answer { is_json: true, .. } => Ok(UserData::NoInstance),
            Answer { body, .. } if body.is_empty() => Ok(UserData::NotSet),
            _ => Err(NOT_THE_API),
        }
    }

    /// The addresses of Instances in the Private Networks of a region, or of one NIC.
    pub(crate) fn private_addresses(
        &self,
        region: &str,
        nic: Option<&Id>,
    ) -> Result<Vec<NicAddress>, ApiError> {
        let nic = nic.map(|nic| format!("&resource_id={nic}")).unwrap_or_default();
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = format!(
                "/ipam/v1/regions/{region}/ips?attached=true&resource_type=instance_private_nic{nic}&page={page}&page_size={PAGE}"
            );
            let Some(ips) = list_document::<PrivateIps>(&self.get(&path)?)? else { return Ok(all) };
            let (is_last, is_all) = (ips.len() < PAGE, ips.total_count <= (page - 1) * PAGE + ips.len());
            all.extend(ips.addresses());
            match (is_last, is_all) {
                (true, false) => return Err(INCOMPLETE),
                (true, true) => return Ok(all),
                (false, _) => {}
            }
        }
        Err(INCOMPLETE)
    }
}

fn instances(zone: &Zone) -> String {
    format!("/instance/v1/zones/{zone}")
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// The document of an answer; `None` for a 404 of the API, which is JSON.
fn document<T: DeserializeOwned>(answer: &Answer) -> Result<Option<T>, ApiError> {
    match answer {
        Answer { status: 200, body, .. } => parsed(body).map(Some),
        Answer { is_json: true, .. } => Ok(None),
        _ => Err(NOT_THE_API),
    }
}

/// The document of a list; `None` if the zone does not have the product. A list is never "not found".
fn list_document<T: DeserializeOwned>(answer: &Answer) -> Result<Option<T>, ApiError> {
    match answer {
        Answer { status: 200, body, .. } => parsed(body).map(Some),
        Answer { status: 501, .. } => Ok(None),
        _ => Err(NOT_THE_API),
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::Unusable("its body is not the expected JSON"))
}
