// Calls the stand-in's public API with the official JavaScript SDK. Prints one line of JSON for each call: its title and its result. The
// environment is that of ../python/calls.py.

import { Block, createClient, Instance, Ipam, Marketplace } from '@scaleway/sdk'
import { env } from 'node:process'

const ZONE = 'nl-ams-1'
const FINGERPRINTS = 'ssh-host-fingerprints'

// Runs a call and prints what `shown` makes of its result. Without `shown`, the call must fail.
const step = async (title, call, shown) => {
  let result
  try {
    result = await call()
  } catch (error) {
    if (shown) throw error
    const text = error.status ? `${error.status}: ${error.rawResponse?.type ?? error.body?.type ?? error.name}` : error.name
    console.log(JSON.stringify([title, text]))
    return undefined
  }
  if (!shown) throw new Error(`${title}: ${JSON.stringify(result)}`)
  console.log(JSON.stringify([title, await shown(result)]))
  return result
}

const client = (secretKey) =>
  createClient({
    accessKey: env.SCW_ACCESS_KEY,
    secretKey: secretKey ?? env.SCW_SECRET_KEY,
    apiURL: env.SCW_API_URL,
    defaultProjectId: env.SCW_DEFAULT_PROJECT_ID,
    defaultOrganizationId: env.SCW_DEFAULT_ORGANIZATION_ID,
    defaultRegion: env.SCW_DEFAULT_REGION,
    defaultZone: env.SCW_DEFAULT_ZONE,
  })

const sdk = client()
const instance = new Instance.v1.API(sdk)
const marketplace = new Marketplace.v2.API(sdk)
const block = new Block.v1.API(sdk)
const names = (list) => list.map(({ name }) => name).join(', ')
const text = async (value) => Buffer.from(await new Response(value).arrayBuffer())

await step('types of Instances', () => instance.listServersTypes(), (found) => `${Object.keys(found.servers).length} types`)
await step('types of volumes', () => instance.listVolumesTypes(), (found) => Object.keys(found.volumes).sort().join(', '))
const images = await step(
  'local images by label',
  () => marketplace.listLocalImages({ imageLabel: 'debian_trixie', zone: ZONE }),
  (found) => found.localImages.map((image) => image.type).join(', '),
)
const image = await step(
  'a local image by its id',
  () => marketplace.getLocalImage({ localImageId: images.localImages[0].id }),
  (found) => `${found.label} ${found.arch}`,
)
const trixie = (await marketplace.listImages({ includeEol: false }).all()).find((found) => found.label === 'debian_trixie')
await step(
  'local images by image',
  () => marketplace.listLocalImages({ imageId: trixie.id, zone: ZONE }),
  (found) => `${found.totalCount} images`,
)
const [version] = (await marketplace.listVersions({ imageId: trixie.id })).versions
await step(
  'local images by version',
  () => marketplace.listLocalImages({ versionId: version.id, zone: ZONE }),
  (found) => `${found.totalCount} images`,
)
await step('an unknown label', () => marketplace.listLocalImages({ imageLabel: 'debian_slink', zone: ZONE }))
const { placementGroup } = await step(
  'create a placement group',
  () => instance.createPlacementGroup({ name: 'apart', policyMode: 'enforced', policyType: 'max_availability' }),
  (made) => `${made.placementGroup.policyType}, ${made.placementGroup.policyMode}`,
)
await step('list placement groups', () => instance.listPlacementGroups().all(), names)

const create = (name, more) =>
  instance.createServer({
    name, image: 'debian_trixie', commercialType: 'DEV1-S', protected: false, dynamicIpRequired: true, ...more,
  })
