//! The complete description of the Instance, for the commands that show it.
//!
//! [`Instance`](crate::metadata::api::instance::Instance) has the fields that the agent acts on. Here are those that people read. Each
//! field may be absent, null or of another form than expected: it is then unknown. Nothing in the document makes the reading fail.

use serde::Serialize;
use serde_json::Value;

/// What the document says about the Instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct InstanceDetails {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) commercial_type: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) arch: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) creation_date: Option<String>,
    pub(crate) image: Option<Image>,
    pub(crate) security_group: Option<SecurityGroup>,
    pub(crate) placement_group: Option<PlacementGroup>,
    pub(crate) public_ips: Vec<PublicAddress>,
    pub(crate) private_nics: Vec<PrivateNic>,
    /// The tags, which may be secrets; `None` if they are not to be shown.
    pub(crate) tags: Option<Vec<String>>,
}

/// The image from which the Instance was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Image {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) arch: Option<String>,
}

/// The security group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SecurityGroup {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
}

/// The placement group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PlacementGroup {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) policy_type: Option<String>,
    pub(crate) policy_mode: Option<String>,
    pub(crate) policy_respected: Option<bool>,
}

/// A public address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PublicAddress {
    pub(crate) address: Option<String>,
    pub(crate) family: Option<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) netmask: Option<String>,
}

/// A connection to a Private Network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PrivateNic {
    pub(crate) id: Option<String>,
    pub(crate) private_network_id: Option<String>,
    pub(crate) mac_address: Option<String>,
    /// The network interfaces of this machine with that MAC address. The document does not have them; the command adds them.
    pub(crate) interfaces: Vec<String>,
}

/// A volume of the Instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Volume {
    /// Its key in the document: `0` is the root volume.
    pub(crate) index: String,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) volume_type: Option<String>,
    /// Bytes. The platform gives no size for `sbs_volume`.
    pub(crate) size: Option<u64>,
    pub(crate) state: Option<String>,
    pub(crate) boot: Option<bool>,
    pub(crate) zone: Option<String>,
}

impl InstanceDetails {
    /// The details in a `/conf` document, with the tags.
    pub(crate) fn of_document(conf: &Value) -> Self {
        Self {
            id: text(conf, "id"),
            name: text(conf, "name"),
            hostname: text(conf, "hostname"),
            commercial_type: text(conf, "commercial_type"),
            zone: text(conf, "zone"),
            arch: text(conf, "arch"),
            state: text(conf, "state"),
            creation_date: text(conf, "creation_date"),
            image: object(conf, "image").map(|image| Image {
                id: text(image, "id"),
                name: text(image, "name"),
                arch: text(image, "arch"),
            }),
            security_group: object(conf, "security_group")
                .map(|group| SecurityGroup { id: text(group, "id"), name: text(group, "name") }),
            placement_group: object(conf, "placement_group").map(|group| PlacementGroup {
                id: text(group, "id"),
                name: text(group, "name"),
                policy_type: text(group, "policy_type"),
                policy_mode: text(group, "policy_mode"),
                policy_respected: flag(group, "policy_respected"),
            }),
            public_ips: public_addresses(conf),
            private_nics: items(conf, "private_nics").into_iter().map(|(_, nic)| private_nic(nic)).collect(),
            tags: Some(tags(conf)),
        }
    }
}

impl Volume {
    /// The volumes in a `/conf` document, in the order of their numbers.
    pub(crate) fn of_document(conf: &Value) -> Vec<Self> {
        let mut volumes: Vec<_> = items(conf, "volumes")
            .into_iter()
            .filter(|(_, volume)| volume.is_object())
            .map(|(index, volume)| Self {
                index,
                id: text(volume, "id"),
                name: text(volume, "name"),
                volume_type: text(volume, "volume_type"),
                size: number(volume, "size").filter(|size| *size > 0),
                state: text(volume, "state"),
                boot: flag(volume, "boot"),
                zone: text(volume, "zone"),
            })
            .collect();
        volumes.sort_by_key(|volume| (volume.index.parse().unwrap_or(u64::MAX), volume.index.clone()));
        volumes
    }
}

/// The addresses of `public_ips`. Older documents have the fields of one family each, or `public_ip` alone.
fn public_addresses(conf: &Value) -> Vec<PublicAddress> {
    for names in [&["public_ips"][..], &["public_ips_v4", "public_ips_v6"]] {
        let listed = names.iter().flat_map(|name| items(conf, name));
        let addresses: Vec<_> = listed.filter_map(|(_, address)| public_address(address)).collect();
        if !addresses.is_empty() {
            return addresses;
        }
    }
    let single = [("public_ip", "inet"), ("ipv6", "inet6")].into_iter().filter_map(|(name, family)| {
        let address = public_address(conf.get(name)?)?;
        Some(PublicAddress { family: address.family.or(Some(family.to_owned())), ..address })
    });
    single.collect()
}

fn public_address(from: &Value) -> Option<PublicAddress> {
    let address = text(from, "address")?;
    Some(PublicAddress {
        address: Some(address),
        family: text(from, "family"),
        gateway: text(from, "gateway"),
        netmask: text(from, "netmask"),
    })
}

/// The tags in a `/conf` document.
pub(super) fn tags(conf: &Value) -> Vec<String> {
    items(conf, "tags").into_iter().filter_map(|(_, tag)| as_text(tag)).collect()
}

