//! The list of Instances: what is looked up in it, how it changes, its file format. Pure.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::api::answers::Instance;
use crate::api::ids::{Id, Zone};

/// The version of the format. A file with another one is ignored and replaced.
const VERSION: u32 = 1;

/// An Instance of one of the user's accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: Zone,
    /// Its addresses, public and private.
    pub addresses: Vec<IpAddr>,
    /// The account that sees it.
    pub account: String,
}

/// All known Instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceList(Vec<Known>);

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    instances: Vec<Known>,
}

impl InstanceList {
    /// The list in a file; `None` if it has another format.
    pub fn parse(content: &[u8]) -> Option<Self> {
        let file: File = serde_json::from_slice(content).ok()?;
        (file.version == VERSION).then_some(Self(file.instances))
    }

    /// The content of the file.
    pub fn content(&self) -> Vec<u8> {
        let file = File { version: VERSION, instances: self.0.clone() };
        serde_json::to_vec(&file).unwrap_or_default()
    }

    /// The Instances with this name, which is compared without regard to case, as ssh does.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Known> {
        self.0.iter().filter(move |known| known.name.eq_ignore_ascii_case(name))
    }

    /// The Instances with this address. Two can have the same private one.
    pub fn with_address(&self, address: IpAddr) -> impl Iterator<Item = &Known> {
        self.0.iter().filter(move |known| known.addresses.contains(&address))
    }

    /// The Instance with this id.
    pub fn with_id(&self, id: &Id) -> Option<&Known> {
        self.0.iter().find(|known| known.id == *id)
    }

    /// All zones in the list.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.0.iter().map(|known| &known.zone)
    }

    /// Puts in what was just seen of one Instance. An address that it has now is no other's of this account, except a
    /// private one.
    pub fn put(&mut self, account: &str, instance: &Instance) {
        let is_moved = |address: &IpAddr| instance.addresses.contains(address) && !is_private(*address);
        for other in self.0.iter_mut().filter(|other| other.account == account) {
            other.addresses.retain(|address| !is_moved(address));
        }
        let mut new = known(account, instance);
        if let Some(old) = self.with_id(&instance.id) {
            let private = old.addresses.iter().filter(|address| is_private(**address));
            new.addresses.extend(private.filter(|address| !instance.addresses.contains(address)));
        }
        self.0.retain(|known| known.id != instance.id);
        self.0.push(new);
    }

    /// Replaces all Instances of an account in these zones. The old private addresses of an Instance are kept if those of its
    /// region could not be read.
    pub fn replace(
        &mut self,
        account: &str,
        zones: &[Zone],
        instances: &[Instance],
        is_read: impl Fn(&Zone) -> bool,
    ) {
        let is_old = |known: &Known| known.account == account && zones.contains(&known.zone);
        self.0.retain(|known| !is_old(known) || instances.iter().any(|one| one.id == known.id));
        for known in self.0.iter_mut().filter(|known| is_old(known) && is_read(&known.zone)) {
            known.addresses.retain(|address| !is_private(*address));
        }
        instances.iter().for_each(|instance| self.put(account, instance));
    }

    /// The number of Instances.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Known {
    /// Whether this is what was just seen of the Instance. Private addresses are not always asked for.
    pub fn is_same(&self, instance: &Instance) -> bool {
        let is_known = |address: &IpAddr| self.addresses.contains(address);
        let is_current = |address: &IpAddr| is_private(*address) || instance.addresses.contains(address);
        self.name == instance.name
            && self.zone == instance.zone
            && instance.addresses.iter().all(is_known)
            && self.addresses.iter().all(is_current)
    }
}

fn known(account: &str, instance: &Instance) -> Known {
    Known {
        id: instance.id.clone(),
        name: instance.name.clone(),
        zone: instance.zone.clone(),
        addresses: instance.addresses.clone(),
        account: account.to_owned(),
    }
}

/// The address as all places compare it: an IPv4 address that is written as an IPv6 one, also behind NAT64, as IPv4.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::from([a, b, c, d])
        }
        other => other.to_canonical(),
    }
}

