//! Rows about rare but legal states: file names, links, other files beside a key, and ends of configuration files.

use super::{Row, except, expect, row};

/// A script with these lines as a drop-in of sshd's configuration. In both, `K` is /etc/ssh/ssh_host_ed25519_key.
macro_rules! with {
    ($lines:literal, $script:literal) => {
        concat!(
            "K=/etc/ssh/ssh_host_ed25519_key; cat >/etc/ssh/sshd_config.d/50-row.conf <<END\n",
            $lines,
            "\nEND\n",
            $script
        )
    };
}

const OWN: &str = "/etc/ssh/own";

pub(super) const ODD: &[Row] = &[
    row("a path with `%h`", with!("HostKey /srv/keys/%h/ssh_host_ed25519_key", ""), "", "/srv/keys/%h/ssh_host_ed25519_key", "/srv/keys/%h/ssh_host_ed25519_key"),
    row("a path with `é`", with!("HostKey /srv/keys/clé/ssh_host_ed25519_key", ""), "", "/srv/keys/clé/ssh_host_ed25519_key", "/srv/keys/clé/ssh_host_ed25519_key"),
    row("a path that is no UTF-8", "printf 'HostKey /srv/keys/cl\\351/ssh_host_ed25519_key\\n' >/etc/ssh/sshd_config.d/50-row.conf", "", "", "").failing(),
    row("a path with `*` and `[`", with!("HostKey /srv/keys/[a]*?/ssh_host_ed25519_key", ""), "", "/srv/keys/[a]*?/ssh_host_ed25519_key", "/srv/keys/[a]*?/ssh_host_ed25519_key"),
    except!(row("a path with `#` in quotes", with!("HostKey \"/srv/keys/#1/ssh_host_ed25519_key\"", ""), "", "/srv/keys/#1/ssh_host_ed25519_key", "/srv/keys/#1/ssh_host_ed25519_key"), &["8.4"] => expect("DEFAULTS", "", "").failing()),
    except!(row("a path with `=`", with!("HostKey /srv/keys/a=b/ssh_host_ed25519_key", ""), "", "/srv/keys/a=b/ssh_host_ed25519_key", "/srv/keys/a=b/ssh_host_ed25519_key"), &["8.4"] => expect("DEFAULTS", "", "").failing()),
    except!(row("a space behind a backslash", with!("HostKey /srv/keys/of\\\\ ours/ssh_host_ed25519_key", ""), "", "/srv/keys/of ours/ssh_host_ed25519_key", "/srv/keys/of ours/ssh_host_ed25519_key"), &["8.4"] => expect("DEFAULTS", "", "").failing()),
    row("a path through a linked folder", with!("HostKey /etc/ssh/keys/ssh_host_ed25519_key", "mkdir -p /srv/keys; ln -s /srv/keys /etc/ssh/keys"), "", "/etc/ssh/keys/ssh_host_ed25519_key", "/etc/ssh/keys/ssh_host_ed25519_key"),
    row("two keys of one folder, one by its path and one through a link", with!("HostKey /etc/ssh/keys/ssh_host_ed25519_key\nHostKey /srv/keys/ssh_host_ecdsa_key", "mkdir -p /srv/keys; ln -s /srv/keys /etc/ssh/keys; cp -a /root/good/ssh_host_ed* /root/good/ssh_host_ec* /srv/keys"), "/etc/ssh/keys/ssh_host_ed25519_key /srv/keys/ssh_host_ecdsa_key", "", "/etc/ssh/keys/ssh_host_ed25519_key /srv/keys/ssh_host_ecdsa_key"),
    row("/etc/ssh is a link", "mv /etc/ssh /srv/keys; ln -s /srv/keys /etc/ssh; rm /etc/ssh/ssh_host_ecdsa_key", "DEFAULTS-ecdsa", "ecdsa", "DEFAULTS"),
    row("two drop-ins with a `HostKey` each", with!("HostKey $K", "echo 'HostKey /srv/keys/ssh_host_ecdsa_key' >/etc/ssh/sshd_config.d/60-row.conf"), "ed25519", "/srv/keys/ssh_host_ecdsa_key", "ed25519 /srv/keys/ssh_host_ecdsa_key"),
    row("a drop-in without a final newline, then one with `HostKey`", "printf 'HostKey /etc/ssh/ssh_host_ed25519_key' >/etc/ssh/sshd_config.d/50-row.conf; printf 'HostKey /etc/ssh/ssh_host_ecdsa_key\\n# end' >/etc/ssh/sshd_config.d/60-row.conf", "ecdsa ed25519", "", "ecdsa ed25519"),
    row("a byte order mark before `HostKey`", "printf '\\357\\273\\277HostKey /etc/ssh/ssh_host_ed25519_key\\n' >/etc/ssh/sshd_config.d/50-row.conf", "DEFAULTS", "", "").failing(),
    row("a link to nothing among the drop-ins", with!("HostKey $K", "ln -s /no /etc/ssh/sshd_config.d/60-row.conf"), "DEFAULTS", "", "").failing(),
    row("a folder among the drop-ins", with!("HostKey $K", "mkdir /etc/ssh/sshd_config.d/60-row.conf"), "ed25519", "", "ed25519"),
    row("`HostKeyAlgorithms` with an unknown one", with!("HostKeyAlgorithms ssh-new,ssh-ed25519", ""), "DEFAULTS", "", "").failing(),
    row("`HostKeyAlgorithms -ssh-new,ssh-ed25519`", with!("HostKeyAlgorithms -ssh-new,ssh-ed25519", ""), "DEFAULTS", "", "DEFAULTS-ed25519"),
    row("`HostKey` below `Match Host`", with!("Match Host nobody\nHostKey /etc/ssh/own", ""), "DEFAULTS", "", "").failing(),
    row("`HostCertificate` of a key that is not there", with!("HostKey $K\nHostCertificate /etc/ssh/other-cert.pub", "cp /root/pool/other.pub /etc/ssh/other.pub; ssh-keygen -q -s /root/pool/p384 -I x -h /etc/ssh/other.pub"), "ed25519", "", "ed25519"),
    row("`HostCertificate` that is missing", with!("HostKey $K\nHostCertificate /etc/ssh/no-cert.pub", ""), "ed25519", "", "ed25519"),
    row("a key with two hard links, both named", with!("HostKey $K\nHostKey /etc/ssh/own", "ln $K /etc/ssh/own; cp $K.pub /etc/ssh/own.pub"), "ed25519 /etc/ssh/own", "", "ed25519"),
    row("a key with two hard links, mode 0644", with!("HostKey $K", "ln $K /root/keys; chmod 644 $K"), "ed25519", "", "ed25519"),
    row("a link in a circle, beside another key", concat!("K=/etc/ssh/ssh_host_ed25519_key; printf 'HostKey %s\\nHostKey /etc/ssh/ssh_host_ecdsa_key\\n' $K >/etc/ssh/sshd_config.d/50-row.conf\n", "rm $K; ln -s $K $K"), "ecdsa", "", "ecdsa").failing().clone_fails(),
    row("a socket in the place of a key", with!("HostKey $K\nHostKey /etc/ssh/ssh_host_ecdsa_key", "rm $K; perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(shift))' $K; test -S $K"), "ecdsa", "", "ecdsa").failing().clone_fails(),
    row("`.pub` is a folder", with!("HostKey $K", "rm $K.pub; mkdir $K.pub"), "ed25519", "", "ed25519"),
    row("`.pub` is a folder, the key missing", with!("HostKey $K", "rm $K*; mkdir $K.pub; echo x >$K.pub/x"), "", "ed25519", "ed25519"),
    row("`.pub` is a link to nothing", with!("HostKey $K", "rm $K.pub; ln -s /no $K.pub"), "ed25519", "", "ed25519"),
    row("`.pub` is a link to that of another key", with!("HostKey $K\nHostKey /etc/ssh/ssh_host_ecdsa_key", "ln -sf ssh_host_ecdsa_key.pub $K.pub"), "ecdsa ed25519", "", "ecdsa ed25519"),
    row("`.pub` holds the key's certificate", with!("HostKey $K", "ssh-keygen -q -s /root/pool/other -I x -h $K.pub; mv ${K}-cert.pub $K.pub"), "ed25519", "", "ed25519"),
    row("a copy with the end `.bak`", with!("HostKey $K", "cp -a $K $K.bak"), "ed25519", "", "ed25519"),
    row("a name with the end `.pub`", with!("HostKey /etc/ssh/own.pub", "cp /root/pool/other /etc/ssh/own.pub"), "/etc/ssh/own.pub", "", "/etc/ssh/own.pub"),
    row("PEM with `EC PARAMETERS` in front", with!("HostKey /etc/ssh/own", "cp /root/pool/p384 /etc/ssh/own; ssh-keygen -q -p -m PEM -P '' -N '' -f /etc/ssh/own >/dev/null; (printf '%s\\n' '-----BEGIN EC PARAMETERS-----' BgUrgQQAIg== '-----END EC PARAMETERS-----'; cat /etc/ssh/own) >/tmp/x; cat /tmp/x >/etc/ssh/own"), OWN, "", OWN),
    row("PEM with `EC PARAMETERS` in front, indented", with!("HostKey /etc/ssh/own", "cp /root/pool/p384 /etc/ssh/own; ssh-keygen -q -p -m PEM -P '' -N '' -f /etc/ssh/own >/dev/null; (printf '%s\\n' '-----BEGIN EC PARAMETERS-----' BgUrgQQAIg== '-----END EC PARAMETERS-----'; cat /etc/ssh/own) | sed 's/^/ /' >/tmp/x; cat /tmp/x >/etc/ssh/own"), OWN, "", OWN),
    except!(row("an ed25519 key as PKCS #8", with!("HostKey /etc/ssh/own", "(echo '-----BEGIN PRIVATE KEY-----'; (printf '\\060\\056\\002\\001\\000\\060\\005\\006\\003\\053\\145\\160\\004\\042\\004\\040'; head -c 32 /dev/urandom) | base64; echo '-----END PRIVATE KEY-----') >/etc/ssh/own; chmod 600 /etc/ssh/own; cp /root/pool/other.pub /etc/ssh/own.pub; donor /etc/ssh/own"), OWN, "", OWN), &["8.4", "9.2"] => expect("", OWN, OWN)),
    row("an RSA key of 4096 bits", with!("HostKey /etc/ssh/own", "[ -e /root/pool/rsa4096 ] || ssh-keygen -q -t rsa -b 4096 -N '' -f /root/pool/rsa4096; cp /root/pool/rsa4096 /etc/ssh/own; donor /etc/ssh/own"), OWN, "", OWN),
    row("UTF-16", with!("HostKey $K", "iconv -t UTF-16 $K >/tmp/x; cat /tmp/x >$K"), "", "ed25519", "ed25519"),
    row("64 kB of text behind the key", with!("HostKey $K", "head -c 65536 /dev/zero | tr '\\0' '\\n' >>$K"), "ed25519", "", "ed25519"),
    row("a key on a tmpfs", with!("HostKey /srv/keys/ssh_host_ed25519_key", "mkdir -p /srv/keys; mount -t tmpfs none /srv/keys"), "", "/srv/keys/ssh_host_ed25519_key", "/srv/keys/ssh_host_ed25519_key"),
    row("a key file that is a mount point, beside another key", with!("HostKey $K\nHostKey /etc/ssh/ssh_host_rsa_key", "cp -a $K /root/keys; mount --bind /root/keys $K"), "ed25519 rsa", "", "ed25519 rsa").clone_fails(),
    row("a key that is on a read-only mount", with!("HostKey /srv/keys/ssh_host_ed25519_key", "mkdir -p /srv/keys; cp -a $K $K.pub /srv/keys; mount --bind /srv/keys /srv/keys; mount -o remount,ro,bind /srv/keys"), "/srv/keys/ssh_host_ed25519_key", "", "/srv/keys/ssh_host_ed25519_key").clone_fails(),
];
