# Shell functions for mod.rs, which run in a root file system with the sshd, ssh-keygen, ssh-keyscan and ssh-agent of its release.
# Every function prints lines that the test reads. Paths of keys have no newline.

PORT=2200
umask 022

# Makes, once, the default keys of this OpenSSH release and some more.
prepare() {
    mkdir -p /root/pool /run/sshd
    [ -e /root/good ] || {
        ssh-keygen -q -A
        # ssh-keygen of 8.4 makes a DSA key, which sshd does not load by default.
        rm -f /etc/ssh/ssh_host_dsa_key*
        cp -a /etc/ssh /root/good
    }
    ssh-keygen -q -t ed25519 -N '' -C own -f /root/pool/ed25519
    ssh-keygen -q -t ed25519 -N '' -C other -f /root/pool/other
    ssh-keygen -q -t ecdsa -b 384 -N '' -C p384 -f /root/pool/p384
    ssh-keygen -q -t ecdsa -b 521 -N '' -C p521 -f /root/pool/p521
    ssh-keygen -q -t rsa -b 2048 -N '' -C rsa2048 -f /root/pool/rsa2048
    ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -C pem -f /root/pool/pem
    ssh-keygen -q -t ecdsa -m PKCS8 -N '' -C pkcs8 -f /root/pool/pkcs8
    ssh-keygen -q -t ed25519 -N secret -C locked -f /root/pool/locked
    ssh-keygen -q -t dsa -N '' -f /root/pool/dsa 2>/dev/null || true
    ssh-keygen -q -t ed25519 -N '' -f /root/throw-away
    for key in /root/good/ssh_host_*_key /root/pool/*; do
        case $key in *.pub) ;; *) echo "donor $(fingerprint "$key")" ;; esac
    done
}

# The initial state of each row: all default keys exist and are valid.
reset() {
    stop
    umount /srv/keys /etc/ssh/ssh_host_ed25519_key 2>/dev/null || true
    rm -rf /etc/ssh /var/lib/scw-agent /run/scw-agent* /var/lib/keys /srv/keys /etc/keys /root/keys /ssh_host_* /data \
        /etc/default/ssh /etc/systemd/system/ssh.service.d /root/start /root/agent
    cp -a /root/good /etc/ssh
    sed -i '/^ssh_keys:/d' /etc/group
    : >/etc/fstab
    mkdir -p /run/sshd
}

stop() {
    sshd=$(cat /run/test-sshd.pid 2>/dev/null || true)
    [ ! -e /run/test-agent.pid ] || kill "$(cat /run/test-agent.pid)" 2>/dev/null || true
    rm -f /run/test-sshd.pid /run/test-agent.pid /run/agent.sock
    # sshd of 8.4 does not notice a signal that comes just before it waits for connections, so it may need a second one. A killed sshd, or
    # a child that it has just forked, still listens for a moment, so that the next sshd could not bind the port.
    while listens; do
        [ -z "$sshd" ] || kill "$sshd" 2>/dev/null || true
        sleep 0.01
    done
}

# Whether any process listens on the port.
listens() {
    grep -qi ":$(printf %04X $PORT) [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6
}

# The options that the unit gives to sshd.
options() {
    SSHD_OPTS=
    [ ! -e /etc/default/ssh ] || . /etc/default/ssh
    if [ -e /root/start ]; then cat /root/start; else echo "$SSHD_OPTS"; fi
}

# The fingerprint of a private key, whatever its file mode; `-` if OpenSSH does not load it.
fingerprint() {
    cp "$1" /tmp/judged 2>/dev/null && chmod 600 /tmp/judged || { echo -; return; }
    ssh-keygen -y -P '' -f /tmp/judged 2>/dev/null </dev/null | ssh-keygen -lf - 2>/dev/null | cut -d ' ' -f 2 | grep . || echo -
}

# The host key files that sshd -T reports; the default ones if it reports none.
named() {
    eval "set -- $(options)"
    named=$(cd / && /usr/sbin/sshd -T "$@" -h /root/throw-away 2>/dev/null | sed -n 's/^[Hh]ost[Kk]ey //p') || true
    named=$(printf '%s\n' "$named" | grep -v -x -e /root/throw-away || true)
    if [ -n "$named" ]; then
        printf '%s\n' "$named" | grep -v -x '(null)' | awk '!seen[$0]++' || true
    else
        for key in /root/good/ssh_host_*_key; do echo "/etc/ssh/${key##*/}"; done
    fi
}

