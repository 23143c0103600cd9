//! The body of an answer of the public API, as `scw-known-hosts` reads it, and its local list. Invariant C1: an Instance has a well-formed id,
//! which cannot change a path, and the list survives its file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scw_known_hosts::api::answers::read_all;
use scw_known_hosts::api::ids::{Id, Zone};
use scw_known_hosts::instances::list::InstanceList;

fuzz_target!(|body: &[u8]| {
    let zone = Zone::parse("fr-par-1").expect("a zone");
    let instances = read_all(body, &zone);
    for instance in &instances {
        assert!(
            instance.id.as_str().len() == 36
                && Id::parse(instance.id.as_str()).as_ref() == Some(&instance.id)
        );
    }
    let mut list = InstanceList::parse(body).unwrap_or_default();
    list.replace("SCWA", &[zone], &instances, |_| body.len() % 2 == 0);
    assert_eq!(InstanceList::parse(&list.content()), Some(list));
});
