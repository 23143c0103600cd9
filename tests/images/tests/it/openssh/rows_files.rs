//! The rows about key files. `K` is /etc/ssh/ssh_host_ed25519_key. sshd's configuration names only the keys that a row needs.

use super::{Row, except, expect, row};

/// A script about `K`, the only host key in sshd's configuration.
macro_rules! only {
    ($script:literal) => {
        concat!(
            "K=/etc/ssh/ssh_host_ed25519_key; echo \"HostKey $K\" >/etc/ssh/sshd_config.d/50-row.conf\n",
            $script
        )
    };
}

/// A script about /etc/ssh/own, a copy of a key of the pool and the only host key in sshd's configuration.
macro_rules! own {
    ($key:literal, $script:literal) => {
        concat!(
            "echo 'HostKey /etc/ssh/own' >/etc/ssh/sshd_config.d/50-row.conf; cp /root/pool/",
            $key,
            " /etc/ssh/own; cp /root/pool/",
            $key,
            ".pub /etc/ssh/own.pub\n",
            $script
        )
    };
}

const OWN: &str = "/etc/ssh/own";

pub(super) const FILES: &[Row] = &[
    row("no key at all", "rm /etc/ssh/ssh_host_*", "", "DEFAULTS", "DEFAULTS"),
    row("one default key missing", "rm /etc/ssh/ssh_host_ecdsa_key*", "DEFAULTS-ecdsa", "ecdsa", "DEFAULTS"),
    row("the private key missing, its `.pub` there", only!("rm $K"), "", "ed25519", "ed25519"),
    row("an empty file", only!(": >$K"), "", "ed25519", "ed25519"),
    row("a key cut off", only!("head -c 200 $K >/tmp/x; cat /tmp/x >$K"), "", "ed25519", "ed25519"),
    row("garbage", only!("echo garbage >$K"), "", "ed25519", "ed25519"),
    row("no final newline", only!("printf %s \"$(cat $K)\" >/tmp/x; cat /tmp/x >$K"), "ed25519", "", "ed25519"),
    row("CRLF", only!("sed -i 's/$/\\r/' $K"), "ed25519", "", "ed25519"),
    row("CR alone", only!("tr '\\n' '\\r' <$K >/tmp/x; cat /tmp/x >$K"), "ed25519", "", "ed25519"),
    row("a blank line in front", only!("sed -i '1i\\\\' $K"), "ed25519", "", "ed25519"),
    row("a comment in front", only!("sed -i '1i # our key' $K"), "ed25519", "", "ed25519"),
    row("a byte order mark", only!("printf '\\357\\273\\277' | cat - $K >/tmp/x; cat /tmp/x >$K"), "ed25519", "", "ed25519"),
    row("indented", only!("sed -i 's/^/  /' $K"), "ed25519", "", "ed25519"),
    row("blanks at the end of lines", only!("sed -i 's/$/ /' $K"), "ed25519", "", "ed25519"),
    row("all on one line", only!("tr '\\n' ' ' <$K >/tmp/x; cat /tmp/x >$K"), "ed25519", "", "ed25519"),
    row("`\\n` written out, as in JSON", only!("awk '{ printf \"%s\\\\n\", $0 }' $K >/tmp/x; cat /tmp/x >$K"), "ed25519", "", "ed25519"),
    row("in quotes", only!("printf '\"%s\"\\n' \"$(cat $K)\" >/tmp/x; cat /tmp/x >$K"), "ed25519", "", "ed25519"),
    row("blank lines and short lines inside", only!("sed -i '2s/.\\{30\\}/&\\n\\n/' $K"), "ed25519", "", "ed25519"),
    row("without the padding of base64", only!("for c in a ab abc abcd; do ssh-keygen -q -c -C $c -f $K; ! grep -q =$ $K || break; done; sed -i 's/=*$//' $K"), "ed25519", "", "ed25519"),
    row("text behind the key", only!("echo 'a note' >>$K"), "ed25519", "", "ed25519"),
    row("the key twice", only!("cp $K /tmp/x; cat /tmp/x >>$K"), "ed25519", "", "ed25519"),
    row("an RSA key in PEM", own!("pem", ""), OWN, "", OWN),
    row("PEM with bag attributes in front", own!("pem", "(printf 'Bag Attributes\\n    localKeyID: 01\\nKey Attributes: <No Attributes>\\n'; cat /root/pool/pem) >/etc/ssh/own"), OWN, "", OWN),
    row("PEM with a comment in front and text behind", own!("pem", "(echo '# ours'; cat /root/pool/pem; echo note) >/etc/ssh/own"), OWN, "", OWN),
    row("PEM with CRLF", own!("pem", "sed -i 's/$/\\r/' /etc/ssh/own"), OWN, "", OWN),
    row("PEM indented", own!("pem", "sed -i 's/^/  /' /etc/ssh/own"), OWN, "", OWN),
    row("PEM on one line", own!("pem", "tr '\\n' ' ' </root/pool/pem >/etc/ssh/own"), OWN, "", OWN),
    row("PKCS #8", own!("pkcs8", ""), OWN, "", OWN),
    row("an RSA key of 1024 bits", own!("rsa2048", "rm /etc/ssh/own*; ssh-keygen -q -t rsa -b 1024 -N '' -f /etc/ssh/own; cp /etc/ssh/own /root/pool/rsa1024; donor /etc/ssh/own"), OWN, "", OWN),
    row("an ECDSA key of 384 bits", own!("p384", ""), OWN, "", OWN),
    row("two curves", own!("p521", "echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >>/etc/ssh/sshd_config.d/50-row.conf"), "ecdsa /etc/ssh/own", "", "ecdsa /etc/ssh/own"),
    row("two keys of one type: the first is served", own!("other", "echo 'HostKey /etc/ssh/ssh_host_ed25519_key' >>/etc/ssh/sshd_config.d/50-row.conf"), "ed25519 /etc/ssh/own", "", OWN),
    row("two keys of one type, the first behind a passphrase", own!("locked", "echo 'HostKey /etc/ssh/ssh_host_ed25519_key' >>/etc/ssh/sshd_config.d/50-row.conf"), "ed25519", "", "ed25519").failing(),
    row("an ed25519 key under the name of an RSA key", own!("other", "cp /etc/ssh/own /etc/ssh/ssh_host_rsa_key; cp /etc/ssh/own.pub /etc/ssh/ssh_host_rsa_key.pub; echo 'HostKey /etc/ssh/ssh_host_rsa_key' >/etc/ssh/sshd_config.d/50-row.conf"), "rsa", "", "rsa"),
    row("a name of its own", own!("other", ""), OWN, "", OWN),
    row("a name of its own, the private key missing, its `.pub` there", own!("p384", "rm /etc/ssh/own"), "", OWN, OWN),
    row("a name of its own, nothing there, beside a default key", own!("other", "rm /etc/ssh/own*; echo 'HostKey /etc/ssh/ssh_host_ed25519_key' >>/etc/ssh/sshd_config.d/50-row.conf"), "ed25519", "", "ed25519"),
    row("a name of its own, nothing there, and no other key", own!("other", "rm /etc/ssh/own*"), "", "", "").failing(),
    row("a place of its own, the folder missing", "echo 'HostKey /var/lib/keys/a/ssh_host_ed25519_key' >/etc/ssh/sshd_config.d/50-row.conf", "", "/var/lib/keys/a/ssh_host_ed25519_key", "/var/lib/keys/a/ssh_host_ed25519_key"),
    row("a place of its own on a disk that is not mounted", "echo 'HostKey /data/keys/ssh_host_ed25519_key' >/etc/ssh/sshd_config.d/50-row.conf; echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >>/etc/ssh/sshd_config.d/50-row.conf; echo '/dev/vdb /data ext4 nofail' >/etc/fstab", "ecdsa", "", "ecdsa").failing().clone_fails(),
    row("a link to a key elsewhere", only!("mkdir /var/lib/keys; mv $K /var/lib/keys/own; ln -s /var/lib/keys/own $K"), "ed25519", "", "ed25519"),
    row("a link to nothing", only!("rm $K; mkdir /var/lib/keys; ln -s ../../var/lib/keys/own $K"), "", "ed25519", "ed25519"),
    row("a folder in the place of a key", only!("rm $K; mkdir $K; echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >>/etc/ssh/sshd_config.d/50-row.conf"), "ecdsa", "", "ecdsa").failing().clone_fails(),
    row("mode 0644", only!("chmod 644 $K"), "ed25519", "", "ed25519"),
    row("mode 0640 with a group `ssh_keys`", only!("echo 'ssh_keys:x:4711:' >>/etc/group; chgrp 4711 $K; chmod 640 $K"), "ed25519", "", "ed25519"),
    row("a group `ssh_keys`, no key", only!("echo 'ssh_keys:x:4711:' >>/etc/group; rm $K"), "", "ed25519", "ed25519"),
    row("mode 0400", only!("chmod 400 $K"), "ed25519", "", "ed25519"),
    row("another owner", only!("chown 1000:1000 $K"), "ed25519", "", "ed25519"),
    row("`.pub` missing", only!("rm $K.pub"), "ed25519", "", "ed25519"),
    row("`.pub` empty", only!(": >$K.pub"), "ed25519", "", "ed25519"),
    row("`.pub` of another key", only!("cp /root/pool/other.pub $K.pub"), "ed25519", "", "ed25519"),
    row("`.pub` with a comment line and tabs", only!("(echo '# ours'; tr ' ' '\\t' <$K.pub) >/tmp/x; cat /tmp/x >$K.pub"), "ed25519", "", "ed25519"),
    row("a comment that is no UTF-8", only!("ssh-keygen -q -c -C \"$(printf 'a\\377 (RSA) b')\" -f $K"), "ed25519", "", "ed25519"),
    row("behind a passphrase, beside another key", only!("cp /root/pool/locked $K; cp /root/pool/locked.pub $K.pub; echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >>/etc/ssh/sshd_config.d/50-row.conf"), "ecdsa", "", "ecdsa").failing(),
    row("a public key in the place of a private one", only!("cp $K.pub /tmp/x; cp /tmp/x $K; echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >>/etc/ssh/sshd_config.d/50-row.conf"), "ecdsa", "", "ecdsa").failing(),
    except!(row("a DSA key beside another key", "[ -e /root/pool/dsa ] || { echo x >/root/pool/dsa; echo x >/root/pool/dsa.pub; }; cp /root/pool/dsa /etc/ssh/ssh_host_dsa_key; cp /root/pool/dsa.pub /etc/ssh/ssh_host_dsa_key.pub; printf 'HostKey /etc/ssh/ssh_host_dsa_key\\nHostKey /etc/ssh/ssh_host_ed25519_key\\n' >/etc/ssh/sshd_config.d/50-row.conf", "dsa ed25519", "", "ed25519"), &["10.0", "10.6"] => expect("ed25519", "", "ed25519")),
    row("a DSA key named and missing", "printf 'HostKey /etc/ssh/ssh_host_dsa_key\\nHostKey /etc/ssh/ssh_host_ed25519_key\\n' >/etc/ssh/sshd_config.d/50-row.conf", "ed25519", "", "ed25519"),
    except!(row("a type that only OpenSSH 10.6 has", "printf 'HostKey /etc/ssh/ssh_host_mldsa44_ed25519_key\\nHostKey /etc/ssh/ssh_host_ed25519_key\\n' >/etc/ssh/sshd_config.d/50-row.conf; rm -f /etc/ssh/ssh_host_mldsa44*", "ed25519", "", "ed25519"), &["10.6"] => expect("ed25519", "mldsa44_ed25519", "ed25519 mldsa44_ed25519")),
    row("a key that sshd does not name", "echo 'HostKey /etc/ssh/ssh_host_ed25519_key' >/etc/ssh/sshd_config.d/50-row.conf", "ed25519", "", "ed25519"),
    row("`HostKeyAgent`, the `.pub` alone", only!("echo 'HostKeyAgent /run/agent.sock' >>/etc/ssh/sshd_config.d/50-row.conf; rm $K; cp /root/pool/ed25519.pub $K.pub; agent ed25519"), "", "", "ed25519").clone_fails(),
    row("`HostKeyAgent`, a public key as the file", "printf 'HostKey /etc/ssh/own.pub\\nHostKeyAgent /run/agent.sock\\n' >/etc/ssh/sshd_config.d/50-row.conf; cp /root/pool/p384.pub /etc/ssh/own.pub; agent p384", "", "", "/etc/ssh/own.pub").clone_fails(),
    row("`HostKeyAgent`, the private key behind a passphrase", only!("echo 'HostKeyAgent /run/agent.sock' >>/etc/ssh/sshd_config.d/50-row.conf; cp /root/pool/locked $K; cp /root/pool/locked.pub $K.pub; agent locked"), "", "", "ed25519").clone_fails(),
    row("`HostKeyAgent` with a key of its own beside", "printf 'HostKey /etc/ssh/own\\nHostKey /etc/ssh/ssh_host_ecdsa_key\\nHostKeyAgent /run/agent.sock\\n' >/etc/ssh/sshd_config.d/50-row.conf; cp /root/pool/ed25519.pub /etc/ssh/own.pub; agent ed25519", "ecdsa", "", "ecdsa /etc/ssh/own").clone_fails(),
    row("`HostKeyAgent` that does not run, beside a key", only!("echo 'HostKeyAgent /run/agent.sock' >>/etc/ssh/sshd_config.d/50-row.conf; echo 'HostKey /etc/ssh/own' >>/etc/ssh/sshd_config.d/50-row.conf; cp /root/pool/p384.pub /etc/ssh/own.pub"), "ed25519", "", "ed25519").clone_fails(),
    row("a group, blanks and a link at once", only!("mkdir /srv/keys; sed 's/$/ /' $K >/srv/keys/k; chmod 666 /srv/keys/k; rm $K $K.pub; ln -s /srv/keys/k $K"), "ed25519", "", "ed25519"),
    row("a missing key in a folder of another user", "mkdir -p /srv/keys; chown 1000 /srv/keys; printf 'HostKey /srv/keys/ssh_host_ed25519_key\\nHostKey /etc/ssh/ssh_host_ecdsa_key\\n' >/etc/ssh/sshd_config.d/50-row.conf", "ecdsa", "", "ecdsa").failing().clone_fails(),
    row("a damaged key in a folder of another user", "mkdir -p /srv/keys; cp /etc/ssh/ssh_host_ed25519_key* /srv/keys; sed -i 's/^/  /' /srv/keys/ssh_host_ed25519_key; chown 1000 /srv/keys; printf 'HostKey /srv/keys/ssh_host_ed25519_key\\nHostKey /etc/ssh/ssh_host_ecdsa_key\\n' >/etc/ssh/sshd_config.d/50-row.conf", "ecdsa", "", "ecdsa").failing().clone_fails(),
];
