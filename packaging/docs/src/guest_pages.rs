//! What only the manual pages of the guest commands need: the section of each page, and its examples.

use crate::man::Rows;

/// The section and the examples of a page.
pub(crate) struct Page {
    pub(crate) name: &'static str,
    pub(crate) section: u8,
    pub(crate) examples: Rows<'static>,
}

pub(crate) const PAGES: [Page; 7] = [
    Page {
        name: "scw-metadata",
        section: 1,
        examples: &[
            ("scw-metadata COMMERCIAL_TYPE", "Print the type of the Instance."),
            ("id=$(scw-metadata --cached ID)", "Use a value in a script."),
            ("scw-metadata 'VOLUMES_[0-9]*_ID'", "Print the ids of all volumes."),
        ],
    },
    Page {
        name: "scw-metadata-json",
        section: 1,
        examples: &[("scw-metadata-json | jq -r .zone", "Print the zone of the Instance.")],
    },
    Page {
        name: "scw-server-tags",
        section: 1,
        examples: &[
            ("scw-server-tags", "List the tags."),
            ("role=$(scw-server-tags role) || role=none", "Use the value of a tag, if there is one."),
        ],
    },
    Page {
        name: "scw-signal-state",
        section: 8,
        examples: &[("scw-signal-state booted", "Tell that the Instance has booted.")],
    },
    Page {
        name: "scw-set-hostname",
        section: 8,
        examples: &[("scw-set-hostname", "Take over a name that was changed.")],
    },
    Page {
        name: "scw-generate-ssh-keys",
        section: 8,
        examples: &[("scw-generate-ssh-keys", "Have the host keys published again.")],
    },
    Page {
        name: "scw-fetch-ssh-keys",
        section: 8,
        examples: &[(
            "ssh root@203.0.113.10 /usr/sbin/scw-fetch-ssh-keys --upgrade",
            "Give access to the keys that were added to the account since the last boot.",
        )],
    },
];
