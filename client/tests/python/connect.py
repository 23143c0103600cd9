"""Connects with paramiko, which does not read KnownHostsCommand: it trusts only the keys of one file.

Usage: connect.py KNOWN_HOSTS ADDRESS PORT
"""

import sys

import paramiko

client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.RejectPolicy())
client.load_host_keys(sys.argv[1])
client.connect(
    sys.argv[2],
    int(sys.argv[3]),
    "root",
    key_filename="/run/stage/identity",
    allow_agent=False,
    look_for_keys=False,
    timeout=300,
    banner_timeout=300,
    auth_timeout=300,
)
print(client.exec_command("echo in")[1].read().decode(), end="")
client.close()
