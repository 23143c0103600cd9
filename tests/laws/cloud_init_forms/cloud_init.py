"""What cloud-init itself does with values: the data source for Scaleway, the processor and the handlers of the installed package.

Input: one line for each value: its URL at the metadata service, a space, and its bytes in hexadecimal. Output: JSON, for each value
whether the data source accepts it, and what cloud-init does with its bytes. Scripts are executed as cloud-init executes them. Other
formats (a configuration, a hook, an address to fetch) are reported by their type and not applied.
"""

import glob
import json
import logging
import os
import sys
import tempfile

import requests
from cloudinit import handlers, helpers, stages, subp, user_data
from cloudinit.settings import PER_INSTANCE
from cloudinit.sources import DataSourceScaleway

seen = []
SHELL = ("ShellScriptPartHandler", "ShellScriptByFreqPartHandler")


class Warnings(logging.Handler):
    """cloud-init logs a warning and continues after an unknown format, and after a handler that fails."""

    def emit(self, record):
        text = record.getMessage()
        if text.startswith("Unhandled"):
            seen.append("ignored")
        elif text.startswith("Failed calling handler"):
            seen.append("fails")


def taken(content_type):
    seen.append("taken as " + content_type)


real_run_part = handlers.run_part


def run_part(mod, data, filename, payload, frequency, headers):
    if type(mod).__name__ in SHELL:
        real_run_part(mod, data, filename, payload, frequency, headers)
    elif headers["Content-Type"] not in handlers.CONTENT_SIGNALS:
        taken(headers["Content-Type"])


handlers.run_part = run_part
handlers.walker_handle_handler = lambda _data, content_type, _name, _payload: taken(content_type)
processor = user_data.UserDataProcessor
processor._do_include = lambda _self, _payload, _message: taken("text/x-include-url")
processor._explode_archive = lambda _self, _payload, _message: taken("text/cloud-config-archive")


def process(value, folder):
    source = type("Source", (), {"get_instance_id": lambda _self: "i"})()
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder + "/run"}, source)
    init = stages.Init()
    init._paths = paths
    init._cfg = {}
    init.cloudify = lambda: None
    init.datasource = source
    try:
        message = processor(paths).process(value)
    except Exception:
        return seen.append("fails")
    init._do_handlers(message, init._default_handlers(), PER_INSTANCE)
    for kind, pattern in (
        ("runs", "/instance/scripts/*"),
        ("runs", "/scripts/per-instance/*"),
        ("runs", "/scripts/per-once/*"),
        ("runs at every boot", "/scripts/per-boot/*"),
    ):
        for path in sorted(glob.glob(folder + pattern)):
            try:
                subp.subp([path])
                seen.append(kind)
            except subp.ProcessExecutionError:
                seen.append("cannot be executed")


def is_fetched(url, port):
    session = requests.Session()
    session.mount("http://", DataSourceScaleway.SourceAddressAdapter(("0.0.0.0", port)))
    try:
        DataSourceScaleway.query_data_api_once(url, 10, session)
        return True
    except UnicodeDecodeError:
        return False


logging.getLogger().addHandler(Warnings())
results = []
for number, line in enumerate(sys.stdin):
    url, _, value = line.rstrip("\n").partition(" ")
    seen.clear()
    with tempfile.TemporaryDirectory() as folder:
        process(bytes.fromhex(value), folder)
    results.append({"fetched": is_fetched(url, 600 + number), "seen": ", ".join(dict.fromkeys(seen)) or "nothing"})
json.dump(results, sys.stdout)
