//! Which keys are added, kept and removed (invariants K2, K3). Pure.
//!
//! A key is added when it is seen. It is removed when two answers of the service, 15 seconds apart, do not have it, and never
//! 1. if one of the answers has an invalid key of its source, which may be this key; or, for a key of the account, no key of the account at
//!    all, which is a normal answer for an account with keys, too;
//! 2. if no key would be left with which sshd lets root in;
//! 3. if somebody wrote it into the file.

use crate::account_keys::key_line::KeyLine;
use crate::account_keys::key_sources::{KeySource, WantedKeys};
use crate::account_keys::managed_keys::{ManagedKey, ManagedKeys};
use crate::metadata::api::instance::InstanceId;

/// Why a key that is not wanted stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Without it, root could not log in with any of the managed keys.
    LastKey,
    /// The answer had no key of the account.
    EmptyList,
    /// The answer had an invalid key of the same source.
    InvalidKey,
    /// Somebody wrote it into the file.
    EditedByHand,
}

/// The keys after two answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyDecision {
    pub(crate) keys: ManagedKeys,
    /// The identities of the keys that stay although they are not wanted.
    pub(crate) held: Vec<(String, Held)>,
    /// The keys that are removed.
    pub(crate) removed: Vec<KeyLine>,
}

/// The keys of this Instance: those that are there, or only those that somebody wrote into the file if the others are of another one.
pub(crate) fn of_instance(current: ManagedKeys, instance: &InstanceId) -> ManagedKeys {
    if current.instance.as_ref() == Some(instance) {
        return current;
    }
    // What somebody wrote into the file is no key of another Instance's owner.
    let keys = current.keys.into_iter().filter(|key| key.source.is_none()).collect();
    ManagedKeys { instance: Some(instance.clone()), keys, removed: Vec::new(), others: current.others }
}

/// The keys after the first answer: nothing is removed. Returns whether a second answer is needed, too.
pub(crate) fn after_first(current: &ManagedKeys, first: &WantedKeys) -> (ManagedKeys, bool) {
    let unwanted = not_in(&current.keys, first);
    let is_removable = |key: &ManagedKey| key.source.is_some();
    let needs_second = unwanted.iter().any(is_removable);
    (with_keys(current, first, unwanted), needs_second)
}

/// The keys after the second answer. `current` is what the first one left, and `is_usable` is whether sshd accepts a key.
pub(crate) fn after_second(
    current: &ManagedKeys,
    first: &WantedKeys,
    second: &WantedKeys,
    is_usable: impl Fn(&KeyLine) -> bool,
) -> KeyDecision {
    let answers = [first, second];
    let lists_account_keys = answers.iter().all(|answer| answer.has(KeySource::Account));
    let has_invalid_key = |source| answers.iter().any(|answer| answer.has_invalid(source));
    let (mut held, mut kept, mut removable) = (Vec::new(), Vec::new(), Vec::new());
    let in_first = first.identities();
    for key in not_in(&current.keys, second) {
        let identity = key.line.identity();
        let hold = match key.source {
            None => Some(Held::EditedByHand),
            Some(KeySource::Account) if !lists_account_keys => Some(Held::EmptyList),
            Some(source) if has_invalid_key(source) => Some(Held::InvalidKey),
            Some(_) => None,
        };
        if in_first.contains(&identity) {
            // Seen a moment ago, so one more look decides.
            kept.push(key);
        } else if let Some(why) = hold {
            held.push((identity, why));
            kept.push(key);
        } else {
            removable.push(key);
        }
    }
    let remains = second.keys.iter().map(|key| &key.line).chain(kept.iter().map(|key| &key.line));
    if !removable.is_empty() && !{ remains }.any(is_usable) {
        held.extend(removable.iter().map(|key| (key.line.identity(), Held::LastKey)));
        kept.append(&mut removable);
    }
    let mut keys = with_keys(current, second, kept);
    let removed: Vec<_> = removable.into_iter().map(|key| key.line).collect();
    let now_removed: Vec<_> = removed.iter().map(|line| line.key().fingerprint()).collect();
    keys.removed.retain(|fingerprint| !now_removed.contains(fingerprint));
    keys.removed.extend(now_removed);
    let present = keys.fingerprints();
    keys.removed.retain(|fingerprint| !present.contains(fingerprint));
    KeyDecision { keys, held, removed }
}

