//! Decides whether this is the recorded Instance, another one, or unknown. Pure.
//!
//! The rules; the first one that applies decides:
//! 1. Without a record there is nothing to compare with, so the Instance is unknown.
//! 2. The hypervisor's DMI data are used only if they once had the same id as the metadata. Otherwise an id that
//!    changes at every start would look like a new Instance.
//! 3. If the DMI data are used and available, they decide: nobody on the network can forge them, and they are available before the network.
//!    If the metadata contradict them, that is a conflict. It is reported, and no key is replaced.
//! 4. Otherwise the metadata decide, if they are known.

use crate::metadata::api::instance::InstanceId;

use crate::identity::record::Identity;

/// What is known about the present machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The id in the hypervisor's DMI data, if it is valid.
    pub dmi: Option<InstanceId>,
    /// The id in the metadata, if the service answered.
    pub metadata: Option<InstanceId>,
}

/// Which Instance the disk belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The recorded Instance.
    Same,
    /// This other Instance: the disk is a clone.
    Another(InstanceId),
    /// There is no proof for either.
    #[default]
    Unknown,
    /// The DMI data name the recorded Instance; the metadata name this one.
    Conflict(InstanceId),
}

/// Compares the record with the evidence.
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
    /// The identity to record, if the metadata are known.
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
    fn h1_evidence_that_proves_another_instance() {
        let (a, b, c) = (Some('a'), Some('b'), Some('c'));
        let another = |last| Verdict::Another(id(last));
        // Recorded id, whether DMI had the same id then, DMI now, metadata now.
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
    fn h1_dmi_is_used_only_after_it_had_the_metadata_id() {
        let recorded_dmi =
            |dmi, metadata| Evidence { dmi, metadata }.identity().map(|identity| identity.dmi_names_instance);
        assert_eq!(recorded_dmi(Some(id('a')), Some(id('a'))), Some(true));
        assert_eq!(recorded_dmi(Some(id('b')), Some(id('a'))), Some(false));
        assert_eq!(recorded_dmi(None, Some(id('a'))), Some(false));
        assert_eq!(recorded_dmi(Some(id('a')), None), None);
    }
}
