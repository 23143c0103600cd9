//! The rows about sshd's configuration. Key names are short: `ed25519` means /etc/ssh/ssh_host_ed25519_key.

use super::{Row, except, expect, row};

/// A command that adds a drop-in to sshd's configuration.
macro_rules! drop_in {
    ($text:literal) => {
        concat!("cat >/etc/ssh/sshd_config.d/50-row.conf <<'END'\n", $text, "\nEND\n")
    };
}

pub(super) const CONFIGURATION: &[Row] = &[
    row("no `HostKey` line", "", "DEFAULTS", "", "DEFAULTS"),
    row("`HostKey` with one file", drop_in!("HostKey /etc/ssh/ssh_host_ed25519_key"), "ed25519", "", "ed25519"),
    row(
        "two `HostKey` lines, one file missing",
        concat!(drop_in!("HostKey /etc/ssh/ssh_host_ed25519_key\nHostKey /etc/ssh/ssh_host_ecdsa_key"), "rm /etc/ssh/ssh_host_ecdsa_key*"),
        "ed25519",
        "ecdsa",
        "ecdsa ed25519",
    ),
    row("`hostkey=FILE`, missing", concat!(drop_in!("hostkey=/etc/ssh/ssh_host_ed25519_key"), "rm /etc/ssh/ssh_host_ed25519_key*"), "", "ed25519", "ed25519"),
    row("`HOSTKEY = \"FILE\" # comment`", drop_in!("HOSTKEY = \"/etc/ssh/ssh_host_ecdsa_key\" # ours"), "ecdsa", "", "ecdsa"),
    row("a tab, and CRLF at the end of lines", "printf 'HostKey\\t/etc/ssh/ssh_host_ecdsa_key\\r\\nPort 22\\r\\n' >/etc/ssh/sshd_config.d/50-row.conf", "ecdsa", "", "ecdsa"),
    // For 8.4 the quotes are part of the path, whose folder does not exist.
    except!(row("single quotes, missing", concat!(drop_in!("HostKey '/etc/ssh/ssh_host_ed25519_key'"), "rm /etc/ssh/ssh_host_*"), "", "ed25519", "ed25519"), &["8.4"] => expect("", "", "").failing()),
    except!(row("quotes in the middle of a word", concat!(drop_in!("HostKey /etc/ssh/ssh_host_\"ed25519\"_key"), "rm /etc/ssh/ssh_host_*"), "", "ed25519", "ed25519"), &["8.4"] => expect("", "ed25519", "").failing()),
    row("a path with a space", concat!(drop_in!("HostKey \"/srv/keys/of ours/ssh_host_ed25519_key\""), "rm /etc/ssh/ssh_host_*"), "", "/srv/keys/of ours/ssh_host_ed25519_key", "/srv/keys/of ours/ssh_host_ed25519_key"),
    row("a path with `//` and `..`", concat!(drop_in!("HostKey /etc//ssh/../ssh/ssh_host_ed25519_key"), "rm /etc/ssh/ssh_host_*"), "", "/etc//ssh/../ssh/ssh_host_ed25519_key", "/etc//ssh/../ssh/ssh_host_ed25519_key"),
    row("a relative path", drop_in!("HostKey ssh_host_ed25519_key"), "", "//ssh_host_ed25519_key", "//ssh_host_ed25519_key"),
    row("a path in root's home", drop_in!("HostKey ~/keys/ssh_host_ed25519_key"), "", "/root/keys/ssh_host_ed25519_key", "/root/keys/ssh_host_ed25519_key"),
    row("the old name `HostDSAKey`", concat!(drop_in!("HostDSAKey /etc/ssh/ssh_host_ed25519_key"), "rm /etc/ssh/ssh_host_*"), "", "ed25519", "ed25519"),
    row("one file named twice", drop_in!("HostKey /etc/ssh/ssh_host_ed25519_key\nHostKey /etc/ssh/ssh_host_ed25519_key"), "ed25519", "", "ed25519"),
    row("`HostKey none`", drop_in!("HostKey none"), "", "", "").failing(),
    row("`HostKey none`, then a file", drop_in!("HostKey none\nHostKey /etc/ssh/ssh_host_ecdsa_key"), "ecdsa", "", "ecdsa"),
    row("`HostKey` below `Match all`", concat!(drop_in!("Match all\nHostKey /etc/ssh/ssh_host_ed25519_key"), "rm /etc/ssh/ssh_host_*"), "", "ed25519", "ed25519"),
    row("`Include` below a `Match` for one user", concat!(drop_in!("Match User nobody\nInclude /etc/ssh/own.conf"), "echo 'X11Forwarding no' >/etc/ssh/own.conf"), "DEFAULTS", "", "DEFAULTS"),
    row("`Include [0-9]*.conf`", "echo 'Include [0-9]*.conf' >/etc/ssh/sshd_config; echo 'HostKey /srv/keys/ssh_host_ed25519_key' >/etc/ssh/10-a.conf; echo 'HostKey /no' >/etc/ssh/a.conf", "", "/srv/keys/ssh_host_ed25519_key", "/srv/keys/ssh_host_ed25519_key"),
    row("`Include /etc/ssh/ow*.d/*.conf`", "echo 'Include /etc/ssh/ow*.d/*.conf' >/etc/ssh/sshd_config; mkdir /etc/ssh/own.d; echo 'HostKey /srv/keys/ssh_host_ed25519_key' >/etc/ssh/own.d/a.conf", "", "/srv/keys/ssh_host_ed25519_key", "/srv/keys/ssh_host_ed25519_key"),
    row("`Include ??-[!a-z].conf`", "echo 'Include ??-[!a-z].conf' >/etc/ssh/sshd_config; echo 'HostKey /srv/keys/ssh_host_ed25519_key' >/etc/ssh/10-A.conf", "", "/srv/keys/ssh_host_ed25519_key", "/srv/keys/ssh_host_ed25519_key"),
    except!(row("`Include '*.conf'` in single quotes", "echo \"Include '/etc/ssh/own*.conf'\" >/etc/ssh/sshd_config; echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >/etc/ssh/own1.conf", "ecdsa", "", "ecdsa"), &["8.4"] => expect("DEFAULTS", "", "DEFAULTS")),
    row("two files in one `Include`, a missing one, one in the other", "echo 'Include own1 none own2' >/etc/ssh/sshd_config; echo 'Include own3' >/etc/ssh/own1; echo 'HostKey /etc/ssh/ssh_host_ecdsa_key' >/etc/ssh/own3; echo 'HostKey /etc/ssh/ssh_host_ed25519_key' >/etc/ssh/own2", "ecdsa ed25519", "", "ecdsa ed25519"),
    row("`HostKeyAlgorithms` with one", drop_in!("HostKeyAlgorithms ssh-ed25519"), "DEFAULTS", "", "ed25519"),
    row("`HostKeyAlgorithms` set twice: the first counts", drop_in!("HostKeyAlgorithms ssh-ed25519\nHostKeyAlgorithms rsa-sha2-512"), "DEFAULTS", "", "ed25519"),
    row("`HostKeyAlgorithms -ssh-ed25519*`", drop_in!("HostKeyAlgorithms -ssh-ed25519*"), "DEFAULTS", "", "DEFAULTS-ed25519"),
    row("`HostKeyAlgorithms +ssh-rsa`", drop_in!("HostKeyAlgorithms +ssh-rsa"), "DEFAULTS", "", "DEFAULTS"),
    row("`HostKeyAlgorithms ^rsa-sha2-512`", drop_in!("HostKeyAlgorithms ^rsa-sha2-512"), "DEFAULTS", "", "DEFAULTS"),
    row("`HostKeyAlgorithms rsa-sha2-*`, no keys", concat!(drop_in!("HostKeyAlgorithms rsa-sha2-*"), "rm /etc/ssh/ssh_host_*"), "", "rsa", "rsa"),
    row("`HostKeyAlgorithms` of one curve, no keys", concat!(drop_in!("HostKeyAlgorithms ecdsa-sha2-nistp521"), "rm /etc/ssh/ssh_host_*"), "", "ecdsa", "ecdsa"),
    except!(row("`RequiredRSASize 4096`, no RSA key", concat!(drop_in!("RequiredRSASize 4096"), "rm /etc/ssh/ssh_host_rsa_key*"), "DEFAULTS-rsa", "rsa", "DEFAULTS"), &["8.4"] => expect("DEFAULTS-rsa", "rsa", "").failing()),
    except!(row("`RequiredRSASize 3072`, a key of 2048 bits", concat!(drop_in!("RequiredRSASize 3072"), "cp /root/pool/rsa2048 /etc/ssh/ssh_host_rsa_key; cp /root/pool/rsa2048.pub /etc/ssh/ssh_host_rsa_key.pub"), "DEFAULTS", "", "DEFAULTS-rsa"), &["8.4"] => expect("DEFAULTS", "", "").failing()),
    row("`SSHD_OPTS=\"-h FILE\"`", "echo 'SSHD_OPTS=\"-h /srv/keys/ssh_host_ed25519_key\"' >/etc/default/ssh", "", "/srv/keys/ssh_host_ed25519_key", "/srv/keys/ssh_host_ed25519_key"),
    row("`SSHD_OPTS=\"-f FILE\"`", "echo 'SSHD_OPTS=\"-f /srv/keys/config\"' >/etc/default/ssh; mkdir /srv/keys; echo 'HostKey /srv/keys/ssh_host_ed25519_key' >/srv/keys/config", "", "/srv/keys/ssh_host_ed25519_key", "/srv/keys/ssh_host_ed25519_key"),
    row("`SSHD_OPTS=\"-o HostKey=FILE\"`", "echo 'SSHD_OPTS=\"-o HostKey=/srv/keys/ssh_host_ed25519_key\"' >/etc/default/ssh", "", "/srv/keys/ssh_host_ed25519_key", "/srv/keys/ssh_host_ed25519_key"),
    row(
        "a drop-in of sshd's unit with another command",
        "mkdir -p /etc/systemd/system/ssh.service.d /srv/keys
        printf '[Service]\\nEnvironment=CONFIG=/srv/keys/config\\nExecStart=\\nExecStart=/usr/sbin/sshd -D -f ${CONFIG}\\n' >/etc/systemd/system/ssh.service.d/own.conf
        echo '-f /srv/keys/config' >/root/start; echo 'HostKey /srv/keys/ssh_host_ed25519_key' >/srv/keys/config",
        "",
        "/srv/keys/ssh_host_ed25519_key",
        "/srv/keys/ssh_host_ed25519_key",
    ),
    row("a host certificate", concat!(drop_in!("HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub"), "ssh-keygen -q -s /root/pool/other -I x -h /etc/ssh/ssh_host_ed25519_key.pub"), "DEFAULTS", "", "DEFAULTS"),
    row("no `sshd_config`, no keys", "rm -r /etc/ssh/*", "", "rsa ecdsa ed25519", "").failing(),
    row("a setting that sshd does not know", concat!(drop_in!("HostKey /etc/ssh/ssh_host_ed25519_key\nNoSuchOption yes"), "rm /etc/ssh/ssh_host_*"), "", "ed25519", "").failing(),
];
