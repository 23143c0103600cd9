//! The word that was probably meant: for error messages only.

/// The candidate that is a slip or two away from `word`; `None` where none is near.
pub(crate) fn nearest(
    word: &str,
    candidates: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    among(word, &mut candidates.into_iter())
}

/// Compiled once, whatever the candidates come from.
fn among(word: &str, candidates: &mut dyn Iterator<Item = &'static str>) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let distances = candidates.map(|candidate| (distance(&word, candidate), candidate));
    let (slips, candidate) = distances.min()?;
    (slips <= 2 && slips < candidate.len()).then_some(candidate)
}

/// How many letters must be put in, taken out, exchanged or swapped with their neighbour (Damerau's distance, restricted).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let exchanged = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = exchanged.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
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
