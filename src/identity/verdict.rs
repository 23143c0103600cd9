//! Same Instance, another, or unknown. Pure.
//!
//! The rules, in the order in which they hold:
//! 1. Without a record there is nothing to compare with: unknown.
//! 2. The hypervisor's DMI data count only if they were once seen to name the Instance by the same id as the metadata did. On a
//!    platform where they say something else (a new number at every start, perhaps), they would make every start a new Instance.
//! 3. Where they count and are there, they decide: nobody on the network can forge them, and they are there before the network is.
//!    If the metadata say otherwise then, that is a conflict: reported, and nothing is remade.
//! 4. Otherwise the metadata decide, where they are known.

use crate::metadata::api::instance::InstanceId;

use crate::identity::record::Identity;

/// What can be known of the present machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The hypervisor's word, where it has a good one.
    pub dmi: Option<InstanceId>,
    /// The metadata's word, once the service was reached.
    pub metadata: Option<InstanceId>,
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The Instance that was recorded.
    Same,
    /// Another one: this disk was cloned.
    Another(InstanceId),
    /// Nothing proves either.
    #[default]
    Unknown,
    /// The hypervisor says "the same", the metadata name this one.
    Conflict(InstanceId),
}

/// Decides.
pub fn judge(recorded: Option<&Identity>, evidence: &Evidence) -> Verdict {
    let Some(recorded) = recorded else { return Verdict::Unknown };
    let dmi = evidence.dmi.as_ref().filter(|_| recorded.dmi_names_instance);
    match (dmi, &evidence.metadata) {
        (Some(dmi), _) if *dmi != recorded.instance => Verdict::Another(dmi.clone()),
        (Some(_), Some(metadata)) if *metadata != recorded.instance => Verdict::Conflict(metadata.clone()),
        (Some(_), _) => Verdict::Same,
        (None, Some(metadata)) if *metadata != recorded.instance => Verdict::Another(metadata.clone()),
        (None, Some(_)) => Verdict::Same,
        (None, None) => Verdict::Unknown,
    }
}

impl Evidence {
    /// What to record of this machine, once the metadata have named it.
    pub fn identity(&self) -> Option<Identity> {
        let instance = self.metadata.clone()?;
        let dmi_names_instance = self.dmi.as_ref() == Some(&instance);
        Some(Identity { instance, dmi_names_instance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(last: char) -> InstanceId {
        InstanceId::try_from(format!("daa2ea5a-0ee6-4cdc-9f1a-e0d1cb4e6d8{last}")).expect("a good id")
    }

    #[test]
    fn h1_the_table_of_what_proves_another_instance() {
        let (a, b, c) = (Some('a'), Some('b'), Some('c'));
        let another = |last| Verdict::Another(id(last));
        // Recorded, whether DMI was seen to name the Instance, DMI now, metadata now.
        for (recorded, dmi_names, dmi, metadata, verdict) in [
            (None, false, None, None, Verdict::Unknown),
            (None, false, a, b, Verdict::Unknown),
            (a, true, None, None, Verdict::Unknown),
            (a, true, a, None, Verdict::Same),
            (a, true, b, None, another('b')),
            (a, true, a, a, Verdict::Same),
            (a, true, a, b, Verdict::Conflict(id('b'))),
            (a, true, b, a, another('b')),
            (a, true, b, c, another('b')),
            (a, true, None, a, Verdict::Same),
            (a, true, None, b, another('b')),
            (a, false, None, None, Verdict::Unknown),
            (a, false, b, None, Verdict::Unknown),
            (a, false, b, a, Verdict::Same),
            (a, false, a, b, another('b')),
            (a, false, b, b, another('b')),
        ] {
            let identity =
                recorded.map(|last| Identity { instance: id(last), dmi_names_instance: dmi_names });
            let evidence = Evidence { dmi: dmi.map(id), metadata: metadata.map(id) };
            assert_eq!(judge(identity.as_ref(), &evidence), verdict, "{recorded:?} {dmi_names} {evidence:?}");
        }
    }

    #[test]
    fn h1_dmi_counts_only_when_it_was_seen_to_name_the_instance() {
        let seen =
            |dmi, metadata| Evidence { dmi, metadata }.identity().map(|identity| identity.dmi_names_instance);
        assert_eq!(seen(Some(id('a')), Some(id('a'))), Some(true));
        assert_eq!(seen(Some(id('b')), Some(id('a'))), Some(false));
        assert_eq!(seen(None, Some(id('a'))), Some(false));
        assert_eq!(seen(Some(id('a')), None), None);
    }
}
