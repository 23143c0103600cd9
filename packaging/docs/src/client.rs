//! The completions of scw-known-hosts, which clap makes from the description of its command line.

use clap_complete::Shell;
use scw_known_hosts::command::arguments::NAME;
use scw_known_hosts::command::completion;

/// Path below /usr/share, and text.
pub(crate) fn completions() -> [(String, String); 3] {
    [
        (format!("bash-completion/completions/{NAME}"), completion(Shell::Bash)),
        (format!("zsh/site-functions/_{NAME}"), completion(Shell::Zsh)),
        (format!("fish/vendor_completions.d/{NAME}.fish"), completion(Shell::Fish)),
    ]
}