fn private_nic(from: &Value) -> PrivateNic {
    PrivateNic {
        id: text(from, "id"),
        private_network_id: text(from, "private_network_id"),
        mac_address: text(from, "mac_address"),
        interfaces: Vec::new(),
    }
}

pub(super) fn text(from: &Value, name: &str) -> Option<String> {
    from.get(name).and_then(as_text)
}

/// A text or a number as text; an empty text is unknown.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn flag(from: &Value, name: &str) -> Option<bool> {
    from.get(name)?.as_bool()
}

/// A number, also as text.
fn number(from: &Value, name: &str) -> Option<u64> {
    let value = from.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn object<'a>(from: &'a Value, name: &str) -> Option<&'a Value> {
    from.get(name).filter(|value| value.is_object())
}

/// The elements of a list or of a map, each with its key.
pub(super) fn items<'a>(from: &'a Value, name: &str) -> Vec<(String, &'a Value)> {
    match from.get(name) {
        Some(Value::Array(list)) => {
            list.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect()
        }
        Some(Value::Object(map)) => map.iter().map(|(key, item)| (key.clone(), item)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every field that is read.
    const FIELDS: [&str; 18] = [
        "id",
        "name",
        "hostname",
        "commercial_type",
        "zone",
        "arch",
        "state",
        "creation_date",
        "image",
        "security_group",
        "placement_group",
        "public_ips",
        "public_ips_v4",
        "public_ip",
        "ipv6",
        "private_nics",
        "tags",
        "volumes",
    ];

    #[test]
    fn field_of_any_form_never_makes_the_reading_fail() {
        let forms = [
            json!(null),
            json!(true),
            json!(-1.5),
            json!(""),
            json!("text"),
            json!([]),
            json!([null, 1, "x", [], {}]),
            json!({}),
            json!({"0": null, "id": {}, "address": [], "x": {"size": -1, "id": 7}}),
        ];
        for form in &forms {
            for name in FIELDS {
                let conf = json!({ name: form });
                let details = InstanceDetails::of_document(&conf);
                assert!(details.public_ips.iter().all(|ip| ip.address.is_some()), "{conf}");
                assert!(Volume::of_document(&conf).iter().all(|volume| volume.size.is_none()), "{conf}");
            }
            let nothing = InstanceDetails { tags: Some(Vec::new()), ..InstanceDetails::default() };
            assert_eq!(InstanceDetails::of_document(form), nothing, "{form}");
        }
    }

    #[test]
    fn every_field_of_a_document_is_read() {
        let details = InstanceDetails::of_document(&json!({
            "id": "i", "image": {"id": "m", "name": "Debian", "arch": "x86_64", "state": "available"},
            "placement_group": {"name": "g", "policy_mode": "enforced", "policy_type": "max_availability", "policy_respected": false},
            "public_ips": [{"address": "192.0.2.1", "family": "inet", "netmask": 32}, {"family": "inet"}, null],
            "private_nics": [{"id": "n", "mac_address": "02:00:00:00:00:01", "private_network_id": "p"}],
            "tags": ["a", 1, null],
        }));
        assert_eq!(details.image.and_then(|image| image.name).as_deref(), Some("Debian"));
        assert_eq!(details.placement_group.and_then(|group| group.policy_respected), Some(false));
        let [address] = &details.public_ips[..] else { panic!("one address") };
        assert_eq!((address.netmask.as_deref(), &address.gateway), (Some("32"), &None));
        assert_eq!(details.private_nics[0].private_network_id.as_deref(), Some("p"));
        assert_eq!(details.tags, Some(vec!["a".to_owned(), "1".to_owned()]));
    }

    #[test]
    fn addresses_of_older_documents_are_read() {
        let old = json!({"address": "192.0.2.1"});
        for (conf, expected) in [
            (
                json!({"public_ips": [], "public_ips_v6": [{"address": "2001:db8::1"}]}),
                vec![("2001:db8::1", None)],
            ),
            (
                json!({"public_ip": old, "ipv6": {"address": "2001:db8::1"}}),
                vec![("192.0.2.1", Some("inet")), ("2001:db8::1", Some("inet6"))],
            ),
            (json!({"public_ips": [{"address": "192.0.2.2"}], "public_ip": old}), vec![("192.0.2.2", None)]),
        ] {
            let found = InstanceDetails::of_document(&conf).public_ips;
            let found: Vec<_> =
                found.iter().map(|ip| (ip.address.as_deref().unwrap_or(""), ip.family.as_deref())).collect();
            assert_eq!(found, expected, "{conf}");
        }
    }

    #[test]
    fn volumes_are_in_the_order_of_their_numbers() {
        let conf = json!({"volumes": {"10": {}, "2": {"size": "7"}, "x": {}, "0": {"size": 0}, "1": null}});
        let volumes = Volume::of_document(&conf);
        let found: Vec<_> = volumes.iter().map(|volume| (&*volume.index, volume.size)).collect();
        assert_eq!(found, [("0", None), ("2", Some(7)), ("10", None), ("x", None)]);
        assert_eq!(Volume::of_document(&json!({"volumes": [{"id": "a"}]}))[0].id.as_deref(), Some("a"));
    }
}
