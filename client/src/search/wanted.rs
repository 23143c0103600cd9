//! What identifies the Instance that the user means, and whether the host is a candidate (invariant C2). Pure.

use std::net::IpAddr;

use crate::api::answers::Instance;
use crate::api::ids::Id;
use crate::instances::list::{InstanceList, Known, literal};
use crate::ssh::call::Target;

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This Instance.
    Id(Id),
    /// The Instance with this address.
    Address(IpAddr),
    /// The Instance with an address to which this name resolves.
    Name(String),
}

impl Wanted {
    /// The alias counts first, then the host that ssh connects to, then what was typed.
    pub fn of(target: &Target) -> Self {
        let alias = target.alias.as_deref().and_then(|alias| Id::parse(alias).or_else(|| Id::of_name(alias)));
        if let Some(id) = alias.or_else(|| Id::of_name(&target.host)).or_else(|| Id::of_name(&target.typed)) {
            return Self::Id(id);
        }
        literal(&target.host).map_or_else(|| Self::Name(target.host.clone()), Self::Address)
    }
}

/// Whether this host may be one of the user's Instances. Only such hosts are asked about.
pub fn is_candidate(target: &Target, list: &InstanceList) -> bool {
    let is_known = |name: &str| {
        list.named(name).next().is_some()
            || literal(name).is_some_and(|address| list.with_address(address).next().is_some())
    };
    matches!(Wanted::of(target), Wanted::Id(_)) || is_known(&target.host) || is_known(&target.typed)
}

/// The Instances that the user may have meant instead of this one: what was typed is their name, and not that of this one.
pub fn others_of_that_name<'a>(
    target: &'a Target,
    found: &Instance,
    list: &'a InstanceList,
) -> Vec<&'a Known> {
    let names = [&target.typed, &target.host];
    let is_same = |name: &String| {
        found.name.eq_ignore_ascii_case(name) || list.named(name).any(|known| known.id == found.id)
    };
    names.into_iter().filter(|name| !is_same(name)).flat_map(|name| list.named(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ids::Zone;

    const A: &str = "11111111-2222-4333-8444-55555555555a";
    const B: &str = "11111111-2222-4333-8444-55555555555b";

    fn target(host: &str, typed: &str, alias: Option<&str>) -> Target {
        Target { host: host.to_owned(), typed: typed.to_owned(), alias: alias.map(str::to_owned) }
    }

    fn instance(id: &str, name: &str, address: &str) -> Instance {
        Instance {
            id: Id::parse(id).expect("an id"),
            name: name.to_owned(),
            zone: Zone::parse("fr-par-1").expect("a zone"),
            state: String::new(),
            addresses: vec![address.parse().expect("an address")],
            nics: Vec::new(),
        }
    }

    fn list() -> InstanceList {
        let mut list = InstanceList::default();
        list.put("SCWA", &instance(A, "Web-1", "51.15.0.1"));
        list.put("SCWA", &instance(B, "db", "51.15.0.2"));
        list
    }

    #[test]
    fn alias_counts_before_host_and_typed_name() {
        let name = |id: &str| format!("{id}.pub.instances.scw.cloud");
        for (target, wanted) in [
            (target(&name(A), &name(B), Some(B)), Wanted::Id(Id::parse(B).expect("an id"))),
            (target(&name(A), &name(B), None), Wanted::Id(Id::parse(A).expect("an id"))),
            (target("10.0.0.1", &name(B), None), Wanted::Id(Id::parse(B).expect("an id"))),
            (target("10.0.0.1", "web", Some("web")), Wanted::Address("10.0.0.1".parse().expect("one"))),
            (target("2001:db8::1", "web", None), Wanted::Address("2001:db8::1".parse().expect("one"))),
            (target("web.example.com", "web", None), Wanted::Name("web.example.com".to_owned())),
        ] {
            assert_eq!(Wanted::of(&target), wanted, "{target:?}");
        }
    }

    #[test]
    fn c2_candidates_are_decided_without_network() {
        for (host, typed, alias, candidate) in [
            ("51.15.0.1", "51.15.0.1", None, true),
            ("51.15.0.9", "51.15.0.9", None, false),
            ("::ffff:51.15.0.1", "::ffff:51.15.0.1", None, true),
            ("web-1", "web-1", None, true),
            ("51.15.0.9", "web-1", None, true),
            ("github.com", "github.com", None, false),
            ("10.0.0.1", "x", Some(A), true),
            ("10.0.0.1", "x", Some("web-2"), false),
        ] {
            assert_eq!(is_candidate(&target(host, typed, alias), &list()), candidate, "{host} {typed}");
        }
    }

    #[test]
    fn name_of_another_instance_is_noticed() {
        let db = instance(B, "db", "51.15.0.2");
        let remade = instance("11111111-2222-4333-8444-55555555555c", "web-1", "51.15.0.3");
        let list = list();
        for (typed, found, other) in [
            ("web-1", &db, Some("Web-1")),
            ("db", &db, None),
            ("web-1", &remade, None),
            ("www.example.com", &db, None),
        ] {
            let target = target("www", typed, None);
            let others = others_of_that_name(&target, found, &list);
            let named = others.first().map(|known| known.name.as_str());
            assert_eq!(named, other, "{typed}");
        }
    }
}