keys() {
    named | while IFS= read -r path; do
        public=$(ssh-keygen -lf "$path.pub" 2>/dev/null || ssh-keygen -lf "$path" 2>/dev/null) || public='0 -'
        echo "$1 $(fingerprint "$path") $(echo "$public" | cut -d ' ' -f 2) $path"
    done
}

ensure() {
    rm -rf /run/scw-agent*
    [ ! -e /root/agent ] || sh /root/agent
    status=0
    scw-agent host-keys ensure >/tmp/said 2>&1 || status=$?
    echo "ensure $status"
    sed 's/^/said /' /tmp/said
    keys key
}

# Starts sshd with the same options as its unit.
start() {
    eval "set -- $(options)"
    : >/tmp/sshd.log
    (cd / && exec /usr/sbin/sshd -D -e -p $PORT "$@") >/tmp/sshd.log 2>&1 </dev/null &
    echo $! >/run/test-sshd.pid
    while :; do
        if grep -q 'Server listening' /tmp/sshd.log; then echo 'up yes'; break; fi
        kill -0 $! 2>/dev/null || { echo 'up no'; break; }
        sleep 0.01
    done
    sed 's/^/said sshd: /' /tmp/sshd.log
}

# The keys that sshd offers to a client: `scan TYPES [ALGORITHM]`. For ALGORITHM, which ssh-keyscan does not request, ssh connects.
scan() {
    {
        ssh-keyscan -T 30 -p $PORT -t "$1" 127.0.0.1 2>/dev/null || true
        rm -f /tmp/known
        [ -z "${2:-}" ] || ssh -F none -p $PORT -o HostKeyAlgorithms="$2" -o UserKnownHostsFile=/tmp/known -o StrictHostKeyChecking=no \
            -o HashKnownHosts=no -o BatchMode=yes -o PreferredAuthentications=none 127.0.0.1 true >/dev/null 2>&1 </dev/null || true
        cat /tmp/known 2>/dev/null || true
    } | grep -v '^#' | ssh-keygen -lf - 2>/dev/null | awk '{ print "scanned", $2 }' | sort -u
}

settle() {
    mkdir -p /run/scw-agent /run/scw-agent-requests/host-keys
    : >/run/scw-agent-requests/host-keys/instance-seen
    : >/run/scw-agent-requests/host-keys/survey-requested
    status=0
    scw-agent host-keys settle >/tmp/said 2>&1 || status=$?
    echo "settle $status"
    sed 's/^/said /' /tmp/said
    keys settled
    echo "recorded $(sed -n 's/.*"instance": *"\([^"]*\)".*/\1/p' /var/lib/scw-agent/instance.json 2>/dev/null)"
}

sysprep() {
    keys before
    status=0
    scw-agent sysprep --host-keys >/tmp/said 2>&1 || status=$?
    echo "sysprep $status"
    sed 's/^/said /' /tmp/said
    keys remaining
}

# For the scripts of rows: `donor FILE` adds a key of the first Instance; `agent NAME` starts, at each boot, an ssh-agent with a key of
# the pool.
donor() {
    echo "donor $(fingerprint "$1")"
}

agent() {
    cat >/root/agent <<END
ssh-agent -a /run/agent.sock >/tmp/agent
sed -n 's/^SSH_AGENT_PID=\([0-9]*\);.*/\1/p' /tmp/agent >/run/test-agent.pid
cp /root/pool/$1 /tmp/held; chmod 600 /tmp/held
printf '#!/bin/sh\necho secret\n' >/tmp/askpass; chmod 700 /tmp/askpass
SSH_AUTH_SOCK=/run/agent.sock SSH_ASKPASS=/tmp/askpass SSH_ASKPASS_REQUIRE=force DISPLAY=x setsid ssh-add -q /tmp/held </dev/null 2>/dev/null
rm -f /tmp/held
END
}
