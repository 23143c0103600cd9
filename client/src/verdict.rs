//! The comparison of an offered key with what was published (invariant C1). Pure.

use crate::published::Fingerprint;
use crate::search::find::Found;

/// What the comparison says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<T> {
    /// One of the Instances published this key.
    Published(T),
    /// At least this one published something, and none of them this key.
    Contradicted(T),
    /// None of them published anything, this one included.
    NotPublished(T),
}

/// The verdict on a key that one of these Instances must have. There is at least one. A key that cannot be used is that of none.
pub(crate) fn verdict<'a>(found: &'a [Found], offered: Option<&Fingerprint>) -> Option<Verdict<&'a Found>> {
    let has_key = |one: &&Found| {
        one.published.as_ref().zip(offered).is_some_and(|(published, offered)| published.contains(offered))
    };
    if let Some(one) = found.iter().find(has_key) {
        return Some(Verdict::Published(one));
    }
    let with_keys = found.iter().find(|one| one.published.is_some());
    with_keys.map(Verdict::Contradicted).or_else(|| found.first().map(Verdict::NotPublished))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::answers::Instance;
    use crate::api::ids::{Id, Zone};
    use crate::published::Published;

    fn fingerprint(byte: u8) -> Fingerprint {
        Fingerprint::of(&[byte; 32])
    }

    fn found(bytes: &[u8]) -> Found {
        let lines: Vec<_> =
            bytes.iter().map(|byte| format!("256 {} x (ED25519)\n", fingerprint(*byte))).collect();
        let instance = Instance {
            id: Id::parse("11111111-2222-4333-8444-555555555555").expect("an id"),
            name: "web".to_owned(),
            zone: Zone::parse("fr-par-1").expect("a zone"),
            state: String::new(),
            addresses: Vec::new(),
            nics: Vec::new(),
        };
        Found { instance, published: Published::parse(lines.concat().as_bytes()) }
    }

    #[test]
    fn c1_only_a_published_key_is_trusted() {
        for (published, expected) in [
            (&[&[1][..]][..], "published"),
            (&[&[2, 1]], "published"),
            (&[&[2]], "contradicted"),
            (&[&[]], "not published"),
            (&[&[2], &[1]], "published"),
            (&[&[2], &[]], "contradicted"),
            (&[&[], &[2]], "contradicted"),
            (&[&[], &[]], "not published"),
            (&[&[2], &[3]], "contradicted"),
            (&[], "nothing"),
        ] {
            let found: Vec<_> = published.iter().map(|bytes| found(bytes)).collect();
            let text = match verdict(&found, Some(&fingerprint(1))) {
                Some(Verdict::Published(_)) => "published",
                Some(Verdict::Contradicted(_)) => "contradicted",
                Some(Verdict::NotPublished(_)) => "not published",
                None => "nothing",
            };
            assert_eq!(text, expected, "{published:?}");
            let unusable = verdict(&found, None);
            assert!(!matches!(unusable, Some(Verdict::Published(_))), "{published:?}");
            assert_eq!(
                matches!(unusable, Some(Verdict::Contradicted(_))),
                matches!(text, "contradicted" | "published")
            );
        }
    }
}