const { server } = await step(
  'create an Instance by label, with volumes',
  () =>
    create('web-1', {
      tags: ['web', 'a tag'],
      placementGroup: placementGroup.id,
      volumes: {
        1: { name: 'data', size: 5_000_000_000, volumeType: 'sbs_volume' },
        2: { name: 'cache', size: 5_000_000_000, volumeType: 'l_ssd' },
      },
    }),
  (made) =>
    `${made.server.state}; ${Object.entries(made.server.volumes)
      .map(([key, volume]) => `${key} ${volume.volumeType}`)
      .join(', ')}`,
)
await step(
  'create an Instance by the id of an image',
  () => create('web-2', { image: image.id }),
  (made) => Object.values(made.server.volumes).map((volume) => volume.volumeType).join(', '),
)
await step('create one with a volume without a size', () =>
  create('web-3', { volumes: { 1: { name: 'data', volumeType: 'sbs_volume' } } }),
)
await step('create one of an unknown type', () => create('web-3', { commercialType: 'NO-SUCH' }))
await step(
  'the members of a placement group',
  () => instance.getPlacementGroupServers({ placementGroupId: placementGroup.id }),
  (found) => names(found.servers),
)
await step('list all Instances, two a page', () => instance.listServers({ perPage: 2 }).all(), names)
await step(
  'list by name and tag',
  () => instance.listServers({ name: 'web', tags: ['a tag'] }),
  (found) => `${found.totalCount}: ${found.servers[0].name}`,
)
// The SDK has no call for this. As Terraform does: delete what is not wanted, then set the rest.
const setAll = async (values) => {
  const { userData } = await instance.listServerUserData({ serverId: server.id })
  for (const key of userData.filter((key) => !(key in values))) {
    await instance.deleteServerUserData({ serverId: server.id, key })
  }
  for (const [key, content] of Object.entries(values)) {
    await instance.setServerUserData({ serverId: server.id, key, content })
  }
}
await step(
  'set all user data',
  () => setAll({ 'setup-script': new Blob(['#!/bin/sh\necho hello\n']), bytes: new Blob([new Uint8Array([255, 0, 10])]) }),
  () => 'done',
)
const keys = async () => (await instance.listServerUserData({ serverId: server.id })).userData.join(', ')
await step('list user data', keys, (found) => found)
await step(
  'read a value that is not text',
  () => instance.getServerUserData({ serverId: server.id, key: 'bytes' }),
  async (found) => (await text(found)).toString('hex'),
)
await step('read a key that is not set', () => instance.getServerUserData({ serverId: server.id, key: 'none' }))
await step(
  'start the Instance, and wait',
  () => instance.serverActionAndWait({ serverId: server.id, action: 'poweron' }),
  (found) => `${found.state}, ${found.stateDetail}`,
)
// As the agent does.
await instance.setServerUserData({
  serverId: server.id, key: FINGERPRINTS, content: new Blob(['256 SHA256:x (ED25519)\n']),
})
await step('set all user data again', () => setAll({ 'setup-script': new Blob(['#!/bin/sh\n']) }), keys)
await step(
  'the volumes of an Instance',
  () => block.listVolumes({ productResourceId: server.id, includeDeleted: false }),
  (found) => found.volumes.map((volume) => `${volume.name} ${volume.status}`).join(', '),
)
const volumeNumbers = (changed) =>
  Object.entries(changed.server.volumes)
    .map(([key, volume]) => `${key} ${volume.volumeType}`)
    .join(', ')
const added = await block.createVolume({ name: 'added', fromEmpty: { size: 5_000_000_000 }, perfIops: 5000 })
const attach = () => instance.attachServerVolume({ serverId: server.id, volumeId: added.id, volumeType: 'sbs_volume' })
await step('attach a volume to an Instance that runs', attach, volumeNumbers)
await step('attach it again', attach)
await step('detach it', () => instance.detachServerVolume({ serverId: server.id, volumeId: added.id }), volumeNumbers)
await step(
  'an address, by itself',
  () => instance.getIp({ ip: env.SHOWN_ADDRESS }),
  (found) => `${found.ip.type} of ${found.ip.server.name}`,
)
await step('an address of nobody', () => instance.getIp({ ip: '192.0.2.1' }))
await instance.createPrivateNIC({ serverId: server.id, privateNetworkId: '0d9c0d2e-0000-4000-8000-000000000000' })
const [nic] = (await instance.listPrivateNICs({ serverId: server.id })).privateNics
await step(
  'private addresses in IPAM',
  () => new Ipam.v1.API(sdk).listIPs({ resourceId: nic.id }),
  (found) => found.ips.map((ip) => ip.address).join(', '),
)
await step('an Instance of another zone', () => instance.getServer({ serverId: server.id, zone: 'fr-par-1' }))
const as = (secret) => new Instance.v1.API(client(secret))
await step('with an unknown secret key', () => as('99999999-9999-4999-8999-999999999999').listServers())
await step('with one that has expired', () => as(env.EXPIRED_KEY).listServers())
await step('with one that only reads: list', () => as(env.READ_KEY).listServers(), (found) => `${found.totalCount} Instances`)
await step('with one that only reads: delete', () => as(env.READ_KEY).deleteServer({ serverId: server.id }))
await step('delete an Instance that runs', () => instance.deleteServer({ serverId: server.id }))
await instance.serverAction({ serverId: server.id, action: 'poweroff' })
await step(
  'stop and delete it',
  () => instance.deleteServer({ serverId: server.id }),
  async () => names(await instance.listServers().all()),
)
await step(
  'its volumes afterwards',
  () => block.listVolumes({ name: 'data', includeDeleted: false }),
  (found) => found.volumes.map((volume) => `${volume.name} ${volume.status}`).join(', '),
)