/// An address, also one with a zone (`fe80::1%eth0`), which no Instance has for others.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.split('%').next()?.parse().ok().map(canonical)
}

/// Whether only a Private Network can have this address.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.segments()[0] & 0xfe00 == 0xfc00,
    }
}

/// Whether an Instance can have this address at all.
pub fn is_of_an_instance(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    !(is_link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(number: u8, name: &str, addresses: &[&str]) -> Instance {
        Instance {
            id: Id::parse(&format!("11111111-2222-4333-8444-5555555555{number:02x}")).expect("an id"),
            name: name.to_owned(),
            zone: Zone::parse("fr-par-1").expect("a zone"),
            state: String::new(),
            addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
            nics: Vec::new(),
        }
    }

    #[test]
    fn list_survives_its_file() {
        let mut list = InstanceList::default();
        list.put("SCWA", &instance(1, "web-1", &["51.15.0.1", "2001:db8::1"]));
        assert_eq!(InstanceList::parse(&list.content()), Some(list));
        for content in
            ["", "[]", r#"{"version":2,"instances":[]}"#, r#"{"version":1,"instances":[{"id":"x"}]}"#]
        {
            assert_eq!(InstanceList::parse(content.as_bytes()), None, "{content}");
        }
    }

    #[test]
    fn address_moves_to_the_instance_that_has_it_now() {
        let mut list = InstanceList::default();
        list.put("SCWA", &instance(1, "web-1", &["51.15.0.1", "10.0.0.5"]));
        list.put("SCWA", &instance(2, "web-2", &["51.15.0.1", "10.0.0.5"]));
        let names = |address: &str| {
            let address = address.parse().expect("an address");
            list.with_address(address).map(|known| known.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("51.15.0.1"), ["web-2"]);
        assert_eq!(names("10.0.0.5"), ["web-1", "web-2"]);
    }

    #[test]
    fn replacing_keeps_other_accounts_and_zones() {
        let mut list = InstanceList::default();
        list.put("SCWA", &instance(1, "gone", &[]));
        list.put("SCWB", &instance(2, "other", &[]));
        list.put(
            "SCWA",
            &Instance { zone: Zone::parse("nl-ams-1").expect("a zone"), ..instance(3, "failed", &[]) },
        );
        list.replace("SCWA", &[Zone::parse("fr-par-1").expect("a zone")], &[instance(4, "new", &[])], |_| {
            true
        });
        let names = |name: &str| list.named(name).count();
        assert_eq!([names("gone"), names("OTHER"), names("failed"), names("new")], [0, 1, 1, 1]);
    }

    #[test]
    fn private_addresses_stay_if_they_could_not_be_read() {
        for is_read in [true, false] {
            let mut list = InstanceList::default();
            list.put("SCWA", &instance(1, "web-1", &["10.0.0.5", "51.15.0.1"]));
            list.replace(
                "SCWA",
                &[Zone::parse("fr-par-1").expect("a zone")],
                &[instance(1, "web-1", &[])],
                |_| is_read,
            );
            let count = |address: &str| list.with_address(address.parse().expect("one")).count();
            assert_eq!((count("10.0.0.5") == 1, count("51.15.0.1")), (!is_read, 0));
        }
    }

    #[test]
    fn addresses_are_private_public_or_no_instances() {
        for (address, private, possible) in [
            ("10.0.0.1", true, true),
            ("100.64.0.1", true, true),
            ("fd00::1", true, true),
            ("51.15.0.1", false, true),
            ("2001:db8::1", false, true),
            ("127.0.0.1", false, false),
            ("169.254.1.1", false, false),
            ("fe80::1", false, false),
            ("::", false, false),
            ("::ffff:51.15.0.1", false, true),
            ("::ffff:10.0.0.1", true, true),
            ("64:ff9b::10.0.0.1", true, true),
            ("::ffff:127.0.0.1", false, false),
        ] {
            let parsed = canonical(address.parse().expect("an address"));
            assert_eq!((is_private(parsed), is_of_an_instance(parsed)), (private, possible), "{address}");
        }
    }
}
