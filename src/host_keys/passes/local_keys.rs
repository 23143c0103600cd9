//! The host keys of this machine, for commands that only show them.

use crate::host_keys::key::key_type::KeyType;
use crate::host_keys::passes::pass::key_store;
use crate::host_keys::paths::HostKeyPaths;
use crate::host_keys::sshd::cache::OpensshAnswers;
use crate::host_keys::sshd::query;
use crate::host_keys::store::served::LocalKeys;
use crate::util::program;

/// The host keys of this machine, from the first source that is there:
/// 1. the file that the units of root wrote in this boot;
/// 2. for root: what the units would write;
/// 3. the public key files.
pub(crate) fn local_keys(paths: &HostKeyPaths, types: &[KeyType]) -> LocalKeys {
    if let Some(served) = LocalKeys::read(&paths.served) {
        return served;
    }
    if !nix::unistd::geteuid().is_root() {
        return LocalKeys::by_public_files(&paths.keys);
    }
    let mut answers = OpensshAnswers::load(&paths.openssh_answers, program::stamp("ssh-keygen"));
    let (effective, error) = query::effective(paths, &mut answers);
    let store = key_store(paths, &effective, types, error.is_none());
    LocalKeys::of(&effective, &paths.keys, &store.inspect(&mut answers))
}
