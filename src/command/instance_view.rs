//! Prints the description of the Instance for people. Pure.

use crate::command::rows::Rows;
use crate::metadata::api::instance_details::{InstanceDetails, PlacementGroup, PrivateNic, PublicAddress};

/// The complete view: a line for each field, also for a field that is not known.
pub(crate) fn rows(details: &InstanceDetails) -> Rows {
    let mut view = InstanceView(Rows::new(false));
    for (name, value) in [
        ("id", &details.id),
        ("name", &details.name),
        ("hostname", &details.hostname),
        ("type", &details.commercial_type),
        ("zone", &details.zone),
        ("arch", &details.arch),
        ("state", &details.state),
        ("created", &details.creation_date),
    ] {
        view.line(name, value.as_deref().unwrap_or("not known"));
    }
    let image = details.image.as_ref();
    let image_text = image.and_then(|image| joined(&[&image.name, &image.id], &[("arch", &image.arch)]));
    view.line("image", image_text.as_deref().unwrap_or("none"));
    let group = details.security_group.as_ref();
    let group_text = group.and_then(|group| joined(&[&group.name, &group.id], &[]));
    view.line("security group", group_text.as_deref().unwrap_or("none"));
    let placement_text = details.placement_group.as_ref().and_then(placement_group);
    view.line("placement group", placement_text.as_deref().unwrap_or("none"));
    view.list("public address", details.public_ips.iter().map(public_address));
    view.list("private NIC", details.private_nics.iter().map(private_nic));
    match &details.tags {
        Some(tags) => view.list("tags", tags.iter().cloned()),
        None => view.line("tags", "not shown, only root may see them"),
    }
    view.0
}

struct InstanceView(Rows);

impl InstanceView {
    fn line(&mut self, name: &str, value: &str) {
        self.0.plain(&format!("{:<16} {value}", format!("{name}:")));
    }

    /// A line for each value, or one that says that there are none.
    fn list(&mut self, name: &str, values: impl Iterator<Item = String>) {
        let mut is_empty = true;
        for value in values {
            self.line(name, &value);
            is_empty = false;
        }
        if is_empty {
            self.line(name, "none");
        }
    }
}

/// The known ones of the values and of the named values: `Debian, 01fe25a9-…, arch x86_64`.
fn joined(values: &[&Option<String>], named: &[(&str, &Option<String>)]) -> Option<String> {
    let values = values.iter().filter_map(|value| value.as_ref().cloned());
    let named = named.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
    let known: Vec<_> = values.chain(named).collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn placement_group(group: &PlacementGroup) -> Option<String> {
    let respected =
        group.policy_respected.map(|respected| if respected { "respected" } else { "not respected" });
    let respected = respected.map(str::to_owned);
    let policy = joined(&[&group.policy_type, &group.policy_mode, &respected], &[]);
    joined(&[&group.name, &group.id], &[("policy", &policy)])
}

fn public_address(address: &PublicAddress) -> String {
    let PublicAddress { address, family, gateway, netmask } = address;
    let with_netmask = match (address, netmask) {
        (Some(address), Some(netmask)) => Some(format!("{address}/{netmask}")),
        (address, _) => address.clone(),
    };
    let family = family.as_deref().map(|family| match family {
        "inet" => "IPv4".to_owned(),
        "inet6" => "IPv6".to_owned(),
        other => other.to_owned(),
    });
    joined(&[&with_netmask, &family], &[("gateway", gateway)]).unwrap_or_default()
}

fn private_nic(nic: &PrivateNic) -> String {
    let interface = match &nic.interfaces[..] {
        [] => "no interface has this MAC address".to_owned(),
        names => format!("interface {}", names.join(", ")),
    };
    let known = [("MAC", &nic.mac_address), ("Private Network", &nic.private_network_id)];
    joined(&[&nic.id], &known).map_or(interface.clone(), |known| format!("{known}, {interface}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(conf: &serde_json::Value) -> String {
        rows(&InstanceDetails::of_document(conf)).text().to_owned()
    }

    #[test]
    fn each_field_has_a_line_also_if_it_is_unknown() {
        let empty = text(&json!({}));
        assert_eq!(empty.lines().count(), 14, "{empty}");
        for line in ["id:              not known\n", "image:           none\n", "tags:            none\n"] {
            assert!(empty.contains(line), "{line:?} is not in {empty}");
        }
        let full = text(&json!({
            "image": {"name": "Debian", "id": "i", "arch": "x86_64"},
            "placement_group": {"name": "g", "policy_type": "low_latency", "policy_mode": "optional", "policy_respected": false},
            "public_ips": [{"address": "192.0.2.1", "netmask": "32", "family": "inet", "gateway": null}, {"address": "2001:db8::1", "family": "inet6", "gateway": "fe80::1"}],
            "private_nics": [{}, {"id": "n", "mac_address": "02:00:00:00:00:01", "private_network_id": "p"}],
            "tags": ["a", "b"],
        }));
        for line in [
            "image:           Debian, i, arch x86_64\n",
            "placement group: g, policy low_latency, optional, not respected\n",
            "public address:  192.0.2.1/32, IPv4\n",
            "public address:  2001:db8::1, IPv6, gateway fe80::1\n",
            "private NIC:     no interface has this MAC address\n",
            "private NIC:     n, MAC 02:00:00:00:00:01, Private Network p, no interface has this MAC address\n",
            "tags:            a\ntags:            b\n",
        ] {
            assert!(full.contains(line), "{line:?} is not in {full}");
        }
    }

    #[test]
    fn s3_hidden_tags_are_named_as_hidden() {
        let details = InstanceDetails { tags: None, ..InstanceDetails::default() };
        assert!(rows(&details).text().ends_with("tags:            not shown, only root may see them\n"));
    }

    #[test]
    fn value_with_a_line_break_stays_one_line() {
        let text = text(&json!({"name": "a\nid: b\u{1b}[2J", "tags": ["c\nd"]}));
        assert!(text.contains("name:            a\\nid: b\\u{1b}[2J\n"), "{text}");
        assert_eq!(text.lines().count(), 14, "{text}");
    }
}
