//! Instance ids and zones. A value of these types is safe in a path. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::credentials::load::is_uuid;

/// The zones that are always asked. A zone that the configuration or an earlier answer names is asked, too.
const ZONES: [&str; 10] = [
    "fr-par-1", "fr-par-2", "fr-par-3", "nl-ams-1", "nl-ams-2", "nl-ams-3", "pl-waw-1", "pl-waw-2",
    "pl-waw-3", "it-mil-1",
];

/// What stands behind the id in the names of an Instance.
const SUFFIXES: [&str; 3] =
    [".pub.instances.scw.cloud", ".priv.instances.scw.cloud", ".pub.cloud.scaleway.com"];

/// The id of an Instance or of a private NIC: a UUID in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// A zone, such as `fr-par-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

/// The text is neither.
#[derive(Debug, thiserror::Error)]
#[error("not a valid id or zone")]
pub struct NotValid;

impl Id {
    /// A UUID.
    pub fn parse(text: &str) -> Option<Self> {
        is_uuid(text).then(|| Self(text.to_lowercase()))
    }

    /// The id in the name of an Instance: `UUID.pub.instances.scw.cloud`.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        SUFFIXES.iter().find_map(|suffix| Self::parse(name.strip_suffix(suffix)?))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Zone {
    /// A zone, also one that does not exist yet.
    pub fn parse(text: &str) -> Option<Self> {
        let [country, city, number] = text.split('-').collect::<Vec<_>>()[..] else { return None };
        let is_letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_number = number.len() == 1 && number.as_bytes()[0].is_ascii_digit();
        (country.len() == 2 && city.len() == 3 && is_letters(country) && is_letters(city) && is_number)
            .then(|| Self(text.to_owned()))
    }

    /// All known zones.
    pub(crate) fn known() -> Vec<Zone> {
        ZONES.into_iter().map(|zone| Self(zone.to_owned())).collect()
    }

    /// The zone's region: `fr-par`.
    pub fn region(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(region, _)| region)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = NotValid;

    fn try_from(text: String) -> Result<Self, NotValid> {
        Self::parse(&text).ok_or(NotValid)
    }
}

impl TryFrom<String> for Zone {
    type Error = NotValid;

    fn try_from(text: String) -> Result<Self, NotValid> {
        Self::parse(&text).ok_or(NotValid)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-4333-8444-55555555aaaa";

    #[test]
    fn id_is_found_in_the_names_of_an_instance() {
        for (name, found) in [
            (format!("{ID}.pub.instances.scw.cloud"), true),
            (format!("{}.PUB.instances.scw.cloud", ID.to_uppercase()), true),
            (format!("{ID}.priv.instances.scw.cloud"), true),
            (format!("{ID}.pub.cloud.scaleway.com"), true),
            (format!("{ID}.pub.instances.scw.cloud.example.com"), false),
            (format!("x{ID}.pub.instances.scw.cloud"), false),
            (format!("{ID}.example.com"), false),
            ("pub.instances.scw.cloud".to_owned(), false),
        ] {
            assert_eq!(Id::of_name(&name).map(String::from).as_deref(), found.then_some(ID), "{name}");
        }
    }

    #[test]
    fn zones_have_a_region() {
        for (text, region) in [
            ("fr-par-1", Some("fr-par")),
            ("de-fra-9", Some("de-fra")),
            ("fr-par", None),
            ("fr-par-1/..", None),
            ("fr-par-10", None),
            ("FR-PAR-1", None),
        ] {
            assert_eq!(Zone::parse(text).as_ref().map(Zone::region), region, "{text}");
        }
        assert!(Zone::known().iter().all(|zone| Zone::parse(&zone.0).is_some()));
    }
}
