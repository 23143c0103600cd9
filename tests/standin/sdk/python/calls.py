"""Calls the stand-in's public API with the official Python SDK. Prints one line of JSON for each call: its title and its result.

The environment has SCW_API_URL, SCW_SECRET_KEY and the other settings of the SDK, and two more secret keys.
"""

import json
import os

from scaleway import Client
from scaleway.block.v1 import BlockV1API, CreateVolumeRequestFromEmpty
from scaleway.instance.v1 import (
    AttachServerVolumeRequestVolumeType,
    PlacementGroupPolicyMode,
    PlacementGroupPolicyType,
    ServerAction,
    VolumeServerTemplate,
)
from scaleway.instance.v1.custom_api import InstanceUtilsV1API
from scaleway.instance.v2alpha1 import InstanceV2Alpha1API
from scaleway.ipam.v1 import IpamV1API
from scaleway.marketplace.v2 import MarketplaceV2API

ZONE = "nl-ams-1"
FINGERPRINTS = "ssh-host-fingerprints"


def step(title, call, shown):
    """Runs a call and prints what `shown` makes of its result. Without `shown`, the call must fail."""
    try:
        result = call()
    except Exception as error:
        if shown is not None:
            raise
        status = getattr(error, "status_code", None)
        text = f"{status}: {json.loads(str(error))['type']}" if status else type(error).__name__
        print(json.dumps([title, text]), flush=True)
        return None
    assert shown is not None, f"{title}: {result}"
    print(json.dumps([title, shown(result)]), flush=True)
    return result


def client(secret=None):
    client = Client.from_env()
    if secret is not None:
        client.secret_key = secret
    return client


sdk = client()
instance = InstanceUtilsV1API(sdk)
marketplace = MarketplaceV2API(sdk)
block = BlockV1API(sdk)

step("types of Instances", instance.list_servers_types, lambda found: f"{len(found.servers)} types")
step("types of volumes", instance.list_volumes_types, lambda found: ", ".join(sorted(found.volumes)))
images = step(
    "local images by label",
    lambda: marketplace.list_local_images(image_label="debian_trixie", zone=ZONE),
    lambda found: ", ".join(image.type_ for image in found.local_images),
)
image = step(
    "a local image by its id",
    lambda: marketplace.get_local_image(local_image_id=images.local_images[0].id),
    lambda image: f"{image.label} {image.arch}",
)
listed = marketplace.list_images_all(include_eol=False)
trixie = next(image for image in listed if image.label == "debian_trixie")
step(
    "local images by image",
    lambda: marketplace.list_local_images(image_id=trixie.id, zone=ZONE),
    lambda found: f"{found.total_count} images",
)
version = marketplace.list_versions(image_id=trixie.id).versions[0]
step(
    "local images by version",
    lambda: marketplace.list_local_images(version_id=version.id, zone=ZONE),
    lambda found: f"{found.total_count} images",
)
step("an unknown label", lambda: marketplace.list_local_images(image_label="debian_slink", zone=ZONE), None)
group = step(
    "create a placement group",
    lambda: instance.create_placement_group(
        name="apart",
        policy_mode=PlacementGroupPolicyMode.ENFORCED,
        policy_type=PlacementGroupPolicyType.MAX_AVAILABILITY,
    ),
    lambda made: f"{made.placement_group.policy_type}, {made.placement_group.policy_mode}",
).placement_group
step(
    "list placement groups",
    lambda: instance.list_placement_groups_all(),
    lambda groups: ", ".join(group.name for group in groups),
)


def create(name, image="debian_trixie", commercial_type="DEV1-S", **more):
    return instance._create_server(
        name=name, image=image, commercial_type=commercial_type, protected=False, dynamic_ip_required=True, **more
    )


