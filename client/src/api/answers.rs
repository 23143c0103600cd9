//! The API's JSON documents: only the fields that are needed; all others are ignored. Pure.
//!
//! A document that does not have these fields is an unusable answer, never an empty one.

use std::net::IpAddr;

use serde::Deserialize;

use super::ids::{Id, Zone};
use crate::util::printable::printable;

/// An Instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: Id,
    /// Its name, which others can have, too.
    pub name: String,
    /// Its zone.
    pub zone: Zone,
    /// Its state, such as `running`.
    pub state: String,
    /// Its public addresses, and private ones as far as they were asked for.
    pub addresses: Vec<IpAddr>,
    /// Its private NICs.
    pub nics: Vec<Id>,
}

/// The answer to a request for one Instance.
#[derive(Deserialize)]
pub(crate) struct OneServer {
    server: Server,
}

/// A page of Instances.
#[derive(Deserialize)]
pub(crate) struct Servers {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    id: Id,
    name: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    public_ip: Option<Address>,
    #[serde(default)]
    public_ips: Option<Vec<Address>>,
    #[serde(default)]
    ipv6: Option<Address>,
    #[serde(default)]
    private_ip: Option<String>,
    #[serde(default)]
    private_nics: Option<Vec<Nic>>,
}

#[derive(Deserialize)]
struct Address {
    address: String,
}

#[derive(Deserialize)]
struct Nic {
    id: Id,
}

/// A flexible address.
#[derive(Deserialize)]
pub(crate) struct OneIp {
    ip: Ip,
}

#[derive(Deserialize)]
struct Ip {
    #[serde(default)]
    server: Option<IpServer>,
}

#[derive(Deserialize)]
struct IpServer {
    id: Id,
}

/// A page of addresses in Private Networks.
#[derive(Deserialize)]
pub(crate) struct PrivateIps {
    ips: Vec<PrivateIp>,
    pub(crate) total_count: usize,
}

#[derive(Deserialize)]
struct PrivateIp {
    address: String,
    #[serde(default)]
    resource: Option<Resource>,
    #[serde(default)]
    zone: Option<String>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(default)]
    mac_address: Option<String>,
}

/// An address of a private NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NicAddress {
    pub(crate) address: IpAddr,
    pub(crate) nic: Id,
    pub(crate) mac: Option<String>,
    pub(crate) zone: Option<Zone>,
}

/// The body of an error.
#[derive(Default, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    details: Vec<Missing>,
}

#[derive(Deserialize)]
struct Missing {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    action: String,
}

impl OneServer {
    pub(crate) fn instance(self, zone: &Zone) -> Instance {
        self.server.instance(zone)
    }
}

impl Servers {
    /// The Instances of this page.
    pub(crate) fn instances(self, zone: &Zone) -> Vec<Instance> {
        self.servers.into_iter().map(|server| server.instance(zone)).collect()
    }
}

impl Server {
    fn instance(self, zone: &Zone) -> Instance {
        let public = self.public_ips.into_iter().flatten().chain(self.public_ip).chain(self.ipv6);
        let texts = public.map(|address| address.address).chain(self.private_ip);
        let mut addresses: Vec<IpAddr> = texts.filter_map(|text| parse_address(&text)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let nics = self.private_nics.into_iter().flatten().map(|nic| nic.id).collect();
        Instance { id: self.id, name: self.name, zone: zone.clone(), state: self.state, addresses, nics }
    }
}

impl OneIp {
    /// The Instance that has the address.
    pub(crate) fn server(self) -> Option<Id> {
        self.ip.server.map(|server| server.id)
    }
}

impl PrivateIps {
    /// How many addresses of any kind are on this page.
    pub(crate) fn len(&self) -> usize {
        self.ips.len()
    }

    /// The addresses of Instances on this page.
    pub(crate) fn addresses(self) -> impl Iterator<Item = NicAddress> {
        self.ips.into_iter().filter_map(|ip| {
            let resource = ip.resource.filter(|resource| resource.kind == "instance_private_nic")?;
            let (address, nic) = (parse_address(&ip.address)?, Id::parse(&resource.id)?);
            let zone = ip.zone.as_deref().and_then(Zone::parse);
            Some(NicAddress { address, nic, mac: resource.mac_address, zone })
        })
    }
}

impl Refusal {
    /// Why the key is denied.
    pub(crate) fn reason(&self) -> String {
        [&self.reason, &self.message]
            .into_iter()
            .find(|text| !text.is_empty())
            .map_or("no reason given".to_owned(), |text| printable(text))
    }

    /// The missing permissions: `read instance_server`.
    pub(crate) fn missing(&self) -> String {
        let details = self.details.iter().filter(|detail| !detail.resource.is_empty());
        let list: Vec<_> =
            details.map(|detail| printable(&format!("{} {}", detail.action, detail.resource))).collect();
        if list.is_empty() { self.reason() } else { list.join(", ") }
    }
}

/// An address, also with a prefix length behind it.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Everything that is read from the API's answers, for tests with hostile ones.
pub fn read_all(body: &[u8], zone: &Zone) -> Vec<Instance> {
    let mut instances = Vec::new();
    instances.extend(serde_json::from_slice::<OneServer>(body).map(|one| one.instance(zone)));
    instances
        .extend(serde_json::from_slice::<Servers>(body).map(|page| page.instances(zone)).unwrap_or_default());
    let _ = serde_json::from_slice::<OneIp>(body).map(OneIp::server);
    let _ = serde_json::from_slice::<PrivateIps>(body).map(|page| page.addresses().count());
    let _ = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.missing());
    instances
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        Zone::parse("fr-par-1").expect("a zone")
    }

    #[test]
    fn instance_has_the_addresses_of_all_fields() {
        let body = r#"{"server":{"id":"11111111-2222-4333-8444-555555555555","name":"web-1","state":"running",
            "public_ip":{"address":"51.15.0.1","new":1},"public_ips":[{"address":"51.15.0.1"},{"address":"2001:db8::1"}],
            "ipv6":null,"private_ip":"10.1.2.3","private_nics":[{"id":"11111111-2222-4333-8444-666666666666"}]}}"#;
        let instance = read_all(body.as_bytes(), &zone()).remove(0);
        let addresses: Vec<_> = instance.addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(addresses, ["10.1.2.3", "51.15.0.1", "2001:db8::1"]);
        assert_eq!(instance.nics.len(), 1);
    }

    #[test]
    fn documents_without_the_needed_fields_are_unusable() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"servers":null}"#,
            r#"{"server":{"id":"../../etc","name":"a"}}"#,
            r#"{"server":{"id":"11111111-2222-4333-8444-555555555555"}}"#,
        ] {
            assert!(read_all(body.as_bytes(), &zone()).is_empty(), "{body}");
        }
    }
}