/// The wanted keys, in their order, and then those that are kept.
fn with_keys(current: &ManagedKeys, wanted: &WantedKeys, kept: Vec<ManagedKey>) -> ManagedKeys {
    let keys = wanted.keys.iter().cloned().map(ManagedKey::from).chain(kept).collect();
    ManagedKeys { keys, ..current.clone() }
}

fn not_in(keys: &[ManagedKey], wanted: &WantedKeys) -> Vec<ManagedKey> {
    let wanted = wanted.identities();
    keys.iter().filter(|key| !wanted.contains(&key.line.identity())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_keys::key_line::tests::{key_text, line};
    use crate::metadata::api::owner_data::OwnerData;

    /// An answer: keys of the account, in tags, and in instance_keys.
    fn answer([account, tags, own]: [&[u8]; 3]) -> WantedKeys {
        // Key 8 is sent without its end.
        let text = |number: &u8| if *number == 8 { key_text(8)[..40].to_owned() } else { key_text(*number) };
        let account_keys = account.iter().map(text).collect();
        let tag = |number: &u8| format!("AUTHORIZED_KEY={}", key_text(*number).replace(' ', "_"));
        let tags = tags.iter().map(tag).collect();
        let own: Vec<_> = own.iter().map(|number| key_text(*number)).collect();
        WantedKeys::of(&OwnerData { account_keys, tags }, &own.join("\n"))
    }

    fn id(last: char) -> InstanceId {
        InstanceId::try_from(format!("11111111-1111-4111-8111-11111111111{last}")).expect("an id")
    }

    fn numbers<'a>(lines: impl Iterator<Item = &'a KeyLine>) -> Vec<u8> {
        let number = |line: &KeyLine| (1..=9).find(|n| line.identity() == key_text(*n)).expect("one of them");
        let mut numbers: Vec<_> = lines.map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// What two answers leave of the keys of `before`.
    fn after(before: [&[u8]; 3], first: [&[u8]; 3], second: [&[u8]; 3]) -> (Vec<u8>, KeyDecision) {
        let empty = ManagedKeys { instance: Some(id('a')), ..ManagedKeys::default() };
        let (current, _) = after_first(&empty, &answer(before));
        let (first, second) = (answer(first), answer(second));
        let (current, _) = after_first(&current, &first);
        // Key 9 is one that sshd does not accept.
        let decision = after_second(&current, &first, &second, |line| line.identity() != line_identity(9));
        (numbers(decision.keys.keys.iter().map(|key| &key.line)), decision)
    }

    fn line_identity(number: u8) -> String {
        line(number).identity()
    }

    const NONE: &[u8] = &[];

    #[test]
    fn k2_k3_table_of_what_stays() {
        let account = |numbers: &'static [u8]| [numbers, NONE, NONE];
        let tags = |numbers: &'static [u8]| [NONE, numbers, NONE];
        for (before, first, second, stays, why) in [
            (account(&[1]), account(&[1, 2]), account(&[1, 2]), &[1, 2][..], None),
            (account(&[1, 2]), account(&[2]), account(&[2]), &[2], None),
            (account(&[1, 2]), account(&[2]), account(&[1, 2]), &[1, 2], None),
            (account(&[1, 2]), account(&[1, 2]), account(&[2]), &[1, 2], None),
            (account(&[1, 2]), account(&[2, 3]), account(&[2]), &[2, 3], None),
            (account(&[1]), account(NONE), account(NONE), &[1], Some(Held::EmptyList)),
            (account(&[1, 2]), account(NONE), account(&[2]), &[1, 2], Some(Held::EmptyList)),
            (account(&[1, 2]), account(&[2]), account(NONE), &[1, 2], Some(Held::EmptyList)),
            // Another source has a key, and still an empty list says nothing of the account's keys.
            ([&[1], &[2], NONE], tags(&[2]), tags(&[2]), &[1, 2], Some(Held::EmptyList)),
            ([&[1], NONE, &[2]], [NONE, NONE, &[2]], [NONE, NONE, &[2]], &[1, 2], Some(Held::EmptyList)),
            // Tags and root's own file are emptied on purpose, but not below the last key.
            ([&[1], &[2], NONE], account(&[1]), account(&[1]), &[1], None),
            ([&[1], NONE, &[2]], account(&[1]), account(&[1]), &[1], None),
            (tags(&[2, 3]), tags(&[3]), tags(&[3]), &[3], None),
            (tags(&[2]), tags(NONE), tags(NONE), &[2], Some(Held::LastKey)),
            ([NONE, NONE, &[2]], account(NONE), account(NONE), &[2], Some(Held::LastKey)),
            // A key that sshd does not accept is no way in.
            (account(&[1, 9]), account(&[9]), account(&[9]), &[1, 9], Some(Held::LastKey)),
            (account(&[1, 2, 9]), account(&[2]), account(&[2]), &[2], None),
            (account(&[1, 2]), account(&[2, 8]), account(&[2]), &[1, 2], Some(Held::InvalidKey)),
            (account(&[1, 2]), account(&[8]), account(&[8]), &[1, 2], Some(Held::EmptyList)),
            // From one source to another.
            (account(&[1, 2]), [&[2], &[1], NONE], [&[2], &[1], NONE], &[1, 2], None),
        ] {
            let (stayed, decision) = after(before, first, second);
            let held: Vec<_> = decision.held.iter().map(|(_, why)| *why).collect();
            let title = format!("{before:?} {first:?} {second:?}");
            assert_eq!(stayed, stays, "{title}");
            assert!(
                held.iter().all(|held| Some(*held) == why) && held.is_empty() == why.is_none(),
                "{title}: {held:?}"
            );
            let removed = numbers(decision.removed.iter());
            assert!(removed.iter().all(|number| !stays.contains(number)), "{title}");
            assert_eq!(decision.keys.removed.len(), removed.len(), "{title}");
        }
    }

    #[test]
    fn k2_one_answer_removes_nothing() {
        let current = after([&[1, 2], &[3], NONE], [&[1, 2], &[3], NONE], [&[1, 2], &[3], NONE]).1.keys;
        for (first, needs_second) in [
            ([&[1, 2][..], &[3], NONE], false),
            ([&[1, 2, 4], &[3], NONE], false),
            ([&[4], NONE, NONE], true),
            ([NONE, NONE, NONE], true),
        ] {
            let (keys, second) = after_first(&current, &answer(first));
            let stayed = numbers(keys.keys.iter().map(|key| &key.line));
            assert!([1, 2, 3].iter().all(|number| stayed.contains(number)), "{first:?}");
            assert_eq!(second, needs_second, "{first:?}");
        }
    }

    #[test]
    fn k1_key_written_by_hand_stays_on_every_instance() {
        let by_hand = ManagedKey { line: line(7), source: None };
        let keys = vec![by_hand, ManagedKey { line: line(1), source: Some(KeySource::Account) }];
        let current =
            ManagedKeys { instance: Some(id('a')), keys, removed: vec!["x".to_owned()], others: Vec::new() };
        assert_eq!(of_instance(current.clone(), &id('a')), current);
        let other = of_instance(current, &id('b'));
        assert_eq!(numbers(other.keys.iter().map(|key| &key.line)), [7], "keys of another owner go");
        let wanted = answer([&[2], NONE, NONE]);
        let (current, needs_second) = after_first(&other, &wanted);
        assert!(!needs_second);
        let decision = after_second(&current, &wanted, &wanted, |_| true);
        assert_eq!(numbers(decision.keys.keys.iter().map(|key| &key.line)), [2, 7]);
        assert_eq!(decision.held, [(line_identity(7), Held::EditedByHand)]);
    }

    #[test]
    fn key_that_returns_is_no_removed_one() {
        let (_, decision) = after([&[1, 2], NONE, NONE], [&[2], NONE, NONE], [&[2], NONE, NONE]);
        assert_eq!(decision.keys.removed, [line(1).key().fingerprint()]);
        let wanted = answer([&[1, 2], NONE, NONE]);
        let (keys, _) = after_first(&decision.keys, &wanted);
        assert_eq!(after_second(&keys, &wanted, &wanted, |_| true).keys.removed, [""; 0]);
    }
}