server = step(
    "create an Instance by label, with volumes",
    lambda: create(
        "web-1",
        tags=["web", "a tag"],
        placement_group=group.id,
        volumes={
            "1": VolumeServerTemplate(name="data", size=5_000_000_000, volume_type="sbs_volume"),
            "2": VolumeServerTemplate(name="cache", size=5_000_000_000, volume_type="l_ssd"),
        },
    ),
    lambda made: f"{made.server.state}; "
    + ", ".join(f"{key} {volume.volume_type}" for key, volume in sorted(made.server.volumes.items())),
).server
step(
    "create an Instance by the id of an image",
    lambda: create("web-2", image=image.id),
    lambda made: ", ".join(volume.volume_type for volume in made.server.volumes.values()),
)
step(
    "create one with a volume without a size",
    lambda: create("web-3", volumes={"1": VolumeServerTemplate(name="data", volume_type="sbs_volume")}),
    None,
)
step("create one of an unknown type", lambda: create("web-3", commercial_type="NO-SUCH"), None)
step(
    "the members of a placement group",
    lambda: instance.get_placement_group_servers(placement_group_id=group.id),
    lambda found: ", ".join(member.name for member in found.servers),
)
step(
    "list all Instances, two a page",
    lambda: instance.list_servers_all(per_page=2),
    lambda servers: ", ".join(server.name for server in servers),
)
step(
    "list by name and tag",
    lambda: instance.list_servers(name="web", tags=["a tag"]),
    lambda found: f"{found.total_count}: {found.servers[0].name}",
)
step(
    "set all user data",
    lambda: instance.set_all_server_user_data(
        server_id=server.id, user_data={"setup-script": b"#!/bin/sh\necho hello\n", "bytes": b"\xff\x00\n"}
    ),
    lambda _: "done",
)
step(
    "list user data",
    lambda: instance.list_server_user_data(server_id=server.id),
    lambda found: ", ".join(found.user_data),
)
step(
    "read a value that is not text",
    lambda: instance.get_server_user_data(server_id=server.id, key="bytes"),
    lambda found: found.content.hex(),
)
step("read a key that is not set", lambda: instance.get_server_user_data(server_id=server.id, key="none"), None)
step(
    "start the Instance, and wait",
    lambda: (instance.server_action(server_id=server.id, action=ServerAction.POWERON), instance.wait_instance_server(server.id, ZONE))[1],
    lambda found: f"{found.server.state}, {found.server.state_detail}",
)
# As the agent does.
instance.set_server_user_data(server_id=server.id, key=FINGERPRINTS, content=b"256 SHA256:x (ED25519)\n")
step(
    "set all user data again",
    lambda: instance.set_all_server_user_data(server_id=server.id, user_data={"setup-script": b"#!/bin/sh\n"}),
    lambda _: ", ".join(instance.list_server_user_data(server_id=server.id).user_data),
)
later = InstanceV2Alpha1API(sdk)
later.set_user_data(server_id=server.id, key="later", content="YmFzZTY0")
step(
    "user data in version 2alpha1",
    lambda: later.get_user_data(server_id=server.id, key="later"),
    lambda value: f"{value.key}={value.content}; {', '.join(later.list_user_data_keys(server_id=server.id).keys)}",
)
step(
    "the volumes of an Instance",
    lambda: block.list_volumes(product_resource_id=server.id, include_deleted=False),
    lambda found: ", ".join(f"{volume.name} {volume.status}" for volume in found.volumes),
)



def volume_numbers(changed):
    return ", ".join(f"{key} {volume.volume_type}" for key, volume in sorted(changed.server.volumes.items()))


added = block.create_volume(name="added", from_empty=CreateVolumeRequestFromEmpty(size=5_000_000_000), perf_iops=5000)
step(
    "attach a volume to an Instance that runs",
    lambda: instance.attach_server_volume(
        server_id=server.id, volume_id=added.id, volume_type=AttachServerVolumeRequestVolumeType.SBS_VOLUME
    ),
    volume_numbers,
)
step(
    "attach it again",
    lambda: instance.attach_server_volume(
        server_id=server.id, volume_id=added.id, volume_type=AttachServerVolumeRequestVolumeType.SBS_VOLUME
    ),
    None,
)
step(
    "detach it",
    lambda: instance.detach_server_volume(server_id=server.id, volume_id=added.id),
    volume_numbers,
)
step(
    "an address, by itself",
    lambda: instance.get_ip(ip=os.environ["SHOWN_ADDRESS"]),
    lambda found: f"{found.ip.type_} of {found.ip.server.name}",
)
step("an address of nobody", lambda: instance.get_ip(ip="192.0.2.1"), None)
instance.create_private_nic(server_id=server.id, private_network_id="0d9c0d2e-0000-4000-8000-000000000000")
nic = instance.list_private_ni_cs(server_id=server.id).private_nics[0]
step(
    "private addresses in IPAM",
    lambda: IpamV1API(sdk).list_i_ps(resource_id=nic.id),
    lambda found: ", ".join(ip.address for ip in found.ips),
)
step("an Instance of another zone", lambda: instance.get_server(server_id=server.id, zone="fr-par-1"), None)
step("with an unknown secret key", InstanceUtilsV1API(client("99999999-9999-4999-8999-999999999999")).list_servers, None)
step("with one that has expired", InstanceUtilsV1API(client(os.environ["EXPIRED_KEY"])).list_servers, None)
reader = InstanceUtilsV1API(client(os.environ["READ_KEY"]))
step("with one that only reads: list", reader.list_servers, lambda found: f"{found.total_count} Instances")
step("with one that only reads: delete", lambda: reader.delete_server(server_id=server.id), None)
step("delete an Instance that runs", lambda: instance.delete_server(server_id=server.id), None)
instance.server_action(server_id=server.id, action=ServerAction.POWEROFF)
step(
    "stop and delete it",
    lambda: instance.delete_server(server_id=server.id),
    lambda _: ", ".join(server.name for server in instance.list_servers_all()),
)
step(
    "its volumes afterwards",
    lambda: block.list_volumes(name="data", include_deleted=False),
    lambda found: ", ".join(f"{volume.name} {volume.status}" for volume in found.volumes),
)
