//! sshd's word on what it serves, kept over boots: asking it (`sshd -T`) costs as much as all else in a boot together, and the answer is the
//! same as long as the program, its options and its configuration are.
//!
//! The word only saves a question: one that cannot be read, or is of anything else, is as good as none (laws D1, H3).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64ct::{Base64Unpadded, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::served::Served;
use super::sshd_config::SshdConfig;
use crate::files;

const VERSION: u32 = 1;
const LARGEST: u64 = 64 * 1024;

/// Everything that sshd's answer depends on, as one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Basis(String);

#[derive(Serialize, Deserialize)]
struct Word {
    version: u32,
    basis: Basis,
    served: Served,
}

impl Basis {
    /// Of this program with these options, and of its configuration in `folder` with all that it includes; `fips` is the kernel's switch.
    ///
    /// # Errors
    /// When one of them cannot be looked at: then sshd must be asked.
    pub(super) fn of(sshd: &Path, options: &[String], folder: &Path, fips: &Path) -> io::Result<Self> {
        let program = fs::metadata(sshd)?;
        // A program that was replaced is another file; one that was written to has changed later.
        let program = (program.ino(), program.size(), program.ctime(), program.ctime_nsec());
        let fips = files::read_bounded(fips, 16)?;
        let texts = SshdConfig::texts(&folder.join("sshd_config"))?;
        let all = serde_json::to_vec(&(env!("CARGO_PKG_VERSION"), program, options, fips, texts))?;
        Ok(Self(Base64Unpadded::encode_string(&Sha256::digest(all))))
    }
}

/// The word that was kept, if it is still sshd's.
pub(super) fn recall(path: &Path, basis: &Basis) -> Option<Served> {
    let word: Word = serde_json::from_slice(&files::read_bounded(path, LARGEST).ok()??).ok()?;
    (word.version == VERSION && word.basis == *basis).then_some(word.served)
}

/// Keeps a word for the boots to come.
pub(super) fn keep(path: &Path, basis: Basis, served: &Served) -> io::Result<()> {
    let word = Word { version: VERSION, basis, served: served.clone() };
    path.parent().map_or(Ok(()), files::private_folder)?;
    files::write_whole(path, &serde_json::to_vec(&word)?, 0o600)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::random;

    #[test]
    fn h3_a_kept_word_counts_only_while_everything_that_it_depends_on_is_the_same() {
        let folder = std::env::temp_dir().join(format!("scw-agent-word-{:x}", random::generator().u64(..)));
        fs::create_dir_all(folder.join("more")).expect("made");
        let put = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
        let path: &dyn Fn(&str) -> PathBuf = &|name| folder.join(name);
        put("sshd", "program");
        put("sshd_config", "Include more/*.conf\n");
        put("more/a.conf", "HostKey /a\n");
        let options = ["-oHostKeyAlgorithms=x".to_owned()];
        let of = |options: &[String]| Basis::of(&path("sshd"), options, &folder, &path("fips"));
        let basis = || of(&[]).expect("a basis");

        let served = Served::by_name();
        keep(&path("word"), basis(), &served).expect("kept");
        assert_eq!(recall(&path("word"), &basis()), Some(served.clone()));
        assert_eq!(recall(&path("word"), &of(&options).expect("a basis")), None, "other options");
        for (what, name, text) in [
            ("another configuration", "sshd_config", "Include more/*.conf\nPort 23\n"),
            ("another included file", "more/a.conf", "HostKey /b\n"),
            ("one more included file", "more/b.conf", ""),
            ("another program", "sshd", "another"),
            ("the kernel's switch", "fips", "1\n"),
        ] {
            put(name, text);
            assert_eq!(recall(&path("word"), &basis()), None, "{what}");
            keep(&path("word"), basis(), &served).expect("kept");
            assert!(recall(&path("word"), &basis()).is_some(), "{what}, and asked again");
        }
        put("word", "{}");
        assert_eq!(recall(&path("word"), &basis()), None, "no word");
        fs::remove_file(path("sshd")).expect("removed");
        assert!(of(&[]).is_err());
        fs::remove_dir_all(folder).expect("removed");
    }
}
