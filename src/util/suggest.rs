//! Finds the word that a misspelt word was probably meant to be. For error messages only.

/// The candidate that is at most two edits away from `word`; `None` if there is none.
pub(crate) fn nearest(
    word: &str,
    candidates: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    nearest_in(word, &mut candidates.into_iter())
}

/// Takes a trait object, so that it is compiled once for all types of iterators.
fn nearest_in(word: &str, candidates: &mut dyn Iterator<Item = &'static str>) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let distances = candidates.map(|candidate| (distance(&word, candidate), candidate));
    let (edits, candidate) = distances.min()?;
    (edits <= 2 && edits < candidate.len()).then_some(candidate)
}

/// The number of edits between two words: insertions, deletions, replacements, and swaps of two adjacent letters (restricted
/// Damerau–Levenshtein distance).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut edits = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(rows[i - 2][j - 2] + 1);
            }
            row.push(edits);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_error_is_recognised_and_another_word_is_not() {
        let names = ["timeout", "retries", "user"];
        for (word, expected) in [
            ("timeuot", Some("timeout")),
            ("Timeout", Some("timeout")),
            ("retry", None),
            ("retrys", Some("retries")),
            ("usr", Some("user")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
    }
}
